"""The C library is asked to keep freed memory, where it is the one that takes the question."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from imsprep.system.malloc import keep_freed_memory


def test_glibc_is_asked_for_both_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *values: asked.append(values))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(sys, "platform", "linux")
    keep_freed_memory()
    # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of <malloc.h>.
    assert asked == [(-3, 32 << 20), (-1, 1 << 30)]


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: object) -> Any:
        raise OSError(f"no {name}")

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())  # as musl, without mallopt
    keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("it was asked"))
    keep_freed_memory()
