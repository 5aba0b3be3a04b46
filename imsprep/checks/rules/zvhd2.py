"""IMS3xx, container: whether a ZVHD2 file is whole, and holds each block once and where it says.

What was found wrong comes from `zvhd2_faults`; each kind of fault has its rule here. A rule whose
part of the file was not reached is skipped, and never passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from imsprep.checks.facts import Facts
from imsprep.checks.rule import NOT_UNPACKED, Evidence, UnknownError, rule
from imsprep.image import formats
from imsprep.report import Region, Severity
from imsprep.units import GIB, exact_size, round_up
from imsprep.zvhd2 import records
from imsprep.zvhd2.examine import Examination
from imsprep.zvhd2.faults import Kind, Stage

DRIVER = "the published driver of the format, huaweicloud/ims-qemu-img, 2018 (docs/zvhd2.md)"
CONVERT = "Make the container again: imsprep convert SOURCE disk.zvhd2"
COPY = (
    "Copy the file again and compare its length; if it was never whole: "
    + CONVERT[0].lower()
    + CONVERT[1:]
)


def container_of(facts: Facts) -> Examination:
    """Return what is known of the container; UnknownError for a file of another format."""
    if facts.format != formats.ZVHD2:
        raise UnknownError("only a ZVHD2 file is a container")
    if facts.container is None:
        raise UnknownError("the container was not examined")
    return facts.container


def footer_of(facts: Facts) -> records.Footer:
    """Return the final footer; UnknownError if it could not be read."""
    found = container_of(facts)
    if found.footer is None or found.stage <= Stage.FOOTER:
        raise UnknownError("the final footer was not read")
    return found.footer


def evidence_of(kind: Kind, facts: Facts) -> Iterator[Evidence]:
    """Yield the faults of one kind; UnknownError if the look into the file ended before that."""
    found = container_of(facts)
    faults = [fault for fault in found.faults if fault.kind is kind]
    for fault in faults:
        yield Evidence(
            f"{fault.message}, at byte {fault.offset}",
            expected=fault.expected,
            found=fault.found,
            region=Region(fault.offset, fault.length),
        )
    if not faults and kind.stage > found.stage:
        raise UnknownError(
            f"not examined, because {found.faults[0].message}" if found.faults else NOT_UNPACKED
        )


class _FaultRule(NamedTuple):
    """A rule that fires for each fault of one kind."""

    id: str
    kind: Kind
    title: str
    why: str
    fix: str
    source: str = DRIVER
    severity: Severity = Severity.ERROR


_FAULT_RULES = (
    _FaultRule(
        "IMS301", Kind.HEADER, "The container's header is damaged",
        "The header is the first thing that is read. The published driver takes from it whether"
        " there is an index at all.",
        COPY,
    ),
    _FaultRule(
        "IMS302", Kind.VERSION, "The container has no index",
        "Quick import loads blocks as they are needed and finds them by the index; a file of an"
        " older writer (zvhd2_version 0) has none and can only be read from front to back.",
        CONVERT, f"{DRIVER}; that quick import needs the index is inferred",
    ),
    _FaultRule(
        "IMS303", Kind.FOOTER, "The container was cut short, or its final footer is damaged",
        "The last 4096 bytes say where the index is. Without them no block is found.",
        COPY,
    ),
    _FaultRule(
        "IMS304", Kind.FIELD, "The final footer has an impossible value",
        "Sizes, counts or the codec contradict each other or the format: a reader would take the"
        " disk for another one, or fail.",
        CONVERT,
    ),
    _FaultRule(
        "IMS305", Kind.OTHER_DISK, "Header and final footer describe different disks",
        "The file was put together from two, or changed by hand: which disk it holds is unclear.",
        COPY, f"{DRIVER}: writers copy one into the other",
    ),
    _FaultRule(
        "IMS306", Kind.TABLES, "The index or the bitmap does not fit into the file",
        "Their sizes or places contradict the number of blocks or the file's length: they cannot"
        " be read.",
        COPY,
    ),
    _FaultRule(
        "IMS307", Kind.ENTRY, "An index entry does not point to a block record",
        "The published driver reads what the entry points to without checking it: the block would"
        " be garbage, or the import fails.",
        CONVERT,
    ),
    _FaultRule(
        "IMS308", Kind.TWICE, "A block is stored twice",
        "Which of the two is the disk's is unclear; readers differ in which they take.",
        CONVERT,
    ),
    _FaultRule(
        "IMS309", Kind.OVERLAP, "Block records overlap",
        "Two blocks cannot share bytes: one of them is damaged.",
        CONVERT,
    ),
    _FaultRule(
        "IMS310", Kind.BITMAP, "Index and bitmap disagree",
        "A reader counts the bits of the bitmap to find an index entry: one wrong bit, and every"
        " block after it is taken for another.",
        CONVERT,
    ),
    _FaultRule(
        "IMS311", Kind.RECORD, "A block record is damaged",
        "Prefix, number, size or end of the record are not those of the block in the index.",
        COPY,
    ),
    _FaultRule(
        "IMS312", Kind.PAYLOAD, "A block cannot be unpacked",
        "What is stored does not give exactly one block: it is damaged, and so is the disk.",
        COPY,
    ),
    _FaultRule(
        "IMS316", Kind.FINISHED, "A zlib stream has an end marker",
        "The stream of a block has to end with a sync flush: the published driver takes the end of"
        " the stream for an error and cannot read the block.",
        CONVERT, f"{DRIVER}; what the service does is not known", Severity.WARNING,
    ),
)  # fmt: skip

for _row in _FAULT_RULES:
    rule(
        _row.id, _row.severity, _row.title, why=_row.why, fix=_row.fix, source=_row.source
    )(partial(evidence_of, _row.kind))  # fmt: skip


@rule(
    "IMS313", Severity.ERROR, "The index is not in the order of the blocks",
    why="Two readers see two disks: the published driver finds the entry of a block by counting the"
    " marked blocks before it and gives the data of another block; imsprep goes by the numbers in"
    " the index and in the records.",
    fix="If the numbers are right, write it again by them: imsprep convert --ignore IMS313 IMAGE"
    " new.zvhd2",
    source=DRIVER,
)  # fmt: skip
def index_order(facts: Facts) -> Iterator[Evidence]:
    """Look for an index of the stored blocks whose numbers do not ascend."""
    found = container_of(facts)
    if found.index_ascends is None:
        raise UnknownError("the index was not examined")
    if found.shows_two_disks and found.footer:
        yield Evidence(
            "the entries' block numbers do not ascend, at byte"
            f" {found.footer.index_lba}", expected="ascending block numbers",
            region=Region(found.footer.index_lba, found.footer.index_size),
        )  # fmt: skip


@rule(
    "IMS314", Severity.WARNING, "The block size is not 2 MiB",
    why="The format allows it, and the published driver does not read it: it finds a block by"
    " dividing by 2 MiB, whatever the footer says.",
    fix="Make the container with blocks of 2 MiB: imsprep convert SOURCE disk.zvhd2",
    source=f"{DRIVER}; what the service does is not known",
)  # fmt: skip
def block_size(facts: Facts) -> Iterator[Evidence]:
    """Compare the block size with the only one that the driver reads."""
    size = footer_of(facts).block_size
    if size != records.BLOCK_SIZE:
        yield Evidence(f"blocks have {exact_size(size)}", expected="2 MiB", found=exact_size(size))


USUAL = ("features", "ff_version", "data_offset", "type")


@rule(
    "IMS315", Severity.WARNING, "The final footer has a value that no known writer writes",
    why="The disk can be read all the same. Another reader may refuse the file.",
    fix=CONVERT, source=f"{DRIVER}; what the service does with it is not known",
)  # fmt: skip
def unusual(facts: Facts) -> Iterator[Evidence]:
    """Compare the constant fields, and the virtual size, with what writers write."""
    footer, start = footer_of(facts), facts.file_size - records.FOOTER_LENGTH
    usual = {name: records.Footer._field_defaults[name] for name in USUAL}
    usual["curr_size"] = round_up(footer.orig_size, GIB)
    for name, value in usual.items():
        said = getattr(footer, name)
        if said != value:
            yield Evidence(
                f"{name} is {said}", expected=str(value), found=str(said),
                region=Region(start + records.field_offset(name), 4),
            )  # fmt: skip
