"""Certificates: which file of them is trusted instead of the usual ones."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from functools import cache

from imsprep.errors import UsageError, show_path

# In the order of `requests`, by which many tools learn of a company's own authority.
VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def trusted(given: str | os.PathLike[str] | None, environment: Mapping[str, str]) -> str | None:
    """Return the file of certificates to trust, or None for the usual ones.

    It is the one that is given, or else that of a variable of the environment, which may also name
    a folder. Raises UsageError if it is not there or holds no certificate.
    """
    named = [(given, "")] if given else [(environment.get(n), f", of {n}") for n in VARIABLES]
    path, whose = next(((path, whose) for path, whose in named if path), (None, ""))
    if path is None:
        return None
    if os.path.isfile(path):
        _check(os.fspath(path), whose)
    elif not (whose and os.path.isdir(path)):
        raise UsageError(f"no such file of certificates: {show_path(path)}{whose}")
    return os.fspath(path)


@cache
def _check(path: str, whose: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # an SSLError is one
        why = "it holds none in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise UsageError(
            f"{show_path(path)}{whose} cannot be used as a file of certificates: {why}"
        ) from error
