"""Start an import at most once, although the request has no key that would make it repeatable.

A POST that got no clear answer may have been accepted. Then nothing is posted again; the image is
looked for instead, by its name, and by its origin and tag where the service tells them. What comes
back is a job to wait for, or an image that some request - most likely ours - is making.

    refused for the moment (429, flow control), or never sent    asked again, after a pause
    no clear answer, the image is found                          the image is waited for
    no clear answer, no image in time                            UncertainError: run again, which
                                                                 looks for the image before it posts
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from imsprep.errors import (
    JobFailedError,
    ServiceError,
    TransferError,
    UncertainError,
    WaitTimeoutError,
)
from imsprep.ims.listed import CloudImage
from imsprep.ims.request import QuickImportRequest
from imsprep.ims.wait import PollPolicy, poll

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# How long an image may take to be listed after a POST without an answer; no document tells.
LOOK_FOR_S = 120.0
UNLISTED_S = 60.0  # how long an image may be missing in the list before it counts as gone
BUSY_LIMIT_S = 900.0  # how long to go on asking a service that is too busy
DEAD = ("killed", "deleted")  # image statuses that no image comes out of


class Imports(Protocol):
    """What is needed of the import API: a part of `client.ImsClient`.

    A question is given up after `limit_s` seconds.
    """

    def quick_import(self, request: QuickImportRequest, *, limit_s: float) -> str:
        """Ask for an import; return the job's id."""

    def images(self, name: str, tag: str | None = None, *, limit_s: float) -> list[CloudImage]:
        """Return the private images of this name, and with this tag."""


class Question(Protocol[T_co]):
    """A question to the service."""

    def __call__(self, *, limit_s: float) -> T_co:
        """Ask it, for `limit_s` seconds at most."""


@dataclass(frozen=True)
class Started:
    """What to wait for: a job, or the image of a job whose id was lost."""

    job_id: str | None = None
    image_id: str | None = None


def find_image(
    client: Imports,
    request: QuickImportRequest,
    before: Collection[str] = (),
    *,
    limit_s: float = math.inf,
) -> CloudImage | None:
    """Return the image that this very request made or is making, or None.

    It has the request's name and first tag, and its origin is the request's object; an image whose
    origin the service does not tell counts by name and tag alone. `before` are the ids of images
    that were there before anything was asked: an older import of the same name and object.
    """
    for image in client.images(request.name, first_tag(request), limit_s=limit_s):
        if image.status in DEAD or image.image_id in before:
            continue
        if image.origin in (None, "", f"file,{request.image_url}"):
            return image
    return None


def submit(
    client: Imports, request: QuickImportRequest, pace: PollPolicy, *, before: Collection[str]
) -> Started:
    """Start the import, and never post again after a POST that may have been accepted.

    `before` as for `find_image`. Raises ServiceError if the service refuses, TransferError if it
    stays too busy or out of reach, UncertainError as above.
    """
    try:
        return Started(job_id=patiently(partial(client.quick_import, request), pace))
    except UncertainError as error:
        pace = pace.started()
        pace.on_warning(f"{error}; looking for the image; the request is not repeated")
        return Started(image_id=_image_of_doubt(client, request, pace, before, str(error)))


def patiently(ask: Question[T], pace: PollPolicy) -> T:
    """Ask again, with growing pauses, while the service is too busy or out of reach.

    What may have been accepted (UncertainError) is never asked again. After BUSY_LIMIT_S or the
    pace's limit the last TransferError stands.
    """
    answer = poll(lambda left_s: (ask(limit_s=left_s),), pace, limit_s=BUSY_LIMIT_S)
    assert answer is not None  # every attempt answers or fails
    return answer[0]


def look(
    client: Imports,
    request: QuickImportRequest,
    pace: PollPolicy,
    *,
    before: Collection[str],
    limit_s: float,
) -> CloudImage | None:
    """Look for the image of a request that may have been accepted; None if it does not turn up.

    Raises ServiceError if looking is refused, TransferError if the last look failed.
    """
    return poll(
        lambda left_s: find_image(client, request, before, limit_s=left_s), pace, limit_s=limit_s
    )


def wait_for_image(client: Imports, name: str, image_id: str, pace: PollPolicy) -> str:
    """Wait until an image is active, where no job id is known; return its id.

    That it is not listed counts as its end only if it stays so: a list may lag behind.
    """
    listed, status = pace.clock(), "not known"

    def ask(left_s: float) -> str | None:
        nonlocal listed, status
        images = client.images(name, limit_s=left_s)
        status = next((i.status for i in images if i.image_id == image_id), "gone")
        if status != "gone":
            listed = pace.clock()
        if status in DEAD or pace.clock() - listed >= UNLISTED_S:
            raise JobFailedError(
                f"the import did not make image {image_id}: it is {status}; the job's id was lost"
                " with the answer, so the reason is only in the console"
            )
        return image_id if status == "active" else None

    with contextlib.suppress(TransferError):
        if poll(ask, pace) is not None:
            return image_id
    raise WaitTimeoutError(
        f"image {image_id} was {status} after {pace.limit_s:.0f} s; it may still become active:"
        " run again to go on waiting"
    )


def first_tag(request: QuickImportRequest) -> str | None:
    """Return the request's first tag as `key.value`, the form of the list's filter."""
    if request.tags:
        return request.tags[0]
    if request.image_tags:
        key, value = request.image_tags[0]
        return f"{key}.{value}"
    return None


def _image_of_doubt(
    client: Imports,
    request: QuickImportRequest,
    pace: PollPolicy,
    before: Collection[str],
    why: str,
) -> str:
    """Return the id of the image that a POST without an answer made; UncertainError if none is."""
    try:
        found = look(client, request, pace, before=before, limit_s=LOOK_FOR_S)
        if found is not None:
            return found.image_id
    except (ServiceError, TransferError) as error:
        why = f"{why}; looking for the image failed: {error}"
    raise UncertainError(
        f"it is not known whether the import of {request.name} was accepted ({why}); no image of"
        " that name and origin is listed yet. The request is not repeated: run the same command"
        " again, which looks for the image first"
    )
