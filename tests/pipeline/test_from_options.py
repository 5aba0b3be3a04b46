"""From options to the library's values, and what no option may say."""

from __future__ import annotations

import datetime

import pytest

from imsprep.checks.policy import Waiver
from imsprep.errors import UsageError
from imsprep.options import CheckOptions, PackOptions
from imsprep.pipeline.from_options import (
    fail_on,
    fields_of,
    pack_task_of,
    policy_of,
    severity_of,
    site_of,
)
from imsprep.report import Severity
from imsprep.zvhd2 import records


def test_the_default_site_gives_way_to_the_one_that_has_the_region() -> None:
    assert site_of(CheckOptions.site).key == CheckOptions.site
    assert site_of(CheckOptions.site, "eu-de").key == "otc"
    with pytest.raises(UsageError, match=r"unknown site .moon.; known: .*otc"):
        site_of("moon")


def test_every_field_of_a_request_is_taken_and_no_tags_are_none() -> None:
    options = CheckOptions(
        name="n", image_url="b:k", min_disk=40, os_version="v", os_type="Linux", type="ECS",
        description="d", license_type="byol", tags=("a.b",), image_tags=(("k", "v"),),
        enterprise_project_id="0", architecture="arm", firmware="uefi",
    )  # fmt: skip
    fields = fields_of(options)
    assert (fields.name, fields.image_url, fields.min_disk) == ("n", "b:k", 40)
    assert (fields.tags, fields.image_tags) == (("a.b",), (("k", "v"),))
    assert (fields.architecture, fields.hw_firmware_type) == ("arm", "uefi")
    assert (fields_of(CheckOptions()).tags, fields_of(CheckOptions()).image_tags) == (None, None)


def test_a_policy_counts_today_and_severities_by_their_words() -> None:
    policy = policy_of(CheckOptions(severity={"IMS209": "note"}, ignore=("IMS2",)))
    assert policy.severity == {"IMS209": Severity.NOTE}
    assert policy.ignore == ("IMS2",)
    assert policy.today == datetime.datetime.now(tz=datetime.UTC).date()
    with pytest.raises(UsageError, match="'grave'"):
        severity_of("grave")


def test_a_rule_is_named_in_whatever_case() -> None:
    waiver = Waiver("ims114", "known")
    asked = CheckOptions(
        select=("ims1", "Ims2"), ignore=("ims203",), severity={"ims209": "note"}, waivers=(waiver,)
    )
    policy = policy_of(asked)
    policy.validate({"IMS114", "IMS203", "IMS209"})
    assert (policy.selects("IMS114"), policy.selects("IMS203")) == (True, False)


@pytest.mark.parametrize(
    ("word", "least"), [("never", None), ("error", Severity.ERROR), ("note", Severity.NOTE)]
)
def test_what_fails_is_a_severity_or_nothing(word: str, least: Severity | None) -> None:
    assert fail_on(CheckOptions(fail_on=word)) is least


def test_a_packing_has_the_method_and_threads_that_are_asked_for() -> None:
    task = pack_task_of(PackOptions(compression="zlib", level=9), jobs=3, timestamp=7)
    assert (task.method, task.level, task.jobs, task.timestamp) == (records.ZLIB, 9, 3, 7)
    assert pack_task_of(PackOptions()).method == records.ZSTD
    assert pack_task_of(PackOptions()).jobs >= 1
