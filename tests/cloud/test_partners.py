"""Clouds that a user describes are sites as any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imsprep.checks import registry
from imsprep.checks.facts import Facts
from imsprep.cli.settings.layers import load
from imsprep.cloud import partners
from imsprep.cloud.endpoints import CLOUDS, endpoints_for, obs_endpoint, site_for
from imsprep.cloud.sites import SITES
from imsprep.errors import UsageError
from imsprep.ims.request import RequestFields
from imsprep.report import Severity

TABLE: dict[str, Any] = {
    "like": "huawei-intl",
    "regions": ["eu-west-0", "my-kualalumpur-1"],
    "ims": "https://ims.{region}.cloud.example",
    "obs": "https://oss.{region}.cloud.example",
    "iam": "https://iam.{region}.cloud.example",
    "job-query": "jobs",
    "data-min-disk-linux": 1,
    "os-versions": ["Ubuntu 24.04 server 64bit"],
}


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    clouds, sites, own = list(CLOUDS), dict(SITES), set(partners.OWN)
    yield
    CLOUDS[:] = clouds
    SITES.clear()
    SITES.update(sites)
    partners.OWN.clear()
    partners.OWN.update(own)


def errors(site: str, **fields: Any) -> set[str]:
    return found(site, Severity.ERROR, fields)


def warnings(site: str, **fields: Any) -> set[str]:
    return found(site, Severity.WARNING, fields)


def found(site: str, severity: Severity, fields: dict[str, Any]) -> set[str]:
    request = RequestFields(name="x", image_url="b-b:k.raw", final=True, **fields)
    report = registry.run(Facts("k.raw", 512, request=request, site=SITES[site]))
    return {
        f.rule
        for f in report.findings
        if f.severity >= severity and f.rule.startswith(("IMS5", "IMS604"))
    }


def test_a_described_cloud_has_hosts_limits_and_a_list_of_its_own() -> None:
    partners.add("partner", TABLE, "imsprep.toml")
    found = endpoints_for("partner", "eu-west-0")
    assert found.ims == "https://ims.eu-west-0.cloud.example"
    assert found.iam == "https://iam.eu-west-0.cloud.example"
    assert found.job_query == "jobs"
    assert obs_endpoint("my-kualalumpur-1") == "https://oss.my-kualalumpur-1.cloud.example"
    assert site_for("huawei-intl", "eu-west-0", chosen=False) == "partner"
    with pytest.raises(UsageError, match="region of partner, not"):
        site_for("otc", "eu-west-0")
    assert errors("partner", type="DataImage", min_disk=1) == set()
    assert errors("huawei-intl", type="DataImage", min_disk=1) == {"IMS510"}
    assert errors("partner", min_disk=40, os_version="Ubuntu 24.04 server 64bit") == set()
    assert errors("partner", min_disk=40, os_version="CentOS 7.6 64bit") == set()
    assert warnings("partner", min_disk=40, os_version="CentOS 7.6 64bit") == {"IMS604"}
    partners.add("partner", {**TABLE, "data-min-disk-linux": 2}, "imsprep.toml")  # read again
    assert errors("partner", type="DataImage", min_disk=1) == {"IMS510"}


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("otc", {}, "site of imsprep's own"),
        ("p", {"odd": 1}, "unknown key 'odd'"),
        ("p", {"like": "mars"}, "like must be a site"),
        ("p", {"job-query": "ask"}, "job-query must be"),
        ("p", {"regions": ["eu-de"]}, "eu-de is a region of otc already"),
        ("p", {"regions": ["EU DE"]}, "is not a region"),
        ("p", {"regions": []}, "regions must be a list"),
        ("p", {"ims": "ims.example.com"}, "ims must be an address"),
        ("p", {"obs": "https://{bucket}.example.com"}, "obs must be an address"),
        ("p", {"iam": "https://x/y"}, "iam must be an address"),
        ("p", {"data-min-disk-linux": 0}, "1 to 1024"),
        ("p", {"os-versions": "Ubuntu"}, "os-versions must be a list"),
    ],
)
def test_what_cannot_be_is_said(name: str, change: dict[str, Any], words: str) -> None:
    known = dict(SITES)
    with pytest.raises(UsageError, match=words):
        partners.add(name, {**TABLE, **change}, "imsprep.toml")
    assert known == SITES


def test_the_configuration_describes_clouds(tmp_path: Path) -> None:
    (tmp_path / "imsprep.toml").write_text("""
site = "partner"
[clouds.partner]
regions = ["tr-central-201"]
ims = "https://ims.{region}.cloud.example"
obs = "https://obs.{region}.cloud.example"
iam = "https://iam.{region}.cloud.example"
""")
    assert load({}, tmp_path)["site"].value == "partner"
    assert site_for("huawei-intl", "tr-central-201", chosen=False) == "partner"
