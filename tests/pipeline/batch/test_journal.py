"""What a batch remembers from one run to the next."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imsprep.errors import ReadError, ServiceError
from imsprep.image.identity import Identity
from imsprep.pipeline.batch.journal import BatchJournal
from imsprep.pipeline.batch.values import (
    DONE,
    FAILED,
    BatchEntry,
    Outcome,
)
from tests.support.pipeline.batch_outcomes import OPTIONS, entry


@pytest.fixture
def image(tmp_path: Path) -> BatchEntry:
    (tmp_path / "1.raw").write_bytes(b"x" * 512)
    return entry(1, tmp_path)


def note_done(journal: BatchJournal, one: BatchEntry) -> None:
    identity = Identity.of_image(Path(one.image))
    outcome = Outcome(one.shown, one.name, DONE, image_id="i-1", job_id="j-1", size=512, identity=identity, warnings=2)  # fmt: skip
    journal.ended(one, outcome)


def test_what_is_done_is_known_by_the_next_run(image: BatchEntry, tmp_path: Path) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    assert journal.done(image) is None
    journal.begun(image)
    assert BatchJournal.for_plan(tmp_path / "plan.yaml").done(image) is None
    note_done(journal, image)
    again = BatchJournal.for_plan(tmp_path / "plan.yaml").done(image)
    assert again == Outcome("1.raw", "n1", DONE, image_id="i-1", job_id="j-1", size=512, earlier=True, warnings=2)  # fmt: skip


def test_another_entry_or_another_file_is_not_done(image: BatchEntry, tmp_path: Path) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    note_done(journal, image)
    other = BatchEntry(image.image, image.shown, image.name, replace(OPTIONS, name="m"))
    assert journal.done(other) is None
    Path(image.image).write_bytes(b"y" * 512)
    assert journal.done(image) is None


def test_a_done_image_stays_done_however_the_next_run_checks(
    image: BatchEntry, tmp_path: Path
) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    note_done(journal, image)
    for checks in ({"guest": True}, {"boot": True}, {"fail_on": "warning"}, {"ignore": ("IMS8",)}):
        again = journal.done(replace(image, options=replace(image.options, **checks)))
        assert again is not None, checks
        assert again.image_id == "i-1"


def test_an_image_of_which_a_piece_changed_is_not_done(tmp_path: Path) -> None:
    one, piece = entry(1, tmp_path), tmp_path / "1-flat.vmdk"
    piece.write_bytes(b"x" * 512)
    Path(one.image).write_text('# Disk DescriptorFile\nRW 1 FLAT "1-flat.vmdk" 0\n')
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    note_done(journal, one)
    assert journal.done(one) is not None
    piece.write_bytes(b"other" * 100)
    assert journal.done(one) is None


def test_a_done_image_whose_file_was_removed_stays_done(image: BatchEntry, tmp_path: Path) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    note_done(journal, image)
    Path(image.image).unlink()
    assert journal.done(image) is not None


def test_a_done_image_that_cannot_be_looked_at_is_told(image: BatchEntry, tmp_path: Path) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    note_done(journal, image)
    there = BatchEntry(f"{image.image}/below", image.shown, image.name, image.options)
    with pytest.raises(ReadError, match="Not a directory"):
        journal.done(there)


def test_a_failure_is_noted_and_worked_on_again(image: BatchEntry, tmp_path: Path) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    journal.ended(image, Outcome.of_error(image, FAILED, ServiceError("refused")))
    note = json.loads(journal.path.read_text())["images"]["1.raw"]
    assert (note["state"], note["message"], note["exit_code"]) == ("failed", "refused", 6)
    assert journal.done(image) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "images": 3}', '{"schema": 1, "images": {"a": 3}}', '{"schema": 1, "images": {"a": {"state": "done", "image_id": []}}}',
                                  '{"schema": 1, "images": {"a": {"state": "done", "image_id": "\\u001b[31m"}}}',
                                  '{"schema": 1, "images": {"a": {"state": "done", "identity": {"inode": 1}}}}',
                                  '{"schema": 1, "images": {"a": {"state": 1}}}', '{"schema": 1, "images": {"a": {"state": "done", "size": "x"}}}'])  # fmt: skip
def test_a_journal_that_cannot_be_read_is_told_and_not_overwritten(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml.batch.json").write_text(text)
    with pytest.raises(ReadError, match=r"cannot use .*every image is checked again"):
        BatchJournal.for_plan(tmp_path / "plan.yaml")


@pytest.mark.parametrize("identity", [None, {"device": 1, "inode": 2, "size": 3, "mtime_ns": 4, "ctime_ns": 5, "more": 6}])  # fmt: skip
def test_a_note_without_a_usable_identity_is_not_done(
    identity: Any, image: BatchEntry, tmp_path: Path
) -> None:
    journal = BatchJournal.for_plan(tmp_path / "plan.yaml")
    note_done(journal, image)
    written = json.loads(journal.path.read_text())
    written["images"]["1.raw"]["identity"] = identity
    journal.path.write_text(json.dumps(written))
    assert BatchJournal.for_plan(tmp_path / "plan.yaml").done(image) is None
