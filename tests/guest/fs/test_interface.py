"""Which library reads a file system, and what is said where none does."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from imsprep.guest.fs import interface
from imsprep.guest.fs.interface import UnreadableError, open_filesystem
from imsprep.image.volumes.signatures import BTRFS, EXT4


@pytest.fixture
def adapters(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each of two adapters answers; None is not installed."""
    answers: dict[str, Any] = {"first": None, "second": None}
    for name in answers:

        def opened(file: object, kind: str, subvolume: str | None, name: str = name) -> object:
            answer = answers[name]
            if answer is None:
                raise ImportError(name)
            if isinstance(answer, Exception):
                raise answer
            return (answer, kind, subvolume)

        monkeypatch.setitem(sys.modules, f"adapter_{name}", SimpleNamespace(open_filesystem=opened))
    monkeypatch.setattr(interface, "ADAPTERS", (
        ("adapter_first", (EXT4,), "imsprep[one]"), ("adapter_second", (EXT4, BTRFS), "imsprep[two]"),
    ))  # fmt: skip
    return answers


def opened(kind: str, subvolume: str | None = None) -> object:
    return open_filesystem(io.BytesIO(), kind, subvolume=subvolume)


def test_the_first_that_reads_it_is_taken(adapters: dict[str, Any]) -> None:
    adapters.update(first="a", second="b")
    assert opened(EXT4) == ("a", EXT4, None)
    assert opened(BTRFS, "@") == ("b", BTRFS, "@")
    adapters["first"] = UnreadableError("a checksum")
    assert opened(EXT4) == ("b", EXT4, None)


def test_every_reason_is_said(adapters: dict[str, Any]) -> None:
    adapters["first"] = UnreadableError("a checksum")
    with pytest.raises(UnreadableError) as told:
        opened(EXT4)
    assert str(told.value) == f"cannot read {EXT4}: a checksum; imsprep[two] is not installed"


def test_what_no_library_reads_is_named(adapters: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError, match="no reader for ZFS"):
        opened("ZFS")
