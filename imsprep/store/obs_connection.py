"""A connection to OBS over botocore, as OBS understands it.

OBS speaks S3 with exceptions, and each option below is there because of one (dates: November 2026):

- *virtual-host addressing*: path style is refused on Huawei Cloud's domains since 2023-12-30;
- *checksums when required*: the trailing checksums that botocore sends since 1.36 are refused by
  Huawei Cloud (400 XAmzContentSHA256Mismatch), and OTC stored them inside the object;
- *unsigned payload with Content-MD5*: the mode that OBS documents for signature version 4, and each
  part is still verified by the service (400 BadDigest).

botocore's own retries are off: `retry` is the only place that tries again. Nothing is taken from
AWS's files and variables (AWS_PROFILE, ~/.aws/config): they are about another cloud.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from imsprep.cloud.answer_limits import AnswerLimits, limited
from imsprep.cloud.certificates import trusted
from imsprep.cloud.endpoints import is_loopback
from imsprep.cloud.network_faults import check_proxy
from imsprep.errors import MissingExtraError
from imsprep.units import MIB

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.model import OperationModel

    from imsprep.cloud.credentials import Credentials

# See the module's docstring for the first five.
_OPTIONS: dict[str, object] = {
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
# A page of 1,000 long keys has some MiB; that of what is read has the range that was asked for.
ANSWER_LIMIT = 64 * MIB
# From the end of a request to the last byte of its answer. A store that assembles or copies GiBs
# sends white space meanwhile (S3 API reference, "CompleteMultipartUpload").
ANSWER_LIMIT_S = 900.0


class _RawAnswer(TypedDict):
    """What botocore parses, as far as it matters here."""

    status_code: int
    body: bytes


# botocore makes an empty list of any other XML. Stores call it ListPartsResult, ListPartsResponse.
_LIST = re.compile(rb"<(?:[\w.-]+:)?List\w+[\s/>]")
_BEGINNING = 1000  # bytes of an answer in which that stands


def connect(
    *, endpoint: str, region: str, credentials: Credentials, ca_bundle: Path | None = None
) -> BaseClient:
    """Return a client of botocore; the certificate and the host's name are always verified.

    `ca_bundle` names a file of certificates to trust instead of the usual ones, as a variable does
    (`cloud.certificates`). Proxies are taken from HTTPS_PROXY and NO_PROXY. Raises UsageError for a
    file or proxy that can be none, MissingExtraError without imsprep[cloud].
    """
    try:
        import botocore.session
        from botocore.config import Config
    except ImportError as error:
        raise MissingExtraError("uploading to OBS needs botocore", extra="cloud") from error
    bundle = trusted(ca_bundle, os.environ)
    if not is_loopback(endpoint):
        check_proxy(endpoint)
    client = botocore.session.Session(session_vars=_NOTHING_OF_AWS).create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.security_token,
        verify=bundle if bundle and os.path.isfile(bundle) else True,  # it reads no folders
        config=Config(**_OPTIONS, **({"proxies": {}} if is_loopback(endpoint) else {})),
    )
    client.meta.events.register("before-call.s3", _stay)
    client.meta.events.register("before-parse.s3", _check_list)
    _limit_answers(client)
    return client


def _limit_answers(client: BaseClient) -> None:
    """Give the connections of a client the limits of an answer.

    botocore has no option for it: what is changed are the pool classes of its own HTTP session.
    """
    pools = client._endpoint.http_session._pool_classes_by_scheme
    limits = AnswerLimits(lambda: time.monotonic() + ANSWER_LIMIT_S, ANSWER_LIMIT)
    pools.update(limited(pools, limits))


def _stay(params: dict[str, dict[str, dict[str, bool]]], **_: object) -> None:
    """Have botocore follow no redirect: it looks for regions as AWS has them, and without end."""
    params["context"].setdefault("s3_redirect", {})["redirected"] = True


def _check_list(operation_model: OperationModel, response_dict: _RawAnswer, **_: object) -> None:
    """Raise ResponseParserError for an answer of 200 that is no list where one was asked for."""
    from botocore.parsers import ResponseParserError

    if not operation_model.name.startswith("List") or response_dict["status_code"] >= 300:
        return
    if not _LIST.search(response_dict["body"][:_BEGINNING]):
        raise ResponseParserError("it is not a list")
