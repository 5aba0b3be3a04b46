"""State files: what is written is read; whatever else lies there is one error and stays there."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.system import statefile
from imsprep.system.regular import file_name
from imsprep.system.statefile import StateFileError


@dataclass(frozen=True)
class Inner:
    inode: int
    etag: str | None = None


@dataclass(frozen=True)
class Record:
    image: str
    size: int
    inner: Inner
    parts: tuple[int, ...] = ()
    imsprep: str = "1"

    def __post_init__(self) -> None:
        file_name(self.image)


RECORD = Record("disk.raw", 512, Inner(7, "e"), (1, 2))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    statefile.save(path, asdict(RECORD), schema=3)
    assert statefile.load(path, Record, schema=3) == RECORD
    assert json.loads(path.read_text()) == {**json.loads(json.dumps(asdict(RECORD))), "schema": 3}


def test_a_file_with_a_checksum_is_compared_with_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    statefile.save(path, asdict(RECORD), schema=3, with_checksum=True)
    assert statefile.load(path, Record, schema=3) == RECORD
    text = path.read_text()
    for was, is_now in ((": 512", ": 513"), ('"checksum": "', '"checksum": "0'), ('"e"', '"f"')):
        path.write_text(text.replace(was, is_now))
        with pytest.raises(StateFileError, match="damaged") as caught:
            statefile.load(path, Record, schema=3)
        assert caught.value.ours


def test_a_checksum_over_levels_without_end_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for levels in range(900, 1010):  # about as many as Python's calls may be deep
        path.write_text(f'{{"schema": 3, "checksum": "", "x": {"[" * levels}{"]" * levels}}}')
        with pytest.raises(StateFileError):
            statefile.load(path, Record, schema=3)


def test_none_is_not_an_error_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        statefile.load(tmp_path / "state.json", Record, schema=3)
    assert statefile.find(tmp_path / "state.json", Record, schema=3) is None


GOOD = {**asdict(RECORD), "schema": 3}
WRONG: list[Any] = [
    [], "text", 5, None, {}, {"schema": 3},
    {**GOOD, "schema": 4}, {**GOOD, "schema": "3"}, {**GOOD, "schema": True}, {**GOOD, "schema": None},
    {**GOOD, "size": "512"}, {**GOOD, "size": 512.5}, {**GOOD, "size": None}, {**GOOD, "size": True},
    {**GOOD, "image": "../disk.raw"}, {**GOOD, "image": ""}, {**GOOD, "image": 5},
    {**GOOD, "inner": []}, {**GOOD, "inner": {}}, {**GOOD, "inner": {"inode": "7"}},
    {**GOOD, "parts": [1, "2"]}, {**GOOD, "parts": 5},
]  # fmt: skip


@pytest.mark.parametrize("value", WRONG, ids=json.dumps)
def test_a_value_of_another_shape_is_one_error(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(value))
    with pytest.raises(StateFileError, match=r"cannot use .*state\.json"):
        statefile.load(path, Record, schema=3)
    assert statefile.find(path, Record, schema=3) is None
    assert path.read_text() == json.dumps(value)


@pytest.mark.parametrize("data", [
    b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"nul", b'{"size": 1e999}', b"\0" * 512,
])  # fmt: skip
def test_bytes_that_are_no_json_are_one_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(data)
    with pytest.raises(StateFileError) as caught:
        statefile.load(path, Record, schema=3)
    assert not caught.value.ours


@given(st.binary(max_size=200))
def test_no_bytes_end_in_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-bytes.json"
    path.write_bytes(data)
    assert statefile.find(path, Record, schema=3) is None


def test_an_older_version_of_ours_is_known_for_ours(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps({**GOOD, "schema": 2}))
    with pytest.raises(StateFileError, match="its schema is 2, expected 3") as caught:
        statefile.load(path, Record, schema=3)
    assert caught.value.ours


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    os.mkfifo(path)
    with pytest.raises(StateFileError, match="not a regular file"):
        statefile.load(path, Record, schema=3)
    assert statefile.find(tmp_path, Record, schema=3) is None


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with path.open("wb") as file:
        file.truncate(statefile.LIMIT + 1)
    with pytest.raises(StateFileError, match="more than"):
        statefile.load(path, Record, schema=3)


def test_a_part_of_a_file_is_one_of_its_record_or_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert statefile.part(path, {"inode": 7, "etag": None}, Inner, what="parts/1") == Inner(7)
    for wrong in ({"inode": "7"}, {}, [], None):
        with pytest.raises(StateFileError, match=r"cannot use .*state\.json: parts/1: ") as caught:
            statefile.part(path, wrong, Inner, what="parts/1")
        assert caught.value.ours


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        ({}, False), ({"imsprep": "1"}, True), ({"schema": 2}, True), ({"size": 5}, False),
        ({"schema": 3, "size": "x"}, True), ({"imsprep": "1", "schema": None}, True),
    ],
)  # fmt: skip
def test_a_file_is_ours_if_it_has_a_schema_or_our_name(
    tmp_path: Path, value: dict[str, object], ours: bool
) -> None:
    """What is not may belong to another program, and is not replaced."""
    path = tmp_path / "state.json"
    path.write_text(json.dumps(value))
    with pytest.raises(StateFileError) as caught:
        statefile.load(path, Record, schema=3)
    assert caught.value.ours == ours
