"""Import by way of a ZVHD2: made once, used again while it fits, and nothing else is replaced."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import ImageChangedError, ReadError, TransferError, UsageError
from imsprep.image.file import RawImage
from imsprep.image.identity import Identity
from imsprep.pipeline.container.kept import (
    ContainerSidecar,
    check_place,
    dated,
    fits,
    pack,
    place_for,
    sidecar_path,
)
from imsprep.system.locking import locked
from imsprep.units import GIB, MIB
from imsprep.zvhd2.convert import ConvertTask, convert
from imsprep.zvhd2.source import OpenImage
from imsprep.zvhd2.writer import PackTask
from tests.support.image.treedigest import tree_digest
from tests.support.running import Outcome, need

Imsprep = Callable[..., Outcome]
REQUEST = ("--name", "d", "--type", "DataImage", "--min-disk", "40", "--poll", "0.05")
PACKING = PackTask(0, jobs=2)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A RAW disk of a GiB, mostly holes."""
    path, choice = tmp_path / "disk.raw", random.Random(5)
    with path.open("wb") as file:
        file.truncate(GIB)
        file.write(b"\xeb" + bytes(509) + b"\x55\xaa")
        for offset in (3 * MIB, 700 * MIB, GIB - 9):
            file.seek(offset)
            file.write(choice.randbytes(9))
        file.seek(100 * MIB)
        file.write(choice.randbytes(3 * MIB))
    return path


def made(image: Path, packing: PackTask = PACKING) -> tuple[Path, bool]:
    """Have the container of an image; return it, and whether it was made."""
    with OpenImage.open(image, jobs=packing.jobs) as opened:
        place = place_for(image)
        return place, pack(opened, place, ConvertTask(dated(packing, opened.file)))


def imported(folder: Path) -> Path:
    [made] = (folder / "cloud" / ".emulator" / "disks").glob("*.raw")
    return made


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.slow
def test_the_imported_disk_is_the_source(imsprep: Imsprep, disk: Path, tmp_path: Path) -> None:
    arguments = ("import", disk, *REQUEST, "--via", "zvhd2", "--to", f"local:{tmp_path}/cloud",
                 "--keep-container", tmp_path / "disk.zvhd2")  # fmt: skip
    done = imsprep(*arguments, "--json")
    assert done.code == 0, done.err
    assert digest(imported(tmp_path)) == digest(disk)
    container = tmp_path / "disk.zvhd2"
    manifest = json.loads((tmp_path / "disk.imsprep.json").read_text())
    [sent] = manifest["objects"]
    assert (sent["role"], sent["file"], sent["key"]) == ("container", "disk.zvhd2", "disk.zvhd2")
    assert sent["sha256"] is None
    assert manifest["image"]["digest"] == tree_digest(disk.read_bytes())
    assert manifest["image"]["name"] == "disk.raw"
    assert manifest["image"]["size"] == done.json["size"] == GIB
    assert not (tmp_path / "disk.mf").exists()
    before = Identity.of(container)
    again = imsprep(*arguments, "--json")
    assert again.json["image_id"] == done.json["image_id"]
    assert "used again" in again.err
    assert Identity.of(container) == before


def test_the_container_goes_to_the_work_folder(
    imsprep: Imsprep, disk: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    arguments = ("import", disk, *REQUEST, "--via", "zvhd2", "--work-dir", work)
    arguments += ("--to", f"local:{tmp_path / 'cloud'}", "--dry-run", "--json")
    said = f"the work folder {work} does not exist; make it, or name another (--work-dir)"
    for run in (arguments, arguments[:-2]):
        missing = imsprep(*run)
        assert missing.code == 3
        assert said in missing.err
    assert sorted(os.listdir(tmp_path)) == ["disk.raw"]
    work.touch()
    assert f"the work folder {work} is not a folder" in imsprep(*arguments).err
    work.unlink()
    work.mkdir()
    assert imsprep(*arguments).json["uploads"][0]["file"] == str(work / "disk.zvhd2")
    assert sorted(os.listdir(tmp_path)) == ["disk.raw", "work"]


@pytest.mark.parametrize("via", ["zvhd2", "auto"])
def test_a_dry_run_compares_says_why_and_writes_nothing(
    via: str, imsprep: Imsprep, disk: Path, tmp_path: Path
) -> None:
    arguments = ("import", disk, *REQUEST, "--to", "obs:bucket/x", "--via", via, "--dry-run")
    done = imsprep(*arguments, "--json", "--bandwidth", "1m", "--no-copy")
    assert done.code == 0, done.err
    found = done.json["comparison"]
    assert found["chosen"] == "zvhd2"
    assert [route["name"] for route in found["formats"]] == ["raw", "zvhd2"]
    assert found["formats"][1]["local"] == 0
    assert all({"wire", "local", "seconds"} <= set(route) for route in found["formats"])
    assert "estimate from" in found["why"]
    asked = {"auto": "raw is not taken: it needs a bitmap", "zvhd2": "zvhd2 is what was asked for"}
    assert found["reason"].startswith(asked[via])
    assert found["why"].endswith(found["reason"])
    assert "format " not in done.err  # what is printed says it, once
    [upload] = done.json["uploads"]
    assert (upload["role"], upload["key"]) == ("container", "x/disk.zvhd2")
    assert upload["estimated"] is True
    assert done.json["body"]["image_url"] == "bucket:x/disk.zvhd2"
    assert os.listdir(tmp_path) == ["disk.raw"]
    text = imsprep(*arguments, "--bandwidth", "1m", "--no-copy").out
    format_, other, *rest = text.splitlines()
    assert ("raw is not taken: it needs a bitmap" in " ".join(rest)) is (via == "auto")
    [container] = [line for line in rest if line.startswith("container")]
    assert format_.startswith("format   zvhd2, about ")
    assert " on the wire at 1 MiB/s" in format_
    assert "assumed" not in text
    assert other.startswith("         not raw about ")
    assert re.search(r": about [0-9.]+ MiB in 1 part$", container), container  # no exact bytes
    assert " on the wire at 11.92 MiB/s (assumed)" in imsprep(*arguments).out
    assert '"image_url": "bucket:x/disk.zvhd2"' in text
    place, _ = made(disk)
    kept = ("--json", "--bandwidth", "1m", "--no-copy", "--work-dir", tmp_path)
    exact = imsprep(*arguments, *kept).json["uploads"][0]
    assert exact["estimated"] is False
    assert exact["plan"]["size"] == place.stat().st_size
    guessed = upload["plan"]["size"]
    assert abs(guessed - place.stat().st_size) < 64 * 1024


def test_auto_takes_raw_only_with_a_bitmap_made_elsewhere(
    imsprep: Imsprep, disk: Path, tmp_path: Path
) -> None:
    arguments = ("import", disk, *REQUEST, "--to", "obs:bucket", "--dry-run", "--json")
    assert [u["role"] for u in imsprep(*arguments).json["uploads"]] == ["container"]
    assert imsprep("bitmap", disk, "--output", tmp_path / "vendor.mf").code == 0
    done = imsprep(*arguments, "--bitmap", tmp_path / "vendor.mf")
    assert [upload["role"] for upload in done.json["uploads"]] == ["image", "bitmap"]
    assert done.json["body"]["image_url"] == "bucket:disk.raw"
    found = done.json["comparison"]
    assert [one["name"] for one in found["formats"]] == ["raw"]
    assert found["reason"].startswith("raw is taken for the bitmap that is given")


def test_a_bitmap_made_elsewhere_goes_with_raw_only(
    imsprep: Imsprep, disk: Path, tmp_path: Path
) -> None:
    done = imsprep("import", disk, *REQUEST, "--to", "obs:bucket", "--dry-run", "--via", "zvhd2",
                   "--bitmap", tmp_path / "disk.mf")  # fmt: skip
    assert done.code == 2
    assert "a bitmap belongs to a RAW image" in done.err


@need("qemu-img", "qemu-nbd")
@pytest.mark.slow
def test_a_qcow2_is_imported_without_a_raw_copy(
    imsprep: Imsprep, disk: Path, tmp_path: Path
) -> None:
    image = tmp_path / "web.qcow2"
    os.truncate(disk, 128 * MIB)
    command = ["qemu-img", "convert", "-O", "qcow2", str(disk), str(image)]
    subprocess.run(command, check=True)
    arguments = ("import", image, *REQUEST, "--to", f"local:{tmp_path}/cloud")
    assert imsprep(*arguments, "--dry-run", "--json").json["uploads"][0]["role"] == "container"
    planned = imsprep(*arguments, "--via", "auto", "--dry-run", "--json")
    assert planned.json["comparison"]["chosen"] == "zvhd2"
    assert [r["name"] for r in planned.json["comparison"]["formats"]] == [
        "zvhd2"
    ]  # no RAW of a qcow2
    assert "raw cannot be taken: the image is qcow2" in planned.json["comparison"]["reason"]
    done = imsprep(*arguments, "--via", "auto", "--json")
    assert done.code == 0, done.err
    with imported(tmp_path).open("rb") as made:
        assert made.read(128 * MIB) == disk.read_bytes()
        assert os.fstat(made.fileno()).st_size == GIB
    # It is packed while it is sent: what is on this machine stays the one file there is.
    assert done.json["report"]["facts"]["format"] == "qcow2"
    assert not list(tmp_path.glob("*.zvhd2"))


@need("qemu-img")
def test_without_qemu_nbd_the_package_is_named(
    imsprep: Imsprep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "web.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1G"], check=True)
    monkeypatch.setattr(shutil, "which", lambda program: None)
    for via in ("zvhd2", "auto"):
        done = imsprep("import", image, *REQUEST, "--via", via, "--to", f"local:{tmp_path}/c")
        assert done.code == 2
        assert "apt install qemu-utils" in done.err
    assert os.listdir(tmp_path) == ["web.qcow2"]


def test_findings_stop_it_before_anything_is_made(
    imsprep: Imsprep, disk: Path, tmp_path: Path
) -> None:
    for wrong in (("--min-disk", "0"), ("--name", " x")):
        done = imsprep("import", disk, *REQUEST, *wrong, "--via", "zvhd2", "--to", "obs:bucket")
        assert done.code == 1, done.err
    assert os.listdir(tmp_path) == ["disk.raw"]


def test_it_is_made_once_and_anew_when_image_or_options_change(disk: Path) -> None:
    place, new = made(disk)
    first = place.read_bytes()
    assert new
    assert made(disk) == (place, False)
    assert made(disk, PackTask(0, jobs=1)) == (place, False)  # threads change no byte
    assert made(disk, PackTask(0, level=1)) == (place, True)
    assert made(disk, PackTask(0, block_size=MIB)) == (place, True)
    assert made(disk) == (place, True)
    assert place.read_bytes() == first  # the same image and options, the same bytes
    with disk.open("r+b") as file:
        file.write(b"changed")
    assert made(disk) == (place, True)
    assert place.read_bytes() != first


def test_a_change_that_hides_its_time_is_noticed(disk: Path) -> None:
    place, _ = made(disk)
    before = disk.stat()
    with disk.open("r+b") as file:
        file.seek(200 * MIB)
        file.write(b"changed")
    os.utime(disk, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert made(disk) == (place, True)


def test_an_image_that_is_another_one_by_the_time_it_is_packed_is_noticed(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*arguments: Any) -> Any:
        (tmp_path / "new").write_bytes(b"another disk" * 1000)
        (tmp_path / "new").replace(disk)
        return convert(*arguments)

    monkeypatch.setattr("imsprep.pipeline.container.kept.convert", late)
    with pytest.raises(ImageChangedError):
        made(disk)


def test_one_that_was_changed_is_made_anew(disk: Path) -> None:
    place, _ = made(disk)
    whole = place.read_bytes()
    damaged = bytearray(whole)
    damaged[5000] ^= 1
    place.write_bytes(damaged)
    assert made(disk) == (place, True)
    assert place.read_bytes() == whole


def test_a_file_of_somebody_else_is_never_replaced(disk: Path, tmp_path: Path) -> None:
    place, _ = made(disk)
    foreign = {
        "another container": (tmp_path / "o.raw", place),
        "no container": (None, place),
        "without a sidecar": (None, sidecar_path(place)),
    }
    (tmp_path / "o.raw").write_bytes(b"other" * MIB)
    other, _ = made(tmp_path / "o.raw")
    for what, (_, where) in foreign.items():
        place.write_bytes(other.read_bytes() if what == "another container" else b"mine")
        if where != place:
            sidecar_path(place).write_bytes(b"{}")
        kept = place.read_bytes()
        with pytest.raises(UsageError, match="was not"):
            made(disk)
        assert place.read_bytes() == kept, what


def test_a_file_of_somebody_else_is_told_before_anything_is_read(
    imsprep: Imsprep, disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk.zvhd2").write_bytes(b"mine")
    done = imsprep("import", disk, *REQUEST, "--to", "obs:bucket", "--via", "zvhd2", "--dry-run",
                   "--work-dir", tmp_path)  # fmt: skip
    assert done.code == 2
    assert "disk.zvhd2 was not made by an import" in done.err


def test_one_name_does_not_serve_two_images(disk: Path, tmp_path: Path) -> None:
    other = tmp_path / "disk.img"
    os.truncate(disk, 8 * MIB)
    place, _ = made(disk)
    before = Identity.of(place)
    shutil.copyfile(disk, other)
    with pytest.raises(UsageError, match="both have the same name"):
        made(other)
    assert Identity.of(place) == before
    disk.unlink()
    with pytest.raises(UsageError, match="both have the same name"):  # all that is left of the disk
        made(other)
    assert Identity.of(place) == before
    place.unlink()
    assert made(other) == (place, True)
    assert made(other.rename(disk)) == (place, True)  # the same file under another name


def test_the_image_itself_is_never_replaced(disk: Path, tmp_path: Path) -> None:
    image = disk.rename(tmp_path / "disk.zvhd2")  # RAW, whatever its name says
    with pytest.raises(UsageError, match="the image itself"):
        made(image)
    (tmp_path / "link.zvhd2").symlink_to(image)
    with pytest.raises(UsageError, match="the image itself"):
        check_place(image, tmp_path / "link.zvhd2")
    (tmp_path / "folder.zvhd2").mkdir()
    with pytest.raises(UsageError, match="not a regular file"):
        check_place(image, tmp_path / "folder.zvhd2")
    assert image.stat().st_size == GIB


@pytest.mark.parametrize(
    "broken", ["imsprep.pipeline.container.kept.convert", "imsprep.system.atomic.os.replace"]
)
def test_ended_at_any_step_the_next_run_makes_it(
    broken: str, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _ = made(disk)
    replace = os.replace

    def fail(*names: object, **options: object) -> None:
        if str(names[-1]).endswith(".json"):  # the sidecar, which comes before the container's name
            return replace(*names)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(broken, fail)
        with pytest.raises((ReadError, OSError)):
            made(disk, PackTask(0, level=1))
    assert not place.exists()
    assert made(disk) == (place, True)


def test_a_note_that_cannot_be_used_is_as_none(disk: Path) -> None:
    place, _ = made(disk)
    value = json.loads(sidecar_path(place).read_text())
    with RawImage.open(disk) as opened:
        packing = dated(PACKING, opened)
        assert fits(opened, place, packing)
        for text in ("", "[]", "{}", json.dumps({**value, "schema": 9})):
            sidecar_path(place).write_text(text)
            assert ContainerSidecar.read(place) is None
            assert not fits(opened, place, packing)
        for name, wrong in (("image", "x.raw"), ("uuid", "0"), ("options", {})):
            sidecar_path(place).write_text(json.dumps({**value, name: wrong}))
            assert not fits(opened, place, packing), name


def test_two_processes_never_make_it_at_once(disk: Path) -> None:
    place = place_for(disk)
    with (
        locked(place.with_name("disk.zvhd2.lock"), "it"),
        pytest.raises(TransferError, match="another imsprep works on the ZVHD2"),
    ):
        made(disk)


def test_a_date_that_no_footer_holds_is_brought_into_range(disk: Path) -> None:
    for seconds, expected in ((0, 0), (2**34, 2**32 - 1), (946684805, 5)):
        os.utime(disk, (seconds, seconds))
        with RawImage.open(disk) as opened:
            assert dated(PACKING, opened).timestamp == expected
