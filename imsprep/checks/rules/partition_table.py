"""IMS2xx, disk: the partition tables, and whether the disk is whole."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.image import formats
from imsprep.image.partitions import Disk, GptHeader, Partition, needed_size
from imsprep.image.signatures import LVM, Volume
from imsprep.report import Region, Severity
from imsprep.units import KIB, SECTOR, exact_size

GPT = "UEFI specification 2.10, chapter 5.3 (2022-08)"
PROPERTIES = 'OTC user guide, "Image File Properties", 2025-12-17'


def disk_of(facts: Facts) -> Disk:
    """Return what is known of the disk; UnknownError where the format hides it."""
    if facts.format == formats.ISO:
        raise UnknownError("an optical disc image is not looked at as a disk")
    if facts.disk is None:
        reason = "cannot be read" if facts.container or facts.unread else "is not read"
        why = f": {facts.unread}" if facts.unread else ""
        raise UnknownError(f"the disk inside this {facts.format} file {reason}{why}")
    return facts.disk


def gpt_of(facts: Facts) -> Disk | None:
    """Return the disk if its table is a GPT."""
    disk = disk_of(facts)
    return disk if disk.table == "gpt" else None


@rule(
    "IMS201", Severity.ERROR, "Both GPT headers are missing or damaged",
    why="The MBR says that there is a GPT, and none can be read: the firmware and the system find"
    " no partition.",
    fix="Copy the image again. If the partitions are known, sgdisk can write them anew.",
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
    " boot loaders among them, read no other.",
    fix="gdisk IMAGE, then r (recovery), b (use the backup header), w (write).",
    source=GPT,
)  # fmt: skip
def primary_damaged(facts: Facts) -> Iterator[Evidence]:
    """Look for a bad primary header where the backup is good."""
    disk = gpt_of(facts)
    if disk is not None and not _valid(disk.primary) and _valid(disk.backup):
        yield Evidence(
            f"the primary header is {_state(disk.primary)}, the backup is valid",
            expected="a header whose checksums hold", found=_state(disk.primary),
            region=Region(disk.sector_size, SECTOR),
        )  # fmt: skip


@rule(
    "IMS203", Severity.WARNING, "The backup GPT header is missing or damaged",
    why="The disk boots, and its spare table is of no use when the first is lost. Where the disk"
    " was cut short, what lay behind the cut is lost too.",
    fix="sgdisk -e IMAGE writes the backup to the end of the disk.",
    source=GPT,
)  # fmt: skip
def backup_damaged(facts: Facts) -> Iterator[Evidence]:
    """Look for a bad backup where the primary is good and the disk was not cut."""
    disk = gpt_of(facts)
    if disk is None or not _valid(disk.primary) or _valid(disk.backup) or _cut(disk):
        return
    assert disk.primary is not None
    offset = disk.primary.other_lba * disk.sector_size
    yield Evidence(
        f"the backup header at byte {offset} is {_state(disk.backup)}",
        expected="a header whose checksums hold",
        found=_state(disk.backup),
        region=Region(offset, SECTOR),
    )


@rule(
    "IMS204", Severity.ERROR, "The image was cut short",
    why="Its partition table was written for a larger disk. What lay behind the end of the file is"
    " lost; the file systems there are damaged.",
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
    yield Evidence(
        f"the table was written for {exact_size(need)}; {need - disk.size} bytes are missing",
        expected=f"{need} bytes",
        found=f"{disk.size} bytes",
    )


@rule(
    "IMS205", Severity.WARNING, "The backup GPT is not at the end of the disk",
    why="The disk was made larger after it was partitioned. Some firmware and tools call such a"
    " table damaged; the new space cannot be used until it is moved.",
    fix="sgdisk -e IMAGE moves the backup to the end.",
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
            yield Evidence(
                f"partition {p.number} ends {p.end - disk.size} bytes past the end of the disk",
                expected=f"at most {disk.size}", found=str(p.end),
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
                expected=f"at or behind byte {reach.end}", found=str(p.start),
                region=Region(p.start, min(p.end, reach.end) - p.start),
            )  # fmt: skip
        if p.length and (reach is None or p.end > reach.end):
            reach = p


@rule(
    "IMS208", Severity.ERROR, "The disk was partitioned for sectors of 4096 bytes",
    why="Servers see sectors of 512 bytes and look for the table in the wrong place: they find no"
    " partition.",
    fix="Write the table anew for 512-byte sectors: fdisk -b 4096 -l IMAGE shows it; every start"
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
    "IMS209", Severity.WARNING, "Nothing to boot was found on the system disk",
    why="A server made from it stays at the firmware's screen. The import itself may succeed.",
    fix="Install a boot loader, or say that this is a data disk: --type DataImage",
    source=f"{PROPERTIES}: one disk with all to boot; what is looked for is inferred",
)  # fmt: skip
def nothing_to_boot(facts: Facts) -> Iterator[Evidence]:
    """Look for an EFI system partition or code that a BIOS can start."""
    disk = disk_of(facts)
    if facts.is_system_disk and not disk.has_esp and not disk.can_bios_boot:
        table = disk.table.upper() if disk.table else "no partition table"
        yield Evidence(
            f"{table}, no boot code in the first sector, no EFI system partition",
            expected="a boot loader", found="none",
        )  # fmt: skip


@rule(
    "IMS210", Severity.ERROR, "The disk does not boot with the firmware asked for",
    why="A server whose firmware does not find its loader stays at the firmware's screen.",
    fix="Ask for the other firmware (--firmware), or install the loader for this one.",
    source=f'{PROPERTIES}: "Boot mode" must match; OTC API reference, 2025-12-17: hw_firmware_type',
)  # fmt: skip
def wrong_firmware(facts: Facts) -> Iterator[Evidence]:
    """Compare what is there with bios or uefi; arm means uefi."""
    disk = disk_of(facts)
    if not facts.is_system_disk or not (disk.has_esp or disk.can_bios_boot):
        return  # IMS209 speaks of a disk with nothing at all
    request = facts.request
    wanted = "uefi" if request.architecture == "arm" else request.hw_firmware_type
    if wanted == "uefi" and not disk.has_esp:
        yield Evidence(
            "UEFI is asked for and there is no EFI system partition", expected="an ESP",
            found="boot code for a BIOS",
        )  # fmt: skip
    elif wanted == "bios" and not disk.can_bios_boot:
        yield Evidence(
            "BIOS is asked for and there is no boot code in the first sector",
            expected="boot code for a BIOS", found="an EFI system partition",
        )  # fmt: skip
    elif wanted == "bios" and disk.table == "gpt" and not disk.has_bios_boot_partition:
        yield Evidence(
            "BIOS is asked for and the GPT has no BIOS boot partition, which GRUB needs",
            expected="a BIOS boot partition", found="none", severity=Severity.WARNING,
            fix="sgdisk --new=0:0:+1M --typecode=0:ef02 IMAGE, then grub-install in the system",
        )  # fmt: skip


@rule(
    "IMS211", Severity.ERROR, "The disk is encrypted",
    why="The pages forbid encrypted images: the service cannot look into it, and a server waits"
    " for a passphrase at every start.",
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
    fix="Nothing to do, unless files are to be injected at creation: then use plain partitions.",
    source=f"{PROPERTIES}: LVM",
)  # fmt: skip
def lvm(facts: Facts) -> Iterator[Evidence]:
    """Look for physical volumes."""
    for where, volume, region in volumes_of(disk_of(facts)):
        if volume.kind == LVM:
            yield Evidence(f"{where} is an LVM physical volume", region=region)


@rule(
    "IMS213", Severity.WARNING, "The two GPT headers describe different disks",
    why="Which one a system reads decides which partitions it sees.",
    fix="sgdisk -v IMAGE shows the difference; gdisk can copy one over the other.",
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
    fix="gdisk IMAGE, then x (expert), n (new protective MBR), w (write).",
    source="UEFI specification 2.10, chapter 5.2.3 (2022-08)",
)  # fmt: skip
def hybrid(facts: Facts) -> Iterator[Evidence]:
    """Look for real MBR partitions beside a protective one, and for a GPT that none protects."""
    disk = disk_of(facts)
    real = disk.real_mbr_partitions
    if disk.protective and real:
        numbers = ", ".join(str(p.number) for p in real)
        yield Evidence(f"beside the protective entry the MBR has partitions {numbers} (hybrid MBR)")
    elif disk.table == "gpt" and not disk.protective and _valid(disk.primary):
        yield Evidence("there is a valid GPT and no protective MBR in front of it")


@rule(
    "IMS215", Severity.ERROR, "The chain of logical partitions is broken",
    why="The system does not see the logical partitions behind the broken link.",
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
    "IMS217", Severity.WARNING, "The disk boots by UEFI only, and no firmware was asked for",
    why="Servers of the x86 architecture start with a BIOS unless the image says otherwise; this"
    " one would stay at the firmware's screen.",
    fix="--firmware uefi where the site has it (otc); elsewhere set the image's boot mode to UEFI"
    " after the import.",
    source=f'{PROPERTIES}: "Boot mode": generally BIOS, must match',
)  # fmt: skip
def uefi_only(facts: Facts) -> Iterator[Evidence]:
    """Look for a disk with an ESP and no BIOS boot code, where neither was asked for."""
    disk, request = disk_of(facts), facts.request
    asked = request.hw_firmware_type is not None or request.architecture == "arm"
    if facts.is_system_disk and disk.has_esp and not disk.can_bios_boot and not asked:
        yield Evidence(
            "there is an EFI system partition, and no boot code in the first sector",
            expected="--firmware uefi", found="no firmware asked for",
        )  # fmt: skip


def _valid(header: GptHeader | None) -> bool:
    return header is not None and header.valid


def _state(header: GptHeader | None) -> str:
    if header is None:
        return "missing"
    if not header.header_valid:
        return "damaged (its checksum or position is wrong)"
    return "valid" if header.entries_valid else "damaged (the checksum of its partitions is wrong)"


def believed(disk: Disk) -> GptHeader | None:
    """Return the valid header to go by."""
    return next((h for h in (disk.primary, disk.backup) if h is not None and h.valid), None)


def _cut(disk: Disk) -> bool:
    header = believed(disk)
    return header is not None and needed_size(header, disk.sector_size) > disk.size


def volumes_of(disk: Disk) -> Iterator[tuple[str, Volume, Region]]:
    """Yield what lies on a disk: where, what, and the bytes that are there for it."""
    if disk.volume is not None:
        yield "the whole disk", disk.volume, Region(0, disk.size)
    for p in disk.partitions:
        if p.volume is not None:
            yield f"partition {p.number}", p.volume, Region(p.start, p.length)
