"""Network faults: why no connection came about, what to do, and whether another attempt may help.

A connection that breaks may hold the next time. A certificate that is not valid stays so, as do a
port that speaks no TLS, a server that offers only what is refused here, a proxy that lets nothing
through, and a host name that the resolver says does not exist; `fault_of` tells them apart, in what
`requests` and botocore make of an error of urllib3. OpenSSL's names of faults, which Python hands
on as `verify_code` and `reason`, are in its `x509_vfy.h` and `sslerr.h`.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

from imsprep.errors import UsageError, show_words

if TYPE_CHECKING:
    from urllib3.exceptions import ProxyError


class Fault(NamedTuple):
    """Why there is no connection; `why` stands behind a colon."""

    why: str
    never_sent: bool = True  # the request cannot have arrived
    # None: only if nothing has been reached before; what worked once may work again.
    lasting: bool | None = True
    about: Literal["tls", "name", "proxy"] = "tls"
    parameters: tuple[str, ...] = ()  # by which a caller can mend it, as an error's remedies

    def is_lasting(self, *, reached: bool) -> bool:
        """Return whether no attempt will help; `reached`: an earlier one had an answer."""
        return not reached if self.lasting is None else self.lasting

    def sentence(self, where: str) -> str:
        """Return what is wrong; `where`: the host or store that was not reached."""
        if self.about == "tls":
            return f"no connection to {where} can be trusted: {self.why}"
        if self.about == "proxy":
            return f"no answer from {where} through the proxy (HTTPS_PROXY, HTTP_PROXY): {self.why}"
        return f"no connection to {where}: {self.why}"


_CLOCK = "renew the certificate, or set this machine's clock if that is wrong"
_AUTHORITY = Fault(
    "its certificate comes from an authority that is not trusted here: if that is your company's,"
    " or of a proxy that reads what passes, give its certificates as those to trust",
    parameters=("ca_bundle",),
)
_HOST = Fault(
    "its certificate is of another host: check endpoint and region; a bucket with a dot in its name"
    " fits none"
)
_VERIFY = {  # X509_V_ERR_…
    2: _AUTHORITY,
    9: Fault(f"its certificate is not valid yet: {_CLOCK}"),
    10: Fault(f"its certificate has expired: {_CLOCK}"),
    18: Fault(
        "its certificate is self-signed: if it is meant to be, give it as the one to trust",
        parameters=("ca_bundle",),
    ),
    19: _AUTHORITY,
    20: _AUTHORITY,
    21: _AUTHORITY,
    62: _HOST,
    64: _HOST,
}
# Seen too where bytes are damaged on the way.
_NO_TLS = Fault(
    "it does not speak TLS on this port: check the port, or begin the address with http:// if plain"
    " HTTP is meant",
    never_sent=False,
    lasting=None,
)
_OLD = Fault(
    "it has no version of TLS in common with this machine, which refuses those before 1.2: the"
    " server, or a proxy on the way, has to be updated"
)
_CIPHERS = Fault(
    "it has no encryption in common with this machine: the server, or a proxy on the way, has to be"
    " updated"
)
_CLIENT = Fault(
    "it wants a certificate of its client, as no service of the cloud does: check endpoint and"
    " proxy",
    never_sent=False,
)
_REASONS = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "UNKNOWN_PROTOCOL": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _OLD,
    "VERSION_TOO_LOW": _OLD,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _CIPHERS,
    "NO_SHARED_CIPHER": _CIPHERS,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": _CIPHERS,
    "DH_KEY_TOO_SMALL": _CIPHERS,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _CLIENT,
    "SSLV3_ALERT_BAD_CERTIFICATE": _CLIENT,
}
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b")  # http.client's words
WANTS_USER = "it wants a user and a password: http://USER:PASSWORD@HOST:PORT"
_SHOWN = 200  # characters of a library's words
# Answers of a resolver that are about the name; EAI_AGAIN, that it cannot be asked now, is another.
_NO_SUCH_NAME = {
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)
}
_NAME = Fault(
    "the host name is not known to the resolver: check endpoint and region",
    lasting=None,
    about="name",
)


def fault_of(error: BaseException) -> Fault | None:
    """Return what kept a connection from coming about; None for another fault."""
    from urllib3.exceptions import ProxyError

    errors = list(_within(error))
    proxy = next((inner for inner in errors if isinstance(inner, ProxyError)), None)
    fault = next((found for inner in errors if (found := _of_tls(inner))), None)
    if proxy is not None:
        return _of_proxy(proxy, fault)
    return fault or (_NAME if any(_is_no_such_name(inner) for inner in errors) else None)


def check_proxy(url: str, kinds: Sequence[str] = ("http", "https")) -> None:
    """Raise UsageError if what the environment names for a URL is no proxy, or of another kind.

    Its value is not shown, since it may hold a password.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    named = getproxies().get(parts.scheme)
    if not named or proxy_bypass(parts.hostname or ""):
        return
    try:
        proxy = urlsplit(named if "://" in named else f"http://{named}")
        fitting = proxy.scheme in kinds and proxy.hostname and proxy.port != 0
    except ValueError:
        fitting = None
    if not fitting:
        name = f"{parts.scheme}_proxy".upper()
        raise UsageError(
            f"{name} is not the address of a proxy; expected a URL such as"
            " http://proxy.example.com:3128"
        )


def _of_tls(error: BaseException) -> Fault | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        words = show_words(error.verify_message or str(error), _SHOWN)
        other = Fault(f"its certificate is not valid: {words}")
        return _VERIFY.get(error.verify_code, other)
    if type(error).__name__ == "CertificateError":  # urllib3 compares some names itself
        return _HOST
    return _REASONS.get(error.reason) if isinstance(error, ssl.SSLError) else None


def _is_no_such_name(error: BaseException) -> bool:
    return isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME


def _of_proxy(error: ProxyError, tls: Fault | None) -> Fault:
    """Return why nothing went through a proxy; urllib3 calls it the proxy's only then."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    if tls is not None:
        return tls._replace(about="proxy")
    words = str(error.original_error)
    inner = show_words(words.rpartition(": ")[2], _SHOWN)
    refused = _TUNNEL.search(words)
    if refused is None:
        away = isinstance(error.original_error, NewConnectionError | ConnectTimeoutError)
        return Fault(inner, never_sent=away, lasting=None if away else False, about="proxy")
    if not refused[1].startswith("4"):
        return Fault(inner, lasting=False, about="proxy")
    why = WANTS_USER if refused[1] == "407" else "it does not let this connection through"
    return Fault(f"status {refused[1]}, {why}", about="proxy")


def _within(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it came from, wherever a library keeps that."""
    seen: set[int] = set()
    left: list[object] = [error]
    while left:
        inner = left.pop()
        if isinstance(inner, BaseException) and id(inner) not in seen:
            seen.add(id(inner))
            yield inner
            kept = (inner.__cause__, inner.__context__, getattr(inner, "reason", None))
            left += [*inner.args, *kept, getattr(inner, "original_error", None)]
