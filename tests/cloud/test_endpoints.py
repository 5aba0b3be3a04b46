"""Endpoints: each site's own, and an override."""

from __future__ import annotations

import pytest

from imsprep.cloud.endpoints import (
    CLOUDS,
    Endpoints,
    UnknownRegionError,
    endpoints_for,
    is_loopback,
    obs_endpoint,
    site_for,
)
from imsprep.cloud.sites import SITES
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
    assert endpoints_for("otc", None, "http://[::1]:1").ims == "http://[::1]:1"


@pytest.mark.parametrize(
    ("site", "region", "override", "words"),
    [
        ("otc", None, None, "no region is given"),
        ("otc", "eu-de.evil.example/", None, "not a region"),
        ("mars", "eu-de", None, "unknown site 'mars'.*otc-swiss$"),
        ("EU-NL", "eu-nl", None, "unknown site 'EU-NL'; known: .*; eu-nl is a region of otc$"),
        ("otc", "eu-de", "ims.example.com", "not an endpoint"),
        ("otc", "eu-de", "https://ims.example.com/v2", "not an endpoint"),
        ("otc", "eu-de", "http://[::1", "not an endpoint"),
        ("otc", "eu-de", "http://a..b:9", "not an endpoint"),
        ("otc", "eu-de", f"http://{'a' * 64}.example", "not an endpoint"),
        ("otc", "eu-de", "http://127.0.0.1:99999", "not an endpoint"),
        ("otc", "eu-de", "http://127.0.0.1:abc", "not an endpoint"),
        ("otc", "eu-de", "http://127.0.0.1:0", "not an endpoint"),
        ("otc", "eu-de", "https://me:pw@ims.example.com", "holds no user or password"),
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


@pytest.mark.parametrize(
    ("site", "region", "chosen", "meant"),
    [
        ("huawei-intl", "eu-de", False, "otc"),
        ("huawei-intl", "eu-ch2", False, "otc-swiss"),
        ("huawei-intl", "cn-north-4", False, "huawei-intl"),
        ("huawei", "cn-north-4", True, "huawei"),
        ("otc", "cn-north-4", False, "huawei-intl"),
        ("otc", None, True, "otc"),
        ("otc", "mars-1", True, "otc"),
    ],
)
def test_the_region_decides_the_site_that_was_not_chosen(
    site: str, region: str | None, chosen: bool, meant: str
) -> None:
    assert site_for(site, region, chosen=chosen) == meant


@pytest.mark.parametrize(("site", "region"), [("huawei", "eu-de"), ("otc", "eu-ch2"), ("otc", "cn-north-4")])  # fmt: skip
def test_a_site_that_contradicts_the_region_is_refused(site: str, region: str) -> None:
    for refuse in (lambda: site_for(site, region), lambda: endpoints_for(site, region)):
        with pytest.raises(UsageError, match=f"{region} is a region of"):
            refuse()


@pytest.mark.parametrize("region", ["eu-west-0", "ae-ad-1", "my-kualalumpur-1", "tr-central-201"])
def test_an_unknown_region_needs_its_addresses(region: str) -> None:
    for ask in (lambda: endpoints_for("huawei-intl", region), lambda: obs_endpoint(region)):
        with pytest.raises(UnknownRegionError, match=region):
            ask()
    found = endpoints_for("huawei-intl", region, "https://ims.example.com")
    assert (found.ims, found.iam, found.region) == ("https://ims.example.com", None, region)


def test_no_region_and_no_site_stands_twice_in_the_table() -> None:
    regions = [region for cloud in CLOUDS for region in cloud.regions]
    sites = [site for cloud in CLOUDS for site in cloud.sites]
    assert len(regions) == len(set(regions))
    assert sorted(sites) == sorted(SITES)
