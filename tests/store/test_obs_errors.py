"""What a store's answers mean, without a store: botocore's errors as ours."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions
from botocore.parsers import ResponseParserError

from imsprep.cloud.answer_limits import AnswerError
from imsprep.errors import ImageChangedError, ImsprepError, ServiceError, TransferError
from imsprep.store.obs_errors import as_documented, operation_words, translated, unless_missing


def refused(status: int, code: str, words: str = "no", **headers: str) -> exceptions.ClientError:
    metadata: Any = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    answer: Any = {"Error": {"Code": code, "Message": words}, "ResponseMetadata": metadata}
    return exceptions.ClientError(answer, "Operation")


def meaning(error: Exception, *secrets: str) -> ImsprepError:
    with pytest.raises(ImsprepError) as caught, translated("send part 1 of 'k'", secrets):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "InternalError"), (502, "502"), (503, "SlowDown"), (503, "503"), (504, "504"),
     (429, "TooManyRequests"), (408, "RequestTimeout"), (425, "425"), (400, "RequestTimeout"),
     (400, "BadDigest"), (409, "OperationAborted"), (400, "IncompleteBody")],
)  # fmt: skip
def test_what_may_pass_is_worth_another_attempt(status: int, code: str) -> None:
    assert type(meaning(refused(status, code))) is TransferError


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (501, "NotImplemented", "does not offer it"),
        (501, "501", "does not offer it"),
        (507, "507", "quota"),
        (507, "InsufficientStorage", "quota"),
        (403, "InsufficientStorageSpace", "quota"),
        (500, "AccessDenied", "rights"),  # botocore's status for a 200 with an error
        (500, "NoSuchUpload", "run again"),
        (500, "EntityTooSmall", ""),
        (403, "403", "rights"),
        (400, "ExpiredToken", "security token has expired"),
        (403, "InvalidSecurityToken", "security token"),
        (403, "RequestTimeTooSkewed", "clock"),
        (301, "PermanentRedirect", "another region"),
        (302, "302", "another region"),
        (308, "308", "another region"),
        (404, "NoSuchBucket", "make the bucket first"),
        (403, "VirtualHostDomainRequired", "without the bucket's name"),
        (418, "Teapot", ""),
        (407, "407", "the proxy's answer"),
        (400, "AuthorizationHeaderMalformed", "another region"),
        (403, "InArrearOrInsufficientBalance", "top it up"),
        (403, "FrozenUserId", "account"),
        (403, "InvalidObjectState", "restore it"),
        (405, "FsNotSupport", "parallel file system"),
        (400, "KMS.DisabledException", "key of KMS"),
        (412, "PreconditionFailed", ""),
        (409, "ServiceNotSupported", "does not offer it"),
        (403, "", "status 403 without a reason; the key needs the rights"),
    ],
)
def test_what_will_not_pass_says_what_to_do(status: int, code: str, advice: str) -> None:
    error = meaning(refused(status, code, "no" if code else ""))
    assert isinstance(error, ServiceError)
    assert (error.code, error.status) == (code, status)
    assert advice in str(error)


def test_an_object_that_is_protected_from_changes_is_no_missing_right() -> None:
    said = "The object you specified is immutable and cannot be deleted."
    error = str(meaning(refused(403, "AccessDenied", said)))
    assert "WORM" in error
    assert "rights" not in error


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("-1", None)],
)
def test_a_wish_to_be_left_alone_is_kept(header: str, seconds: float | None) -> None:
    error = meaning(refused(503, "SlowDown", **{"retry-after": header}))
    assert isinstance(error, TransferError)
    assert error.retry_after_s == seconds


def test_words_are_cut_secrets_are_hidden_and_a_place_is_shown() -> None:
    error = meaning(refused(400, "X", "a\x1b[31m\r\nSK-secret " + "x" * 10_000), "SK-secret")
    assert len(str(error)) < 600
    assert "SK-secret" not in str(error)
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
    moved = refused(307, "TemporaryRedirect", location="https://elsewhere.example/")
    assert "location https://elsewhere.example/" in str(meaning(moved))


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionClosedError(endpoint_url="http://x"),
        exceptions.ReadTimeoutError(endpoint_url="http://x"),
        exceptions.EndpointConnectionError(endpoint_url="http://x"),
        ResponseParserError("no XML"),
        ConnectionResetError("reset"), KeyError("x"), ValueError("x"), RecursionError(),
    ],
)  # fmt: skip
def test_a_broken_answer_is_worth_another_attempt(error: Exception) -> None:
    assert type(meaning(error)) is TransferError


def test_the_reason_of_a_broken_connection_is_said() -> None:
    error = exceptions.HTTPClientError(error=ValueError("x"))
    error.__cause__ = AnswerError("the answer takes more than 900 s")
    assert str(meaning(error)) == "cannot send part 1 of 'k': the answer takes more than 900 s"


def test_an_error_of_reading_what_is_sent_is_not_the_connection_s() -> None:
    error = meaning(exceptions.HTTPClientError(error=ImageChangedError("it changed")))
    assert isinstance(error, ImageChangedError)


def test_only_what_is_missing_is_passed_over() -> None:
    for code in ("404", "NoSuchKey", "NoSuchUpload"):
        with unless_missing():
            raise ServiceError("gone", code=code)
    with pytest.raises(ServiceError, match="no rights"), unless_missing():
        raise ServiceError("no rights", code="AccessDenied")


@pytest.mark.parametrize("error", [KeyError("Size"), TypeError("x"), AttributeError("y")])
def test_an_answer_that_lacks_something_is_worth_another_attempt(error: Exception) -> None:
    with pytest.raises(TransferError, match="not as documented"), as_documented("list parts"):
        raise error


def test_an_operation_is_named_with_its_key_and_part() -> None:
    said = operation_words("upload_part", "b", {"Key": "a'b", "PartNumber": 7})
    assert said == 'send part 7 of "a\'b"'
