"""Endpoints: each site's own, and an override."""

from __future__ import annotations

import pytest

from imsprep.cloud.endpoints import Endpoints, endpoints_for, is_loopback
from imsprep.errors import UsageError


@pytest.mark.parametrize(
    ("site", "region", "expected"),
    [
        ("huawei", "cn-north-4", ("ims.cn-north-4.myhuaweicloud.com", "iam.cn-north-4.myhuaweicloud.com", "progress")),
        ("huawei-intl", "ap-southeast-3", ("ims.ap-southeast-3.myhuaweicloud.com", "iam.ap-southeast-3.myhuaweicloud.com", "progress")),
        # The SDK's table for IMS, Huawei's European domain for the rest.
        ("huawei-intl", "eu-west-101", ("ims.eu-west-101.myhuaweicloud.com", "iam.eu-west-101.myhuaweicloud.eu", "progress")),
        ("otc", "eu-de", ("ims.eu-de.otc.t-systems.com", "iam.eu-de.otc.t-systems.com", "jobs")),
        ("otc-swiss", "eu-ch2", ("ims.eu-ch2.sc.otc.t-systems.com", "iam-pub.eu-ch2.sc.otc.t-systems.com", "jobs")),
    ],
)  # fmt: skip
def test_each_site_has_its_own(site: str, region: str, expected: tuple[str, ...]) -> None:
    ims, iam, query = expected
    found = endpoints_for(site, region)
    assert found == Endpoints(f"https://{ims}", f"https://{iam}", region, query)


def test_an_override_replaces_the_image_service_only() -> None:
    found = endpoints_for("otc", "eu-nl", "http://127.0.0.1:8080/")
    assert found.ims == "http://127.0.0.1:8080"
    assert found.iam == "https://iam.eu-nl.otc.t-systems.com"
    assert endpoints_for("otc", None, "http://127.0.0.1:1").iam is None


@pytest.mark.parametrize(
    ("site", "region", "override", "words"),
    [
        ("otc", None, None, "which region"),
        ("otc", "eu-de.evil.example/", None, "not a region"),
        ("mars", "eu-de", None, "no site is called 'mars'"),
        ("otc", "eu-de", "ims.example.com", "not an endpoint"),
        ("otc", "eu-de", "https://ims.example.com/v2", "not an endpoint"),
    ],
)
def test_what_is_no_endpoint_is_refused(
    site: str, region: str | None, override: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        endpoints_for(site, region, override)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:80", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:80", True),
        ("http://localhost:1", True),
        ("http://bkt.obs.localhost:1", True),
        ("http://127.0.0.1.example", False),
        ("https://ims.eu-de.otc.t-systems.com", False),
        ("http://10.0.0.1", False),
    ],
)
def test_this_machine_is_known_by_its_names(url: str, here: bool) -> None:
    assert is_loopback(url) is here
