"""IMS2xx, disk: the partition tables, and whether the disk is whole."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, rule
from imsprep.checks.subject.boot_mode import starts_by_uefi
from imsprep.checks.subject.disk import disk_of, gpt_of
from imsprep.image.volumes.partitions import (
    MBR_PROTECTIVE,
    GptHeader,
    Partition,
    PartitionedDisk,
    needed_size,
    shares_its_table,
)
from imsprep.report import Region, Severity
from imsprep.units import KIB, SECTOR, exact_size

GPT = "UEFI specification 2.10, chapter 5.3 (2022-08)"
_ALL_SECTORS = 0xFFFFFFFF  # of a disk with more sectors than the field can count


@rule(
    "IMS201", Severity.ERROR, "Both GPT headers are missing or damaged",
    why="The MBR says that there is a GPT, and none can be read: the firmware and the system find"
    " no partition.",
    fix="Copy the image again. If the partitions are known, sgdisk can write them again.",
    source=GPT,
)  # fmt: skip
def no_valid_gpt(facts: Facts) -> Iterator[Evidence]:
    """Look for a GPT of which neither header holds."""
    disk = gpt_of(facts)
    if disk is None or _valid(disk.primary) or _valid(disk.backup):
        return
    yield Evidence(
        "neither the primary nor the backup header is valid",
        expected="two headers whose checksums hold",
        found=f"primary: {_state(disk.primary)}; backup: {_state(disk.backup)}",
        region=Region(disk.sector_size, SECTOR),
    )


@rule(
    "IMS202", Severity.ERROR, "The primary GPT header is missing or damaged",
    why="Most boot loaders and every UEFI firmware read the primary table first; some, all BIOS"
    " boot loaders among them, read no other. UEFI firmware writes it again from the backup.",
    fix="Run gdisk IMAGE, then r (recovery), b (use the backup header), w (write).",
    source=f"{GPT}; tried: EDK II writes it again, and Linux then finds its partitions",
)  # fmt: skip
def primary_damaged(facts: Facts) -> Iterator[Evidence]:
    """Look for a bad primary header where the backup is good; a warning where UEFI starts it."""
    disk = gpt_of(facts)
    if disk is not None and not _valid(disk.primary) and _valid(disk.backup):
        yield Evidence(
            f"the primary header is {_state(disk.primary)}, the backup is valid",
            expected="a header whose checksums hold", found=_state(disk.primary),
            region=Region(disk.sector_size, SECTOR),
            severity=Severity.WARNING if starts_by_uefi(facts) else None,
        )  # fmt: skip


@rule(
    "IMS203", Severity.WARNING, "The backup GPT header is missing or damaged",
    why="The disk boots, but there is no other table if the first is lost. If the disk was cut"
    " short, what lay after the cut is lost too.",
    fix="Run sgdisk -e IMAGE, which writes the backup to the end of the disk.",
    source=GPT,
)  # fmt: skip
def backup_damaged(facts: Facts) -> Iterator[Evidence]:
    """Look for a bad backup where the primary is good and the disk was not cut."""
    disk = gpt_of(facts)
    if disk is None or disk.primary is None or not _valid(disk.primary) or _cut(disk):
        return
    offset = disk.primary.other_lba * disk.sector_size
    if _valid(disk.backup):
        if shares_its_table(disk):
            yield Evidence(
                f"the backup header at byte {offset} names the primary's table of partitions and"
                " has none of its own",
                expected="a second table in front of the backup header",
                found=f"the table at sector {disk.primary.entries_lba} twice",
                region=Region(offset, SECTOR),
            )
        return
    yield Evidence(
        f"the backup header at byte {offset} is {_state(disk.backup)}",
        expected="a header whose checksums hold",
        found=_state(disk.backup),
        region=Region(offset, SECTOR),
    )


@rule(
    "IMS204", Severity.ERROR, "The image was cut short",
    why="Its partition table was written for a larger disk. What lay beyond the end of the file"
    " is lost; the file systems there are damaged.",
    fix="Copy the image again and compare its size with the disk's. To shrink a disk, shrink file"
    " system and partition first, then run sgdisk -e on it.",
    source=GPT,
)  # fmt: skip
def cut_short(facts: Facts) -> Iterator[Evidence]:
    """Compare the size that the GPT was written for with the disk's."""
    disk = gpt_of(facts)
    if disk is None or not _cut(disk):
        return
    header = believed(disk)
    assert header is not None
    need = needed_size(header, disk.sector_size)
    message = (
        f"the table was written for {exact_size(need)}; {exact_size(need - disk.size)} are missing"
    )
    fix = None
    if all(p.end <= disk.size for p in disk.partitions):
        message += ": the backup GPT and no part of any partition"
        fix = f"Run truncate -s {need} IMAGE, then sgdisk -e IMAGE, which writes the backup again."
    yield Evidence(message, expected=f"{need} bytes", found=f"{disk.size} bytes", fix=fix)


@rule(
    "IMS205", Severity.WARNING, "The backup GPT is not at the end of the disk",
    why="The disk was made larger after it was partitioned. Some firmware and tools call such a"
    " table damaged; the new space cannot be used until the backup is moved.",
    fix="Run sgdisk -e IMAGE, which moves the backup to the end.",
    source=GPT,
)  # fmt: skip
def grown(facts: Facts) -> Iterator[Evidence]:
    """Look for space behind the last sector that the GPT knows."""
    disk = gpt_of(facts)
    header = believed(disk) if disk is not None else None
    if disk is None or header is None:
        return
    need = needed_size(header, disk.sector_size)
    if need < disk.size // disk.sector_size * disk.sector_size:
        yield Evidence(
            f"the table ends at byte {need}, the disk {disk.size - need} bytes later",
            expected=f"the backup header in the last sector of {disk.size} bytes",
            found=f"a table for {need} bytes",
        )


@rule(
    "IMS206", Severity.ERROR, "A partition reaches past the end of the disk",
    why="Its file system cannot be mounted, or breaks when it first uses the missing part.",
    fix="Copy the image again: it is shorter than the disk it was made from.",
    source=f"{GPT}; MBR: chapter 5.2",
)  # fmt: skip
def past_the_end(facts: Facts) -> Iterator[Evidence]:
    """Compare each partition's end with the disk's."""
    disk = disk_of(facts)
    for p in sorted((*disk.partitions, *disk.extended), key=lambda p: p.number):
        if p.end > disk.size:
            past = exact_size(p.end - disk.size)
            yield Evidence(
                f"partition {p.number} ends {past} past the end of the disk",
                expected=f"an end by byte {disk.size}", found=f"byte {p.end}",
                region=Region(min(p.start, disk.size), max(0, disk.size - p.start)),
            )  # fmt: skip


@rule(
    "IMS207", Severity.ERROR, "Partitions overlap, or one has no length",
    why="Two file systems write over each other; data is lost on the running server.",
    fix="Repair the table: sgdisk -v IMAGE shows what it finds.",
    source=GPT,
)  # fmt: skip
def overlapping(facts: Facts) -> Iterator[Evidence]:
    """Compare neighbours in order of their starts."""
    partitions = sorted(disk_of(facts).partitions, key=lambda p: (p.start, p.end))
    reach: Partition | None = None
    for p in partitions:
        if p.length == 0:
            yield Evidence(f"partition {p.number} ends before it starts", found="no length")
        elif reach is not None and p.start < reach.end:
            yield Evidence(
                f"partition {p.number} starts at byte {p.start}, inside partition {reach.number}",
                expected=f"a start at or after byte {reach.end}", found=f"byte {p.start}",
                region=Region(p.start, min(p.end, reach.end) - p.start),
            )  # fmt: skip
        if p.length and (reach is None or p.end > reach.end):
            reach = p


@rule(
    "IMS208", Severity.ERROR, "The disk was partitioned for sectors of 4096 bytes",
    why="Servers see sectors of 512 bytes and look for the table in the wrong place: they find no"
    " partition.",
    fix="Write the table again for 512-byte sectors: fdisk -b 4096 -l IMAGE shows it; every start"
    " and length times 8 goes to sgdisk --new.",
    source=f"{GPT}; that servers have 512-byte sectors is inferred from the formats' own unit",
)  # fmt: skip
def large_sectors(facts: Facts) -> Iterator[Evidence]:
    """Look for a GPT in the second 4096-byte sector, or an MBR that leads to volumes only so."""
    disk = disk_of(facts)
    if disk.sector_size == SECTOR:
        return
    header = disk.primary or disk.backup
    offset = header.offset if header is not None else 0
    yield Evidence(
        f"the GPT header stands at byte {offset}" if header is not None
        else "the MBR's partitions lead to file systems only if its sectors have 4096 bytes",
        expected=f"sectors of {SECTOR} bytes", found=f"sectors of {disk.sector_size} bytes",
        region=Region(offset, SECTOR),
    )  # fmt: skip


@rule(
    "IMS213", Severity.WARNING, "The two GPT headers describe different disks",
    why="Which one a system reads decides which partitions it sees.",
    fix="Compare them: sgdisk -v IMAGE shows the difference; gdisk can copy one over the other.",
    source=GPT,
)  # fmt: skip
def headers_disagree(facts: Facts) -> Iterator[Evidence]:
    """Compare disk GUID and the entries' checksum of two valid headers."""
    disk = gpt_of(facts)
    if disk is None or disk.primary is None or disk.backup is None:
        return
    first, second = disk.primary, disk.backup
    same = (first.disk_guid, first.entries_crc) == (second.disk_guid, second.entries_crc)
    if first.valid and second.valid and not same:
        yield Evidence(
            "primary and backup differ in the disk's GUID or the partitions",
            expected="the same table twice", found=f"{first.disk_guid} and {second.disk_guid}",
        )  # fmt: skip


@rule(
    "IMS214", Severity.WARNING, "The MBR and the GPT describe different disks",
    why="A BIOS and Windows may follow the MBR, Linux the GPT: they see different partitions.",
    fix="Run gdisk IMAGE, then x (expert), n (new protective MBR), w (write).",
    source="UEFI specification 2.10, chapter 5.2.3 (2022-08)",
)  # fmt: skip
def hybrid(facts: Facts) -> Iterator[Evidence]:
    """Look for real MBR partitions next to a protective one, and for a GPT that none protects."""
    disk = disk_of(facts)
    real = disk.real_mbr_partitions
    if disk.protective and real:
        numbers = ", ".join(str(p.number) for p in real)
        yield Evidence(
            f"next to the protective entry the MBR has partitions {numbers} (hybrid MBR)"
        )
    elif disk.table == "gpt" and not disk.protective and _valid(disk.primary):
        yield Evidence("there is a valid GPT and no protective MBR in front of it")


@rule(
    "IMS215", Severity.ERROR, "The chain of logical partitions is broken",
    why="The system does not see the logical partitions after the broken link.",
    fix="Copy the image again; sfdisk --verify IMAGE shows the place.",
    source="UEFI specification 2.10, chapter 5.2 (2022-08); the chain itself is custom, inferred",
)  # fmt: skip
def broken_chain(facts: Facts) -> Iterator[Evidence]:
    """Report why the chain of extended boot records could not be followed."""
    disk = disk_of(facts)
    if disk.broken_chain is not None and disk.table == "mbr":
        yield Evidence(disk.broken_chain)


@rule(
    "IMS216", Severity.NOTE, "A partition does not start at a multiple of 4096 bytes",
    why="Each write of a block by the file system touches two blocks of the cloud's disk.",
    fix="Partition with tools that align to 1 MiB, which is every current one's default.",
    source="inferred: cloud disks work in blocks of 4 KiB or more",
)  # fmt: skip
def misaligned(facts: Facts) -> Iterator[Evidence]:
    """Look for starts off the 4 KiB grid; a BIOS boot partition may lie anywhere."""
    for p in disk_of(facts).partitions:
        if p.start % (4 * KIB) and p.length > 1 << 20:
            yield Evidence(
                f"partition {p.number} starts at byte {p.start}",
                expected="a multiple of 4096", found=str(p.start % (4 * KIB)) + " bytes off",
            )  # fmt: skip


@rule(
    "IMS218", Severity.NOTE, "The protective MBR does not cover the disk as it should",
    why="Systems follow the GPT all the same, and tools repair the protective entry or warn about"
    " it. If the entry does not begin at sector 1, Linux finds no GPT on the disk.",
    fix="Run gdisk IMAGE, then x (expert), n (new protective MBR), w (write).",
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
            expected="sector 1", found=f"sector {entry.start // SECTOR}", region=Region(0, SECTOR),
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
            expected=f"{whole} sectors", found=f"{sectors} sectors", region=Region(0, SECTOR),
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
                expected=f"a start at or after byte {first}", found=f"byte {p.start}",
                region=Region(p.start, first - p.start),
            )  # fmt: skip
        elif last < p.end <= disk.size:
            yield Evidence(
                f"partition {p.number} ends at byte {p.end}, inside the backup table",
                expected=f"an end by byte {last}", found=f"byte {p.end}",
                region=Region(last, p.end - last),
            )  # fmt: skip


def _valid(header: GptHeader | None) -> bool:
    return header is not None and header.valid


def _state(header: GptHeader | None) -> str:
    if header is None:
        return "missing"
    if not header.header_valid:
        return "damaged (its checksum or position is wrong)"
    return "valid" if header.entries_valid else "damaged (the checksum of its partitions is wrong)"


def believed(disk: PartitionedDisk) -> GptHeader | None:
    """Return the valid header to go by."""
    return next((h for h in (disk.primary, disk.backup) if h is not None and h.valid), None)


def _cut(disk: PartitionedDisk) -> bool:
    header = believed(disk)
    return header is not None and needed_size(header, disk.sector_size) > disk.size
