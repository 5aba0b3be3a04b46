"""An image with its plan and a bucket, for tests of uploads, and stores that misbehave."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import TransferError
from imsprep.store.retry import RetryPolicy
from imsprep.units import MIB
from imsprep.upload.journal import Journal
from imsprep.upload.plan import PartPlan, PlannedPart
from imsprep.upload.transfer import upload
from imsprep.upload.values import Destination, TransferPolicy, Uploaded
from tests.support.store.suite import pattern
from tests.support.upload.file import File

# Blocks of 1 MiB: data and runs of zeros long enough for parts of their own.
LAYOUT = [1] * 6 + [0] * 20 + [1] * 25 + [0] * 10 + [1] + [0] * 12 + [1]


ZERO_KEY = "imsprep-zeros/" + "0" * 32


@dataclass
class Case:
    """An image, its plan, and a bucket."""

    path: Path
    plan: PartPlan
    store: Any
    journal: Journal

    def upload(self, store: Any = None, **options: Any) -> Uploaded:
        quick = RetryPolicy(limit_s=5, first_wait_s=0.0)
        return upload(
            File(self.path),
            self.plan,
            Destination(store or self.store, "a bucket", "web/disk.raw", self.journal, self.path),
            TransferPolicy(**{"retry": quick, **options}),
            lambda **_: None,
        )

    @property
    def content(self) -> bytes:
        return bytes(self.store.read("web/disk.raw", 0, self.plan.size + 1))


@functools.cache
def block(number: int) -> bytes:
    return pattern(MIB, number)


class Wrapped:
    """A store that does something else at one of its methods."""

    def __init__(self, store: Any, **methods: Callable[..., Any]) -> None:
        self._store, self._methods = store, methods
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._store, name)
        if not callable(original):
            return original

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            if name in self._methods:
                return self._methods[name](original, *arguments, **options)
            return original(*arguments, **options)

        return call


def broken_off(case: Case) -> str:
    """Begin an upload that ends before it is completed; return its id."""

    def die(original: Callable[..., Any], key: str, *arguments: Any) -> Any:
        if key == "web/disk.raw":
            raise KeyboardInterrupt
        return original(key, *arguments)

    with pytest.raises(KeyboardInterrupt):
        case.upload(Wrapped(case.store, complete=die))
    entry = case.journal.load()
    assert entry is not None
    return entry.upload_id


def nameless(original: Callable[..., Any], key: str) -> Any:
    """Answer as a store that does not say which upload made an object."""
    found = original(key)
    return found and found._replace(upload_id=None)


def broken(*arguments: Any) -> Any:
    raise TransferError("no answer")


def assembled(case: Case) -> PlannedPart:
    return next(part for part in case.plan.parts if part.zeros and not part.is_zero)
