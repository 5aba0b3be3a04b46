"""IMS1xx, file: what the file really is, and whether quick import takes a file of its size."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import FILE, INFERRED, QUICK_IMPORT, Evidence, UnknownError, rule
from imsprep.image import formats
from imsprep.image.formats import MAX_SIZE, SUFFIXES, Match
from imsprep.image.not_a_disk import KNOWN, STREAMS, Kind
from imsprep.image.qemu.foreign import DRIVERS
from imsprep.report import Region, Severity
from imsprep.units import GIB, SECTOR, exact_size, format_size, round_up

DECIMAL_TB = 10**12  # the same words, read as a power of ten
ORDINARY_IMPORT = 128 * GIB  # below, the pages advise the ordinary import for other formats

ACCEPTED = (formats.RAW, formats.ZVHD2)
# What a check and an import take: those, and what they make a ZVHD2 of.
_READ = "a disk image: RAW, ZVHD2, qcow2, VMDK, VHD, VHDX, VDI, OVA or another that is read"

_QEMU_NAMES = {"vhd-fixed": "vpc", "vhd-dynamic": "vpc"}
_QEMU_READS = ("qcow", "qcow2", "qed", "vmdk", "vhdx", "vdi", "vhd-dynamic", "vhd-fixed",
               "parallels", "dmg", "bochs", "cloop")  # fmt: skip
_PACKED = (Kind.COMPRESSED, Kind.ARCHIVE, Kind.BACKUP)
_ENDS = re.compile(r"to byte (\d+), and the file ends at byte (\d+)")  # as `survey` says it
_TO_ZVHD2 = (
    "Run imsprep convert {0} {1}, or imsprep import {0} --via zvhd2, which makes and sends one"
)


@rule(
    "IMS101", Severity.ERROR, "The file is in a format that quick import does not accept",
    why="Quick import takes RAW and ZVHD2 only. A file in another format is refused, or its"
    " container is taken for the disk itself and the server finds nothing to boot.",
    fix=f"{_TO_ZVHD2.format('IMAGE', 'disk.zvhd2')}; or: qemu-img convert -O raw IMAGE disk.raw",
    source=f"{QUICK_IMPORT}, Constraints; error IMG.0158",
)  # fmt: skip
def wrong_format(facts: Facts) -> Iterator[Evidence]:
    """Look for a disk image format that is neither RAW nor ZVHD2."""
    match = _first(facts, Kind.DISK)
    if match is None or match.format in (*ACCEPTED, formats.VHD_FIXED) or facts.to_be_packed:
        return
    if facts.unread:
        yield _refused(facts, match)
        return
    yield Evidence(
        f"{facts.name} is a {match.format} image by its content",
        expected="RAW or ZVHD2" if match.format in DRIVERS else _READ,
        found=match.format,
        fix=_conversion(match.format, facts.file),
        region=_region(match),
    )


@rule(
    "IMS102", Severity.ERROR, "The file is compressed, an archive or a backup",
    why="The service does not unpack what it imports: it takes the packed bytes for the disk.",
    fix="Unpack it and check the disk image that comes out.",
    source=f"{QUICK_IMPORT}, Constraints: RAW or ZVHD2 only",
)  # fmt: skip
def packed(facts: Facts) -> Iterator[Evidence]:
    """Look for compressed streams, archives, and what backup programs write.

    As a file to be sent a compressed one is an error, also where the disk in it was looked at; an
    import unpacks it and sends another.
    """
    match = next((m for k in _PACKED if (m := _first(facts, k)) is not None), None)
    if match is not None and facts.to_be_packed and match.format in STREAMS:
        if not facts.importing:
            yield _compressed(facts, match)
    elif match is not None and not facts.to_be_packed:
        yield _refused(facts, match) if facts.unread else _recognised(facts, match)


@rule(
    "IMS103", Severity.ERROR, "The file ends in a VHD footer",
    why="A fixed VHD is a RAW disk with a footer of 512 bytes after it. Imported as RAW it makes"
    " a disk that is one sector too long, so that the backup GPT is not at its end.",
    fix=f"{_TO_ZVHD2.format('IMAGE', 'disk.zvhd2')}; or: qemu-img convert -f vpc -O raw IMAGE"
    " disk.raw",
    source=f"{QUICK_IMPORT}, Constraints; Virtual Hard Disk Image Format 1.0, 2006-10-11",
)  # fmt: skip
def vhd_footer(facts: Facts) -> Iterator[Evidence]:
    """Look for a footer of a fixed VHD behind the disk."""
    for match in facts.matches:
        if match.format != formats.VHD_FIXED or facts.to_be_packed:
            continue
        if facts.unread:
            yield _refused(facts, match)
        else:
            yield Evidence(
                f"the cookie `conectix` of a VHD footer stands at byte {match.offset}",
                expected="a RAW disk that ends with the disk's last sector",
                found=f"a fixed VHD of {exact_size(facts.file_size)}",
                fix=_conversion(match.format, facts.file),
                region=_region(match),
            )


@rule(
    "IMS114", Severity.NOTE, "An import makes a ZVHD2 of this image",
    why="Quick import takes RAW and ZVHD2 only. The disk inside was read and checked; what is sent"
    " is a ZVHD2 of it, and not this file.",
    fix="",
    source=f"{QUICK_IMPORT}, Constraints: RAW or ZVHD2 only",
)  # fmt: skip
def sent_as_another(facts: Facts) -> Iterator[Evidence]:
    """Note in which format the disk lies that an import packs."""
    if not facts.to_be_packed:
        return
    for match in facts.matches:
        other = match.kind is Kind.DISK and match.format not in ACCEPTED
        if other or (match.kind in _PACKED and match.format not in STREAMS):
            yield _made_of_it(facts, match)
            return


@rule(
    "IMS104", Severity.WARNING, "The file's name says another format than its content",
    why="People and tools go by the suffix: the bitmap's name is derived from it, and the wrong"
    " tool may be used on the file.",
    fix="Rename the file so that its suffix says what it is.",
    source=f"{QUICK_IMPORT}, Constraints; the effect of a wrong suffix at import is inferred",
)  # fmt: skip
def misnamed(facts: Facts) -> Iterator[Evidence]:
    """Compare the suffix with the content."""
    suffix = "." + facts.name.lower().rpartition(".")[2] if "." in facts.name else ""
    named = SUFFIXES.get(suffix)
    if named is None or facts.file_size == 0:
        return
    if not facts.format.startswith(named) and not (named == "tar" and facts.format == "ova"):
        yield Evidence(
            f"the name ends in {suffix}, the content is {facts.format}",
            expected=named,
            found=facts.format,
        )


@rule(
    "IMS105", Severity.ERROR, "The file is several formats at once",
    why="Programs that guess the format see different disks in it. Which one the service would"
    " import cannot be known, and such files are made to slip past checks.",
    fix="Convert it with the format stated: qemu-img convert -f FORMAT -O raw IMAGE disk.raw",
    source="inferred; OpenStack oslo.utils refuses such files for the same reason (2024)",
)  # fmt: skip
def polyglot(facts: Facts) -> Iterator[Evidence]:
    """Look for more than one signature, or one next to a partition table."""
    names = list(dict.fromkeys(match.format for match in facts.matches))
    if facts.outer_table is not None and facts.format not in formats.LIKE_RAW:
        names.append(f"raw with a partition table ({facts.outer_table})")
    elif facts.is_raw and names:
        names.append("raw")
    elif facts.disk is not None and facts.disk.hidden is not None:
        names += [facts.disk.hidden.kind, f"raw with a partition table ({facts.disk.table})"]
    if len(names) > 1:
        yield Evidence(
            f"signatures of {', '.join(names)} are all present",
            expected="one format",
            found=" + ".join(names),
            region=_region(facts.matches[-1]) if facts.matches else Region(0, SECTOR),
        )


@rule(
    "IMS106", Severity.ERROR, "The file is empty",
    why="There is no disk in it. The service answers IMG.0057.",
    fix="Make the image again; the program that wrote it was probably stopped.",
    source="API reference, Error Codes: IMG.0057, 2025-12-17",
)  # fmt: skip
def empty(facts: Facts) -> Iterator[Evidence]:
    """Look for a file without a byte."""
    if facts.file_size == 0:
        yield Evidence(f"{facts.name} is empty", expected="a disk image", found="0 bytes")


@rule(
    "IMS107", Severity.ERROR, "The file is larger than quick import allows",
    why="The service refuses files above 1 TB (IMG.0059), after the whole upload.",
    fix="Make the disk smaller: shrink its last file system and partition, then truncate it. A"
    " ZVHD2 would store no zeros, but the disk in it may be no larger (IMS108).",
    source=f'{QUICK_IMPORT}: "the size of an image file cannot exceed 1 TB"',
    of=FILE,
)  # fmt: skip
def file_too_large(facts: Facts) -> Iterator[Evidence]:
    """Compare the file's size with the limit, holes included."""
    yield from _size_limit("the file", facts.file_size)


@rule(
    "IMS108", Severity.ERROR, "The disk in the image is larger than 1 TB",
    why="The system disk made from the image may have 1024 GB at most, and `min_disk` cannot be"
    " set high enough.",
    fix="Shrink the last file system and partition, then the disk itself.",
    source='User guide, "Image File Properties" (1 GB to 1 TB), 2025-12-17; API reference:'
    " min_disk up to 1024",
)  # fmt: skip
def disk_too_large(facts: Facts) -> Iterator[Evidence]:
    """Compare the virtual size with the limit."""
    if facts.virtual_size is None:
        raise UnknownError(f"the virtual size of a {facts.format} file is not read")
    size = facts.source_size or facts.virtual_size  # what is sent is that in whole GiB
    if facts.to_be_packed or size != facts.file_size:  # RAW that is sent: IMS107 says it already
        yield from _size_limit("the disk", size)


@rule(
    "IMS109", Severity.ERROR, "The size is not a whole number of sectors",
    why="A disk consists of sectors of 512 bytes; the bytes after the last whole one cannot be"
    " kept. A file that was cut short while it was copied usually ends like this.",
    fix="Copy the image again and compare checksums. If it really ends there:"
    " truncate -s %512 IMAGE",
    source="inferred: disks are addressed by sectors; the formats' tools round up to 512 bytes",
)  # fmt: skip
def unaligned(facts: Facts) -> Iterator[Evidence]:
    """Look for bytes behind the last whole sector of a RAW image."""
    if not facts.is_raw or facts.file_size % SECTOR == 0:
        return
    size = facts.file_size
    last, whole = size // SECTOR * SECTOR, round_up(size, SECTOR)
    yield Evidence(
        f"the bytes from {last} to {size} fill no whole sector",
        expected=f"{whole} or {last} bytes",
        found=f"{size} bytes",
        fix=f"Copy it again; if it is whole: truncate -s {whole} {_argument(facts.file)}",
        region=Region(last, size - last),
    )


@rule(
    "IMS110", Severity.ERROR, "The image holds only zeros",
    why="There is nothing to import: no partition table, no file system. The import may succeed;"
    " the server made from it has an empty disk.",
    fix="Make the image again; the copy that made it probably read nothing.",
    source="inferred: an empty disk boots nothing",
)  # fmt: skip
def only_zeros(facts: Facts) -> Iterator[Evidence]:
    """Look for a non-zero byte; a map from a scan decides where the quick look gave up."""
    if facts.file_size == 0 or not (facts.is_raw or facts.container or facts.to_be_packed):
        return
    if facts.container is not None:
        if facts.container.container is None:
            raise UnknownError("the container could not be read")
        first = 0 if facts.container.container.block_map.allocated else None
    elif facts.block_map is not None:
        first = 0 if facts.block_map.allocated else None
    elif facts.zeros is None:
        raise UnknownError("the content was not examined")
    else:
        first = facts.zeros.first_data
        if first is None and not facts.zeros.complete:
            looked = format_size(facts.zeros.looked_at)
            raise UnknownError(f"the first {looked} are zeros; a scan reads all of it")
    if first is None:
        size = facts.source_size or facts.virtual_size or facts.file_size
        yield Evidence(
            f"all {exact_size(size)} are zero",
            expected="data",
            found="zeros",
            # What made a container read the whole disk: it is empty, not badly copied.
            severity=Severity.WARNING if facts.container else None,
        )


@rule(
    "IMS111", Severity.NOTE, "The file is small enough for the ordinary import",
    why="Below 128 GB the ordinary import would do as well. It configures drivers and boot loader"
    " by itself, which quick import does not.",
    fix="If the server does not boot, try the ordinary import.",
    source=f"{QUICK_IMPORT}: 128 GB; user guide, 2025-12-17, for what the ordinary import does",
    said_by=("IMS603",),
)  # fmt: skip
def ordinary_import_would_do(facts: Facts) -> Iterator[Evidence]:
    """Report a file below 128 GB."""
    accepted = facts.format in ACCEPTED and facts.is_system_disk
    if accepted and 0 < facts.file_size < ORDINARY_IMPORT:
        yield Evidence(
            f"{exact_size(facts.file_size)} is below {exact_size(ORDINARY_IMPORT)}",
        )


@rule(
    "IMS112", Severity.ERROR, "The file is the image of an optical disc",
    why="Quick import makes a disk from it. An installation disc is not an installed system.",
    fix="Install from it into a disk image, and check that one.",
    source=f"{QUICK_IMPORT}, Constraints: RAW or ZVHD2 only",
)  # fmt: skip
def optical(facts: Facts) -> Iterator[Evidence]:
    """Look for the volume of a CD or DVD."""
    match = _first(facts, Kind.OPTICAL)
    if match is not None and match.format != formats.ISO:
        yield _recognised(facts, match)
    elif match is not None:
        yield Evidence(
            f"{facts.name} is an ISO 9660 image", expected=_READ, found="iso",
            region=_region(match),
        )  # fmt: skip


@rule(
    "IMS113", Severity.ERROR, "The file is not a disk image",
    why="The service takes the file's bytes for the disk. A server made of them has nothing to"
    " boot.",
    fix="Leave the file out if it is no image; if it was meant to be one, download it again.",
    source="inferred: the file's own signature says what it is",
)  # fmt: skip
def no_disk(facts: Facts) -> Iterator[Evidence]:
    """Look for programs, documents, pointers and whatever else is no image of anything."""
    match = _first(facts, Kind.OTHER)
    if match is not None and facts.to_be_packed:  # an OVF, with its disks in the same folder
        yield _made_of_it(facts, match)
    elif match is not None:
        yield _recognised(facts, match)


def _way_out(name: str, format_: str) -> str:
    known = KNOWN[format_]
    words = known.advice.format(_argument(name), _target(name, ".raw"))
    if format_ in STREAMS:
        return f"{_TO_ZVHD2.format(_argument(name), _target(name, '.zvhd2'))}; or: {words}"
    return f"Run {words}" if known.is_command else _sentence(words)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _recognised(facts: Facts, match: Match) -> Evidence:
    return Evidence(
        f"{facts.name} is {KNOWN[match.format].name}",
        expected=_READ,
        found=match.format,
        fix=_way_out(facts.file, match.format),
        region=_region(match),
    )


def _compressed(facts: Facts, match: Match) -> Evidence:
    return Evidence(
        f"{facts.name} is {KNOWN[match.format].name}; the disk in it was checked",
        expected="RAW or ZVHD2",
        found=match.format,
        fix="Use `imsprep import`, which unpacks it and sends a ZVHD2. To unpack it before:"
        f" {_way_out(facts.file, match.format).removeprefix('Run ')}",
        region=_region(match),
    )


def _made_of_it(facts: Facts, match: Match) -> Evidence:
    """Note that the file is not what is sent."""
    known = KNOWN.get(match.format)
    what = known.name if known else f"a {match.format} image"
    container = _target(facts.file, ".zvhd2")
    return Evidence(
        f"{facts.name} is {what}; the disk in it was checked, and `imsprep import` makes and sends"
        f" a ZVHD2 of it, as `imsprep convert {_argument(facts.file)} {container}` makes one alone",
        severity=Severity.NOTE,
        title=f"An import makes a ZVHD2 of this {match.format} image",
    )


def _refused(facts: Facts, match: Match) -> Evidence:
    """Return why the disk inside is not taken, and what helps instead."""
    reason, _, advice = (facts.unread or "").partition("; ")
    expected, found = "an image that needs no other file and no key", match.format
    if ends := _ENDS.search(reason):
        expected, found = f"{ends[1]} bytes or more", f"{ends[2]} bytes"
    elif "damaged" in reason:
        expected, found = "an image that is whole", "a damaged one"
    return Evidence(
        reason,
        expected=expected,
        found=found,
        fix=_sentence(advice) or "Make or copy the image again, and compare its checksum.",
        title=f"The disk in this {match.format} image cannot be read",
        why="A check looks at the disk, and an import sends a ZVHD2 of it: of one that cannot be"
        " read neither is possible.",
        source=INFERRED,
    )


def _first(facts: Facts, kind: Kind) -> Match | None:
    behind = (Kind.ARCHIVE,)  # an archive behind a disk is for IMS105
    return next(
        (
            m
            for m in facts.matches
            if m.kind is kind and (formats.in_front(m) or kind not in behind)
        ),
        None,
    )


def _region(match: Match) -> Region:
    return Region(match.offset, match.length)


def _conversion(format_: str, name: str) -> str:
    """Return the commands that make an image which is accepted of a file in this format."""
    source, raw, zvhd2 = _argument(name), _target(name, ".raw"), _target(name, ".zvhd2")
    if format_ in _QEMU_READS:
        driver = _QEMU_NAMES.get(format_, format_)
        to_raw = f"qemu-img convert -f {driver} -O raw {source} {raw}"
        return (
            f"{_TO_ZVHD2.format(source, zvhd2)}; or: {to_raw}"
            if format_ in DRIVERS
            else f"Run {to_raw}"
        )
    if format_ == "android-sparse":
        return f"Run simg2img {source} {raw}"
    if format_ == formats.ZVHD:
        return (
            f"Run qemu-img-hw convert -O zvhd2 {source} {zvhd2} (Huawei's tool; ZVHD is not ZVHD2)"
        )
    return "Convert it to RAW with the tool that made it"


def _argument(name: str) -> str:
    """Write a file's name so that a shell, and the command it starts, take it for one.

    A dash in front makes an option of it; a colon makes a host of it for tar, a protocol for QEMU.
    """
    other = name.startswith("-") or ":" in name.partition("/")[0]
    return shlex.quote(f"./{name}" if other else name)


def _target(name: str, suffix: str) -> str:
    """Name the file that a command makes of another: never that one, which would be lost."""
    return f"disk{suffix}" if name.rpartition("/")[2] != f"disk{suffix}" else f"new{suffix}"


def _size_limit(what: str, size: int) -> Iterator[Evidence]:
    if size > MAX_SIZE:
        yield Evidence(
            f"{what} is {exact_size(size)}, {exact_size(size - MAX_SIZE)} above the limit",
            expected=f"at most {exact_size(MAX_SIZE)}",
            found=f"{size} bytes",
        )
    elif size > DECIMAL_TB:
        yield Evidence(
            f"{what} is {exact_size(size)}: within 1 TB as a power of two, above it as a power of"
            " ten; the page does not say which is meant",
            expected=f"at most {DECIMAL_TB} bytes to be safe",
            found=f"{size} bytes",
            severity=Severity.WARNING,
        )
