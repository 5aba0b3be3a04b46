"""IMS2xx continued, disk: the MBR entry that guards a GPT, and partitions over the table."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, rule
from imsprep.checks.rules.partition_table import GPT, believed, disk_of, gpt_of
from imsprep.image.partitions import MBR_PROTECTIVE, needed_size
from imsprep.report import Region, Severity
from imsprep.units import SECTOR

_ALL_SECTORS = 0xFFFFFFFF  # of a disk with more sectors than the field can count


@rule(
    "IMS218", Severity.NOTE, "The protective MBR does not cover the disk as it should",
    why="Systems follow the GPT all the same; tools repair the entry or warn about it. One that"
    " does not begin at sector 1 is another matter: Linux then finds no GPT on the disk.",
    fix="gdisk IMAGE, then x (expert), n (new protective MBR), w (write).",
    source="UEFI specification 2.10, chapter 5.2.3 (2022-08); Linux, block/partitions/efi.c",
)  # fmt: skip
def guard(facts: Facts) -> Iterator[Evidence]:
    """Compare start and length of the protective entry with the disk, if nothing else is wrong."""
    disk = gpt_of(facts)
    if disk is None or not disk.protective or disk.sector_size != SECTOR:
        return
    entry = next(p for p in disk.mbr_partitions if p.type == MBR_PROTECTIVE)
    if entry.start != SECTOR:
        yield Evidence(
            f"the protective entry begins at sector {entry.start // SECTOR}",
            expected="sector 1", found=str(entry.start // SECTOR), region=Region(0, SECTOR),
            severity=Severity.WARNING,
        )  # fmt: skip
        return
    whole = disk.size // SECTOR - 1
    header = believed(disk)
    moved = header is None or needed_size(header, SECTOR) != (whole + 1) * SECTOR
    sectors = entry.length // SECTOR
    if sectors not in (min(whole, _ALL_SECTORS), _ALL_SECTORS) and not (
        moved or disk.real_mbr_partitions
    ):
        yield Evidence(
            f"the protective entry covers {sectors} sectors",
            expected=f"{whole}", found=str(sectors), region=Region(0, SECTOR),
        )  # fmt: skip


@rule(
    "IMS219", Severity.ERROR, "A partition lies over its own partition table",
    why="Its file system and the table overwrite each other: one of them is damaged, or will be.",
    fix="Repair the table: sgdisk -v IMAGE shows what it finds.",
    source=GPT,
)  # fmt: skip
def over_the_table(facts: Facts) -> Iterator[Evidence]:
    """Look for partitions outside of the space that the GPT gives them; for MBR, sector 0."""
    disk = disk_of(facts)
    first, last = SECTOR, disk.size
    if disk.table == "gpt":
        header = believed(disk)
        if header is None:
            return
        first = header.first_usable * disk.sector_size
        last = (header.last_usable + 1) * disk.sector_size
    for p in disk.partitions:
        if p.start < first and p.length:
            yield Evidence(
                f"partition {p.number} starts at byte {p.start}, inside the table",
                expected=f"at or behind byte {first}", found=str(p.start),
                region=Region(p.start, first - p.start),
            )  # fmt: skip
        elif last < p.end <= disk.size:
            yield Evidence(
                f"partition {p.number} ends at byte {p.end}, inside the backup table",
                expected=f"at most {last}", found=str(p.end), region=Region(last, p.end - last),
            )  # fmt: skip
