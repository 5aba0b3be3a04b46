"""ObsStore: the object store's contract over botocore, as Huawei's OBS understands it.

How OBS is reached is in `obs_connection`, what its refusals mean in `obs_errors`. A copied part
counts only with an ETag: OBS may answer 200 and mean an error.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from imsprep.errors import ServiceError, TransferError, show_words
from imsprep.store.contract import (
    MAX_PART_NUMBER,
    STANDARD,
    Body,
    BucketHead,
    CopyRefusedError,
    ObjectFacts,
    ObjectRange,
    Part,
    Upload,
    check_part_number,
)
from imsprep.store.etags import etag_of, same_etag
from imsprep.store.obs_connection import connect
from imsprep.store.obs_errors import as_documented, operation_words, translated, unless_missing
from imsprep.units import MIB, counted

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from imsprep.cloud.credentials import Credentials

Answer = Mapping[str, Any]  # what botocore returns: by the names of S3's API

# Encrypted by a key of the store's own. AWS's etags stay MD5s then; OBS's are none of any encrypted
# object ("Server-Side Encryption Overview", 2025): the first one that is known shows which it is.
_OWN_KEY = "AES256"
_HASH_STEP = 1 * MIB
_SHOWN = 60  # characters of a header's value
# More than any list that is asked for here has; of an upload's parts there are 10,000 at most.
MOST_PAGES, MOST_ENTRIES = 1000, 100_000
_OTHER_RANGE = "the store sent another range than was asked for of the object"
# Statuses of a refused part copy that a part which is sent may not meet.
_NO_COPY = {403, 405, 501}


class InMemory:
    """A part in memory as a file: botocore takes no memoryview, and of this nothing is copied."""

    def __init__(self, data: memoryview) -> None:
        self._view, self._position = data, 0

    def __len__(self) -> int:
        return len(self._view)

    def read(self, size: int = -1) -> memoryview:
        """Return the next bytes, `size` at most."""
        start = self._position
        self._position = len(self._view) if size < 0 else min(start + size, len(self._view))
        return self._view[start : self._position]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another position, and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._view)}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position


class ObsStore:
    """A bucket in OBS (or behind any S3 front end); see `contract.ObjectStore` for the promises.

    With `kms_key` objects are encrypted by that key of the service ("" means its default key), and
    etags are no MD5s then. A bucket may encrypt by itself; then its answers say so.
    """

    def __init__(
        self,
        client: BaseClient,
        bucket: str,
        *,
        kms_key: str | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.client, self.bucket, self._kms_key = client, bucket, kms_key
        self._secrets = tuple(secrets)
        self._encrypts = kms_key is not None
        self._reached = False  # whether anything has been answered

    def __repr__(self) -> str:
        return f"ObsStore({self.bucket!r})"

    @property
    def etags_are_md5(self) -> bool:
        """Return whether a part's etag is its MD5, by the answers so far."""
        return not self._encrypts

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def create(self, key: str, metadata: Mapping[str, str]) -> str:
        """Begin a multipart upload of storage class STANDARD."""
        answer = self._call("create_multipart_upload", Key=key, **self._made_with(metadata))
        if not answer.get("UploadId"):
            raise TransferError(f"the store answered without an UploadId: {key!r} was not begun")
        return str(answer["UploadId"])

    def upload_part(
        self, key: str, upload_id: str, number: int, data: Body, md5: str | None = None
    ) -> str:
        """Send one part; the service verifies its MD5."""
        check_part_number(number)
        body = InMemory(data) if isinstance(data, memoryview) else data
        if not isinstance(body, bytes):
            body.seek(0)  # an attempt before this one may have read some of it
        verified = _in_base64(bytes.fromhex(md5)) if md5 else content_md5(body)
        answer = self._call(
            "upload_part",
            Key=key,
            UploadId=upload_id,
            PartNumber=number,
            Body=body,
            ContentMD5=verified,
        )
        etag = self._etag_of_bytes(answer, verified)
        if not etag:
            raise TransferError(
                f"the store answered without an ETag: whether part {number} was stored is not known"
            )
        return etag

    def copy_part(self, key: str, upload_id: str, number: int, source: ObjectRange) -> str:
        """Make one part from a range of an object in the same bucket."""
        check_part_number(number)
        try:
            answer = self._call(
                "upload_part_copy",
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                CopySource={"Bucket": self.bucket, "Key": source.key},
                CopySourceRange=f"bytes={source.offset}-{source.offset + source.length - 1}",
            )
        except ServiceError as error:
            if error.status in _NO_COPY:
                raise CopyRefusedError(str(error), code=error.code, status=error.status) from error
            raise
        etag = etag_of(answer.get("CopyPartResult", {}))
        if not etag:
            raise TransferError(
                f"the store answered without an ETag: part {number} was not copied",
                remedies=("copy_zeros",),
            )
        return etag

    def list_parts(self, key: str, upload_id: str) -> list[Part]:
        """Return all parts that the service holds, in order."""
        listed = self._listed("list_parts", "Parts", Key=key, UploadId=upload_id)
        with as_documented("list parts"):
            return [
                Part(_numbered(part["PartNumber"]), part["Size"], etag_of(part)) for part in listed
            ]

    def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> str:
        """Turn the parts into the object and return its etag."""
        listed = [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts]
        answer = self._call(
            "complete_multipart_upload",
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": listed},
        )
        etag = etag_of(answer)
        if not etag:  # it may have worked: the caller looks for the object
            raise TransferError(
                f"the store answered without an ETag: whether {key!r} is complete is not known"
            )
        return etag

    def abort(self, key: str, upload_id: str) -> None:
        """Forget an upload and its parts; an unknown one is no error."""
        with unless_missing():
            self._call("abort_multipart_upload", Key=key, UploadId=upload_id)

    def list_uploads(self, prefix: str = "") -> list[Upload]:
        """Return the unfinished uploads whose key starts with `prefix`."""
        with as_documented("list multipart uploads"):
            uploads = [
                Upload(item["Key"], item["UploadId"], f"{item['Initiated']:%Y-%m-%dT%H:%M:%SZ}")
                for item in self._listed("list_multipart_uploads", "Uploads", Prefix=prefix)
            ]
        return sorted(upload for upload in uploads if upload.key.startswith(prefix))

    def head(self, key: str) -> ObjectFacts | None:
        """Return what is known of an object, or None."""
        answer = None
        with unless_missing(), self._reasoned(lambda: self.read(key, 0, 1)):
            answer = self._call("head_object", Key=key)
        if answer is None:
            return None
        with as_documented(f"look up the object {key!r}"):
            headers = answer["ResponseMetadata"]["HTTPHeaders"]
            # The class is said only where it is another one.
            storage_class = answer.get("StorageClass") or headers.get("x-obs-storage-class")
            return ObjectFacts(
                key,
                answer["ContentLength"],
                etag_of(answer) or self._listed_etag(key),
                _word(storage_class or STANDARD).upper(),
                # OBS names the upload that made an object: it tells whether a completion worked.
                headers.get("x-obs-uploadid"),
                answer.get("Metadata", {}),
                answer.get("VersionId") or headers.get("x-obs-version-id"),
            )

    def _listed_etag(self, key: str) -> str:
        """Return an object's ETag by the list, where HEAD says none; "" if that does not either."""
        try:
            answer = self._call("list_objects_v2", Prefix=key, MaxKeys=1)
        except ServiceError:  # without that right it stays unknown
            return ""
        found = [item for item in answer.get("Contents", []) if item.get("Key") == key]
        return etag_of(found[0]) if found else ""

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Return a range of an object, shorter only at its end."""
        try:
            answer = self._call(
                "get_object", Key=key, Range=f"bytes={offset}-{offset + length - 1}"
            )
        except ServiceError as error:
            if error.code in ("InvalidRange", "416"):  # nothing there: beyond the end
                return b""
            raise
        # As a context manager the body would be urllib3's, whose errors are its own.
        body = contextlib.closing(answer["Body"])
        with self._translated(f"read the object {key!r}"), body as stream:
            if not _begins_at(offset, answer):
                raise ServiceError(f"{_OTHER_RANGE} {key!r}")
            data = bytearray()
            while len(data) <= length and (piece := stream.read(length + 1 - len(data))):
                data += piece
        if len(data) > length:
            raise ServiceError(f"{_OTHER_RANGE} {key!r}")
        return bytes(data)

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> str:
        """Write a small object at once, storage class STANDARD."""
        made_with, verified = self._made_with(metadata or {}), content_md5(data)
        answer = self._call("put_object", Key=key, Body=data, ContentMD5=verified, **made_with)
        return self._etag_of_bytes(answer, verified)

    def delete(self, key: str, *, versions: bool = False, version: str | None = None) -> None:
        """Remove an object; a missing one is no error."""
        if version is not None:
            try:
                self._call("delete_object", Key=key, VersionId=version)
                return
            except ServiceError as error:
                if error.status != HTTPStatus.FORBIDDEN:
                    raise
        answer = self._call("delete_object", Key=key)
        if not versions or not answer.get("VersionId"):  # named where there are versions
            return
        with as_documented("list object versions"):
            kept = [
                item["VersionId"]
                for item in self._listed(
                    "list_object_versions", "Versions", "DeleteMarkers", Prefix=key
                )
                if item["Key"] == key
            ]
        for version in kept:
            self._call("delete_object", Key=key, VersionId=version)

    def list_objects(self, prefix: str = "") -> list[ObjectFacts]:
        """Return the objects whose key starts with `prefix`; their metadata is not asked for."""
        with as_documented("list objects"):
            return [
                ObjectFacts(
                    item["Key"], item["Size"], etag_of(item), item.get("StorageClass", STANDARD),
                    None, {},
                )
                for item in self._listed("list_objects_v2", "Contents", Prefix=prefix)
            ]  # fmt: skip

    def head_bucket(self) -> BucketHead:
        """Return default storage class and region; OBS says both in headers of HEAD bucket.

        botocore asks for a bucket's location by path style, which OBS refuses.
        """
        with self._reasoned(lambda: self._call("list_objects_v2", MaxKeys=1), missing=True):
            headers = self._call("head_bucket")["ResponseMetadata"]["HTTPHeaders"]
        # The second names are those of OBS's answers to requests that are signed as for S3.
        said = headers.get("x-obs-storage-class") or headers.get("x-default-storage-class")
        region = headers.get("x-obs-bucket-location") or headers.get("x-amz-bucket-region")
        return BucketHead(
            _word(said or STANDARD).upper(),
            _word(region) if region else None,
        )

    @contextlib.contextmanager
    def _reasoned(self, ask: Callable[[], object], *, missing: bool = False) -> Iterator[None]:
        """Give a refusal of HEAD, which has no body, the reason that `ask` is refused with.

        Without it a wrong secret or clock looks like a missing right. `missing`: also of a 404.
        """
        try:
            yield
        except ServiceError as error:
            if error.code != str(error.status) or (error.status == 404 and not missing):
                raise
            try:
                ask()
            except ServiceError as reasoned:
                raise reasoned from error
            except TransferError:
                pass
            raise

    def _made_with(self, metadata: Mapping[str, str]) -> dict[str, object]:
        """Return the arguments that every new object gets."""
        made_with: dict[str, object] = {"StorageClass": STANDARD, "Metadata": dict(metadata)}
        if self._kms_key is not None:
            made_with["ServerSideEncryption"] = "aws:kms"
            if self._kms_key:
                made_with["SSEKMSKeyId"] = self._kms_key
        return made_with

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            with translated(what, self._secrets, reached=self._reached):
                yield
        except ServiceError as error:
            self._reached = self._reached or error.status is not None
            raise
        self._reached = True

    def _call(self, operation: str, **arguments: object) -> Any:
        with self._translated(operation_words(operation, self.bucket, arguments)):
            answer = getattr(self.client, operation)(Bucket=self.bucket, **arguments)
        if _encryption(answer) not in (None, _OWN_KEY):
            self._encrypts = True
        return answer

    def _etag_of_bytes(self, answer: Answer, verified: str) -> str:
        """Return the etag of bytes whose MD5, in base64, the store has verified."""
        etag = etag_of(answer)
        if etag and _encryption(answer) is not None:
            md5 = base64.b64decode(verified).hex()
            self._encrypts = self._encrypts or not same_etag(etag, md5)
        return etag

    def _listed(self, operation: str, *members: str, **arguments: object) -> Iterator[Answer]:
        """Yield the entries of a list, page by page; ServiceError for one without end."""
        what, count = operation_words(operation, self.bucket, arguments), 0
        with self._translated(what):
            pages = self.client.get_paginator(operation).paginate(Bucket=self.bucket, **arguments)
            for number, page in enumerate(pages, 1):
                for member in members:
                    entries = page.get(member, [])
                    count += len(entries)
                    yield from entries
                if number >= MOST_PAGES or count > MOST_ENTRIES:
                    raise ServiceError(
                        f"cannot {what}: the list does not end ({counted(count, 'entry')} on"
                        f" {counted(number, 'page')}); check the endpoint"
                    )


def open_obs(
    bucket: str,
    *,
    endpoint: str,
    region: str,
    credentials: Credentials,
    ca_bundle: Path | None = None,
) -> ObsStore:
    """Open a bucket; see `obs_connection.connect`. Objects are as the bucket itself makes them."""
    client = connect(endpoint=endpoint, region=region, credentials=credentials, ca_bundle=ca_bundle)
    return ObsStore(client, bucket, secrets=credentials.secrets)


def _encryption(answer: Answer) -> str | None:
    """Return how an object is encrypted, by S3's header of the answer or by OBS's own."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    said = answer.get("ServerSideEncryption") or headers.get("x-obs-server-side-encryption")
    return str(said) if said else None


def _numbered(number: int) -> int:
    if not 1 <= number <= MAX_PART_NUMBER:
        raise ValueError(f"it lists a part number {number}")
    return number


def _word(said: str) -> str:
    return show_words(said, _SHOWN)


def _begins_at(offset: int, answer: Answer) -> bool:
    """Return whether an answer is of the range that was asked for, and not of the whole object."""
    if answer["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.OK:
        return offset == 0  # as long as asked for it may be
    said = re.match(r"bytes (\d+)-", answer.get("ContentRange") or "")
    return said is None or int(said[1]) == offset


def content_md5(body: bytes | IO[bytes] | InMemory) -> str:
    """Return the MD5 of bytes, or of a file that is left at its start, in base64."""
    digest = hashlib.md5(usedforsecurity=False)
    if isinstance(body, bytes):
        digest.update(body)
    else:
        while piece := body.read(_HASH_STEP):
            digest.update(piece)
        body.seek(0)
    return _in_base64(digest.digest())


def _in_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
