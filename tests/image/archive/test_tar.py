"""A tar as an OVA has to be: regular files of plain names, each read where it lies."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from imsprep.errors import FormatError
from imsprep.image.archive.tar import Member, MemberImage, members
from imsprep.image.file import RawImage


def packed(
    *entries: tuple[str, bytes] | tarfile.TarInfo, format_: int = tarfile.USTAR_FORMAT
) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format_) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return file.getvalue()


def read(folder: Path, data: bytes) -> list[Member]:
    path = folder / "web.ova"
    path.write_bytes(data)
    with RawImage.open(path) as image:
        return members(image)


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "web.ovf"
    return info


def test_members_are_found_in_order_and_read_in_place(tmp_path: Path) -> None:
    data = packed(("./web.ovf", b"<x/>"), ("disk.vmdk", b"d" * 1000))
    assert read(tmp_path, data) == [Member("web.ovf", 512, 4), Member("disk.vmdk", 1536, 1000)]
    with RawImage.open(tmp_path / "web.ova") as image:
        disk = MemberImage(image, Member("disk.vmdk", 1536, 1000))
        assert disk.path == Path(f"{image.path}:disk.vmdk")
        assert (disk.size, disk.pread(990, 100), disk.pread(1000, 1)) == (1000, b"d" * 10, b"")
        node = disk.as_node()
        assert (node["offset"], node["size"], node["read-only"]) == (1536, 1024, True)


@pytest.mark.parametrize("name", ["../disk.vmdk", "/disk.vmdk", "a/b", "..", "a\\b", "a\x1bb"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match=r"web\.ova"):
        read(tmp_path, packed((name, b"x")))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(FormatError, match=r"web\.ova"):
        read(tmp_path, packed(("web.ovf", b"x"), special("other", kind)))


def test_a_name_is_there_once(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="two members"):
        read(tmp_path, packed(("web.ovf", b"x"), ("web.ovf", b"y")))


def test_an_archive_that_was_cut_off_says_where(tmp_path: Path) -> None:
    data = packed(("web.ovf", b"x" * 5000))
    with pytest.raises(FormatError, match="reaches to byte 5512, and the file ends at byte 4000"):
        read(tmp_path, data[:4000])


@pytest.mark.parametrize("behind", [b"x" * 512, b"\0" * 511 + b"x"])
def test_something_behind_the_members_is_no_end(tmp_path: Path, behind: bytes) -> None:
    data = packed(("web.ovf", b"x"))
    with pytest.raises(FormatError, match="damaged"):
        read(tmp_path, data[:1024] + behind + data[1024:])


@pytest.mark.parametrize("data", [b"no tar" * 1000, bytes(10240), b""])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(FormatError, match="damaged"):
        read(tmp_path, data)
