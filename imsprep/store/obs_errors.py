"""What a store's answers mean: botocore's errors as TransferError and ServiceError, with advice.

The one question is whether a new attempt may help. A refusal keeps the store's own words, cut at a
sensible length and without secrets, and says what to do.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from imsprep.cloud.answer_limits import why_broken
from imsprep.cloud.credentials import hide
from imsprep.cloud.network_faults import WANTS_USER, fault_of
from imsprep.errors import (
    LASTING_STATUSES,
    ImsprepError,
    ServiceError,
    TransferError,
    retry_after,
    show_words,
)

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# Answers that a new attempt may change, beyond 5xx and 429: a request or its data was damaged or
# late on the way.
_PASSING_CODES = {"BadDigest", "RequestTimeout", "SlowDown", "OperationAborted", "IncompleteBody"}
# The opposite: OBS and S3 may answer 200 and mean one of these, which botocore turns into a 500.
_LASTING_CODES = {
    "AccessDenied", "EntityTooSmall", "InvalidPart", "InvalidPartOrder", "InvalidRequest",
    "InsufficientStorage", "InsufficientStorageSpace", "MalformedXML", "MethodNotAllowed",
    "NoSuchBucket", "NotImplemented", "NoSuchKey", "NoSuchUpload",
}  # fmt: skip

_OPERATIONS = {
    "abort_multipart_upload": "abort the upload of {key}",
    "complete_multipart_upload": "complete the upload of {key}",
    "create_multipart_upload": "begin the upload of {key}",
    "delete_object": "delete the object {key}",
    "get_object": "read the object {key}",
    "head_bucket": "look up the bucket {bucket}",
    "head_object": "look up the object {key}",
    "list_multipart_uploads": "list the uploads in the bucket {bucket}",
    "list_object_versions": "list the versions of objects in the bucket {bucket}",
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
_ACCOUNT = "; the account cannot be used as it is: the console says what is to be settled"
_KMS = "; the key of KMS cannot be used: choose another one, or enable it"
_WORM = "; it is protected from changes (WORM) until its time is over: use another key or bucket"
_LONG = "; choose a shorter key"
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
    "InvalidSecurityToken": "; the security token is wrong or has expired: get another one",
    "ExpiredToken": "; the security token has expired: get another one and run again",
    "403": _RIGHTS,  # an answer to HEAD has no body, so its code is the status
    "407": f"; that is the proxy's answer: {WANTS_USER}",
    "PermanentRedirect": _REGION,
    "TemporaryRedirect": _REGION,
    "NoSuchBucket": "; make the bucket first, storage class Standard, in the region of the import",
    "NoSuchUpload": "; it was aborted or completed elsewhere: run again",
    "VirtualHostDomainRequired": "; the endpoint has to be given without the bucket's name",
    # From here on: OBS API reference, "Error Codes", and of its S3 API (OTC, 2025).
    "AccountProblem": _ACCOUNT,
    "DeregisterUserId": _ACCOUNT,
    "FrozenUserId": _ACCOUNT,
    "InArrearOrInsufficientBalance": "; the account owes fees or has no balance: top it up",
    "NotSignedUp": _ACCOUNT,
    "Unauthorized": _ACCOUNT,
    "AllAccessDisabled": "; this bucket may not be used: choose another one",
    "AuthorizationHeaderMalformed": _REGION,  # of other stores
    "IllegalLocationConstraintException": _REGION,
    "FsNotSupport": "; the bucket is a parallel file system: use an object bucket",
    "InvalidObjectState": "; the object is archived: restore it, or choose another key",
    "InvalidSecurity": "; check the keys and the security token",
    "KMS.DisabledException": _KMS,
    "KMS.NotFoundException": _KMS,
    "KeyTooLong": _LONG,
    "KeyTooLongError": _LONG,
    "MethodNotAllowed": _NOT_THERE,
    "RequestPayerDenied": "; its owner makes the requester pay: use a bucket of your own",
    "ServiceNotSupported": _NOT_THERE,
    "System Capacity Not enough": _FULL,
    "TooManyWrongSignature": "; check the secret key; too many wrong signatures came with this key",
}


def operation_words(operation: str, bucket: str, arguments: Mapping[str, object]) -> str:
    """Return what an operation does, as it stands behind "cannot" in a message."""
    part, key = arguments.get("PartNumber"), arguments.get("Key", "")
    return _OPERATIONS[operation].format(key=repr(key), part=part, bucket=bucket)


@contextlib.contextmanager
def unless_missing() -> Iterator[None]:
    """Let pass that something does not exist."""
    try:
        yield
    except ServiceError as error:
        if error.code not in ("404", "NoSuchKey", "NoSuchUpload"):
            raise


@contextlib.contextmanager
def as_documented(what: str) -> Iterator[None]:
    """Turn what an answer lacks into a TransferError: it may be of something between."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TransferError(
            f"cannot {what}: the store's answer is not as documented"
            f" ({type(error).__name__}: {show_words(str(error), 80)})"
        ) from error


@contextlib.contextmanager
def translated(what: str, secrets: Sequence[str] = (), *, reached: bool = False) -> Iterator[None]:
    """Turn botocore's errors into ours: TransferError if a new attempt may help.

    `reached`: the store has answered before, so that its address and the proxy's can be right.
    """
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    def said(error: Exception, limit: int = 400) -> str:
        return show_words(hide(str(error), secrets), limit)

    try:
        yield
    except exceptions.ClientError as error:
        raise _refusal(error, what, secrets) from error
    except (exceptions.ParamValidationError, exceptions.NoCredentialsError) as error:
        raise ServiceError(f"cannot {what}: {said(error)}") from error
    except (exceptions.BotoCoreError, OSError) as error:
        if (broken := why_broken(error)) is not None:
            raise TransferError(f"cannot {what}: {broken}") from error
        if (fault := _unconnected(error, what, reached=reached)) is not None:
            raise fault from error
        inside = getattr(error, "kwargs", {}).get("error")
        if isinstance(inside, ImsprepError):  # reading what was to be sent
            raise inside from error
        raise TransferError(f"cannot {what}: {said(error)}") from error
    except (KeyError, ValueError, RecursionError, ResponseParserError) as error:
        raise TransferError(
            f"cannot {what}: the store's answer cannot be read ({type(error).__name__}:"
            f" {said(error, 80)})"
        ) from error


def _unconnected(
    error: BaseException, what: str, *, reached: bool
) -> ServiceError | TransferError | None:
    """Return the error of a connection that did not come about, if it is one that has a reason."""
    fault = fault_of(error)
    if fault is None:
        return None
    lasting = fault.is_lasting(reached=reached)
    text = f"cannot {what}: {fault.sentence('the store')}"
    if lasting and fault.about != "proxy":
        return ServiceError(text, remedies=fault.parameters)
    return TransferError(text, lasting=lasting)


def _refusal(error: ClientError, what: str, secrets: Sequence[str]) -> ServiceError | TransferError:
    """Return the error that an answer means, in the store's words, with what helps."""
    said = error.response.get("Error", {})
    code = str(said.get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    words = f"{code} {said.get('Message', '')}"
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if 300 <= status < 400:
        words += f", location {headers.get('location') or said.get('Endpoint') or 'not given'}"
    said_words = show_words(hide(words, secrets)).rstrip(".") or f"status {status} without a reason"
    text = f"the store refused to {what}: {said_words}"
    passing = status >= 500 or status in (408, 425, 429) or code in _PASSING_CODES
    if passing and status not in LASTING_STATUSES and code not in _LASTING_CODES:
        wait_s = retry_after(headers.get("retry-after"), headers.get("date"), time.time())
        return TransferError(text, retry_after_s=wait_s)
    redirected = _REGION if 300 <= status < 400 else ""
    advice = _ADVICE.get(code) or _ADVICE.get(str(status), redirected)
    if code == "AccessDenied" and "immutable" in words:  # by these words alone
        advice = _WORM
    return ServiceError(text + advice, code=code, status=status)
