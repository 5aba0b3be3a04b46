"""What uploads that never ended left in a bucket: their parts, and their zero objects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imsprep.store.contract import ObjectStore, Upload
from imsprep.store.directory import DirectoryStore
from imsprep.system import atomic
from imsprep.upload.journal import ZEROS
from imsprep.upload.parts.zeros import remove_zero_object

# A zero object as `transfer` names it, and an object of `parts.zeros.assemble`.
_OURS = re.compile(re.escape(ZEROS) + r"[0-9a-f]{32}(-\d+)?")


@dataclass(frozen=True)
class Leftovers:
    """Unfinished uploads, the keys of zero objects, and files of this machine."""

    uploads: tuple[Upload, ...]
    zero_keys: tuple[str, ...]
    files: tuple[Path, ...] = ()  # begun and never named, by processes that are gone

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "uploads": [upload._asdict() for upload in self.uploads],
            "zero_objects": list(self.zero_keys),
            "files": [str(path) for path in self.files],
        }


def find_leftovers(store: ObjectStore, prefix: str, folders: Sequence[Path] = ()) -> Leftovers:
    """Return what is there; an upload that is still running somewhere looks the same.

    `folders` are those of images, in which containers and bitmaps are made.
    """
    uploads = [u for u in store.list_uploads(prefix) if not u.key.startswith(ZEROS)]
    growing = {u.key for u in store.list_uploads(ZEROS)}
    zero_keys = growing | {o.key for o in store.list_objects(ZEROS)}
    # Whatever else was put below this name is not ours to remove.
    ours = tuple(sorted(filter(_OURS.fullmatch, zero_keys)))
    files = {path for folder in folders for path in atomic.leftovers(folder)}
    if isinstance(store, DirectoryStore):
        files |= set(store.unnamed())
    return Leftovers(tuple(uploads), ours, tuple(sorted(files)))


def remove_leftovers(
    store: ObjectStore, prefix: str, *, key: str | None, folders: Sequence[Path] = ()
) -> Leftovers:
    """Remove the uploads of `key`, or with None all of them, and return what was removed.

    Zero objects are removed only with the rest: they do not say whose they are.
    """
    found = find_leftovers(store, prefix, folders)
    if key is not None:
        found = Leftovers(tuple(u for u in found.uploads if u.key == key), ())
    for upload in found.uploads:
        store.abort(upload.key, upload.upload_id)
    for zero_key in found.zero_keys:
        remove_zero_object(store, zero_key)
    for path in found.files:
        atomic.remove(path)
    return found
