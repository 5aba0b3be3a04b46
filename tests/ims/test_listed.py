"""Lists of the service as it might write them: what is not as documented counts as none."""

from __future__ import annotations

from typing import Any

import pytest

from imsprep.ims import listed
from imsprep.ims.listed import CloudImage


@pytest.mark.parametrize("body", [None, "x", 7, [], {}, {"images": {}}, {"images": "x"}, {"images": 0}])  # fmt: skip
def test_what_is_no_list_of_images_is_none(body: Any) -> None:
    assert listed.images(body, "web01") is None


def test_images_are_those_of_the_name_that_can_be_told_apart() -> None:
    strange = [None, 5, "x", {"name": "web01"}, {"id": None, "name": "web01"}, {"id": "", "name": "web01"}, {"id": [1], "name": "web01"}, {"id": "a", "name": "web"}]  # fmt: skip
    good = {"id": "b", "name": "web01", "status": "active", "__data_origin": "file,images:disk.raw"}
    body = {"images": [*strange, good, {"id": "c", "name": "web01", "__data_origin": {"a": 1}}]}
    assert listed.images(body, "web01") == [
        CloudImage("b", "web01", "active", "file,images:disk.raw"),
        CloudImage("c", "web01", "None", None),
    ]
    assert listed.images({"images": None}, "web01") == []


@pytest.mark.parametrize("body", [None, "x", {"a": 1}, [None, 1, "a"], [{"version_list": None}], [{"version_list": ["a", None]}], [{"version_list": [{}]}], [{"version_list": [{"os_version": 5}]}], []])  # fmt: skip
def test_a_list_of_systems_that_is_none_has_no_values(body: Any) -> None:
    assert listed.os_versions(body) == []


def test_the_values_of_all_groups_are_listed() -> None:
    body = [{"version_list": [{"os_version": "A"}, {"os_version": ""}, 3]}, {"version_list": [{"os_version": "B"}]}]  # fmt: skip
    assert listed.os_versions(body) == ["A", "B"]


@pytest.mark.parametrize(
    "resources",
    [None, "x", ["a", None], [{"type": "image"}], [{"type": "image", "used": "a", "quota": None}],
     [{"type": "image", "used": 3, "quota": -1}], [{"type": "image", "used": float("inf"), "quota": 1}],
     [{"type": "disk", "used": 1, "quota": 2}], [{"type": "image", "used": True, "quota": 2}]],
)  # fmt: skip
def test_a_quota_that_is_not_two_numbers_is_not_known(resources: Any) -> None:
    assert listed.image_quota({"quotas": {"resources": resources}}) is None
    for body in (None, "x", [], {}, {"quotas": None}, {"quotas": [1]}):
        assert listed.image_quota(body) is None


def test_the_quota_of_images_is_found_among_others() -> None:
    resources = [{"type": "disk", "used": 1, "quota": 2}, {"type": "image", "used": 0, "quota": 50}]
    assert listed.image_quota({"quotas": {"resources": resources}}) == (0, 50)


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (None, []), ({}, []), ({"projects": None}, []), ({"projects": {"id": "a"}}, []),
        ({"projects": [None, {}, {"id": 5}, {"id": "a"}]}, ["a"]),
    ],
)  # fmt: skip
def test_projects_without_an_id_are_none(body: Any, ids: list[str]) -> None:
    assert listed.project_ids(body) == ids
