"""Unfinished uploads of a DirectoryStore: a record and a folder of parts for each.

    .uploads/<upload id>.json   key, metadata and when it began
    .uploads/<upload id>/       its parts, one file each
    .uploads/<upload id>.going/ the same while it is removed

The record is made before the folder and removed after it: wherever a process is killed, what it
leaves has a record, is listed and can be aborted.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from imsprep.errors import ServiceError
from imsprep.store.contract import MIN_PART_SIZE, Part
from imsprep.system import atomic

_GOING = ".going"


class UploadRecord(TypedDict):
    """What is noted of an upload when it begins."""

    key: str
    metadata: dict[str, str]
    initiated: str  # UTC, as ISO 8601


@dataclass
class NewPart:
    """A part that is being written, and its etag as soon as that is known."""

    path: Path
    etag: str = ""


@dataclass(frozen=True)
class Unfinished:
    """One unfinished upload."""

    folder: Path  # of its parts

    @classmethod
    def of(cls, uploads: Path, upload_id: str, key: str) -> Unfinished:
        """Find an upload by its id; ServiceError if this key has no such upload."""
        upload = cls(uploads / upload_id)
        if not upload_id.isalnum() or upload.record()["key"] != key:
            raise upload._unknown()
        return upload

    def record(self) -> UploadRecord:
        """Return what was noted when it began."""
        try:
            record: UploadRecord = json.loads(_record_path(self.folder).read_text())
        except (OSError, ValueError) as error:
            raise self._unknown() from error
        return record

    @contextlib.contextmanager
    def new_part(self, number: int) -> Iterator[NewPart]:
        """Give a path to write a part to; named, it replaces the part of that number."""
        new = NewPart(self.folder / f".{number}.{secrets.token_hex(8)}")
        try:
            yield new
            # What is acknowledged must survive a crash: a name may reach the disk before its data.
            _sync(new.path)
            # The last write wins; a number has one file, named after its etag so that both
            # change at once.
            older = list(self.folder.glob(f"{number:05}-*"))
            final = self.folder / f"{number:05}-{new.etag}"
            os.replace(new.path, final)
            for path in older:
                if path != final:
                    path.unlink(missing_ok=True)
        except FileNotFoundError as error:
            raise self._unknown() from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(new.path)

    def parts(self) -> list[tuple[Part, Path]]:
        """Return the parts that are here with their files, in order of their numbers."""
        if not self.folder.is_dir():  # it is being removed, or its removal was interrupted
            raise self._unknown()
        newest: dict[int, tuple[int, Part, Path]] = {}
        for path in self.folder.glob("[0-9]*-*"):
            number, _, etag = path.name.partition("-")
            try:
                found = path.lstat()
            except FileNotFoundError:  # replaced by a newer one, or the upload is being removed
                return self.parts()
            if not stat.S_ISREG(found.st_mode):  # a link is not ours, and may lead nowhere
                continue
            part = Part(int(number), found.st_size, etag)
            if part.number not in newest or found.st_mtime_ns > newest[part.number][0]:
                newest[part.number] = (found.st_mtime_ns, part, path)
        return [(part, path) for _, (_, part, path) in sorted(newest.items())]

    def held(self, parts: Sequence[Part]) -> list[tuple[Part, Path]]:
        """Return each part as it is here, and its file; refuse what a real store refuses."""
        numbers = [part.number for part in parts]
        if not parts or numbers != sorted(set(numbers)):
            raise ServiceError("the parts are not in ascending order", code="InvalidPartOrder")
        known = {part.number: (part, path) for part, path in self.parts()}
        held = []
        for part in parts:
            found, path = known.get(part.number, (None, Path()))
            if found is None or found.etag != part.etag:
                raise ServiceError(
                    f"part {part.number} was not uploaded with this etag", code="InvalidPart"
                )
            if found.size < MIN_PART_SIZE and part is not parts[-1]:
                raise ServiceError(
                    f"part {part.number} has {found.size} bytes; all but the last need"
                    f" {MIN_PART_SIZE}",
                    code="EntityTooSmall",
                )
            held.append((found, path))
        return held

    def remove(self) -> None:
        """Remove parts and record; it stays listed while a part cannot be removed."""
        going = self.folder.with_suffix(_GOING)
        with contextlib.suppress(OSError):  # a removal that was interrupted may have done it
            os.rename(self.folder, going)  # at once, so that no part is added meanwhile
        shutil.rmtree(going, ignore_errors=True)
        if not self.folder.exists() and not going.exists():
            with contextlib.suppress(OSError):
                os.unlink(_record_path(self.folder))

    def _unknown(self) -> ServiceError:
        return ServiceError(f"no upload {self.folder.name!r}", code="NoSuchUpload")


def begin(uploads: Path, key: str, metadata: Mapping[str, str]) -> str:
    """Begin an upload below the folder `uploads`, which is made, and return its id."""
    upload_id = secrets.token_hex(16)
    initiated = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    uploads.mkdir(parents=True, exist_ok=True)
    record = {"key": key, "metadata": dict(metadata), "initiated": initiated}
    atomic.write_json(_record_path(uploads / upload_id), record)
    (uploads / upload_id).mkdir()
    return upload_id


def records(uploads: Path) -> Iterator[tuple[str, UploadRecord]]:
    """Yield the ids and records of all uploads below the folder `uploads`, if there is one."""
    for path in uploads.glob("*.json"):
        with contextlib.suppress(ServiceError):  # it has ended since
            yield path.stem, Unfinished(path.with_suffix("")).record()


def _record_path(folder: Path) -> Path:
    return folder.with_suffix(".json")


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
