"""What a region is asked, and that what it refuses hides nothing of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from imsprep.errors import ServiceError, TransferError
from imsprep.ims.listed import CloudImage
from imsprep.ims.region import look_at_region

IMAGE = CloudImage("i-1", "web01", "active", "")


class Service:
    """A service that refuses one question."""

    def __init__(self, refuses: str = "", error: Exception | None = None) -> None:
        self.refuses, self.error, self.asked = refuses, error, dict[str, Any]()

    def _answer(self, question: str, answer: Any, limit_s: float) -> Any:
        self.asked[question] = limit_s
        if question == self.refuses and self.error is not None:
            raise self.error
        return answer

    def images(self, name: str, tag: str | None = None, *, limit_s: float) -> Any:
        self.name = name
        return self._answer("images", [IMAGE], limit_s)

    def image_quota(self, *, limit_s: float) -> Any:
        return self._answer("quota", (3, 50), limit_s)

    def os_versions(self, *, limit_s: float) -> Any:
        return self._answer("versions", ["Debian"], limit_s)


def test_all_that_a_region_says_is_kept() -> None:
    service = Service()
    found = look_at_region(service, "web01", limit_s=7)
    assert (found.quota, found.os_versions, found.images) == ((3, 50), ("Debian",), (IMAGE,))
    assert (found.refusal, found.refusals) == ("", ("", ""))
    assert service.asked == {"images": 7, "quota": 7, "versions": 7}
    assert service.name == "web01"


def test_without_a_name_the_list_is_asked_for_and_not_kept() -> None:
    service = Service()
    assert look_at_region(service).images == ()
    assert service.name == "imsprep"


@pytest.mark.parametrize("error", [ServiceError("no"), TransferError("no")])
@pytest.mark.parametrize("question", ["images", "quota", "versions"])
def test_what_is_refused_is_a_fact_and_the_rest_is_asked(question: str, error: Exception) -> None:
    found = look_at_region(Service(question, error), "web01")
    assert (found.images == ()) is (question == "images")
    assert (found.quota is None) is (question == "quota")
    assert (found.os_versions == ()) is (question == "versions")
    assert [found.refusal, *found.refusals].count("no") == 1
