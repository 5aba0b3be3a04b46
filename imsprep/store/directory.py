"""DirectoryStore: a bucket that is a folder, for trying things and for CI; no server, no account.

    folder/disk.raw                    the object `disk.raw`, a sparse file
    folder/web/disk.raw                the object `web/disk.raw`
    folder/.objects/<name>.json        what the store knows of an object beyond its bytes
    folder/.uploads/<upload id>.json   an unfinished upload
    folder/.uploads/<upload id>/       its parts, one file each

An object appears under its name by one rename, after its record was written; a record is valid only
for the inode, size and time it names, so a crash leaves the old object or the new one, never a mix,
and a file that was put into the folder by hand is an object too. Holes stay holes: zeros in a
part are not stored, and completing copies only the data (inside the file system where it can).
An upload's record is made before its folder and removed after it: what a kill leaves is listed.

What a bucket can and a folder cannot: hold `a` and `a/b` at the same time. That is refused.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote, unquote

from imsprep.errors import ReadError, ServiceError, TransferError
from imsprep.store import directory_uploads
from imsprep.store.contract import (
    STANDARD,
    Body,
    BucketHead,
    ObjectFacts,
    ObjectRange,
    Part,
    Upload,
    check_part_number,
)
from imsprep.store.directory_uploads import Unfinished
from imsprep.store.etags import multipart_etag
from imsprep.store.md5_of_zeros import hash_of_zeros, zero_md5
from imsprep.system import atomic
from imsprep.system.positioned import read_at
from imsprep.system.sparse import copy_data, data_ranges, write_sparse
from imsprep.units import MIB

MAX_KEY_BYTES = 1024  # OBS API reference, "Uploading Objects"
_STEP = 4 * MIB  # bytes hashed at once
# What a file system, such as NFS, may get over; a full disk or a missing right it does not.
_PASSING = {errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT}


class _ObjectRecord(TypedDict):
    """What is noted of an object beyond its bytes, and of which file."""

    etag: str
    upload_id: str | None  # that made it
    metadata: dict[str, str]
    mtime_ns: int
    size: int  # bytes


class DirectoryStore:
    """A folder as a bucket; see `contract.ObjectStore` for what each method promises."""

    etags_are_md5 = True

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.uploads = self.folder / ".uploads"
        self.records = self.folder / ".objects"

    def __repr__(self) -> str:
        return f"DirectoryStore({str(self.folder)!r})"

    def path_of(self, key: str) -> Path:
        """Return the file that is, or would be, an object; ServiceError if no such key can be."""
        return self._path(key)

    def create(self, key: str, metadata: Mapping[str, str]) -> str:
        """Begin a multipart upload and return its upload id."""
        self._path(key)
        with _translated("begin an upload in", self.folder):
            return directory_uploads.begin(self.uploads, key, metadata)

    def upload_part(
        self, key: str, upload_id: str, number: int, data: Body, md5: str | None = None
    ) -> str:
        """Store one part; the same number again replaces it."""
        upload = self._upload(key, upload_id, number)
        digest, position = hashlib.md5(usedforsecurity=False), 0
        with _translated("store a part in", upload.folder), upload.new_part(number) as new:
            with open(new.path, "wb") as file:
                for piece in _pieces(data):
                    digest.update(piece)
                    position = write_sparse(file.fileno(), piece, position)
            new.etag = digest.hexdigest()
            if md5 not in (None, new.etag):
                raise TransferError(f"part {number} has the MD5 {new.etag}, expected {md5}")
        return new.etag

    def copy_part(self, key: str, upload_id: str, number: int, source: ObjectRange) -> str:
        """Make one part from a range of another object; the range must lie inside it."""
        upload = self._upload(key, upload_id, number)
        offset, length = source.offset, source.length
        with _translated("copy a part in", upload.folder), self._open(source.key) as origin:
            size = os.fstat(origin).st_size
            if length <= 0 or offset < 0 or offset + length > size:
                raise ServiceError(
                    f"cannot copy bytes {offset} to {offset + length} of {source.key!r}:"
                    f" it has {size} bytes",
                    code="InvalidRange",
                )
            with upload.new_part(number) as new:
                with open(new.path, "wb") as file:
                    os.ftruncate(file.fileno(), length)
                    copy_data(origin, offset, file.fileno(), 0, length)
                new.etag = _md5_of_range(origin, offset, length)
        return new.etag

    def list_parts(self, key: str, upload_id: str) -> list[Part]:
        """Return the parts that are here, in order of their numbers."""
        return [part for part, _ in self._upload(key, upload_id).parts()]

    def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> str:
        """Put the parts together into the object and return its etag."""
        upload = self._upload(key, upload_id)
        held = upload.held(parts)
        etag = multipart_etag(part.etag for part in parts)
        metadata = upload.record()["metadata"]
        record = {"etag": etag, "upload_id": upload_id, "metadata": metadata}
        with _translated("complete", self._path(key)):
            with self._new_object(key, record) as target:
                os.ftruncate(target, sum(part.size for part, _ in held))
                position = 0
                for part, path in held:
                    with open(path, "rb") as file:
                        copy_data(file.fileno(), 0, target, position, part.size)
                    position += part.size
            upload.remove()
        return etag

    def abort(self, key: str, upload_id: str) -> None:
        """Forget an upload and its parts; an unknown one is no error."""
        with contextlib.suppress(ServiceError):
            self._upload(key, upload_id).remove()

    def list_uploads(self, prefix: str = "") -> list[Upload]:
        """Return the unfinished uploads whose key starts with `prefix`."""
        return sorted(
            Upload(record["key"], upload_id, record["initiated"])
            for upload_id, record in directory_uploads.records(self.uploads)
            if record["key"].startswith(prefix)
        )

    def head(self, key: str) -> ObjectFacts | None:
        """Return what is known of an object, or None if there is none."""
        try:
            stat = os.stat(self._path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not os.path.isfile(self._path(key)):
            return None
        record = self._record(key, stat)
        return ObjectFacts(
            key, stat.st_size, record["etag"], STANDARD, record["upload_id"], record["metadata"]
        )

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Return a range of an object, shorter only at its end."""
        with _translated("read", self._path(key)), self._open(key) as file:
            pieces = []
            while length > 0 and (piece := read_at(file, length, offset)):
                pieces.append(piece)
                offset, length = offset + len(piece), length - len(piece)
            return b"".join(pieces)

    def data_ranges(self, key: str) -> Iterator[tuple[int, int]]:
        """Yield start and stop of what is stored of an object; the rest is holes."""
        with _translated("read", self._path(key)), self._open(key) as file:
            yield from data_ranges(file, 0, os.fstat(file).st_size)

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> str:
        """Write a small object at once and return its etag."""
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        record = {"etag": etag, "upload_id": None, "metadata": dict(metadata or {})}
        with _translated("write", self._path(key)), self._new_object(key, record) as target:
            write_sparse(target, data)
        return etag

    def delete(self, key: str, *, versions: bool = False, version: str | None = None) -> None:
        """Remove an object; a missing one is no error. There are no versions."""
        path = self._path(key)
        with _translated("remove", path), contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            self._remove_empty(path.parent)
            for old in self.records.glob(f"{_record_name(key)}.*.json"):
                old.unlink(missing_ok=True)

    def _remove_empty(self, folder: Path) -> None:
        """Remove folders that hold nothing any more: a bucket has none."""
        with contextlib.suppress(OSError):
            while folder != self.folder:
                folder.rmdir()
                folder = folder.parent

    def unnamed(self) -> list[Path]:
        """Return the files that killed writers of objects left in the folder."""
        return [
            left
            for parent, folders, _ in os.walk(self.folder)
            for left in atomic.leftovers(Path(parent))
            if not Path(parent).name.startswith(".") or Path(parent) == self.records
        ]

    def head_bucket(self) -> BucketHead:
        """Return STANDARD and no region: a folder knows nothing else."""
        return BucketHead(STANDARD)

    def list_objects(self, prefix: str = "") -> list[ObjectFacts]:
        """Return the objects whose key starts with `prefix`, in order of their keys."""
        keys = []
        for parent, folders, files in os.walk(self.folder):
            # Other uploads come and go in the store's own folders.
            folders[:] = [name for name in folders if not name.startswith(".")]
            above = Path(parent).relative_to(self.folder).parts
            shown = (name for name in files if not name.startswith("."))
            keys += ["/".join(map(key_part, (*above, name))) for name in shown]
        facts = (self.head(key) for key in sorted(keys) if key.startswith(prefix))
        return [fact for fact in facts if fact is not None]

    def _path(self, key: str) -> Path:
        if not key or len(key.encode("utf-8", "surrogateescape")) > MAX_KEY_BYTES:
            raise ServiceError(
                f"no such key can exist: {key[:80]!r}; expected 1 to {MAX_KEY_BYTES} bytes",
                code="InvalidKey",
            )
        return self.folder.joinpath(*(safe_name(name) for name in key.split("/")))

    @contextlib.contextmanager
    def _open(self, key: str) -> Iterator[int]:
        try:
            file = os.open(self._path(key), os.O_RDONLY)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise ServiceError(f"no object {key!r} in {self.folder}", code="NoSuchKey") from error
        try:
            yield file
        finally:
            os.close(file)

    def _upload(self, key: str, upload_id: str, number: int = 1) -> Unfinished:
        """Return an upload that is noted and belongs to `key`."""
        check_part_number(number)
        return Unfinished.of(self.uploads, upload_id, key)

    @contextlib.contextmanager
    def _new_object(self, key: str, record: Mapping[str, object]) -> Iterator[int]:
        """Give a file to write an object to; it appears, recorded, when the block ends well."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise _key_conflict(key) from error
        if path.is_dir():
            raise _key_conflict(key)
        with atomic.writing(path, parents=True) as file:
            yield file.fileno()
            file.flush()
            stat = os.fstat(file.fileno())
            self.records.mkdir(exist_ok=True)
            older = list(self.records.glob(f"{_record_name(key)}.*.json"))
            mine = self._record_path(key, stat)
            atomic.write_json(mine, {**record, "mtime_ns": stat.st_mtime_ns, "size": stat.st_size})
        for old in older:
            if old != mine:
                old.unlink(missing_ok=True)

    def _record_path(self, key: str, stat: os.stat_result) -> Path:
        return self.records / f"{_record_name(key)}.{stat.st_ino}.json"

    def _record(self, key: str, stat: os.stat_result) -> _ObjectRecord:
        """Return an object's record; one that is not of this very file does not count."""
        with contextlib.suppress(OSError, ValueError):
            record: _ObjectRecord = json.loads(self._record_path(key, stat).read_text())
            if (record["mtime_ns"], record["size"]) == (stat.st_mtime_ns, stat.st_size):
                return record
        # Put here by hand: the etag only has to change when the file does.
        state = f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"
        etag = hashlib.md5(state.encode(), usedforsecurity=False).hexdigest()
        return {
            "etag": f"{etag}-0",
            "upload_id": None,
            "metadata": {},
            "mtime_ns": stat.st_mtime_ns,
            "size": stat.st_size,
        }


def _pieces(data: Body) -> Iterator[bytes | memoryview]:
    """Yield what a part is sent from in pieces, a file from its start."""
    if isinstance(data, bytes | memoryview):
        view = memoryview(data)
        yield from (view[at : at + _STEP] for at in range(0, len(view), _STEP))
        return
    data.seek(0)
    while piece := data.read(_STEP):
        yield piece


def safe_name(name: str) -> str:
    """Return a file name for a piece of a key: none is shared, none starts with a dot."""
    if not name:
        return "%"
    quoted = quote(name, safe=" !#$&'()+,;=@[]{}^`~-_.", errors="surrogateescape")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted


def key_part(name: str) -> str:
    """Return the piece of a key whose file name this is."""
    return "" if name == "%" else unquote(name, errors="surrogateescape")


def _record_name(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _md5_of_range(file: int, offset: int, length: int) -> str:
    data = next(data_ranges(file, offset, length), None)
    if data is None:
        return zero_md5(length)
    # What an assembled part begins with is a hole, and its hash is known.
    digest = hash_of_zeros(data[0] - offset)
    for position in range(data[0], offset + length, _STEP):
        digest.update(read_at(file, min(_STEP, offset + length - position), position))
    return str(digest.hexdigest())


def _key_conflict(key: str) -> ServiceError:
    return ServiceError(
        f"a folder cannot hold the object {key!r}: another key uses the same name as a folder",
        code="KeyConflict",
    )


@contextlib.contextmanager
def _translated(what: str, path: Path) -> Iterator[None]:
    """Turn a file system's error into one that says whether trying again can help."""
    try:
        yield
    except OSError as error:
        if error.errno in _PASSING:
            raise TransferError(f"cannot {what} {path}: {error.strerror}") from error
        raise ReadError.from_os(error, f"cannot {what}", path) from error
