"""An exported virtual machine, in one file (OVA) or in a folder (OVF), its disks read in place.

The descriptor says which disk is the system's. The sums of the manifest are compared before a disk
is read: of the descriptor, and of that disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imsprep.errors import ContentError, FormatError, show_path
from imsprep.image import formats
from imsprep.image.archive import ovf
from imsprep.image.archive.ovf import Machine, OvfDisk
from imsprep.image.archive.tar import Member, MemberImage, member_named, members, read_text
from imsprep.image.disk import ByteExtent, Disk
from imsprep.image.file import RawImage
from imsprep.image.qemu.foreign import DRIVERS
from imsprep.image.qemu.nbd_disk import QemuDisk, open_qemu_disk
from imsprep.units import MIB

OVA, OVF = formats.OVA, formats.OVF
_SUM = re.compile(r"^(SHA1|SHA256|SHA512)\s*\((.+)\)\s*=\s*([0-9A-Fa-f]+)\s*$")
_MANIFEST_LIMIT = MIB
_STEP = 4 * MIB


@dataclass(frozen=True)
class ExportedMachine:
    """An archive with a machine in it, its disks found. Nothing of a disk was read."""

    machine: Machine
    descriptor: Member
    members: tuple[Member, ...]
    sums: dict[str, tuple[str, str]]  # of the manifest: by name, the method and the sum
    folder: Path | None = None  # where the members are files; None: they lie in the archive

    def member_of(self, disk: OvfDisk) -> Member:
        """Return the file of a disk; FormatError if there is none that is read here."""
        if disk.file is None:
            raise FormatError(f"the disk {show_path(disk.id)} has no file: it is empty")
        if disk.compression and disk.compression != "identity":
            raise FormatError(
                f"the disk {show_path(disk.file)} is compressed by {show_path(disk.compression)};"
                " unpack the archive with tar -xf, then the disk"
            )
        if disk.needs_parent:
            raise FormatError(f"the disk {show_path(disk.file)} needs its parent; export it again")
        return member_named(list(self.members), disk.file.removeprefix("./"))


class MemberDisk:
    """A RAW disk in an archive."""

    def __init__(self, image: MemberImage) -> None:
        self.path, self.size = image.path, image.size
        self.notes: tuple[str, ...] = ()
        self._image = image

    def extents(self) -> Iterator[ByteExtent]:
        """Yield all of it as data."""
        yield 0, self.size, True

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with what lies at `offset`."""
        self._image.archive.pread_into(self._image.member.offset + offset, buffer)

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the archive is not as it was."""
        self._image.check_unchanged()


def read_exported(image: RawImage) -> ExportedMachine:
    """Read an archive's list or a folder's files, descriptor and manifest.

    Raises FormatError for what is not taken, ReadError.
    """
    named = show_path(image.path)
    try:
        return _in_folder(image) if _is_xml(image) else _in_archive(image)
    except FormatError as error:
        if str(error).startswith(named):
            raise
        raise FormatError(f"{named} is refused: {error}") from error


def _is_xml(image: RawImage) -> bool:
    return image.pread(0, min(64, image.size)).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _in_folder(image: RawImage) -> ExportedMachine:
    """Find the files of a descriptor in its folder: regular ones of plain names."""
    descriptor = Member(image.path.name, 0, image.size)
    machine = ovf.parse(read_text(image, descriptor, ovf.LIMIT))
    folder, sums = image.path.parent, dict[str, tuple[str, str]]()
    manifest = image.path.with_suffix(".mf")
    if manifest.is_file():
        with RawImage.open(manifest) as opened:
            sums = _sums(opened, [Member(manifest.name, 0, opened.size)])
    _compare(image, descriptor, sums)
    found = [descriptor]
    for disk in machine.disks:
        if disk.file is None:
            continue
        name = disk.file.removeprefix("./")
        if set(name) & set("/\\\0:") or name in ("", ".", "..") or not name.isprintable():
            raise FormatError(
                f"its descriptor names {show_path(name)!r}, which leads out of its folder"
            )
        try:
            there = os.lstat(folder / name)
        except OSError:
            raise FormatError(f"its disk {show_path(name)} is missing in {folder}") from None
        if not stat.S_ISREG(there.st_mode):
            raise FormatError(f"its disk {show_path(name)} is a link, or not a regular file")
        found.append(Member(name, 0, there.st_size))
    return _with_sizes(ExportedMachine(machine, descriptor, tuple(found), sums, folder))


def _in_archive(image: RawImage) -> ExportedMachine:
    found = members(image)
    descriptors = [m for m in found if m.name.lower().endswith(".ovf")]
    if len(descriptors) != 1:
        raise FormatError(f"it has {len(descriptors)} OVF descriptors, and one is needed")
    machine = ovf.parse(read_text(image, descriptors[0], ovf.LIMIT))
    sums = _sums(image, found)
    _compare(image, descriptors[0], sums)
    return _with_sizes(ExportedMachine(machine, descriptors[0], tuple(found), sums))


def _with_sizes(exported: ExportedMachine) -> ExportedMachine:
    """Compare the sizes of the disks' files with those that the descriptor says."""
    for disk in exported.machine.disks:
        if disk.file is not None:
            member = exported.member_of(disk)
            if disk.file_size not in (None, member.size):
                raise FormatError(
                    f"its disk {show_path(disk.file)} has {member.size} bytes, and its"
                    f" descriptor says {disk.file_size}"
                )
    return exported


@contextlib.contextmanager
def open_exported(image: RawImage, name: str | None, *, jobs: int) -> Iterator[Disk]:
    """Open a disk of an archive in place, for `jobs` threads: the system's, or that of a name.

    The name is its file's, its id, or its number among the disks that have a file.

    The disk's file is read once before, for its sum. Raises FormatError for an archive or a disk
    that is not taken, MissingExtraError without QEMU.
    """
    exported = read_exported(image)
    with_files = [disk for disk in exported.machine.disks if disk.file is not None]
    if not with_files:
        raise FormatError(f"{show_path(image.path)} has no disk with a file in it")
    wanted = with_files[:1] if name is None else _named(with_files, name)
    if not wanted:
        there = ", ".join(f"{n} {show_path(d.file or '')}" for n, d in enumerate(with_files, 1))
        raise FormatError(
            f"{show_path(image.path)} has no disk {show_path(name or '')}; its disks: {there}"
        )
    others = [show_path(d.file or "") for d in with_files if d is not wanted[0]]
    with contextlib.ExitStack() as stack:
        file, notes = image, list[str]()
        member = exported.member_of(wanted[0])
        if exported.folder is not None:
            file = stack.enter_context(RawImage.open(exported.folder / member.name))
            stack.enter_context(image.joined(file))
        try:
            note = _compare(file, member, exported.sums)
        except FormatError as error:
            raise FormatError(f"{show_path(image.path)} is refused: {error}") from error
        notes += [note] if note else []
        if others and name is None:
            notes.append(f"the disk {show_path(member.name)} is used, not {', '.join(others)}")
        disk = stack.enter_context(_open_member(MemberImage(file, member), jobs))
        if abs(disk.size - wanted[0].capacity) >= MIB:
            notes.append(
                f"the disk {show_path(member.name)} has {disk.size} bytes, and the descriptor says"
                f" {wanted[0].capacity}"
            )
        disk.notes = (*notes, *disk.notes)
        yield disk


def _named(disks: list[OvfDisk], name: str) -> list[OvfDisk]:
    """Return the disk of a file's name, an id of the descriptor, or a number from 1 on."""
    by_file = [disk for disk in disks if disk.file in (name, f"./{name}")]
    by_id = [disk for disk in disks if disk.id == name]
    number = int(name) if name.isascii() and name.isdigit() and len(name) < 5 else 0
    return by_file or by_id or disks[max(0, number - 1) : number]


@contextlib.contextmanager
def _open_member(part: MemberImage, jobs: int) -> Iterator[MemberDisk | QemuDisk]:
    matches = formats.identify(*formats.ends(part.pread, part.size), part.size)
    format_ = formats.primary(matches)
    if format_ == formats.RAW:
        yield MemberDisk(part)
    elif format_ in DRIVERS:
        with open_qemu_disk(part, format_, jobs=jobs) as disk:
            yield disk
    else:
        raise ContentError(formats.not_a_disk(part.path, format_))


def _sums(image: RawImage, found: list[Member]) -> dict[str, tuple[str, str]]:
    """Return the sums of the manifest, if there is one; raises FormatError for a strange one."""
    manifest = next((m for m in found if m.name.lower().endswith(".mf")), None)
    if manifest is None:
        return {}
    sums = dict[str, tuple[str, str]]()
    for line in read_text(image, manifest, _MANIFEST_LIMIT).decode("utf-8", "replace").splitlines():
        if not line.strip():
            continue
        said = _SUM.match(line.strip())
        if said is None:
            raise FormatError(f"its manifest has the unknown line {show_path(line[:80])!r}")
        sums[said[2].removeprefix("./")] = (said[1].lower(), said[3].lower())
    return sums


def _compare(image: RawImage, member: Member, sums: dict[str, tuple[str, str]]) -> str | None:
    """Compare a member with its sum; return what is to be said where there is none."""
    if member.name not in sums:
        return f"no manifest has a checksum of {show_path(member.name)}"
    method, expected = sums[member.name]
    digest = hashlib.new(method)
    end = member.offset + member.size
    for offset in range(member.offset, end, _STEP):
        digest.update(image.pread(offset, min(_STEP, end - offset)))
    if digest.hexdigest() != expected:
        raise FormatError(
            f"the {method.upper()} of {show_path(member.name)} is {digest.hexdigest()}, and its"
            f" manifest says {expected}; download or copy it again"
        )
    return None
