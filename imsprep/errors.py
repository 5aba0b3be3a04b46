"""Every exception that imsprep raises on purpose, and the exit code each one means.

    ImsprepError
    ├── UsageError         2  wrong option, wrong configuration
    │   └── MissingExtraError   2  a part of imsprep that is not installed
    ├── FormatError        1  bytes are not what they claim to be
    │   └── ContentError   1  what is in a file is no disk image that is read
    ├── FindingsError      1  the image or the request has findings that fail
    ├── ReadError          3  could not check: unreadable, I/O error, no space
    │   └── ImageInUseError 3  another program may write to the image
    ├── ImageChangedError  4  the image changed while it was being read
    ├── TransferError      5  the transfer broke; run again to continue
    │   └── UncertainError 5  a request was sent; whether it was accepted is not known
    ├── ServiceError       6  the service refused
    │   └── JobFailedError 6  the import job ran and failed
    └── WaitTimeoutError   7  gave up waiting

A message says what, where, expected and got, and what to do if that is known. It is shown to the
user as it stands, after `imsprep: `. Errors of other libraries are translated where they arise,
with `from`.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from imsprep.report import Report


class ImsprepError(Exception):
    """Base of every deliberate error; `exit_code` is what the command line ends with.

    `remedies` are the parameters of the failed function by which the caller can change what went
    wrong, as ("output", "force"). A front end shows them in its own terms; messages do not.
    """

    exit_code: ClassVar[int] = 3
    remedies: tuple[str, ...] = ()

    def __init__(self, message: str = "", *, remedies: tuple[str, ...] | None = None) -> None:
        super().__init__(message)
        if remedies is not None:
            self.remedies = remedies


class UsageError(ImsprepError):
    """An option, an argument or the configuration is wrong."""

    exit_code = 2


class MissingExtraError(UsageError):
    """A command needs an optional part of imsprep (or a system package) that is not installed.

    `extra` is the name of the part. The message names it, and the command that installs it into the
    Python that runs.
    """

    def __init__(self, message: str, *, extra: str | None = None) -> None:
        if extra is not None and f"imsprep[{extra}]" not in message:
            message = f"{message}: imsprep[{extra}] is not installed"
        super().__init__(message)
        self.extra = extra

    def __str__(self) -> str:
        """Return the message, with the command that installs the part."""
        said = super().__str__()
        if self.extra is None or _INSTALL in said:
            return said
        from imsprep.extras import install_command  # it looks for pip and what is installed

        return f"{said}{_INSTALL}{install_command(self.extra)}"


_INSTALL = "; install with: "


class FormatError(ImsprepError):
    """Bytes are not what they claim to be; `offset` says where in the file, if that is known.

    `reason` is the message without the place.
    """

    exit_code = 1

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset})")
        self.reason, self.offset = message, offset


class ContentError(FormatError):
    """A file whose content is no disk image that is read, or not the one that its name says.

    One that is `ambiguous` may be a disk all the same: a caller that can be given the format says
    how, behind the message.
    """

    def __init__(self, message: str, *, ambiguous: bool = False) -> None:
        super().__init__(message)
        self.ambiguous = ambiguous


class FindingsError(ImsprepError):
    """A step was refused because the check before it has findings that fail: see `report`."""

    exit_code = 1

    def __init__(self, message: str, *, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report


class ReadError(ImsprepError):
    """Something could not be read or written, so nothing can be said about the image."""

    exit_code = 3

    @classmethod
    def from_os(cls, error: OSError, what: str, path: str | os.PathLike[str]) -> ReadError:
        """Translate an OSError: `what` is the attempt, as in "cannot read"."""
        hint = _HINTS.get(error.errno or 0, "")
        return cls(f"{what} {show_path(path)}: {error.strerror or error}{hint}")


class ImageInUseError(ReadError):
    """Another program may write to the image, so that what is read of it may not last."""

    remedies = ("force_share",)


class ImageChangedError(ImsprepError):
    """The image changed while it was being read; what was learned of it is worthless."""

    exit_code = 4


class TransferError(ImsprepError):
    """The transfer broke in a way that running again can mend.

    `retry_after_s` is how long the service wants nothing to be asked, in seconds, if it said so.
    One that is `lasting` is not mended by asking again, but by a person: as a wrong proxy is.
    """

    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        lasting: bool = False,
        remedies: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(message, remedies=remedies)
        self.retry_after_s, self.lasting = retry_after_s, lasting


class UncertainError(TransferError):
    """A request that must not be made twice was sent, and no answer says whether it counted."""


class ServiceError(ImsprepError):
    """The service answered and refused; `code` is its own error code, if it gave one.

    `status` is the HTTP status, where there was one.
    """

    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        remedies: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(message, remedies=remedies)
        self.code = code
        self.status = status


class JobFailedError(ServiceError):
    """The import job ended without an image."""


class WaitTimeoutError(ImsprepError):
    """The time limit passed while the job was still running; it may still succeed.

    `job_id` is the job's, where it is known.
    """

    exit_code = 7

    def __init__(self, message: str, *, job_id: str | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id


_HINTS = {
    errno.ENOSPC: "; free some space and run again",
    errno.EACCES: "; check its permissions",
    errno.EIO: "; the disk could not deliver it, see the system log",
}


# Statuses of an answer above 500 by which a service says no, and not that something broke: what is
# asked for is not there, or there is no room for it.
LASTING_STATUSES = frozenset({501, 505, 507, 508, 510, 511})


def retry_after(header: str | None, sent: str | None, now_s: float) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date; None for anything else.

    A date counts from `sent`, the answer's own Date, or else from `now_s`, in seconds since 1970;
    one that has passed is 0 seconds. Source: RFC 9110, 10.2.3.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until = _http_date(text)
    if until is None:
        return None
    begun = _http_date(sent or "")
    return max(0.0, until - (now_s if begun is None else begun))


def _http_date(text: str) -> float | None:
    """Return a date of HTTP in seconds since 1970; None for what is none."""
    if not text:
        return None
    from email.utils import mktime_tz, parsedate_tz  # only where a service sends one

    try:
        parsed = parsedate_tz(text)
        return float(mktime_tz(parsed)) if parsed else None
    except (ValueError, OverflowError, TypeError):
        return None


def show_words(text: str, limit: int = 400) -> str:
    """Write what a service said on one line and at a sensible length, in characters."""
    line = " ".join(text.split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return shown if len(shown) <= limit else f"{shown[:limit]}… ({len(text)} characters)"


def show_path(path: str | os.PathLike[str] | bytes) -> str:
    r"""Write a path so that it fits on one line: odd bytes and control characters are escaped.

    A name with a newline or bytes that are not UTF-8 is legal on Linux and must not break a log.
    """
    text = os.fsdecode(path)
    shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
