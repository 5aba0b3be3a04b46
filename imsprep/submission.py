"""Start an import at most once, although the request has no key that would make it repeatable.

A POST that got no clear answer may have been accepted. Then nothing is posted again; the image is
looked for instead, by its name, and by its origin and tag where the service tells them. What comes
back is a job to wait for, or an image that somebody's request - most likely ours - is making.

    refused for the moment (429, flow control), or never sent    asked again, after a pause
    no clear answer, the image is found                          the image is waited for
    no clear answer, no image in time                            UncertainError: run again, which
                                                                 looks for the image before it posts
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from imsprep.errors import (
    JobFailedError,
    ServiceError,
    TransferError,
    UncertainError,
    WaitTimeoutError,
)
from imsprep.ims import CloudImage
from imsprep.request import QuickImportRequest
from imsprep.waiting import Pace

LOOK_FOR_S = 120.0  # how long an image may take to be listed after a POST without an answer
BUSY_LIMIT_S = 900.0  # how long to go on asking a service that is too busy
DEAD = ("killed", "deleted")  # image statuses that no image comes out of


class Imports(Protocol):
    """What is needed of the import API: a part of `ims.ImsClient`."""

    def quick_import(self, request: QuickImportRequest) -> str:
        """Ask for an import; return the job's id."""

    def images(self, name: str, tag: str | None = None) -> list[CloudImage]:
        """Return the private images of this name, and with this tag."""


@dataclass(frozen=True)
class Started:
    """What to wait for: a job, or the image of a job whose id was lost."""

    job_id: str | None = None
    image_id: str | None = None


def find_image(client: Imports, request: QuickImportRequest) -> CloudImage | None:
    """Return the image that this very request made or is making, or None.

    It has the request's name and first tag, and its origin is the request's object; an image whose
    origin the service does not tell counts by name and tag alone.
    """
    for image in client.images(request.name, first_tag(request)):
        if image.status not in DEAD and image.origin in (None, "", f"file,{request.image_url}"):
            return image
    return None


def submit(
    client: Imports, request: QuickImportRequest, pace: Pace, *, look_first: bool
) -> Started:
    """Start the import, and never post again after a POST that may have been accepted.

    `look_first` says that an earlier run ended in doubt. Raises ServiceError if the service
    refuses, TransferError if it stays too busy or out of reach, UncertainError as above.
    """
    if look_first:
        found = find_image(client, request)
        if found is not None:
            return Started(image_id=found.image_id)
    start, pause = pace.clock(), pace.interval_s
    while True:
        try:
            return Started(job_id=client.quick_import(request))
        except UncertainError as error:
            pace.on_trouble(f"{error}; looking for the image before anything is asked again")
            return Started(image_id=_look(client, request, pace, str(error)).image_id)
        except TransferError as error:
            if pace.clock() - start >= min(BUSY_LIMIT_S, pace.limit_s):
                raise
            pace.on_trouble(str(error))
        pace.sleep(pause)
        pause = min(pause * 2, 60.0)


def wait_for_image(client: Imports, name: str, image_id: str, pace: Pace) -> str:
    """Wait until an image is active, where no job id is known; return its id."""
    start = pace.clock()
    while True:
        status = "not known"
        try:
            status = next((i.status for i in client.images(name) if i.image_id == image_id), "gone")
        except TransferError as error:
            pace.on_trouble(str(error))
        if status == "active":
            return image_id
        if status in (*DEAD, "gone"):
            raise JobFailedError(
                f"the import did not make image {image_id}: it is {status}; the job's id was lost"
                " with the answer, so the reason is only in the console"
            )
        left = pace.limit_s - (pace.clock() - start)
        if left <= 0:
            raise WaitTimeoutError(
                f"image {image_id} was {status} after {pace.limit_s:.0f} s; it may still become"
                " active: run again to go on waiting"
            )
        pace.sleep(min(pace.interval_s, left))


def first_tag(request: QuickImportRequest) -> str | None:
    """Return the request's first tag as `key.value`, the form of the list's filter."""
    if request.tags:
        return request.tags[0]
    if request.image_tags:
        key, value = request.image_tags[0]
        return f"{key}.{value}"
    return None


def _look(client: Imports, request: QuickImportRequest, pace: Pace, why: str) -> CloudImage:
    start = pace.clock()
    while True:
        try:
            found = find_image(client, request)
            if found is not None:
                return found
        except TransferError as error:
            pace.on_trouble(str(error))
        except ServiceError as error:
            why = f"{why}; looking for the image was refused: {error}"
            break
        left = LOOK_FOR_S - (pace.clock() - start)
        if left <= 0:
            break
        pace.sleep(min(pace.interval_s, left))
    raise UncertainError(
        f"it is not known whether the import of {request.name} was accepted ({why}); no image of"
        " that name and origin is listed yet. Nothing is asked twice: run the same command again,"
        " and it looks for the image first"
    )
