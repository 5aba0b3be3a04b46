"""Signatures as the gateway verifies them: of Huawei's SDK, and of a clock that differs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import requests
from huaweicloudsdkcore.auth.credentials import BasicCredentials

from imsprep.emulator.signature import SignedRequest, verify
from tests.support.emulator.imports import PROJECT
from tests.support.ims.imscloud import KEY


def signed(body: bytes = b"{}") -> SignedRequest:
    """A request that Huawei's own signer signed."""
    from huaweicloudsdkcore.sdk_request import SdkRequest

    headers = {"Content-Type": "application/json;charset=utf-8", "User-Agent": "x"}
    request = SdkRequest(
        "POST", "https", "h:1", "/a/b%2Fc d", "", [("k", "ü v"), ("a", "1")], headers, body
    )
    made = BasicCredentials("AK", "SK", "P").sign_request(request)
    path, _, query = made.uri.partition("?")
    lower = {k.lower(): v for k, v in made.header_params.items()}
    return SignedRequest("POST", path, query, lower, body)


def test_the_sdk_s_signature_is_accepted_and_a_change_is_noticed() -> None:
    request, now = signed(), datetime.now(UTC)
    secret = {"AK": "SK"}.get
    assert verify(request, secret, now) is None
    changed = [
        request._replace(method="PUT"),
        request._replace(path=request.path + "x"),
        request._replace(query="a=2"),
        request._replace(body=b"{ }"),
        *(
            request._replace(headers={**request.headers, name: value + "x"})
            for name, value in request.headers.items()
            if name != "x-sdk-date"
        ),
    ]
    assert all(verify(r, secret, now) is not None for r in changed)


@pytest.mark.parametrize(
    ("seconds", "right"), [(0, True), (890, True), (910, False), (-910, False)]
)
def test_a_clock_may_differ_by_15_minutes(seconds: int, right: bool) -> None:
    request = signed()
    sent = datetime.strptime(request.headers["x-sdk-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    now = datetime.fromtimestamp(sent.timestamp() + seconds, UTC)
    assert (verify(request, {"AK": "SK"}.get, now) is None) is right


@pytest.mark.parametrize(
    ("late", "status"), [(timedelta(minutes=14), 200), (timedelta(minutes=16), 401)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_request_is_compared_with_the_emulator_s_own_clock(
    late: timedelta, status: int, sign: int, url: str
) -> None:
    from huaweicloudsdkcore.sdk_request import SdkRequest

    date = (datetime.now(UTC) + sign * late).strftime("%Y%m%dT%H%M%SZ")
    host = url.removeprefix("http://")
    request = SdkRequest("GET", "http", host, "/v2/cloudimages", "", [], {"X-Sdk-Date": date}, "")
    made = BasicCredentials(KEY.access_key, KEY.secret_key, PROJECT).sign_request(request)
    answer = requests.get(url + made.uri, headers=made.header_params, timeout=10)
    assert answer.status_code == status
    assert ("15 minutes" in answer.text) is (status == 401)


@pytest.mark.parametrize("name", ["host", "x-sdk-date"])
def test_what_must_be_signed_is_asked_for(name: str) -> None:
    request = signed()
    authorization = request.headers["authorization"].replace(f"{name};", "").replace(f";{name}", "")
    request = request._replace(headers={**request.headers, "authorization": authorization})
    reason = verify(request, {"AK": "SK"}.get, datetime.now(UTC))
    assert reason is not None
    assert name in reason
