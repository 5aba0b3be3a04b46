"""Whose object is it? What imsprep writes into an object's metadata, and reads there again.

An object that imsprep did not make, or made of another file, is foreign: nothing replaces it
unless that is asked for. The file is known by a digest of its path, so that the bucket learns
nothing of this machine, and a new state of the same file may take the place of an old one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from imsprep.errors import UsageError
from imsprep.store.contract import ObjectFacts
from imsprep.store.etags import same_etag
from imsprep.units import counted

PLAN = "imsprep-plan"  # the digest of the plan: the same content is known again by it
ORIGIN = "imsprep-origin"  # of which file the object was made


class OccupiedError(UsageError):
    """The key has an object that imsprep does not replace without being asked to."""

    remedies = ("key", "replace")


def origin_of(path: Path) -> str:
    """Return what stands for a file of this machine in the metadata of its objects."""
    return hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32]


def marks(plan: str, origin: str) -> Mapping[str, str]:
    """Return the metadata of an object that is made by this plan of this file."""
    return {PLAN: plan, ORIGIN: origin}


def is_of_plan(plan: str, etag: str, found: ObjectFacts) -> bool:
    """Return whether an object is what this plan makes: by its ETag, and by what is noted in it."""
    return same_etag(found.etag, etag) and found.metadata.get(PLAN) == plan


def why_not_ours(found: ObjectFacts, origin: str) -> str | None:
    """Return why an object is not to be replaced by one of this file, or None if it may be.

    An object of a version of imsprep that noted no origin counts as this file's.
    """
    if PLAN not in found.metadata:
        return "imsprep did not make it"
    if found.metadata.get(ORIGIN, origin) != origin:
        return "imsprep made it of another file"
    return None


def check_free(found: ObjectFacts | None, origin: str, *, replace: bool = False) -> None:
    """Raise OccupiedError if an object under the key of this file is foreign.

    Not if it was asked to `replace` whatever is there.
    """
    why = found and why_not_ours(found, origin)
    if found is not None and why and not replace:
        raise OccupiedError(
            f"the object {found.key!r} exists ({counted(found.size, 'byte')}), and {why}: it is not"
            " replaced; choose another key, or remove the object if nothing needs it"
        )
