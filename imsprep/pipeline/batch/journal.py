"""The batch journal: `plan.yaml.batch.json` next to the plan says how far each of its images is.

It is written whole after every step, so that a batch which ended in any way is continued by the
next run. What is noted as done is bound to what the plan says of the image and to the state of its
file; if either is another one, the image is worked on again. How far an image is that was begun and
not done is the business of its manifest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imsprep import __version__
from imsprep.errors import ReadError
from imsprep.image.identity import Identity
from imsprep.options import RuleOptions
from imsprep.pipeline.batch.values import DONE, BatchEntry, Outcome
from imsprep.system import statefile
from imsprep.system.statefile import StateFileError

SCHEMA = 1
SUFFIX = ".batch.json"
BEGUN = "begun"
# What a note keeps of an outcome.
_KEPT = ("image_id", "job_id", "size", "data_bytes", "kind", "message", "exit_code",
         "errors", "warnings")  # fmt: skip

# Options that decide how an image is checked, and not what is made of it: as if none were given.
_AS_CHECKED: dict[str, Any] = {
    "guest": False,
    "boot": False,
    **{f.name: getattr(RuleOptions(), f.name) for f in fields(RuleOptions) if f.compare},
}


@dataclass(frozen=True)
class _Note:
    """What is kept of one image: how far it is, of which entry of the plan, and of which file."""

    state: str
    entry: str = ""
    at: str = ""  # UTC, as ISO 8601
    name: str = ""  # of the image that is to be
    image_id: str | None = None
    job_id: str | None = None
    size: int | None = None
    data_bytes: int | None = None
    kind: str | None = None
    message: str | None = None
    exit_code: int | None = None
    errors: int | None = None  # that its check found, and warnings
    warnings: int | None = None
    identity: Identity | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an id that no service gives."""
        for value in (self.image_id, self.job_id):
            if value is not None and not value.isprintable():
                raise ValueError(f"{value[:40]!r} is not an id")

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON; what is not known is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class _Notes:
    """What the file holds: by image, as the plan names it."""

    images: dict[str, dict[str, object]]
    imsprep: str = __version__


class BatchJournal:
    """The notes on the images of one plan; opened by `BatchJournal.for_plan`."""

    def __init__(self, path: Path, notes: dict[str, _Note]) -> None:
        self.path, self._notes = path, notes

    @classmethod
    def for_plan(cls, plan: Path) -> BatchJournal:
        """Read the journal of a plan; none is an empty one.

        Raises ReadError if there is one that cannot be read: to go on without it is the user's
        decision.
        """
        path = plan.with_name(plan.name + SUFFIX)
        try:
            notes = statefile.load(path, _Notes, schema=SCHEMA).images.items()
            return cls(
                path,
                {name: statefile.part(path, note, _Note, what=name) for name, note in notes},
            )
        except FileNotFoundError:
            return cls(path, {})
        except StateFileError as error:
            raise ReadError(
                f"{error}; if this journal is moved away, every image is checked again, and none"
                " that exists is imported twice"
            ) from error

    def done(self, entry: BatchEntry) -> Outcome | None:
        """Return the outcome of an entry that an earlier run brought to its end, or None.

        A file that is gone since then was not needed any more.
        """
        note = self._notes.get(entry.shown)
        if note is None or note.state != DONE or note.entry != entry_digest(entry):
            return None
        try:
            now = Identity.of_image(Path(entry.image))
        except FileNotFoundError:
            now = None
        except OSError as error:
            raise ReadError.from_os(error, "cannot read", entry.image) from error
        if now and not (note.identity and now.same_content_as(note.identity)):
            return None
        kept = {name: value for name in _KEPT if (value := getattr(note, name)) is not None}
        return Outcome(entry.shown, entry.name, DONE, earlier=True, **kept)

    def begun(self, entry: BatchEntry) -> None:
        """Note that an entry is being worked on."""
        self._note(entry, _Note(BEGUN))

    def ended(self, entry: BatchEntry, outcome: Outcome) -> None:
        """Note what became of an entry."""
        kept = {name: getattr(outcome, name) for name in _KEPT}
        self._note(entry, _Note(outcome.state, identity=outcome.identity, **kept))

    def _note(self, entry: BatchEntry, note: _Note) -> None:
        note = replace(note, entry=entry_digest(entry), at=_now(), name=entry.name)
        self._notes[entry.shown] = note
        notes = {name: note.as_dict() for name, note in self._notes.items()}
        statefile.save(self.path, asdict(_Notes(notes)), schema=SCHEMA)


def entry_digest(entry: BatchEntry) -> str:
    """Return a digest of what the plan says of an image, however closely it is checked."""
    asked = replace(entry.options, **_AS_CHECKED)
    options = {f.name: getattr(asked, f.name) for f in fields(asked) if f.compare}
    text = json.dumps([entry.shown, options], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
