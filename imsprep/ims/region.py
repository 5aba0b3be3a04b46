"""RegionFacts: what the image service of a region said of itself and of the account."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from imsprep.errors import ServiceError, TransferError
from imsprep.ims.listed import CloudImage

T = TypeVar("T")


class RegionService(Protocol):
    """What is asked: a part of `client.ImsClient`."""

    def images(self, name: str, tag: str | None = None, *, limit_s: float) -> list[CloudImage]:
        """Return the private images of this name."""

    def image_quota(self, *, limit_s: float) -> tuple[int, int] | None:
        """Return how many private images there are and how many there may be."""

    def os_versions(self, *, limit_s: float) -> list[str]:
        """Return the values of `os_version` that the service takes."""


@dataclass(frozen=True)
class RegionFacts:
    """What was said; None or empty where the service did not say it, and `refusals` why."""

    quota: tuple[int, int] | None = None  # private images: how many there are, and may be
    os_versions: tuple[str, ...] = ()
    refusals: tuple[str, str] = ("", "")  # of the quota and of the list, in the service's words
    images: tuple[CloudImage, ...] = ()  # of the name that was asked for
    refusal: str = ""  # why no images were listed: without that no import can be followed
    # Ids of images that an earlier run made of this file, if its disk is still the same.
    ours: tuple[str, ...] = ()


def look_at_region(
    service: RegionService, name: str | None = None, *, limit_s: float = math.inf
) -> RegionFacts:
    """Ask a region; reads only. What the service refuses becomes a fact, not an error.

    Each question is given up after `limit_s` seconds.
    """
    images, refusal = _asked(lambda: service.images(name or "imsprep", limit_s=limit_s))
    quota, no_quota = _asked(lambda: service.image_quota(limit_s=limit_s))
    listed, no_list = _asked(lambda: service.os_versions(limit_s=limit_s))
    return RegionFacts(
        quota,
        tuple(listed or ()),
        (no_quota, no_list),
        tuple(images or ()) if name else (),
        refusal,
    )


def _asked(question: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return question(), ""
    except (ServiceError, TransferError) as error:
        return None, str(error)
