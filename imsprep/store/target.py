"""Where to upload to: `--to` parsed, and the object store behind it opened.

local:DIR                a folder of buckets; objects lie in DIR/images
local:DIR?bucket=NAME    … in DIR/NAME
obs:BUCKET               a bucket in OBS; obs://BUCKET means the same
obs:BUCKET/PREFIX        … every key begins with PREFIX/
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from imsprep.cloud.endpoints import check_address, obs_endpoint
from imsprep.errors import UsageError, show_path
from imsprep.store.contract import ObjectStore
from imsprep.store.directory import DirectoryStore
from imsprep.system.ownership import first_same
from imsprep.system.paths import optional_path

if TYPE_CHECKING:
    from imsprep.options import PlaceOptions

DEFAULT_BUCKET = "images"
# OBS API reference, "Creating a Bucket": 3 to 63 characters, no dot or hyphen next to another.
_BUCKET = re.compile(r"(?!.*[.-]{2})[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FORMS = "local:DIR, obs:BUCKET or obs:BUCKET/PREFIX"


@dataclass(frozen=True)
class Target:
    """A place for objects. `folder` is set for `local:`; region and endpoint are for `obs:`."""

    bucket: str
    prefix: str = ""  # with its final slash, or empty
    folder: Path | None = None
    region: str | None = None
    endpoint: str | None = None

    def key_for(self, name: str) -> str:
        """Return the key under which a file of this name is stored."""
        return self.prefix + name

    def __str__(self) -> str:
        if self.folder is not None:
            return f"local:{self.folder} (bucket {self.bucket})"
        place = self.endpoint or self.region
        return f"obs:{self.bucket} at {place}" if place else f"obs:{self.bucket}"


@dataclass(frozen=True)
class Bucket:
    """An open bucket, and what named it."""

    target: Target
    store: ObjectStore = field(repr=False)


def is_target(text: object) -> TypeGuard[str]:
    """Return whether a text names a bucket, and no file: `./obs:x` is a file of that name."""
    return isinstance(text, str) and text.startswith(("local:", "obs:"))


def parse_target(text: str, *, region: str | None = None, endpoint: str | None = None) -> Target:
    """Read what stands after `--to`; raises UsageError with what was expected."""
    if not isinstance(text, str):
        raise UsageError(f"cannot upload to {text!r}: expected {_FORMS}")
    scheme, colon, rest = text.partition(":")
    if not colon or not rest or scheme not in ("local", "obs"):
        raise UsageError(f"cannot upload to {text!r}: expected {_FORMS}")
    if scheme == "local":
        folder, _, bucket = rest.partition("?bucket=")
        return Target(_checked_bucket(bucket or DEFAULT_BUCKET), folder=Path(folder).absolute())
    if endpoint is not None:
        check_address(endpoint)
    bucket, _, prefix = rest.removeprefix("//").partition("/")
    prefix = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""
    return Target(_checked_bucket(bucket), prefix, region=region, endpoint=endpoint)


def check_objects_apart(target: Target, keys: Sequence[str], files: Sequence[Path]) -> None:
    """Raise UsageError if two objects would be one, or one of them a file that they are made of.

    An upload to a local bucket would replace that file, and cleaning up would remove it.
    Raises ServiceError for a key that cannot be.
    """
    if len(set(keys)) < len(keys):
        raise UsageError(
            f"the object {keys[0]!r} would be replaced by its own bitmap; choose another key",
            remedies=("key",),
        )
    if target.folder is None:
        return
    store = DirectoryStore(target.folder / target.bucket)
    for key in keys:
        if (file := first_same(store.path_of(key), files)) is not None:
            raise UsageError(
                f"the object {key!r} would be {show_path(file)} itself; choose a folder without it,"
                " or another key",
                remedies=("to", "key"),
            )


def check_there(target: Target) -> None:
    """Raise UsageError if a local bucket's folder was never made: nothing was imported there.

    For what only looks: a name that was mistyped must not read as an empty bucket.
    """
    if target.folder is not None and not target.folder.is_dir():
        raise UsageError(
            f"there is no folder {show_path(target.folder)}: no import or upload has made it",
            remedies=("to",),
        )


def check_writable(target: Target) -> None:
    """Raise UsageError if a local bucket cannot be written; nothing stays of the attempt.

    Nothing is asked of another bucket.
    """
    if target.folder is None:
        return
    for place in (target.folder, target.folder / target.bucket):
        there = next(p for p in (place, *place.parents) if os.path.lexists(p))
        try:
            os.rmdir(tempfile.mkdtemp(prefix=".imsprep-", dir=there))
        except OSError as error:
            where = f" in {show_path(there)}" if there != place else ""
            raise UsageError(
                f"cannot write to {show_path(place)}{where}: {error.strerror}", remedies=("to",)
            ) from error


def open_bucket(target: str, options: PlaceOptions, *, kms_key: str | None = None) -> Bucket:
    """Return the bucket of `local:DIR` or `obs:BUCKET/PREFIX`, opened; raises as `open_store`."""
    parsed = parse_target(target, region=options.region, endpoint=options.obs_endpoint)
    ca_bundle = optional_path(options.ca_bundle)
    return Bucket(parsed, open_store(parsed, ca_bundle=ca_bundle, kms_key=kms_key))


def open_store(
    target: Target, *, ca_bundle: Path | None = None, kms_key: str | None = None
) -> ObjectStore:
    """Open the bucket; a local one is made when something is written.

    Raises UsageError if credentials or a region are missing, MissingExtraError without
    imsprep[cloud].
    """
    if target.folder is not None:
        return DirectoryStore(target.folder / target.bucket)
    if target.region is None:
        raise UsageError(f"no region is given for the bucket {target.bucket}", remedies=("region",))
    from imsprep.cloud import credentials
    from imsprep.store.obs import ObsStore
    from imsprep.store.obs_connection import connect

    keys = credentials.find_here()
    client = connect(
        endpoint=target.endpoint or obs_endpoint(target.region),
        region=target.region,
        credentials=keys,
        ca_bundle=ca_bundle,
    )
    return ObsStore(client, target.bucket, kms_key=kms_key, secrets=keys.secrets)


def _checked_bucket(name: str) -> str:
    if not _BUCKET.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a bucket name: expected 3 to 63 of a-z, 0-9, hyphen and dot"
        )
    return name
