"""Entries of a batch and what became of them, for tests of what is made of those."""

from __future__ import annotations

from pathlib import Path

from imsprep.options import ImportOptions
from imsprep.pipeline.batch.values import DONE, FAILED, BatchEntry, Outcome

OPTIONS = ImportOptions(to="local:c", name="n", ignore=("IMS405",))


def entry(number: int = 1, folder: Path = Path("/x")) -> BatchEntry:
    return BatchEntry(str(folder / f"{number}.raw"), f"{number}.raw", f"n{number}", OPTIONS)


def done(one: BatchEntry) -> Outcome:
    return Outcome(one.shown, one.name, DONE, image_id=f"id-{one.shown}")


def failed(code: int) -> Outcome:
    return Outcome("a", "a", FAILED, exit_code=code, message="m", kind="K")
