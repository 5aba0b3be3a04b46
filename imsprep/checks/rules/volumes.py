"""IMS2xx, volumes: what lies on the disk or in its partitions, and whether it is whole."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, rule
from imsprep.checks.subject.disk import PROPERTIES, disk_of
from imsprep.image.volumes.partitions import PartitionedDisk, backup_start
from imsprep.image.volumes.signatures import EXFAT, FAT, LVM, Volume
from imsprep.image.volumes.superblocks import Superblock
from imsprep.report import Region, Severity
from imsprep.units import exact_size

# Mounted all the same, and broken as soon as the missing part is used.
_MOUNTED_ALL_THE_SAME = (FAT, EXFAT)
_FIX_FAT = (
    "Copy the files out, make it again in the partition's size (mkfs.vfat, mkfs.exfat) and copy"
    " them back; fatresize can shrink a FAT in place."
)


@rule(
    "IMS211", Severity.ERROR, "The disk is encrypted",
    why="The user guide forbids encrypted images: the service cannot look into the disk, and a"
    " server waits for a passphrase at every start.",
    fix="Decrypt it: cryptsetup-reencrypt --decrypt (LUKS), manage-bde -off (BitLocker); for"
    " encryption in the cloud use an encrypted image or disk (KMS).",
    source=f"{PROPERTIES}: the image must not be encrypted",
)  # fmt: skip
def encrypted(facts: Facts) -> Iterator[Evidence]:
    """Look for LUKS and BitLocker in partitions and on the whole disk."""
    disk = disk_of(facts)
    for where, volume, region in volumes_of(disk):
        if volume.encrypted:
            yield Evidence(
                f"{where} is encrypted with {volume.kind}",
                expected="no encryption", found=volume.kind, region=region,
            )  # fmt: skip


@rule(
    "IMS212", Severity.NOTE, "The disk uses LVM",
    why="It is allowed; servers created from such an image do not support file injection.",
    fix="If files are to be injected when a server is created, use plain partitions.",
    source=f"{PROPERTIES}: LVM",
)  # fmt: skip
def lvm(facts: Facts) -> Iterator[Evidence]:
    """Look for physical volumes."""
    found = [(w, region) for w, volume, region in volumes_of(disk_of(facts)) if volume.kind == LVM]
    if len(found) == 1:
        yield Evidence(f"{found[0][0]} is an LVM physical volume", region=found[0][1])
    elif found:
        *first, last = (where for where, _ in found)
        yield Evidence(f"{', '.join(first)} and {last} are LVM physical volumes")


@rule(
    "IMS220", Severity.ERROR, "A file system is larger than its partition",
    why="Linux does not mount it (btrfs: since 5.11; NTFS: for reading only), so that the server"
    " does not boot or lacks a disk; what lay beyond the partition's end is lost. FAT is mounted,"
    " and breaks when it first uses the missing part.",
    fix="Copy the image again, or give the partition its size back. To shrink a disk, shrink the"
    " file system first: resize2fs, btrfs filesystem resize, ntfsresize; XFS cannot be shrunk.",
    source="tried with Linux 6.18, 2026-11-25: ext4 (bad superblock), XFS (last sector read failed)"
    " and btrfs (open_ctree failed) are refused; NTFS: fs/ntfs3/super.c, \"RAW NTFS volume\"; FAT"
    " and exFAT: inferred",
)  # fmt: skip
def larger_than_its_partition(facts: Facts) -> Iterator[Evidence]:
    """Compare the size that each superblock tells with its partition's or logical volume's."""
    for where, kind, found, length, region in _file_systems(facts):
        if found.size is not None and found.size > length:
            missing = exact_size(found.size - length)
            message = f"the {kind} of {where} takes {exact_size(found.size)}; {missing} are missing"
            severity = fix = None
            if kind in _MOUNTED_ALL_THE_SAME:
                over = region and _lies_behind(disk_of(facts), region, found.size)
                message += f", and {over} lies there" if over else ""
                severity = None if over else Severity.WARNING
                fix = _FIX_FAT
            yield Evidence(
                message, expected=f"at most {length} bytes", found=f"{found.size} bytes",
                region=region, severity=severity, fix=fix,
            )  # fmt: skip


def _lies_behind(disk: PartitionedDisk, region: Region, size: int) -> str | None:
    """Return what a volume of `size` bytes that begins a region writes over, or None."""
    behind, stop = region.offset + region.length, region.offset + size
    backup = backup_start(disk)
    for p in disk.partitions:
        if p.length and p.start < stop and p.end > behind and p.start >= region.offset + 1:
            return f"partition {p.number}"
    if backup is not None and behind <= backup < stop:
        return "the backup GPT"
    return None


@rule(
    "IMS221", Severity.ERROR, "A file system's superblock is damaged",
    why="No system mounts it: the server does not boot, or lacks a disk.",
    fix="Copy the image again. If its source is as damaged: e2fsck -f, xfs_repair, btrfs rescue"
    " super-recover or fsck.fat on the volume, which may lose files.",
    source="tried with Linux 6.18, 2026-11-25: ext4, XFS and btrfs with a checksum that does not"
    " hold are refused; sizes that no reader can work with: FAT specification 1.03, else inferred",
)  # fmt: skip
def damaged(facts: Facts) -> Iterator[Evidence]:
    """Look for checksums that do not hold, and sizes that no system can work with."""
    for where, kind, found, _, region in _file_systems(facts):
        if found.fault is not None:
            yield Evidence(f"the {kind} of {where} cannot be mounted: {found.fault}", region=region)


def _file_systems(
    facts: Facts,
) -> Iterator[tuple[str, str, Superblock, int, Region | None]]:
    """Yield those of partitions, and of logical volumes where the inside was looked at.

    Of each: where, what, what it says of itself, the bytes that are there for it, and its place.
    """
    for where, volume, region in volumes_of(disk_of(facts)):
        yield where, volume.kind, volume.superblock, region.length, region
    for inner in facts.guest.volumes if facts.guest is not None else ():
        if inner.offset < 0:
            superblock = Superblock(inner.claimed, inner.fault)
            yield inner.name, inner.kind, superblock, inner.size, None


def volumes_of(disk: PartitionedDisk) -> Iterator[tuple[str, Volume, Region]]:
    """Yield what lies on a disk: where, what, and the bytes that are there for it."""
    if disk.volume is not None:
        yield "the whole disk", disk.volume, Region(0, disk.size)
    for p in disk.partitions:
        if p.volume is not None:
            yield f"partition {p.number}", p.volume, Region(p.start, p.length)
