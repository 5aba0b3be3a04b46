"""The journal: a small file beside the image that lets an interrupted upload continue.

`disk.raw.upload.json` says which upload belongs to which state of the image. Which parts are there
is not its business: the store is asked. It holds no secret. A journal that does not fit the image,
the plan or the target is not used, and the reason is told.

One process at a time has a journal: two that upload one file would continue the same upload, or
each abort what the other has begun.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from imsprep.errors import show_path
from imsprep.image.file import Identity
from imsprep.system import statefile
from imsprep.system.locking import locked

SCHEMA = 1
SUFFIX = ".upload.json"


@dataclass(frozen=True)
class Entry:
    """What is being uploaded, and where to."""

    target: str  # where the bucket is, as targets.Target writes it
    key: str
    upload_id: str
    zero_key: str  # the zero object, which may not exist yet or any more
    plan: str  # PartPlan.digest
    identity: Identity

    def reason_against(self, other: Entry) -> str | None:
        """Say why this upload cannot be continued as `other`, or None if it can."""
        if (self.target, self.key) != (other.target, other.key):
            return f"the upload that was begun goes to {self.key!r} in {self.target}"
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
    def beside(cls, image: Path) -> Journal:
        """Return the journal that belongs to an image; nothing is read or written yet."""
        return cls(image.with_name(image.name + SUFFIX))

    def load(self) -> Entry | None:
        """Return what was noted, or None if there is nothing that can be used."""
        return statefile.find(self.path, Entry, schema=SCHEMA)

    def why_unusable(self) -> str | None:
        """Say why there is a journal that `load` cannot use; None if there is none, or it can."""
        if not self.path.exists() or self.load() is not None:
            return None
        return (
            f"{show_path(self.path)} cannot be read or is of another version; `imsprep uploads"
            " list` shows what that upload left"
        )

    def locked(self) -> AbstractContextManager[None]:
        """Have the journal alone during a block; TransferError if another process has it."""
        image = self.path.name.removesuffix(SUFFIX)
        return locked(self.path.with_suffix(".lock"), f"the upload of {show_path(image)}")

    def save(self, entry: Entry) -> None:
        """Note an upload; the file is whole at every instant."""
        statefile.save(self.path, asdict(entry), schema=SCHEMA)

    def remove(self) -> None:
        """Forget the upload."""
        self.path.unlink(missing_ok=True)
