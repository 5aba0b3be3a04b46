"""A strict S3 in this process: moto behind a middleware that minds what OBS minds.

It counts the bytes of request bodies, verifies Content-MD5, refuses trailing checksums
(aws-chunked), path style, bodies without a length and clocks that are wrong, names the upload that
made an object (x-obs-uploadId), and breaks on request: 503, dropped connections, latency, copies
and completions that are answered with 200 and an error, a bucket that encrypts by itself, objects
that are cut short, any refusal. With TLS or without.
"""

from __future__ import annotations

import base64
import hashlib
import io
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from werkzeug.serving import WSGIRequestHandler, make_server

from imsprep.system.threads import serving

HOST = "obs.localhost"
SKEW_S = 15 * 60
_ETAG = re.compile(rb"(?<=<ETag>)[^<]*?[0-9a-fA-F]{32}(?:-[0-9]+)?")


class Faults:
    """How often requests fail, 0.0 to 1.0, and how long each takes."""

    def __init__(self, *, busy: float = 0.0, dropped: float = 0.0, latency_s: float = 0.0) -> None:
        self.busy, self.dropped, self.latency_s = busy, dropped, latency_s
        self.random = random.Random(7)


class Strict:
    """The middleware."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app
        self.faults = Faults()
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.received = 0  # bytes of bodies
        self.failed = 0  # requests that were made to fail
        self.log: list[tuple[str, str, str]] = []  # method, path, query
        self.signed: set[str] = set()  # what stood in x-amz-content-sha256
        self.tokens: set[str] = set()  # and in x-amz-security-token
        self.classes: list[str] = []  # that were asked for when an object was begun
        self.refuses: tuple[str, str] | None = None  # status and code, for every request
        self.refuses_queries = ""  # of these, only for those with this in their query
        self.refuses_with: dict[str, str] = {}  # headers of these answers
        self.cuts = False  # the connection breaks in the middle of an object that is read
        self.answers: bytes | None = None  # if given, every request is answered with it, and 200
        self.copy_answer = b""  # if given, what every copy is answered with, and 200
        # What the next completion is answered with, and 200; and whether it works all the same.
        self.completion: tuple[bytes, bool] | None = None
        self.bucket_says: dict[str, str] = {}  # headers of HEAD bucket that OBS has
        # How ETags are written: "capitals", "bare" (no quotes), "none of HEAD", "none" (of HEAD and
        # lists of objects), "own" (no MD5s), or as moto does.
        self.etags = ""
        self.encrypts = ""  # how the bucket does so by itself, and by which header it says so
        self.says_so = "x-amz-server-side-encryption"
        self.made_by: dict[tuple[str, str], str] = {}  # host and path: the upload that made it

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with self.lock:
            self.received += len(body)
            self.log.append(
                (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"])
            )
            self.signed.add(environ.get("HTTP_X_AMZ_CONTENT_SHA256", ""))
            self.tokens.add(environ.get("HTTP_X_AMZ_SECURITY_TOKEN", ""))
            if (
                environ["REQUEST_METHOD"] in ("PUT", "POST")
                and "uploadId=" not in environ["QUERY_STRING"]
            ):
                self.classes.append(environ.get("HTTP_X_AMZ_STORAGE_CLASS", ""))
            chance = self.faults.random.random()
        time.sleep(self.faults.latency_s)
        refused = self._refusal(environ, body)
        if refused is None and self.refuses_queries in environ["QUERY_STRING"]:
            refused = self.refuses
        if refused is None and chance < self.faults.dropped:
            self.failed += 1
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        if refused is None and chance < self.faults.dropped + self.faults.busy:
            self.failed += 1
            refused = ("503 Service Unavailable", "SlowDown")
        if refused is not None:
            status, code = refused
            start(status, [("Content-Type", "application/xml"), *self.refuses_with.items()])
            if environ["REQUEST_METHOD"] == "HEAD":
                return []
            return [f"<Error><Code>{code}</Code><Message>refused</Message></Error>".encode()]
        if self.answers is not None:
            start("200 OK", [("Content-Type", "application/xml")])
            return [self.answers]
        if self.copy_answer and "HTTP_X_AMZ_COPY_SOURCE" in environ:
            start("200 OK", [("Content-Type", "application/xml")])
            return [self.copy_answer]
        environ["wsgi.input"] = io.BytesIO(body)
        query = environ["QUERY_STRING"]
        if self.completion and environ["REQUEST_METHOD"] == "POST" and "uploadId=" in query:
            (said, acted), self.completion = self.completion, None
            if acted:
                b"".join(self.app(environ, self._as_obs_does(environ, lambda *_: None)))
            start("200 OK", [("Content-Type", "application/xml")])
            return [said]
        if self.etags:
            return self._with_etags(environ, body, start)
        answer = self.app(environ, self._as_obs_does(environ, start))
        if self.cuts and environ["REQUEST_METHOD"] == "GET":
            return self._cut(environ, b"".join(answer))
        return answer

    def _with_etags(
        self, environ: dict[str, Any], body: bytes, start: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer with ETags in the way that is asked for; a completion has to repeat them so."""
        capitals, none = self.etags == "capitals", self.etags == "none"
        is_head = environ["REQUEST_METHOD"] == "HEAD"
        if capitals and b"<ETag>" in body:
            if body != _ETAG.sub(lambda found: _cased(found[0], bytes.upper), body):
                start("400 Bad Request", [("Content-Type", "application/xml")])
                return [b"<Error><Code>InvalidPart</Code><Message>not as given</Message></Error>"]
            body = _ETAG.sub(lambda found: _cased(found[0], bytes.lower), body)
            environ["wsgi.input"] = io.BytesIO(body)
        own = self.etags == "own"
        if own:
            environ["wsgi.input"] = io.BytesIO(_ETAG.sub(lambda found: _turned(found[0]), body))
        said: list[Any] = []
        answer = b"".join(self.app(environ, self._as_obs_does(environ, lambda *a: said.extend(a))))
        status, headers = said[0], dict(said[1])
        etag = next((name for name in headers if name.lower() == "etag"), None)
        if etag and is_head and self.etags.startswith("none"):
            del headers[etag]
        elif etag and capitals:
            headers[etag] = headers[etag].upper()
        elif etag and self.etags == "bare":
            headers[etag] = headers[etag].strip('"')
        elif etag and own:
            headers[etag] = _turned(headers[etag].encode()).decode()
        if own:
            answer = _ETAG.sub(lambda found: _turned(found[0]), answer)
        if capitals:
            answer = _ETAG.sub(lambda found: _cased(found[0], bytes.upper), answer)
        if self.etags == "bare":
            answer = answer.replace(b"<ETag>&quot;", b"<ETag>").replace(
                b"&quot;</ETag>", b"</ETag>"
            )
            answer = answer.replace(b'<ETag>"', b"<ETag>").replace(b'"</ETag>', b"</ETag>")
        if none and b"<ListBucketResult" in answer:
            answer = re.sub(rb"<ETag>.*?</ETag>", b"", answer)
        if not is_head:
            headers["Content-Length"] = str(len(answer))
        start(status, list(headers.items()))
        return [answer]

    @staticmethod
    def _cut(environ: dict[str, Any], body: bytes) -> Iterator[bytes]:
        yield body[: len(body) // 2]
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)

    def _as_obs_does(
        self, environ: dict[str, Any], start: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Add to the answer what OBS says and moto does not."""
        name = (environ["HTTP_HOST"], environ["PATH_INFO"])
        upload_id = parse_qs(environ["QUERY_STRING"]).get("uploadId", [""])[0]

        def answer(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            if environ["REQUEST_METHOD"] == "POST" and upload_id and status.startswith("200"):
                self.made_by[name] = upload_id
            if environ["REQUEST_METHOD"] == "HEAD" and name in self.made_by:
                headers = [*headers, ("x-obs-uploadId", self.made_by[name])]
            if environ["REQUEST_METHOD"] == "HEAD" and environ["PATH_INFO"] == "/":
                headers = [*headers, *self.bucket_says.items()]
            if self.encrypts and environ["REQUEST_METHOD"] in ("PUT", "POST"):
                headers = [*headers, (self.says_so, self.encrypts)]
            return start(status, headers, *more)

        return answer

    @staticmethod
    def _refusal(environ: dict[str, Any], body: bytes) -> tuple[str, str] | None:
        sha = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
        chunked = "aws-chunked" in environ.get("HTTP_CONTENT_ENCODING", "")
        if chunked or sha.startswith("STREAMING") or "HTTP_X_AMZ_TRAILER" in environ:
            return "400 Bad Request", "XAmzContentSHA256Mismatch"
        if environ["HTTP_HOST"].partition(":")[0] == HOST:
            return "403 Forbidden", "VirtualHostDomainRequired"
        if environ["REQUEST_METHOD"] in ("PUT", "POST") and not environ.get("CONTENT_LENGTH"):
            return "411 Length Required", "MissingContentLength"
        date = environ.get("HTTP_X_AMZ_DATE", "19700101T000000Z")
        sent = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs((datetime.now(UTC) - sent).total_seconds()) > SKEW_S:
            return "403 Forbidden", "RequestTimeTooSkewed"
        md5 = environ.get("HTTP_CONTENT_MD5")
        if md5 and base64.b64decode(md5) != hashlib.md5(body).digest():
            return "400 Bad Request", "BadDigest"
        if body and environ["REQUEST_METHOD"] == "PUT" and not md5:
            return "400 Bad Request", "InvalidDigest"
        return None


def _cased(etag: bytes, change: Callable[[bytes], bytes]) -> bytes:
    return change(etag).replace(b"&QUOT;", b"&quot;")


def _turned(etag: bytes) -> bytes:
    """Return an ETag whose MD5 is written backwards, and so is none."""
    return re.sub(rb"[0-9a-f]{32}", lambda found: found[0][::-1], etag)


class Quiet(WSGIRequestHandler):
    """Says nothing on stderr, and keeps connections open as a real server does."""

    protocol_version = "HTTP/1.1"

    def log(self, *arguments: Any) -> None:
        pass


@contextmanager
def serve(tls: ssl.SSLContext | None = None) -> Iterator[tuple[Strict, str]]:
    """Run the server on a free port of loopback; give the middleware and the endpoint."""
    from moto.server import DomainDispatcherApplication, create_backend_app

    strict = Strict(DomainDispatcherApplication(create_backend_app))
    server = make_server(
        "127.0.0.1", 0, strict, threaded=True, request_handler=Quiet, ssl_context=tls
    )
    server.daemon_threads = True
    with serving(server, poll_s=0.05):
        yield strict, f"{'https' if tls else 'http'}://{HOST}:{server.port}"


@contextmanager
def localhost_resolves() -> Iterator[None]:
    """Let every name below `localhost` mean loopback, which not every resolver knows."""
    original = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(host, str) and host.endswith(".localhost"):
            host = "127.0.0.1"
        return original(host, *arguments, **options)

    socket.getaddrinfo = resolve
    try:
        yield
    finally:
        socket.getaddrinfo = original
