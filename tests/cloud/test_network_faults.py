"""Why no connection comes about: real servers and proxies on this machine that misbehave."""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

pytest.importorskip("botocore", reason="not installed: botocore")

from imsprep.cloud.credentials import Credentials
from imsprep.cloud.endpoints import Endpoints
from imsprep.cloud.network_faults import check_proxy
from imsprep.errors import ImsprepError, ServiceError, TransferError, UncertainError, UsageError
from imsprep.ims.client import ImsClient
from imsprep.store.contract import ObjectStore
from imsprep.store.obs import open_obs
from imsprep.store.retry import RetryingStore, RetryPolicy
from tests.support.ims.imscloud import REQUEST
from tests.support.store import s3cloud

KEYS = Credentials("AKTEST", "SK-very-secret")
DAY, NOW = timedelta(days=1), datetime.now(UTC)
GONE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
RECORD = b"\x17\x03\x03\x00\x20" + b"x" * 32  # of TLS, that no key fits

Talk = Callable[[socket.socket], object]


@contextmanager
def talking(talk: Talk) -> Iterator[int]:
    """Run a server whose connections are handed to `talk`; give its port."""
    over = threading.Event()

    def serve(server: socket.socket) -> None:
        server.settimeout(0.05)
        while not over.is_set():
            with suppress(OSError), server.accept()[0] as connection:
                connection.settimeout(5)
                talk(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()


def heard(connection: socket.socket) -> bytes:
    """Read a whole request: its head, and the body that is announced there."""
    data = b""
    while b"\r\n\r\n" not in data and (more := connection.recv(65536)):
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]) and (more := connection.recv(65536)):
        body += more
    return head


def plainly(connection: socket.socket, answer: bytes = GONE) -> None:
    heard(connection)
    connection.sendall(answer)


def at_once(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(GONE)


def over_tls(cert: trustme.LeafCert | None, *, newest: ssl.TLSVersion | None = None) -> Talk:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if newest is not None:
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
        context.set_ciphers("ALL:@SECLEVEL=0")
    if cert is not None:
        cert.configure_cert(context)

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            plainly(secure)

    return talk


def damaged(cert: trustme.LeafCert) -> Talk:
    """The request arrives, and its answer is damaged on the way."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)

    def talk(connection: socket.socket) -> None:
        secure = context.wrap_socket(connection, server_side=True)
        heard(secure)
        with socket.socket(fileno=secure.detach()) as bare:
            bare.sendall(RECORD)

    return talk


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [n for n in os.environ if n.lower().endswith(("_proxy", "_ca_bundle"))]:
        monkeypatch.delenv(name)
    with s3cloud.localhost_resolves():
        yield


def asked(url: str, ca: Path | None, *, post: bool = False) -> Iterator[ImsprepError]:
    """Ask store and service; yield what each raises, the store's after all its tries."""
    obs = open_obs("images", endpoint=url, region="r", credentials=KEYS, ca_bundle=ca)
    store: ObjectStore = RetryingStore(obs, RetryPolicy(limit_s=0))
    ims = ImsClient(Endpoints(url), KEYS, ca_file=str(ca) if ca else None)
    questions: list[Callable[[], object]] = [lambda: store.head("k"), lambda: ims.images("x")]
    questions += [lambda: ims.quick_import(REQUEST)] * post
    for ask in questions:
        with pytest.raises(ImsprepError) as caught:
            ask()
        yield caught.value
    obs.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("another host", "is of another host: check endpoint"),
        ("expired", "has expired: renew .* clock"),
        ("early", "is not valid yet: .* clock"),
        ("authority", "an authority that is not trusted here: .* proxy that reads"),
        ("old", "no version of TLS in common"),
        ("plain", "does not speak TLS on this port: .* http://"),
    ],
)
def test_each_reason_for_no_trust_is_said_at_once(
    case: str, words: str, authority: trustme.CA, bundle: Path
) -> None:
    names = ["another.example"] if case == "another host" else ["*.obs.localhost", "obs.localhost"]
    signs = trustme.CA() if case == "authority" else authority
    times = {"expired": (NOW - 9 * DAY, NOW - DAY), "early": (NOW + DAY, NOW + 9 * DAY)}
    begin, end = times.get(case, (None, None))
    cert = signs.issue_cert(*names, not_before=begin, not_after=end)
    newest = ssl.TLSVersion.TLSv1 if case == "old" else None
    talk = at_once if case == "plain" else over_tls(cert, newest=newest)
    with talking(talk) as port:
        for error in asked(f"https://obs.localhost:{port}", bundle):
            assert isinstance(error, ServiceError)
            assert re.search(words, str(error)), error
            assert (error.remedies == ("ca_bundle",)) is (case == "authority")


def test_an_answer_that_is_damaged_on_the_way_leaves_a_post_in_doubt(
    authority: trustme.CA, bundle: Path
) -> None:
    cert = authority.issue_cert("*.obs.localhost", "obs.localhost")
    with talking(damaged(cert)) as port:
        kinds = [type(e) for e in asked(f"https://obs.localhost:{port}", bundle, post=True)]
    assert kinds == [TransferError, TransferError, UncertainError]


@pytest.mark.parametrize(
    ("answer", "words", "lasting"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407, it wants a user", True),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403, it does not let this connection", True),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway", False),
        (None, "Connection refused", True),
    ],
)
def test_a_proxy_that_lets_nothing_through_is_not_asked_again(
    answer: bytes | None, words: str, lasting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        port = 9
        if answer is not None:
            port = stack.enter_context(talking(lambda connection: plainly(connection, answer)))
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:a-password@127.0.0.1:{port}")
        for error in asked("https://obs.example", None, post=True):
            assert type(error) is TransferError  # a POST was never sent either
            assert words in str(error)
            assert "proxy" in str(error)
            assert "a-password" not in str(error)
            # What is to be asked again ends at the limit, and says so.
            assert error.lasting is lasting or "every attempt failed" in str(error)


def answering(code: int) -> Callable[..., object]:
    def look_up(*_: object, **__: object) -> object:
        raise socket.gaierror(code, "the resolver's words")

    return look_up


def test_a_host_that_does_not_exist_is_not_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answering(socket.EAI_NONAME))
    for error in asked("https://obs.example", None, post=True):
        assert type(error) is ServiceError
        assert "the host name is not known to the resolver: check endpoint" in str(error)


@pytest.mark.slow
def test_a_resolver_that_cannot_be_asked_now_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answering(socket.EAI_AGAIN))
    for error in asked("https://obs.example", None, post=True):
        assert type(error) is TransferError
        assert not error.lasting or "every attempt failed" in str(error)


def test_a_host_that_was_there_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with talking(plainly) as port:
        url = f"http://obs.localhost:{port}"
        store = open_obs("images", endpoint=url, region="r", credentials=KEYS)
        assert store.head("k") is None
    monkeypatch.setattr(socket, "getaddrinfo", answering(socket.EAI_NONAME))
    with pytest.raises(TransferError, match="not known to the resolver") as caught:
        store.head("k")
    assert not caught.value.lasting
    store.close()


def test_what_was_reached_before_may_be_reached_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with talking(plainly) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        store = open_obs("images", endpoint="http://obs.example", region="r", credentials=KEYS)
        ims = ImsClient(Endpoints("http://ims.example"), KEYS)
        assert store.head("k") is None
        with pytest.raises(ServiceError):
            ims.images("x")
    for ask in (lambda: store.head("k"), lambda: ims.images("x")):
        with pytest.raises(TransferError, match="proxy") as caught:
            ask()
        assert not caught.value.lasting
    store.close()


@pytest.mark.slow
def test_a_post_that_a_proxy_took_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    with talking(heard) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        with pytest.raises(UncertainError):
            ImsClient(Endpoints("http://ims.example"), KEYS).quick_import(REQUEST)


@pytest.mark.parametrize(
    ("proxy", "fits"),
    [
        ("http://me:a-password@proxy.example:3128", True), ("proxy.example:3128", True),
        ("https://proxy.example", True), ("://bad", False), ("http://[::1", False),
        ("http://proxy.example:99999", False), ("http://:8080", False),
        ("socks5://a-password@proxy.example", False),
    ],
)  # fmt: skip
def test_a_proxy_that_can_be_none_is_a_usage_error(
    proxy: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", ".inside.example")
    check_proxy("https://obs.inside.example")
    check_proxy("http://obs.example")
    if fits:
        check_proxy("https://obs.example")
        return
    with pytest.raises(UsageError, match=r"^HTTPS_PROXY is not the address of a proxy") as caught:
        check_proxy("https://obs.example")
    assert "a-password" not in str(caught.value)
