"""IMS2xx continued, disk: file systems that their partitions do not hold, or that are damaged."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, rule
from imsprep.checks.rules.partition_table import disk_of, volumes_of
from imsprep.image.signatures import EXFAT, FAT
from imsprep.image.superblocks import Geometry
from imsprep.report import Region, Severity
from imsprep.units import exact_size

# Mounted all the same, and broken as soon as the missing part is used.
_MOUNTED_ALL_THE_SAME = (FAT, EXFAT)


@rule(
    "IMS220", Severity.ERROR, "A file system is larger than its partition",
    why="Linux does not mount it (btrfs: since 5.11; NTFS: for reading only), so that the server"
    " does not boot or lacks a disk; what lay behind the partition's end is lost. FAT is mounted,"
    " and breaks when it first uses the missing part.",
    fix="Copy the image again, or give the partition its size back. To shrink a disk, shrink the"
    " file system first: resize2fs, btrfs filesystem resize, ntfsresize; XFS cannot be shrunk.",
    source="tried with Linux 6.18, 2026-11-25: ext4 (bad geometry), XFS (last sector read failed)"
    " and btrfs (open_ctree failed) are refused; NTFS: fs/ntfs3/super.c, \"RAW NTFS volume\"; FAT"
    " and exFAT: inferred",
)  # fmt: skip
def larger_than_its_partition(facts: Facts) -> Iterator[Evidence]:
    """Compare the size that each superblock tells with its partition's or logical volume's."""
    for where, kind, found, length, region in _file_systems(facts):
        if found.size is not None and found.size > length:
            missing = exact_size(found.size - length)
            mounted = kind in _MOUNTED_ALL_THE_SAME
            yield Evidence(
                f"the {kind} of {where} takes {exact_size(found.size)}; {missing} are missing",
                expected=f"at most {length} bytes", found=f"{found.size} bytes", region=region,
                severity=Severity.WARNING if mounted else None,
            )  # fmt: skip


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
) -> Iterator[tuple[str, str, Geometry, int, Region | None]]:
    """Yield those of partitions, and of logical volumes where the inside was looked at.

    Of each: where, what, what it says of itself, the bytes that are there for it, and its place.
    """
    for where, volume, region in volumes_of(disk_of(facts)):
        yield where, volume.kind, volume.geometry, region.length, region
    for inner in facts.guest.volumes if facts.guest is not None else ():
        if inner.offset < 0:
            geometry = Geometry(inner.claimed, inner.fault)
            yield inner.name, inner.kind, geometry, inner.size, None
