"""The journal: a small file next to the image that lets an interrupted upload continue.

`disk.raw.upload.json` says which upload belongs to which state of the image. Which parts are there
is not its business: the store is asked. It holds no secret. A journal that does not fit the image,
the plan or the target is not used, and the reason is reported.

One process at a time has a journal: two that upload one file would continue the same upload, or
each abort what the other has begun.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from imsprep.errors import ReadError, UsageError, show_path
from imsprep.image.identity import Identity
from imsprep.system import statefile
from imsprep.system.locking import locked
from imsprep.system.regular import read_plain

SCHEMA = 2
SUFFIX = ".upload.json"
ZEROS = "imsprep-zeros/"  # below this name lie the zero objects, see `parts.zeros`
# A zero object as `transfer` names it.
OURS = re.compile(re.escape(ZEROS) + r"[0-9a-f]{32}")
_MARKS = (b'"upload_id"', b'"zero_key"')  # a journal has both, whatever else of it is damaged
_SEALED = ("target", "key", "upload_id", "zero_key", "plan")


@dataclass(frozen=True)
class UploadEntry:
    """What is being uploaded, and where to."""

    target: str  # where the bucket is, as store.target.Target writes it
    key: str
    upload_id: str  # "" while it is being begun, see `resume.begin`
    zero_key: str  # the zero object, which may not exist yet or any more
    plan: str  # PartPlan.digest
    identity: Identity
    begun_at: int = 0  # seconds since 1970 of an upload that has no id yet, else 0
    seal: str = ""  # see `sealed`

    def __post_init__(self) -> None:
        """Raise ValueError unless every name is one that an upload here could have given."""
        if not self.target or not self.key:
            raise ValueError("an upload has a target and a key")
        if not OURS.fullmatch(self.zero_key):
            raise ValueError(f"{self.zero_key[:80]!r} is not a zero object of imsprep")

    def sealed(self) -> UploadEntry:
        """Return the entry with a digest of its members, by which a changed one is noticed.

        What a journal names is aborted and removed from the bucket, and a bucket does not tell who
        began an upload.
        """
        members = [*(vars(self)[n] for n in _SEALED), *self.identity.as_dict().values()]
        if self.begun_at:
            members.append(self.begun_at)
        text = json.dumps(["imsprep upload", *members])
        return replace(self, seal=hashlib.sha256(text.encode()).hexdigest())

    def reason_against(self, other: UploadEntry) -> str | None:
        """Return why this upload cannot be continued as `other`, or None if it can."""
        if (self.target, self.key) != (other.target, other.key):
            return f"an upload that was begun goes to {self.key!r} in {self.target}"
        if not self.identity.same_content_as(other.identity):
            return "the image changed since that upload was begun"
        if self.plan != other.plan:
            return "the plan of its parts is another one"
        return None


@dataclass(frozen=True)
class Journal:
    """The journal of one image at one path."""

    path: Path

    @classmethod
    def for_file(cls, image: Path) -> Journal:
        """Return the journal that belongs to an image; nothing is read or written yet."""
        return cls(image.with_name(image.name + SUFFIX))

    @property
    def image(self) -> Path:
        """The file that the journal belongs to."""
        return self.path.with_name(self.path.name.removesuffix(SUFFIX))

    def load(self) -> UploadEntry | None:
        """Return what was noted, or None if there is nothing that can be used."""
        found = statefile.find(self.path, UploadEntry, schema=SCHEMA)
        return found if found and found.sealed() == found else None

    def why_unusable(self) -> str | None:
        """Return why the journal that is there cannot be used; None if it can, or there is none."""
        if not self.path.exists() or self.load() is not None:
            return None
        return (
            f"{show_path(self.path)} is damaged or of another version, and nothing that it names"
            " was touched; `imsprep uploads list` shows what that upload left"
        )

    def check_replaceable(self) -> None:
        """Raise UsageError if a foreign file lies where the journal belongs.

        A journal of any version that is damaged may be replaced. ReadError if not a regular file.
        """
        try:
            data = read_plain(self.path, limit=statefile.LIMIT)
        except FileNotFoundError:
            return
        except OSError as error:
            raise ReadError.from_os(error, "cannot read", self.path) from error
        if data and not any(mark in data for mark in _MARKS):
            raise UsageError(
                f"{show_path(self.path)} was not written by imsprep, which keeps the journal of an"
                " upload there; rename it"
            )

    def locked(self) -> AbstractContextManager[None]:
        """Have the journal alone during a block; TransferError if another process has it."""
        image = self.path.name.removesuffix(SUFFIX)
        return locked(self.path.with_suffix(".lock"), f"the upload of {show_path(image)}")

    def save(self, entry: UploadEntry) -> None:
        """Note an upload; the file is whole at every instant."""
        statefile.save(self.path, asdict(entry.sealed()), schema=SCHEMA)

    def remove(self) -> None:
        """Forget the upload."""
        self.path.unlink(missing_ok=True)
