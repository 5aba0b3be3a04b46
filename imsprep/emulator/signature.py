"""Verify SDK-HMAC-SHA256, the signature of an AK/SK request, as the API gateway would.

The rules were learned from Huawei's SDK and checked against it, not taken from our own client:

    canonical request = METHOD, path with a final "/", sorted query, one "name:value" line per
                        signed header, an empty line, the signed names, SHA-256 of the body
    string to sign    = "SDK-HMAC-SHA256", X-Sdk-Date, SHA-256 of the canonical request
    signature         = HMAC-SHA256 of that string with the secret key itself, in hex

A clock may differ by 15 minutes (API gateway's documents).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote

ALGORITHM = "SDK-HMAC-SHA256"
DATE_FORMAT = "%Y%m%dT%H%M%SZ"
SKEW_S = 15 * 60
# An unsigned one of these could be changed on the way.
MUST_BE_SIGNED = ("host", "x-sdk-date")


class SignedRequest(NamedTuple):
    """What is signed: header names in lower case, path and query as they came over the wire."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def verify(
    request: SignedRequest, secret_of: Callable[[str], str | None], now: datetime
) -> str | None:
    """Return None if the signature is right, otherwise the reason, as the gateway might put it."""
    algorithm, _, rest = request.headers.get("authorization", "").partition(" ")
    if algorithm != ALGORITHM:
        return "the Authorization header is missing or its algorithm is unknown"
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    names = fields.get("SignedHeaders", "").split(";")
    secret = secret_of(fields.get("Access", ""))
    if secret is None:
        return "verify aksk signature fail, the access key does not exist"
    missing = [n for n in names if n not in request.headers]
    missing += [n for n in MUST_BE_SIGNED if n not in names]
    if missing:
        return f"verify aksk signature fail, header {missing[0] or '(none)'} is not signed"
    date = request.headers["x-sdk-date"]
    try:
        sent = datetime.strptime(date, DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return f"the X-Sdk-Date {date!r} is not a time"
    if abs((now - sent).total_seconds()) > SKEW_S:
        return "the signature expired: X-Sdk-Date differs by more than 15 minutes"
    expected = hmac.new(secret.encode(), _string_to_sign(request, names, date), "sha256")
    if not hmac.compare_digest(expected.hexdigest(), fields.get("Signature", "")):
        return "verify aksk signature fail, the signature does not match"
    return None


def _string_to_sign(request: SignedRequest, names: list[str], date: str) -> bytes:
    # Unquoted before it is split: a %2F inside a segment counts as a separator, as in the SDK.
    path = "/".join(quote(part, safe="~") for part in unquote(request.path).split("/"))
    pairs = sorted(parse_qsl(request.query, keep_blank_values=True))
    declared = request.headers.get("x-sdk-content-sha256")
    canonical = "\n".join(
        [
            request.method,
            path if path.endswith("/") else path + "/",
            "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in pairs),
            "".join(f"{name}:{request.headers[name].strip()}\n" for name in names),
            ";".join(names),
            (declared if request.body else None) or sha256(request.body).hexdigest(),
        ]
    )
    return "\n".join([ALGORITHM, date, sha256(canonical.encode()).hexdigest()]).encode()
