"""The disk that the emulator makes of what was uploaded, and what it refuses."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from huaweicloudsdkims.v2 import (
    ListImagesRequest,
)

from imsprep.units import GIB
from imsprep.zvhd2 import records
from tests.support.emulator.imports import (
    ZVHD2_BODY,
    ended,
    import_by_sdk,
    outcome,
    sdk,
)
from tests.support.image.treedigest import tree_digest
from tests.support.ims.imscloud import BLOCK, Objects, cloud, raw_disk
from tests.support.zvhd2.files import of_disk
from tests.support.zvhd2.goldens import FACTS, golden


@pytest.mark.slow
@pytest.mark.parametrize("method", [records.ZLIB, records.ZSTD])
@pytest.mark.parametrize("shuffled", [False, True])
def test_the_disk_of_a_zvhd2_is_the_source_and_zeros_up_to_a_gib(
    method: int, shuffled: bool, tmp_path: Path
) -> None:
    disk, _ = raw_disk()
    order = [4, 5, 1] if shuffled else None
    objects = Objects(disk_zvhd2=of_disk(disk, method=method, order=order))
    with cloud(tmp_path, objects) as (emulator, url, _):
        client = sdk(url)
        assert ended(client, import_by_sdk(client, ZVHD2_BODY)).status == "SUCCESS"
        made = emulator.board.images()[0].disk
        assert (made["original_size"], made["original_digest"]) == (len(disk), tree_digest(disk))
        assert made["size"] == GIB
        assert made["digest"] == tree_digest(disk, GIB)
        with open(made["path"], "rb") as file:
            assert file.read(len(disk)) == disk
            assert file.seek(0, 2) == GIB
        image = client.list_images(ListImagesRequest(name="web01")).images[0]
        assert image.image_size == str(GIB)


@pytest.mark.slow
def test_the_disk_of_a_golden_is_the_one_it_was_made_of(tmp_path: Path) -> None:
    objects = Objects(disk_zvhd2=golden("scattered"))
    with cloud(tmp_path, objects) as (emulator, url, _):
        client = sdk(url)
        assert ended(client, import_by_sdk(client, ZVHD2_BODY)).status == "SUCCESS"
        made = emulator.board.images()[0].disk
        assert made["digest"] == made["original_digest"]
        with open(made["path"], "rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest()
        assert whole == FACTS["scattered"]["raw_sha256"]
        assert Path(made["path"]).stat().st_blocks * 512 < 64 * 1024 * 1024  # sparse


@pytest.mark.parametrize(
    ("at", "reason"), [(50, "checksum of the header"), (4096, "damaged"), (4096 + 48, "block 1")]
)
def test_a_damaged_zvhd2_fails_the_job(at: int, reason: str, tmp_path: Path) -> None:
    data = bytearray(of_disk(raw_disk()[0]))
    data[at] ^= 0xFF
    with cloud(tmp_path, Objects(disk_zvhd2=bytes(data))) as (_, url, _):
        client = sdk(url)
        answer = ended(client, import_by_sdk(client, ZVHD2_BODY))
        assert (answer.status, answer.error_code) == ("FAIL", "IMG.0072")
        assert reason in answer.fail_reason


def test_a_raw_image_without_its_bitmap_is_refused(tmp_path: Path) -> None:
    assert outcome(tmp_path, Objects(disk_raw=raw_disk()[0])) == ("refused", "IMG.0158")


@pytest.mark.parametrize("bitmap", [b"", b"\x32\x00", b"\x30", b"\xf2", b"\x72", b"\x00"])
def test_a_bitmap_that_would_lose_data_or_does_not_fit_fails_the_job(
    bitmap: bytes, tmp_path: Path
) -> None:
    objects = Objects(disk_raw=raw_disk()[0], disk_mf=bitmap)
    assert outcome(tmp_path, objects) == ("FAIL", "IMG.0158")


@pytest.mark.slow
def test_every_bit_of_the_bitmap_is_read(tmp_path: Path) -> None:
    disk, bitmap = raw_disk()
    for block in range(6):
        marked = bitmap[0] | 1 << block
        objects = Objects(disk_raw=disk, disk_mf=bytes([marked]))
        assert outcome(tmp_path / str(block), objects)[0] == "SUCCESS"


@pytest.mark.parametrize(
    "head", [b"QFI\xfb\0\0\0\x03", b"KDMV\x01\0\0\0", b"conectix", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"]
)
def test_another_format_is_refused_by_its_content(head: bytes, tmp_path: Path) -> None:
    disk, bitmap = raw_disk()
    objects = Objects(disk_raw=head + disk[len(head) :], disk_mf=bitmap)
    assert outcome(tmp_path, objects) == ("refused", "IMG.0158")


def test_an_empty_object_or_a_wrong_class_is_refused(tmp_path: Path) -> None:
    disk, bitmap = raw_disk()
    assert outcome(tmp_path / "1", Objects(disk_raw=b"", disk_mf=b""))[1] == "IMG.0057"
    objects = Objects(disk_raw=disk, disk_mf=bitmap)
    objects.storage_class = "GLACIER"
    assert outcome(tmp_path / "2", objects) == ("refused", "IMG.0057")


def test_an_object_that_shrinks_fails_the_job(tmp_path: Path) -> None:
    class Short(Objects):
        def read(self, key: str, offset: int, length: int) -> bytes:
            data = super().read(key, offset, length)
            return data[:-1] if length > BLOCK else data

    disk, bitmap = raw_disk()
    assert outcome(tmp_path, Short(disk_raw=disk, disk_mf=bitmap)) == ("FAIL", "IMG.0057")


@pytest.mark.slow
@pytest.mark.parametrize("size", [512, 4096, (2 << 20) + 4096])
def test_a_disk_that_ends_inside_a_leaf_of_the_digest_is_made_too(
    size: int, tmp_path: Path
) -> None:
    disk = b"data" * (size // 4)
    objects = Objects(disk_zvhd2=of_disk(disk))
    with cloud(tmp_path, objects) as (emulator, url, _):
        client = sdk(url)
        assert ended(client, import_by_sdk(client, ZVHD2_BODY)).status == "SUCCESS"
        made = emulator.board.images()[0].disk
        assert (made["original_size"], made["original_digest"]) == (size, tree_digest(disk))
        assert made["digest"] == tree_digest(disk, GIB)
        with open(made["path"], "rb") as file:
            assert file.read(size + 512) == disk + bytes(512)
