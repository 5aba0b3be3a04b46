"""Info: what is known of an image of any format without reading its data."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.checks.chain import Step
from imsprep.cloud.sites import SITES
from imsprep.errors import ContentError, FormatError, ReadError
from imsprep.pipeline.info import ContainerSummary, Summary, summarize
from imsprep.pipeline.ova.proposal import ExportedSummary
from imsprep.units import GIB, KIB, MIB
from tests.support.image.ova import OVF
from tests.support.image.raw_disk import make_disk, write_disk
from tests.support.zvhd2.goldens import FACTS, golden

HUAWEI = SITES["huawei-intl"]


def of(path: Path, site: str = "huawei-intl") -> Summary:
    found = summarize(path, SITES[site])
    assert isinstance(found, Summary)
    return found


def test_a_raw_disk_has_its_sizes_and_what_is_stored_of_it(tmp_path: Path) -> None:
    found = of(make_disk(tmp_path / "disk.raw"))
    size = 20 * MIB + 512
    assert (found.image, found.format, found.file_size, found.virtual_size) == (
        "disk.raw", "raw", size, size,
    )  # fmt: skip
    assert 0 < found.stored_size < MIB
    assert (found.packed, found.chain, found.min_disk) == (None, None, 10)


@pytest.mark.parametrize(("site", "size", "smallest"), [
    ("huawei", MIB, 10), ("huawei", 40 * GIB, 40), ("huawei", 40 * GIB + 512, 41), ("otc", MIB, 1),
])  # fmt: skip
def test_min_disk_holds_the_whole_disk_and_is_one_that_the_site_takes(
    tmp_path: Path, site: str, size: int, smallest: int
) -> None:
    found = of(write_disk(tmp_path / "disk.raw", size, []), site)
    assert (found.min_disk, found.stored_size) == (smallest, 0)


def test_a_container_has_what_its_header_and_tables_say(tmp_path: Path) -> None:
    path, facts = tmp_path / "disk.zvhd2", FACTS["scattered_zlib"]
    path.write_bytes(golden("scattered_zlib"))
    found = of(path)
    packed = found.packed
    assert packed is not None
    assert (found.format, found.virtual_size) == ("zvhd2", facts["virtual_size"])
    assert found.file_size == facts["zvhd2_size"]
    assert (packed.blocks, packed.block_size) == (facts["blocks"], facts["block_size"])
    assert packed.stored_blocks == len(facts["nonzero_blocks"])
    assert (packed.compression, packed.creator) == ("zlib", "tap 1.4")
    assert packed.ratio is not None
    assert packed.ratio > 1


PACKED = ContainerSummary(
    original_size=GIB, block_size=2 * MIB, blocks=512, stored_blocks=3, data_bytes=6 * MIB,
    packed_bytes=2 * MIB, compression="zstd", creator="imsprep 1.0",
    made="2026-01-01T00:00:00+00:00", uuid="1" * 32,
)  # fmt: skip
STEP = Step("firmware", "known", "BIOS", "BIOS")


def test_a_screen_shows_sizes_blocks_and_the_boot_chain() -> None:
    found = Summary("a.zvhd2", "zvhd2", 3 * MIB, 3 * MIB, GIB, 10, PACKED)
    lines = str(found).splitlines()
    assert "virtual size  1 GiB (1073741824 bytes)" in lines
    assert "blocks        3 of 512 stored" in lines
    assert "compressed    2 MiB (2097152 bytes), 3 to 1, zstd" in lines
    assert lines[-1] == "min_disk      10 GB or more"
    inside = Summary("a", "raw", KIB, KIB, KIB, 10, chain=())
    assert str(inside).endswith("boot chain\n  no Linux and no loader were found")


def test_plain_values_have_the_ratio_and_the_chain_where_it_was_followed() -> None:
    bare = Summary("a", "raw", KIB, KIB, KIB, 10).as_dict()
    assert ("chain" in bare, bare["packed"]) == (False, None)
    whole = Summary("a", "zvhd2", KIB, KIB, KIB, 10, PACKED, (STEP,)).as_dict()
    assert whole["chain"] == [STEP.as_dict()]
    assert whole["packed"]["ratio"] == 3.0  # type: ignore[index]  # a dictionary


def test_a_container_without_data_has_no_ratio() -> None:
    empty = ContainerSummary(
        **{**vars(PACKED), "stored_blocks": 0, "data_bytes": 0, "packed_bytes": 0}
    )
    assert empty.ratio is None
    assert "no data" in str(Summary("a", "zvhd2", KIB, KIB, GIB, 10, empty))


def test_of_an_exported_machine_the_descriptor_is_told(tmp_path: Path) -> None:
    path = tmp_path / "web.ovf"
    path.write_text(OVF.format(size1=4, size2=4, capacity=MIB))
    for name in ("web-disk1.vmdk", "web-disk2.vmdk"):
        (tmp_path / name).write_bytes(b"disk")
    found = summarize(path, HUAWEI)
    assert isinstance(found, ExportedSummary)
    assert found.machine.name == "web server 01"


@pytest.mark.parametrize(("content", "error", "said"), [
    (golden("one_block")[:-4096], FormatError, "footer"),
    (b"PK\3\4" + bytes(4096), ContentError, "zip"),
])  # fmt: skip
def test_what_it_cannot_tell_is_refused(
    tmp_path: Path, content: bytes, error: type[Exception], said: str
) -> None:
    path = tmp_path / "disk"
    path.write_bytes(content)
    with pytest.raises(error, match=said):
        of(path)


def test_a_file_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot read"):
        of(tmp_path / "none")
