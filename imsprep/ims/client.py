"""ImsClient: the import API over HTTP - start an import, ask for its job, look for its image.

Signing is that of Huawei's SDK (`huaweicloudsdkcore`, imported when used). Requests are sent one
level below its generated clients, because those hide what an import needs: the code in a 429, the
difference between "never sent" and "sent, no answer", and members of a job that they do not know.
They also write `~/.huaweicloud/application_id` and send the machine's details in the User-Agent;
neither happens here.

Errors: TransferError where asking again may help (429, 5xx, broken connections), UncertainError
where a POST may have been accepted, ServiceError where the service refused.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple, cast
from urllib.parse import quote, urlsplit

from imsprep import __version__
from imsprep.cloud.answer_limits import AnswerLimits, limited
from imsprep.cloud.certificates import trusted
from imsprep.cloud.credentials import Credentials, hide
from imsprep.cloud.endpoints import Endpoints, is_loopback
from imsprep.cloud.network_faults import check_proxy, fault_of
from imsprep.errors import (
    LASTING_STATUSES,
    MissingExtraError,
    ServiceError,
    TransferError,
    UncertainError,
    UsageError,
    retry_after,
    show_words,
)
from imsprep.ims import error_codes, job, listed
from imsprep.ims.job import JobStatus
from imsprep.ims.listed import CloudImage
from imsprep.ims.request import QuickImportRequest
from imsprep.units import KIB, MIB

if TYPE_CHECKING:  # they are loaded with the first question
    import requests
    from requests.exceptions import RequestException
    from urllib3 import PoolManager

ApiVersion = Literal["v2", "v2.1"]

_PROXIES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")  # that `requests` may know
# `requests` documents None, which its stubs do not know.
_NO_PROXIES = cast(dict[str, str], {"http": None, "https": None, "all": None})
# "Permissions and Supported Actions", OTC API reference, 2025-12-17.
LIST_RIGHT, QUOTA_RIGHT = "ims:images:list", "ims:quotas:get"
CONNECT_TIMEOUT_S = 20.0
READ_TIMEOUT_S = 120.0  # as the SDK's default: a request may be checked against the object store
# What an answer may be at most: the documented ones have a few KiB, a list of images some hundred.
ANSWER_LIMIT = 16 * MIB  # bytes, unpacked
ANSWER_LIMIT_S = 180.0  # from the question to the last byte of all that it takes to answer it
# What a question gets that is asked when the time of its asker is over: else none would be heard.
LEAST_S = 1.0
_PIECE = 64 * KIB
_LONGEST_ID = 256  # characters; the documented ones have 32
_EARLY = (425, 429)  # statuses below 500 of a request that may be made again later


class Answer(NamedTuple):
    """An HTTP answer that was not refused."""

    status: int
    body: object  # None for what is no JSON
    words: str = ""  # how the body begins, to be shown


class _Question(NamedTuple):
    """One request to a service, as it is signed."""

    method: str
    endpoint: str
    path: str
    query: Mapping[str, str] = {}  # never changed
    body: Mapping[str, object] | None = None
    right: str = ""  # what the account needs for it

    @property
    def data(self) -> bytes:
        """The bytes of the body."""
        return json.dumps(self.body).encode() if self.body is not None else b""


_LOG = logging.getLogger(__name__)  # of a request: never its headers, query or body


class ImsClient:
    """One account's view of the image service. Holds no connection between calls.

    Each question has ANSWER_LIMIT_S, or `limit_s` seconds if that is less.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        credentials: Credentials,
        *,
        api: ApiVersion = "v2",
        ca_file: str | None = None,
    ) -> None:
        self._endpoints, self._credentials = endpoints, credentials
        self._api, self._ca_file = api, ca_file
        self._project_id = credentials.project_id
        self._reached = False  # whether anything has been answered

    @property
    def url(self) -> str:
        """Where the image service is."""
        return self._endpoints.ims

    def quick_import(self, request: QuickImportRequest, *, limit_s: float = math.inf) -> str:
        """Ask for the import and return the job's id; never asks twice.

        Raises UncertainError if it is not known whether the service accepted the request.
        """
        path = f"/{self._api}/cloudimages/quickimport/action"
        question = _Question("POST", self._endpoints.ims, path, body=request.as_body())
        answer = self._call(question, _end(limit_s))
        job_id = answer.body.get("job_id") if isinstance(answer.body, Mapping) else None
        if not isinstance(job_id, str) or not _is_id(job_id):
            raise UncertainError(
                f"the service answered {answer.status} without a job_id: {answer.words}"
            )
        return job_id

    def job(self, job_id: str, *, limit_s: float = math.inf) -> JobStatus:
        """Ask how far a job is: first the query that the site documents, then the other one.

        The other one is asked if the service does not have the first, or no project is known for
        it; the first one's error is raised if that helps as little.
        """
        if not _is_id(job_id):
            raise UsageError(f"{show_words(job_id, 60)!r} is not the id of a job")
        end = _end(limit_s)
        if self._endpoints.job_query == "progress":
            queries = (self._progress_path, self._jobs_path)
        else:
            queries = (self._jobs_path, self._progress_path)
        try:
            body = self._get(self._endpoints.ims, queries[0](job_id, end), end)
        except (ServiceError, UsageError) as first:
            if isinstance(first, ServiceError) and first.status != 404:
                raise
            try:
                body = self._get(self._endpoints.ims, queries[1](job_id, end), end)
            except (ServiceError, UsageError):
                raise first from None
        try:
            return job.parse(body if isinstance(body, Mapping) else {}, job_id)
        except ValueError as error:
            raise TransferError(f"job {job_id}: {error}") from error

    def images(
        self, name: str, tag: str | None = None, *, limit_s: float = math.inf
    ) -> list[CloudImage]:
        """Return the private images of exactly this name, and with the tag `key.value`."""
        query = {"name": name, "__imagetype": "private"} | ({"tag": tag} if tag else {})
        ims = self._endpoints.ims
        question = _Question("GET", ims, "/v2/cloudimages", query, right=LIST_RIGHT)
        answer = self._call(question, _end(limit_s))
        found = listed.images(answer.body, name)
        if found is None:
            raise ServiceError(
                f"{ims} answered {answer.status} and no list of images: {answer.words}",
                status=answer.status,
            )
        return found

    def os_versions(self, *, limit_s: float = math.inf) -> list[str]:
        """Return the values of `os_version` that the service takes at this moment."""
        ims, path, end = self._endpoints.ims, "/v1/cloudimages/os_version", _end(limit_s)
        return listed.os_versions(self._get(ims, path, end, right=LIST_RIGHT))

    def image_quota(self, *, limit_s: float = math.inf) -> tuple[int, int] | None:
        """Return the number of private images and the quota, where the service gives them."""
        ims, path, end = self._endpoints.ims, "/v1/cloudimages/quota", _end(limit_s)
        return listed.image_quota(self._get(ims, path, end, right=QUOTA_RIGHT))

    def _known_project_id(self, end: float) -> str:
        """Return the project's id: as given, or asked of IAM by the region's name."""
        if self._project_id is None:
            region, iam = self._endpoints.region, self._endpoints.iam
            if region is None or iam is None:
                raise UsageError(
                    "this job query needs a project id: set HUAWEICLOUD_SDK_PROJECT_ID"
                    " (or HW_PROJECT_ID, OS_PROJECT_ID)"
                )
            found = listed.project_ids(self._get(iam, "/v3/projects", end, {"name": region}))
            if len(found) != 1:
                raise UsageError(
                    f"IAM knows {len(found)} projects named {region}, expected 1:"
                    " set HUAWEICLOUD_SDK_PROJECT_ID"
                )
            self._project_id = found[0]
        return self._project_id

    def _progress_path(self, job_id: str, end: float) -> str:
        return f"/v1/cloudimages/job/{quote(job_id, safe='')}"

    def _jobs_path(self, job_id: str, end: float) -> str:
        return f"/v1/{self._known_project_id(end)}/jobs/{quote(job_id, safe='')}"

    def _get(
        self,
        endpoint: str,
        path: str,
        end: float,
        query: Mapping[str, str] | None = None,
        right: str = "",
    ) -> object:
        return self._call(_Question("GET", endpoint, path, query or {}, right=right), end).body

    def _call(self, question: _Question, end: float) -> Answer:
        method, endpoint = question.method, question.endpoint
        url, headers = _signed(question, self._credentials)
        left_s = max(LEAST_S, end - time.monotonic())
        secrets = self._credentials.secrets
        with (
            _network_errors(method, endpoint, secrets, reached=self._reached),
            _session(time.monotonic() + left_s) as session,
        ):
            response = session.request(
                method,
                url,
                data=question.data or None,
                headers=headers,
                timeout=(min(CONNECT_TIMEOUT_S, left_s), min(READ_TIMEOUT_S, left_s)),
                allow_redirects=False,
                proxies=_NO_PROXIES if is_loopback(endpoint) else None,
                auth=_leave_alone,  # else requests would put a .netrc entry over the signature
                verify=self._trusted(endpoint),
                stream=True,
            )
            content = _content(response)
        self._reached = True
        took_s = response.elapsed.total_seconds()
        _LOG.info(
            "%s %s%s: %d in %.2f s", method, endpoint, question.path, response.status_code, took_s
        )
        parsed, words = _parsed(content, secrets), _beginning(content, secrets)
        if 200 <= response.status_code < 300 and not error_codes.is_error(parsed):
            return Answer(response.status_code, parsed, words)
        raise _refusal(question, response, parsed, words, secrets)

    def _trusted(self, endpoint: str) -> str | None:
        """Return the file of certificates to trust; UsageError if it or the proxy is wrong."""
        if not is_loopback(endpoint):
            check_proxy(endpoint, _PROXIES)
        return trusted(self._ca_file, os.environ) if endpoint.startswith("https:") else None


def _signed(question: _Question, credentials: Credentials) -> tuple[str, dict[str, str]]:
    """Return the URL and the headers of a request, signed as Huawei's SDK does."""
    try:
        from huaweicloudsdkcore.auth.credentials import BasicCredentials
        from huaweicloudsdkcore.sdk_request import SdkRequest
    except ImportError as error:
        raise MissingExtraError("the import API needs Huawei's SDK", extra="cloud") from error
    signer = BasicCredentials(
        credentials.access_key, credentials.secret_key, credentials.project_id
    ).with_security_token(credentials.security_token)
    headers = {"User-Agent": f"imsprep/{__version__}"}
    if question.method == "POST":
        headers["Content-Type"] = "application/json;charset=utf-8"
    request = SdkRequest(
        method=question.method,
        schema="https",
        host=urlsplit(question.endpoint).netloc,
        resource_path=question.path,
        query_params=sorted(question.query.items()),
        header_params=headers,
        body=question.data or "",
    )
    signed = signer.sign_request(request)
    return question.endpoint.rstrip("/") + signed.uri, dict(signed.header_params)


def _end(limit_s: float) -> float:
    """Return when a question that is asked now has to be answered, on `time.monotonic`."""
    return time.monotonic() + max(LEAST_S, min(limit_s, ANSWER_LIMIT_S))


def _session(end: float) -> requests.Session:
    """Return a session of `requests` whose answers have to be there by `end`."""
    import requests
    from requests.adapters import HTTPAdapter

    limits = AnswerLimits(end=lambda: end)

    class Adapter(HTTPAdapter):
        def init_poolmanager(
            self, connections: int, maxsize: int, block: bool = False, **options: object
        ) -> None:
            super().init_poolmanager(connections, maxsize, block, **options)
            self._limit(self.poolmanager)

        def proxy_manager_for(self, proxy: str, **options: object) -> PoolManager:
            return self._limit(super().proxy_manager_for(proxy, **options))

        def _limit(self, manager: PoolManager) -> PoolManager:
            manager.pool_classes_by_scheme = limited(manager.pool_classes_by_scheme, limits)
            return manager

    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, Adapter())
    return session


def _content(response: requests.Response) -> bytes:
    """Return the body of an answer, within its limit of length, and close it.

    Raises an error of `requests` for one that is larger, too late or damaged.
    """
    from requests.exceptions import ConnectionError as BrokenError
    from urllib3.exceptions import HTTPError

    body = bytearray()
    with response:
        try:
            while piece := response.raw.read(_PIECE, decode_content=True):
                body += piece
                if len(body) > ANSWER_LIMIT:
                    raise BrokenError(f"the answer has more than {ANSWER_LIMIT >> 20} MiB")
        except HTTPError as error:
            raise BrokenError(error) from error
    return bytes(body)


def _leave_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Be the `auth` of a request that is signed already."""
    return request


@contextmanager
def _network_errors(
    method: str, endpoint: str, secrets: Sequence[str], *, reached: bool
) -> Iterator[None]:
    """Translate errors of `requests`; a POST that may have arrived is an UncertainError.

    `reached`: a service has answered before, so that its address and the proxy's can be right.
    """
    import requests
    from urllib3.exceptions import LocationParseError

    where = urlsplit(endpoint).netloc
    try:
        yield
    except requests.exceptions.MissingSchema as error:
        raise UsageError(f"{endpoint!r} is not the URL of a service: {error}") from error
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        LocationParseError,
    ) as error:  # `check_address` saw the endpoint, so that it is the proxy's address
        raise UsageError(
            f"no request can be made to {where}: {_short(error, secrets)}; check the proxy in"
            " HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
        ) from error
    except requests.exceptions.RequestException as error:
        raise _unanswered(error, method, where, secrets, reached=reached) from error


def _unanswered(
    error: RequestException, method: str, where: str, secrets: Sequence[str], *, reached: bool
) -> ServiceError | TransferError:
    """Return the error of a request without an answer; see `_network_errors`."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    fault = fault_of(error)
    if fault is None:
        cause = getattr(error.args[0], "reason", None) if error.args else None
        never_sent = isinstance(cause, NewConnectionError | ConnectTimeoutError)
        text, lasting = f"no answer from {where}: {_short(error, secrets)}", False
    else:
        never_sent, lasting = fault.never_sent, fault.is_lasting(reached=reached)
        text = hide(fault.sentence(where), secrets)
    if method == "POST" and not never_sent:
        return UncertainError(text)
    if fault is not None and fault.about != "proxy" and lasting:
        return ServiceError(text, remedies=fault.parameters)
    return TransferError(text, lasting=lasting)


def _short(error: Exception, secrets: Sequence[str]) -> str:
    """Return the innermost sentence of a nested network error; it may quote the answer."""
    inner: object = error
    while True:
        args = inner.args if isinstance(inner, Exception) else ()
        nested = args[-1] if args and isinstance(args[-1], Exception) else None
        deeper = getattr(inner, "reason", None) or nested
        if deeper is None:
            break
        inner = deeper
    sentence = str(inner).rpartition(": ")[2] or type(inner).__name__
    return show_words(hide(sentence, secrets), 200)


def _is_id(job_id: str) -> bool:
    """Return whether an id can stand in a path and on a screen."""
    return 0 < len(job_id) <= _LONGEST_ID and job_id.isprintable() and job_id not in (".", "..")


def _parsed(content: bytes, secrets: Sequence[str]) -> object:
    """Return the JSON of a body without secrets; None for anything else, however deep it is."""
    try:
        return _without(json.loads(content), secrets) if content else None
    except (ValueError, RecursionError):
        return None


def _without(value: object, secrets: Sequence[str]) -> object:
    """Return a value of JSON whose texts are without secrets.

    The gateway is known to quote what was signed, and a security token is signed.
    """
    if isinstance(value, str):
        return hide(value, secrets)
    if isinstance(value, dict):
        return {hide(name, secrets): _without(inner, secrets) for name, inner in value.items()}
    return [_without(inner, secrets) for inner in value] if isinstance(value, list) else value


def _beginning(content: bytes, secrets: Sequence[str]) -> str:
    text = content[:2000].decode("utf-8", "replace")
    return show_words(hide(text, secrets), 120) or "an empty body"


def _refusal(
    question: _Question,
    response: requests.Response,
    body: object,
    words: str,
    secrets: Sequence[str],
) -> ServiceError | TransferError:
    """Return the error that an answer other than 2xx means, or a 2xx with an error's body.

    `words` are what its body begins with, which are shown where nothing else explains it.
    """
    status, headers = response.status_code, response.headers
    code, message = error_codes.read_error(body)
    if message is None and status not in error_codes.STATUSES:
        message = words
    text = error_codes.explain(status, code, message, question.right)
    if 300 <= status < 400:
        text += f" [location {_of_header(headers.get('Location', 'not given'), secrets)}]"
    if request_id := headers.get("X-Request-Id"):
        text += f" [request {_of_header(request_id, secrets)}]"
    wait_s = retry_after(headers.get("Retry-After"), headers.get("Date"), time.time())
    if code in error_codes.PASSING:
        return TransferError(text, retry_after_s=wait_s)
    doubtful = status == 408 or status < 200 or (status >= 500 and status not in LASTING_STATUSES)
    if question.method == "POST" and doubtful:
        return UncertainError(text, retry_after_s=wait_s)
    if doubtful or status in _EARLY:
        return TransferError(text, retry_after_s=wait_s)
    return ServiceError(text, code=code, status=status)


def _of_header(text: str, secrets: Sequence[str]) -> str:
    return show_words(hide(text, secrets), 200)
