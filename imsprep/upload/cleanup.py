"""What uploads that never ended left in a bucket: their parts, and their zero objects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from imsprep.store.contract import ObjectStore, Upload
from imsprep.upload.journal import ZEROS
from imsprep.upload.zeros import remove_zero_object

# A zero object as `transfer` names it, and a helper as `composing` does.
_OURS = re.compile(re.escape(ZEROS) + r"[0-9a-f]{32}(-\d+)?")


@dataclass(frozen=True)
class Leftovers:
    """Unfinished uploads, and the keys of zero objects."""

    uploads: tuple[Upload, ...]
    zero_keys: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "uploads": [upload._asdict() for upload in self.uploads],
            "zero_objects": list(self.zero_keys),
        }


def find_leftovers(store: ObjectStore, prefix: str) -> Leftovers:
    """Return what is there; an upload that is still running somewhere looks the same."""
    uploads = [u for u in store.list_uploads(prefix) if not u.key.startswith(ZEROS)]
    growing = {u.key for u in store.list_uploads(ZEROS)}
    zero_keys = growing | {o.key for o in store.list_objects(ZEROS)}
    # Whatever else somebody put below this name is not ours to remove.
    return Leftovers(tuple(uploads), tuple(sorted(filter(_OURS.fullmatch, zero_keys))))


def remove_leftovers(store: ObjectStore, prefix: str, *, key: str | None) -> Leftovers:
    """Remove the uploads of `key`, or with None all of them, and return what was removed.

    Zero objects are removed only with the rest: they do not say whose they are.
    """
    found = find_leftovers(store, prefix)
    if key is not None:
        found = Leftovers(tuple(u for u in found.uploads if u.key == key), ())
    for upload in found.uploads:
        store.abort(upload.key, upload.upload_id)
    for zero_key in found.zero_keys:
        remove_zero_object(store, zero_key)
    return found
