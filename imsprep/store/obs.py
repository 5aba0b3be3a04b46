"""ObsStore: the object store's contract over botocore, as Huawei's OBS understands it.

OBS speaks S3 with exceptions, and each option below is there because of one (dates: November 2026):

- *virtual-host addressing*: path style is refused on Huawei Cloud's domains since 2023-12-30;
- *checksums when required*: the trailing checksums that botocore sends since 1.36 are refused by
  Huawei Cloud (400 XAmzContentSHA256Mismatch), and OTC stored them inside the object;
- *unsigned payload with Content-MD5*: the mode that OBS documents for signature version 4, and each
  part is still verified by the service (400 BadDigest);
- a copied part counts only with an ETag: OBS may answer 200 and mean an error.

botocore's own retries are off: `retry` is the only place that tries again. Nothing is taken from
AWS's files and variables (AWS_PROFILE, ~/.aws/config): they are about another cloud.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imsprep.cloud.endpoints import is_loopback
from imsprep.errors import (
    LASTING_STATUSES,
    ImsprepError,
    MissingExtraError,
    ServiceError,
    TransferError,
    UsageError,
    retry_after,
    show_words,
)
from imsprep.store.contract import (
    STANDARD,
    Body,
    BucketHead,
    CopyRefusedError,
    ObjectFacts,
    Part,
    Upload,
    check_part_number,
)
from imsprep.units import MIB

if TYPE_CHECKING:
    from imsprep.cloud.credentials import Credentials

# See the module's docstring for the first five.
_OPTIONS: dict[str, Any] = {
    "signature_version": "s3v4",
    "s3": {
        "addressing_style": "virtual",
        "payload_signing_enabled": False,
        "use_accelerate_endpoint": False,  # this and the next two: of AWS only
    },
    "use_dualstack_endpoint": False,
    "use_fips_endpoint": False,
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
    "retries": {"total_max_attempts": 1},
    "connect_timeout": 30,  # seconds
    # Seconds; a store that really copies needs its time for a part of GiBs before it answers.
    "read_timeout": 300,
    "max_pool_connections": 64,
    "tcp_keepalive": True,
}
# Names in a file, names in the environment, value: no profile, and files that are empty.
_NOTHING_OF_AWS = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
_PLAIN = "AES256"  # encrypted so that etags stay MD5s, as on AWS; KMS is another value
_HASH_STEP = 1 * MIB
# Answers that a new attempt may change, beyond 5xx and 429: a request or its data was damaged or
# late on the way.
_PASSING_CODES = {"BadDigest", "RequestTimeout", "SlowDown", "OperationAborted", "IncompleteBody"}

# Statuses of a refused part copy that a part which is sent may not meet.
_NO_COPY = {403, 405, 501}
# The opposite: OBS and S3 may answer 200 and mean one of these, which botocore turns into a 500.
_LASTING_CODES = {
    "AccessDenied", "EntityTooSmall", "InvalidPart", "InvalidPartOrder", "InvalidRequest",
    "InsufficientStorage", "InsufficientStorageSpace", "MalformedXML", "MethodNotAllowed",
    "NoSuchBucket", "NotImplemented", "NoSuchKey", "NoSuchUpload",
}  # fmt: skip


class ObsStore:
    """A bucket in OBS (or behind any S3 front end); see `store.ObjectStore` for the promises.

    With `kms_key` objects are encrypted by that key of the service ("" means its default key), and
    etags are no MD5s then. A bucket may encrypt by itself; then its answers say so.
    """

    def __init__(
        self, client: Any, bucket: str, *, kms_key: str | None = None, secrets: Sequence[str] = ()
    ) -> None:
        self._client, self._bucket, self._kms_key = client, bucket, kms_key
        self._secrets = tuple(secrets)
        self._encrypts = kms_key is not None

    def __repr__(self) -> str:
        return f"ObsStore({self._bucket!r})"

    @property
    def etags_are_md5(self) -> bool:
        """Return whether a part's etag is its MD5, by the answers so far."""
        return not self._encrypts

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

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
        # botocore takes bytes and files, but no memoryview.
        body = bytes(data) if isinstance(data, memoryview) else data
        if not isinstance(body, bytes):
            body.seek(0)  # an attempt before this one may have read some of it
        answer = self._call(
            "upload_part",
            Key=key,
            UploadId=upload_id,
            PartNumber=number,
            Body=body,
            ContentMD5=_in_base64(bytes.fromhex(md5)) if md5 else _content_md5(body),
        )
        etag = _etag(answer)
        if not etag:
            raise TransferError(f"the store answered without an ETag: is part {number} there?")
        return etag

    def copy_part(
        self, key: str, upload_id: str, number: int, source: str, offset: int, length: int
    ) -> str:
        """Make one part from a range of an object in the same bucket."""
        check_part_number(number)
        try:
            answer = self._call(
                "upload_part_copy",
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                CopySource={"Bucket": self._bucket, "Key": source},
                CopySourceRange=f"bytes={offset}-{offset + length - 1}",
            )
        except ServiceError as error:
            if error.status in _NO_COPY:
                raise CopyRefusedError(str(error), code=error.code, status=error.status) from error
            raise
        etag = _etag(answer.get("CopyPartResult", {}))
        if not etag:
            raise TransferError(f"the store answered without an ETag: part {number} was not copied")
        return etag

    def list_parts(self, key: str, upload_id: str) -> list[Part]:
        """Return all parts that the service holds, in order."""
        pages = self._pages("list_parts", Key=key, UploadId=upload_id)
        with _as_documented("list parts"):
            return [
                Part(part["PartNumber"], part["Size"], _etag(part))
                for page in pages
                for part in page.get("Parts", [])
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
        etag = _etag(answer)
        if not etag:  # it may have worked: the caller looks for the object
            raise TransferError(f"the store answered without an ETag: is {key!r} complete?")
        return etag

    def abort(self, key: str, upload_id: str) -> None:
        """Forget an upload and its parts; an unknown one is no error."""
        with _unless_missing():
            self._call("abort_multipart_upload", Key=key, UploadId=upload_id)

    def list_uploads(self, prefix: str = "") -> list[Upload]:
        """Return the unfinished uploads whose key starts with `prefix`."""
        with _as_documented("list multipart uploads"):
            uploads = [
                Upload(item["Key"], item["UploadId"], f"{item['Initiated']:%Y-%m-%dT%H:%M:%SZ}")
                for page in self._pages("list_multipart_uploads", Prefix=prefix)
                for item in page.get("Uploads", [])
            ]
        return sorted(upload for upload in uploads if upload.key.startswith(prefix))

    def head(self, key: str) -> ObjectFacts | None:
        """Return what is known of an object, or None."""
        answer = None
        with _unless_missing(), self._reasoned(lambda: self.read(key, 0, 1)):
            answer = self._call("head_object", Key=key)
        if answer is None:
            return None
        with _as_documented(f"head object {key!r}"):
            return ObjectFacts(
                key,
                answer["ContentLength"],
                _etag(answer),
                answer.get("StorageClass", STANDARD),  # said only where it is another one
                # OBS names the upload that made an object: it tells whether a completion worked.
                answer["ResponseMetadata"]["HTTPHeaders"].get("x-obs-uploadid"),
                answer.get("Metadata", {}),
            )

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
        with _translated(f"read the object {key!r}", self._secrets), body as stream:
            return bytes(stream.read())

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> str:
        """Write a small object at once, storage class STANDARD."""
        made_with = self._made_with(metadata or {})
        answer = self._call(
            "put_object", Key=key, Body=data, ContentMD5=_content_md5(data), **made_with
        )
        return _etag(answer)

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error."""
        self._call("delete_object", Key=key)

    def list_objects(self, prefix: str = "") -> list[ObjectFacts]:
        """Return the objects whose key starts with `prefix`; their metadata is not asked for."""
        with _as_documented("list objects"):
            return [
                ObjectFacts(
                    item["Key"], item["Size"], _etag(item), item.get("StorageClass", STANDARD),
                    None, {},
                )
                for page in self._pages("list_objects_v2", Prefix=prefix)
                for item in page.get("Contents", [])
            ]  # fmt: skip

    def head_bucket(self) -> BucketHead:
        """Return default storage class and region; OBS says both in headers of HEAD bucket.

        botocore asks for a bucket's location by path style, which OBS refuses.
        """
        with self._reasoned(lambda: self._call("list_objects_v2", MaxKeys=1), missing=True):
            headers = self._call("head_bucket")["ResponseMetadata"]["HTTPHeaders"]
        return BucketHead(
            str(headers.get("x-obs-storage-class", STANDARD)).upper(),
            headers.get("x-obs-bucket-location") or headers.get("x-amz-bucket-region"),
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

    def _made_with(self, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Return the arguments that every new object gets."""
        made_with: dict[str, Any] = {"StorageClass": STANDARD, "Metadata": dict(metadata)}
        if self._kms_key is not None:
            made_with["ServerSideEncryption"] = "aws:kms"
            if self._kms_key:
                made_with["SSEKMSKeyId"] = self._kms_key
        return made_with

    def _call(self, operation: str, **arguments: Any) -> Any:
        with _translated(self._named(operation, arguments), self._secrets):
            answer = getattr(self._client, operation)(Bucket=self._bucket, **arguments)
        if answer.get("ServerSideEncryption", _PLAIN) != _PLAIN:
            self._encrypts = True
        return answer

    def _named(self, operation: str, arguments: Mapping[str, Any]) -> str:
        """Return what an operation does, as it stands behind "cannot" in a message."""
        part, key = arguments.get("PartNumber"), arguments.get("Key", "")
        return _OPERATIONS[operation].format(key=repr(key), part=part, bucket=self._bucket)

    def _pages(self, operation: str, **arguments: Any) -> Iterator[Any]:
        with _translated(self._named(operation, arguments), self._secrets):
            yield from self._client.get_paginator(operation).paginate(
                Bucket=self._bucket, **arguments
            )


def open_obs(
    bucket: str,
    *,
    endpoint: str,
    region: str,
    credentials: Credentials,
    ca_bundle: Path | None = None,
    kms_key: str | None = None,
) -> ObsStore:
    """Open a bucket; the certificate and the host's name are always verified.

    `ca_bundle` names a file of certificates to trust instead of the usual ones. Proxies are taken
    from HTTPS_PROXY and NO_PROXY. Raises MissingExtraError without imsprep[cloud].
    """
    try:
        import botocore.session
        from botocore.config import Config
    except ImportError as error:
        raise MissingExtraError("uploading to OBS needs: pip install 'imsprep[cloud]'") from error
    if ca_bundle is not None and not os.path.isfile(ca_bundle):
        raise UsageError(f"no such file of certificates: {ca_bundle}")
    client = botocore.session.Session(session_vars=_NOTHING_OF_AWS).create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.security_token,
        verify=str(ca_bundle) if ca_bundle else True,
        config=Config(**_OPTIONS, **({"proxies": {}} if is_loopback(endpoint) else {})),
    )
    client.meta.events.register("before-call.s3", _stay)
    return ObsStore(client, bucket, kms_key=kms_key, secrets=credentials.secrets)


def _stay(params: dict[str, Any], **_: object) -> None:
    """Have botocore follow no redirect: it looks for regions as AWS has them, and without end."""
    params["context"].setdefault("s3_redirect", {})["redirected"] = True


def _content_md5(body: Any) -> str:
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


def _etag(answer: Mapping[str, Any]) -> str:
    """Return an ETag without its quotes, and without the mark of a weak one (RFC 9110, 8.8.3)."""
    return str(answer.get("ETag", "")).removeprefix("W/").strip('"')


@contextlib.contextmanager
def _unless_missing() -> Iterator[None]:
    """Let pass that something does not exist."""
    try:
        yield
    except ServiceError as error:
        if error.code not in ("404", "NoSuchKey", "NoSuchUpload"):
            raise


@contextlib.contextmanager
def _as_documented(what: str) -> Iterator[None]:
    """Turn what an answer lacks into a TransferError: it may be of something between."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TransferError(
            f"cannot {what}: the store's answer is not as documented"
            f" ({type(error).__name__}: {show_words(str(error), 80)})"
        ) from error


@contextlib.contextmanager
def _translated(what: str, secrets: Sequence[str] = ()) -> Iterator[None]:
    """Turn botocore's errors into ours: TransferError if a new attempt may help."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        raise _refusal(error, what, secrets) from error
    except exceptions.SSLError as error:
        raise ServiceError(
            f"cannot {what}: the server's certificate is not valid: {error}; for a private"
            " certificate authority give its certificates"
        ) from error
    except (exceptions.ParamValidationError, exceptions.NoCredentialsError) as error:
        raise ServiceError(f"cannot {what}: {error}") from error
    except (exceptions.BotoCoreError, OSError) as error:
        inside = getattr(error, "kwargs", {}).get("error")
        if isinstance(inside, ImsprepError):  # reading what was to be sent
            raise inside from error
        raise TransferError(f"cannot {what}: {error}") from error
    except (KeyError, ValueError, RecursionError) as error:  # of botocore's parser
        raise TransferError(
            f"cannot {what}: the store's answer cannot be read ({type(error).__name__}:"
            f" {show_words(str(error), 80)})"
        ) from error


def _refusal(error: Any, what: str, secrets: Sequence[str]) -> ServiceError | TransferError:
    """Return the error that an answer means, in the store's words, with what helps."""
    said = error.response.get("Error", {})
    code = str(said.get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    words = f"{code} {said.get('Message', '')}"
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if 300 <= status < 400:
        words += f", location {headers.get('location') or said.get('Endpoint') or 'not given'}"
    for secret in secrets:
        words = words.replace(secret, "***")
    text = f"the store refused to {what}: {show_words(words).rstrip('.')}"
    passing = status >= 500 or status in (408, 425, 429) or code in _PASSING_CODES
    if passing and status not in LASTING_STATUSES and code not in _LASTING_CODES:
        wait_s = retry_after(headers.get("retry-after"), headers.get("date"), time.time())
        return TransferError(text, retry_after_s=wait_s)
    advice = _ADVICE.get(code) or _ADVICE.get(str(status), "")
    return ServiceError(text + advice, code=code, status=status)


_OPERATIONS = {
    "abort_multipart_upload": "abort the upload of {key}",
    "complete_multipart_upload": "complete the upload of {key}",
    "create_multipart_upload": "begin the upload of {key}",
    "delete_object": "delete the object {key}",
    "get_object": "read the object {key}",
    "head_bucket": "look up the bucket {bucket}",
    "head_object": "look up the object {key}",
    "list_multipart_uploads": "list the uploads in the bucket {bucket}",
    "list_objects_v2": "list the objects in the bucket {bucket}",
    "list_parts": "list the parts of {key}",
    "put_object": "store the object {key}",
    "upload_part": "send part {part} of {key}",
    "upload_part_copy": "copy part {part} of {key}",
}
_RIGHTS = "; the key needs the rights to read, write and list in this bucket"
_REGION = "; the bucket is in another region or at another address: check both"
_FULL = "; the quota of the bucket or of the account is used up: free space or raise it"
_NOT_THERE = "; this store does not offer it"
_ADVICE = {
    "RequestTimeTooSkewed": "; set this machine's clock, it may differ by 15 minutes at most",
    "SignatureDoesNotMatch": "; check the secret key",
    "InvalidAccessKeyId": "; check the access key",
    "AccessDenied": _RIGHTS,
    "InsufficientStorage": _FULL,
    "InsufficientStorageSpace": _FULL,
    "507": _FULL,
    "NotImplemented": _NOT_THERE,
    "501": _NOT_THERE,
    "InvalidSecurityToken": "; the security token is wrong or has expired",
    "ExpiredToken": "; the security token has expired",
    "403": _RIGHTS,  # an answer to HEAD has no body, so its code is the status
    "PermanentRedirect": _REGION,
    "TemporaryRedirect": _REGION,
    "301": _REGION,
    "302": _REGION,
    "307": _REGION,
    "NoSuchBucket": "; make the bucket first, storage class Standard, in the region of the import",
    "NoSuchUpload": "; it was aborted or completed elsewhere: run again",
    "VirtualHostDomainRequired": "; the endpoint has to be given without the bucket's name",
}
