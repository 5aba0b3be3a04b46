"""The client against the emulator, and waiting against everything that can go wrong."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from imsprep.cloud.credentials import Credentials
from imsprep.cloud.endpoints import Endpoints
from imsprep.errors import (
    ImsprepError,
    ServiceError,
    TransferError,
    UncertainError,
    UsageError,
    retry_after,
)
from imsprep.ims import error_codes, job
from imsprep.ims.client import ANSWER_LIMIT, LEAST_S, ImsClient
from imsprep.ims.job import JobStatus
from imsprep.ims.submit import patiently
from imsprep.ims.wait import PollPolicy, wait
from tests.support.cloud.dripping import BODY, HEADER, dripping
from tests.support.ims.answers import Clock, answering
from tests.support.ims.imscloud import KEY, REQUEST, client, cloud


@pytest.mark.parametrize("api", ["v2", "v2.1"])
@pytest.mark.parametrize("job_query", ["progress", "jobs"])
@pytest.mark.parametrize("token", [None, "a security token"])
def test_an_import_runs_to_success(api: Any, job_query: Any, token: Any, tmp_path: Path) -> None:
    credentials = replace(KEY, security_token=token)
    with cloud(tmp_path, security_token=token) as (_, url, _):
        ims = client(url, credentials, api=api, job_query=job_query)
        job_id = ims.quick_import(REQUEST)
        clock, seen = Clock(), list[JobStatus]()

        def nap(seconds: float) -> None:
            clock.sleep(seconds)
            threading.Event().wait(0.02)

        status = wait(ims.job, job_id, PollPolicy(nap, clock, on_status=seen.append))
        assert status.image_id
        assert [i.image_id for i in ims.images("web01")] == [status.image_id]
        assert ims.images("web01")[0].origin == "file,images:disk.raw"
        assert ims.images("web") == []
        assert ims.image_quota() == (1, 50)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "IMG.0024", "message": "The imagetype is invalid."}},
        {"error_code": "IMG.0024", "error_msg": "The imagetype is invalid."},
    ],
)
def test_a_refusal_is_told_in_the_service_s_words(status: int, body: Any) -> None:
    with (
        answering((status, body), headers={"X-Request-Id": "r-7"}) as (url, _),
        pytest.raises(ServiceError, match=r"The imagetype is invalid\.") as caught,
    ):
        client(url).quick_import(REQUEST)
    assert (caught.value.code, caught.value.status) == ("IMG.0024", status)
    assert f"{status} IMG.0024" in str(caught.value)
    assert "r-7" in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
@pytest.mark.parametrize("body", [b"", b"<html>oops</html>", b"[]", b"null"])
def test_every_status_of_the_page_is_explained_even_without_a_body(
    status: int, body: bytes
) -> None:
    with answering((status, body)) as (url, _), pytest.raises(ImsprepError) as caught:
        client(url).job("j")
    assert error_codes.STATUSES[status].meaning in str(caught.value)
    assert isinstance(caught.value, ServiceError if status < 500 else TransferError)


def test_a_429_keeps_its_code_and_may_be_tried_again() -> None:
    body = {"error": {"code": "IMG.0060", "message": "too many"}}
    for ask in (lambda c: c.job("j"), lambda c: c.quick_import(REQUEST)):
        with answering((429, body)) as (url, asked), pytest.raises(TransferError) as caught:
            ask(client(url))
        assert "429 IMG.0060: too many" in str(caught.value)
        assert not isinstance(caught.value, UncertainError)
        assert len(asked) == 1


@pytest.mark.parametrize("answer", [(0, b""), (500, b""), (502, b""), (503, b""), (504, b""), (150, b""), (200, b"{}"), (200, b"")])  # fmt: skip
def test_a_post_without_a_clear_answer_is_uncertain_and_sent_once(answer: Any) -> None:
    with answering(answer) as (url, asked), pytest.raises(UncertainError):
        client(url).quick_import(REQUEST)
    assert len(asked) == 1


def test_a_post_that_never_left_is_not_uncertain() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(TransferError, match=r"no answer from 127\.0\.0\.1") as caught:
        client(f"http://127.0.0.1:{port}").quick_import(REQUEST)
    assert not isinstance(caught.value, UncertainError)


def test_a_netrc_and_a_redirect_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with cloud(tmp_path / "cloud") as (_, url, _):
        assert client(url).images("x") == []
    with (
        answering((302, b""), headers={"Location": "http://127.0.0.1:1/"}) as (url, _),
        pytest.raises(ServiceError, match="302"),
    ):
        client(url).images("x")


def test_the_sdk_s_file_in_the_home_directory_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with cloud(tmp_path / "cloud") as (_, url, _):
        client(url).quick_import(REQUEST)
    assert not (tmp_path / "home").exists()


def test_a_secret_that_the_service_quotes_is_hidden() -> None:
    credentials = Credentials("AK", "the-secret", "the-token")
    body = {"error_code": "APIGW.0301", "error_msg": "signed the-token with the-secret"}
    with answering((401, body)) as (url, _), pytest.raises(ServiceError) as caught:
        client(url, credentials).images("x")
    assert "the-token" not in str(caught.value)
    assert "the-secret" not in str(caught.value)
    assert "signed *** with ***" in str(caught.value)


SECRET = "the+/=secret"


@pytest.mark.parametrize(
    ("answer", "headers"),
    [
        ((400, {"error": {"code": "1", "message": "token=the%2B%2F%3Dsecret"}}), {}),
        ((400, {"error": {"code": SECRET, "message": "m"}}), {}),
        ((418, b"the+\\/=secret"), {}),
        ((400, b""), {"X-Request-Id": SECRET}),
        ((302, b""), {"Location": "https://x/?token=the%2b%2f%3dsecret"}),
        ((200, {"status": "FAIL", "fail_reason": f"signed {SECRET}", "entities": {}}), {}),
        ((200, {"status": "FAIL", "entities": {"results": [{"fail_reason": SECRET}]}}), {}),
        ((200, {"images": [{"id": "i", "name": "x", "status": SECRET}]}), {}),
    ],
)
def test_no_word_of_an_answer_holds_a_secret(answer: Any, headers: dict[str, str]) -> None:
    credentials = Credentials("AK", "another", SECRET)
    with answering(answer, headers=headers) as (url, _):
        said = client(url, credentials)
        for ask in (lambda: repr(said.job("j")), lambda: repr(said.images("x"))):
            try:
                words = ask()
            except ImsprepError as error:
                words = str(error)
            assert "secret" not in words


def test_the_other_job_query_is_asked_where_the_first_is_not_served() -> None:
    running = {"status": "RUNNING", "job_id": "j"}
    with answering((404, b""), (200, running)) as (url, asked):
        assert client(url, replace(KEY, project_id="p1")).job("j").status == "RUNNING"
    assert [path for _, path, _ in asked] == ["/v1/cloudimages/job/j", "/v1/p1/jobs/j"]


def test_a_missing_project_id_says_what_to_set() -> None:
    with answering((404, b"")) as (url, asked):
        ims = ImsClient(Endpoints(url, job_query="jobs"), KEY)
        with pytest.raises(UsageError, match="HUAWEICLOUD_SDK_PROJECT_ID"):
            ims.job("j")
    assert [path for _, path, _ in asked] == ["/v1/cloudimages/job/j"]


def test_without_a_project_id_the_query_that_needs_none_is_asked() -> None:
    running = {"status": "RUNNING", "job_id": "j"}
    with answering((200, running)) as (url, asked):
        ims = ImsClient(Endpoints(url, job_query="jobs"), KEY)
        assert ims.job("j").status == "RUNNING"
    assert [path for _, path, _ in asked] == ["/v1/cloudimages/job/j"]


def test_an_endpoint_that_is_no_url_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="is not the URL"):
        ImsClient(Endpoints("ims.example"), KEY).images("x")


ELSEWHERE = Endpoints("http://ims.example")


@pytest.mark.parametrize(
    ("proxy", "error", "words"),
    [
        ("://bad", UsageError, "HTTP_PROXY is not the address of a proxy"),
        ("http://[::1", UsageError, "HTTP_PROXY is not the address of a proxy"),
        ("http://me:a-password@127.0.0.1:9", TransferError, "ims.example through the proxy .*: "),
    ],
)
def test_it_is_said_that_the_proxy_is_not_to_be_had(
    proxy: str, error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(error, match=words) as caught:
        ImsClient(ELSEWHERE, KEY).quick_import(REQUEST)
    assert not isinstance(caught.value, UncertainError)  # nothing was sent
    assert "a-password" not in str(caught.value)


def test_missing_certificates_are_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = str(tmp_path / "ca.pem")
    secure = Endpoints("https://127.0.0.1:9")
    with pytest.raises(UsageError, match=r"no such file of certificates: .*ca\.pem$"):
        ImsClient(secure, KEY, ca_file=missing).images("x")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", missing)
    with pytest.raises(UsageError, match="of REQUESTS_CA_BUNDLE"):
        ImsClient(secure, KEY).images("x")


@pytest.mark.parametrize(
    ("answer", "headers", "words"),
    [
        ((302, b""), {"Location": "https://other.example/x"}, "location https://other.example/x"),
        ((200, {"error": {"code": "IMG.0057", "message": "not found"}}), {}, "IMG.0057: not found"),
        ((200, {"error_code": "APIGW.0301", "error_msg": "who?"}), {}, "APIGW.0301: who?"),
        ((501, b""), {}, "501: The service does not offer this"),
        ((400, {"error": {"message": "a\x1b[31m\r\nb"}}), {}, r"400: a\x1b[31m b"),
        ((413, b"<html>too large</html>"), {}, "413: <html>too large</html>"),
        ((300, b""), {}, "300: an empty body"),
        ((400, {"error": {"code": "\x1b[31mI\nx", "message": "m"}}), {}, r"400 \x1b[31mI x: m"),
        ((400, {"error": {"code": {"a": 1}, "message": ["b"]}}), {}, "400: Request error."),
        ((400, b""), {"X-Request-Id": "\x1b[31mr"}, r"[request \x1b[31mr]"),
    ],
)
def test_a_post_that_was_refused_is_no_doubt_and_shows_what_was_said(
    answer: Any, headers: dict[str, str], words: str
) -> None:
    with (
        answering(answer, headers=headers) as (url, asked),
        pytest.raises(ServiceError) as caught,
    ):
        client(url).quick_import(REQUEST)
    assert words in str(caught.value)
    assert len(asked) == 1


@pytest.mark.slow
def test_words_of_any_length_fit_on_a_screen() -> None:
    body = {"error": {"code": "IMG.0001", "message": "x" * 5_000_000}}
    with answering((400, body)) as (url, _), pytest.raises(ServiceError) as caught:
        client(url).quick_import(REQUEST)
    assert len(str(caught.value)) < 600
    assert "(5000000 characters)" in str(caught.value)
    headers = {"X-Request-Id": "r" * 60_000, "Location": "l" * 60_000}
    body = {"error": {"code": "c" * 5_000_000, "message": "m"}}
    with answering((302, body), headers=headers) as (url, _), pytest.raises(ServiceError) as long:
        client(url).quick_import(REQUEST)
    assert len(str(long.value)) < 800


@pytest.mark.parametrize(
    "answer", [b"\x16\x03\x01\x1b[31m\r\n", b"HTTP/1.1 000 \x1b[31mNo\r\n\r\n"]
)
def test_what_is_no_http_cannot_command_a_terminal(answer: bytes) -> None:
    with dripping(answer, b"") as url, pytest.raises(TransferError) as caught:
        client(url).job("j", limit_s=LEAST_S)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("body", [b"[" * 200_000, b"<html>sign in</html>", b"[]", b"{}", b'{"images": {}}'])  # fmt: skip
def test_what_is_no_list_of_images_does_not_count_as_an_empty_one(body: bytes) -> None:
    with (
        answering((200, body)) as (url, _),
        pytest.raises(ServiceError, match="no list of images"),
    ):
        client(url).images("web01")


def test_a_job_that_failed_is_an_answer_and_no_refusal() -> None:
    body = {"status": "FAIL", "error_code": "IMG.0057", "fail_reason": "no file", "entities": {}}
    with answering((200, body)) as (url, _):
        assert client(url).job("j").reasons == ("IMG.0057 no file",)


def test_ids_and_words_of_a_service_cannot_command_a_terminal() -> None:
    odd = "a\x1b[31m\nb"
    with answering((200, {"job_id": odd})) as (url, _), pytest.raises(UncertainError):
        client(url).quick_import(REQUEST)
    with answering((200, {"images": [{"id": odd, "name": "x"}]})) as (url, _):
        assert client(url).images("x") == []
    answer = {"status": "SUCCESS", "entities": {"image_id": odd, "current_task": odd}}
    status = job.parse(answer, "j")
    assert (status.image_id, status.task) == (r"a\x1b[31m b", r"a\x1b[31m b")


@pytest.mark.parametrize("odd", ["", ".", "..", "j" * 300, "a\u202eb"])
def test_an_id_that_cannot_stand_in_a_path_is_none(odd: str) -> None:
    with answering((200, {"job_id": odd})) as (url, asked), pytest.raises(UncertainError):
        client(url).quick_import(REQUEST)
    assert len(asked) == 1
    with answering((200, {"status": "SUCCESS"})) as (url, asked), pytest.raises(UsageError):
        client(url).job(odd)
    assert asked == []


def test_a_date_after_which_to_ask_counts_from_the_answer_s_own() -> None:
    clock = Clock()
    # Python's server sends its Date by itself, and this one as a second: the first counts.
    at = formatdate(time.time() + 600, usegmt=True)
    with answering((429, b""), (200, {"images": []}), headers={"Retry-After": at}) as (url, _):
        assert patiently(partial(client(url).images, "x"), PollPolicy(clock.sleep, clock)) == []
    (slept,) = clock.slept
    assert 598 <= slept <= 600


@pytest.mark.parametrize(
    ("header", "sent", "seconds"),
    [
        ("0", None, 0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 30),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:30 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "nonsense", 0),
        ("Wednesday, 21-Oct-15 07:28:30 GMT", "Wed Oct 21 07:28:00 2015", 30),
        ("-5", None, None),
        ("1.5", None, None),
        ("soon", None, None),
        ("Wed, 99 Oct 99999 99:99:99 GMT", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_how_long_to_leave_a_service_alone(
    header: str | None, sent: str | None, seconds: float | None
) -> None:
    assert retry_after(header, sent, 1.5e9) == seconds


@pytest.mark.parametrize("status", [408, 425])
def test_a_question_that_came_too_late_or_too_early_is_asked_again(status: int) -> None:
    clock = Clock()
    with answering((status, b""), (200, {"images": []})) as (url, asked):
        assert patiently(partial(client(url).images, "x"), PollPolicy(clock.sleep, clock)) == []
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("status", "kind"), [(408, UncertainError), (425, TransferError), (507, ServiceError)]
)
def test_an_import_is_asked_for_again_only_if_it_cannot_have_begun(
    status: int, kind: type[ImsprepError]
) -> None:
    with answering((status, b"")) as (url, asked), pytest.raises(ImsprepError) as caught:
        client(url).quick_import(REQUEST)
    assert (type(caught.value), len(asked)) == (kind, 1)


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_without_end_is_read_to_its_limit_only(packed: bool) -> None:
    body = b"[" + b" " * (ANSWER_LIMIT + 1) + b"]"
    headers = {"Content-Encoding": "gzip"} if packed else {}
    with answering((200, gzip.compress(body, 1) if packed else body), headers=headers) as (url, _):
        with pytest.raises(TransferError, match="the answer has more than 16 MiB"):
            client(url).images("x")
        with pytest.raises(UncertainError, match="the answer has more than 16 MiB"):
            client(url).quick_import(REQUEST)


@pytest.mark.slow
@pytest.mark.parametrize(("begins", "drop"), [(HEADER, b"x"), (BODY, b" "), (b"", b"")])
def test_a_question_ends_with_the_time_of_its_asker(
    begins: bytes, drop: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.ims.client.LEAST_S", 0.1)
    with dripping(begins, drop) as url:
        ims, began = client(url), time.monotonic()
        questions = (
            lambda: ims.images("x", limit_s=0.2),
            lambda: ims.job("j", limit_s=0),
            lambda: ims.image_quota(limit_s=0.2),
            lambda: ims.os_versions(limit_s=0.2),
        )
        for ask in questions:
            with pytest.raises(
                TransferError, match=r"the answer takes more than|[Rr]ead timed out"
            ):
                ask()
        with pytest.raises(UncertainError):
            ims.quick_import(REQUEST, limit_s=0.2)
        assert time.monotonic() - began < 3


def test_a_service_on_this_machine_is_reached_past_every_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with cloud(tmp_path) as (_, url, _):
        assert client(url).images("x") == []
