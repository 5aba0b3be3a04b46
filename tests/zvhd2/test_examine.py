"""How far a file can be read as a container, and what is known of it by then."""

from __future__ import annotations

import numpy as np
import pytest

from imsprep.errors import FormatError
from imsprep.units import MIB
from imsprep.zvhd2 import records
from imsprep.zvhd2.examine import Examination, check_records, examine
from imsprep.zvhd2.faults import Kind, Stage
from tests.support.zvhd2.files import build, reading

SIZE = 16 * MIB
BLOCKS = {1: b"one", 4: b"four", 6: b"six"}


def look(data: bytes) -> Examination:
    return examine(reading(data), len(data))


def test_a_sound_container_is_known_to_its_index() -> None:
    built = build(BLOCKS, SIZE)
    found = look(built.data)
    assert (found.stage, found.faults) == (Stage.INDEX, ())
    container = found.container_or_raise()
    assert (container.original_size, container.virtual_size) == (SIZE, 1 << 30)
    assert np.flatnonzero(container.block_map.flags()).tolist() == [1, 4, 6]
    entry = container.entry(4)
    assert entry is not None
    assert entry["block"] == 4
    assert [container.entry(block) for block in (0, 5, 7)] == [None] * 3
    assert check_records(container, reading(built.data)) is None
    assert found.as_dict()["records"] == 3
    assert found.as_dict()["middle_footer"] == "stale"


@pytest.mark.parametrize(
    ("length", "stage"), [(100, Stage.HEADER), (4097, Stage.FOOTER), (8192, Stage.FOOTER)]
)
def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(length: int, stage: Stage) -> None:
    found = look(build(BLOCKS, SIZE).data[:length])
    assert (found.stage, found.container, found.as_dict()) == (stage, None, {})
    with pytest.raises(FormatError):
        found.container_or_raise()


@pytest.mark.parametrize(
    ("fields", "stage", "kind"),
    [
        ({"block_size": 3}, Stage.FOOTER, Kind.FIELD),
        ({"uuid": b"x" * 16}, Stage.FOOTER, Kind.OTHER_DISK),
        ({"index_size": 1}, Stage.TABLES, Kind.TABLES),
    ],
)
def test_each_fault_has_its_stage(fields: dict[str, object], stage: Stage, kind: Kind) -> None:
    found = look(build(BLOCKS, SIZE).with_footer(**fields))
    assert (found.stage, [fault.kind for fault in found.faults]) == (stage, [kind])


def test_an_index_out_of_order_shows_two_disks() -> None:
    found = look(build(BLOCKS, SIZE, order=[6, 1, 4]).data)
    assert (found.index_ascends, found.records_ascend, found.shows_two_disks) == (
        False,
        False,
        True,
    )
    sorted_ = look(build(BLOCKS, SIZE, order=[6, 1, 4], index_in_written_order=False).data)
    assert (sorted_.index_ascends, sorted_.records_ascend, sorted_.shows_two_disks) == (
        True,
        False,
        False,
    )
    all_ = look(build(BLOCKS, SIZE, all_blocks=True).data)
    assert not all_.shows_two_disks


def test_a_record_that_is_not_the_index_s_is_found() -> None:
    built = build(BLOCKS, SIZE)
    at = int(built.entries["offset"][1])
    broken = built.with_bytes(at, b"\xff" * 16)
    fault = check_records(look(broken).container_or_raise(), reading(broken))
    assert fault is not None
    assert fault.offset in range(at, at + records.record_length(100))
