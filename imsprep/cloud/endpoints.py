"""Endpoints: where a site's services are, and which of its documented ways to use.

Sources: Huawei Cloud "Regions and Endpoints" and the region table of Huawei's SDK; Open Telekom
Cloud "Regions and Endpoints" (2025-12-17). The image service of OTC's Swiss region stands in none
of them: its name is inferred from its neighbours. For Europe-Dublin (eu-west-101), whose other
services are at `myhuaweicloud.eu`, the SDK says `myhuaweicloud.com`, Terraform's and Packer's pages
`myhuaweicloud.eu`: the SDK's is taken here, and `--endpoint` overrides it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from imsprep.errors import UsageError, show_words

JobQuery = Literal["progress", "jobs"]

# A region goes into a host's name, so nothing else may be in it.
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Endpoints:
    """Where the services are, as URLs without a path, and how to ask for a job there."""

    ims: str
    iam: str | None = None
    region: str | None = None
    # Huawei Cloud calls `/v1/{project_id}/jobs` historical; OTC documents nothing else.
    job_query: JobQuery = "progress"


@dataclass(frozen=True)
class Cloud:
    """Sites that share their regions and host names; `{region}` stands for the region in each."""

    sites: tuple[str, ...]  # the first is the one that a region stands for
    regions: frozenset[str]
    ims: str
    obs: str
    iam: str
    job_query: JobQuery = "progress"


# Of the SDK's table but those that partners run under other host names.
_HUAWEI_REGIONS = frozenset((
    "af-north-1", "af-south-1", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3",
    "ap-southeast-4", "ap-southeast-5", "cn-east-2", "cn-east-3", "cn-east-4", "cn-east-5",
    "cn-north-1", "cn-north-11", "cn-north-12", "cn-north-2", "cn-north-4", "cn-north-9",
    "cn-south-1", "cn-south-2", "cn-south-4", "cn-southwest-2", "cn-southwest-3", "eu-west-101",
    "la-north-2", "la-south-2", "me-east-1", "na-mexico-1", "ru-moscow-1", "sa-brazil-1",
    "tr-west-1",
))  # fmt: skip
# The one table of sites, regions and host names.
CLOUDS = [
    Cloud(
        ("huawei-intl", "huawei"),
        _HUAWEI_REGIONS,
        "https://ims.{region}.myhuaweicloud.com",
        "https://obs.{region}.myhuaweicloud.com",
        "https://iam.{region}.myhuaweicloud.com",
    ),
    Cloud(
        ("otc",),
        frozenset(("eu-de", "eu-nl")),
        "https://ims.{region}.otc.t-systems.com",
        "https://obs.{region}.otc.t-systems.com",
        "https://iam.{region}.otc.t-systems.com",
        "jobs",
    ),
    Cloud(
        ("otc-swiss",),
        frozenset(("eu-ch2",)),
        "https://ims.{region}.sc.otc.t-systems.com",
        "https://obs.{region}.sc.otc.t-systems.com",
        "https://iam-pub.{region}.sc.otc.t-systems.com",
        "jobs",
    ),
]
# Services of a region that are not where its cloud's are.
_ELSEWHERE = {
    ("eu-west-101", "iam"): "https://iam.eu-west-101.myhuaweicloud.eu",
    ("eu-west-101", "obs"): "https://obs.eu-west-101.myhuaweicloud.eu",
}


class UnknownRegionError(UsageError):
    """No cloud that is known has this region, so that its addresses have to be given."""

    remedies = ("endpoint", "obs_endpoint")


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine, which no proxy can reach."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def cloud_of(site: str) -> Cloud:
    """Return the cloud that a site belongs to; UsageError if no site is called so."""
    for cloud in CLOUDS:
        if site in cloud.sites:
            return cloud
    known = sorted(name for cloud in CLOUDS for name in cloud.sites)
    raise UsageError(f"unknown site {site!r}; known: {', '.join(known)}{whose_region(site)}")


def whose_region(word: str) -> str:
    """Return a sentence's end that says whose region a word is that is no site; "" if none is."""
    for cloud in CLOUDS:
        if word.lower() in cloud.regions:
            return f"; {word.lower()} is a region of {' and '.join(cloud.sites)}"
    return ""


def cloud_of_region(region: str) -> Cloud | None:
    """Return the cloud that has a region, or None; UsageError if it cannot be the name of one."""
    if not _REGION.fullmatch(region):
        raise UsageError(
            f"{region!r} is not a region name; expected one such as eu-de or ap-southeast-3"
        )
    return next((cloud for cloud in CLOUDS if region in cloud.regions), None)


def site_for(site: str, region: str | None, *, chosen: bool = True) -> str:
    """Return the site that is meant: where it was not `chosen`, the region decides.

    Raises UsageError if a chosen site does not have the region, and another does.
    """
    cloud = cloud_of_region(region) if region is not None else None
    if cloud is None or site in cloud.sites:
        return site
    if chosen:
        raise UsageError(
            f"{region} is a region of {' and '.join(cloud.sites)}, not of the chosen site {site};"
            " choose the region's site, or none"
        )
    return cloud.sites[0]


def check_address(url: str) -> None:
    """Raise UsageError unless a URL names scheme, host and perhaps port, and nothing else."""
    if "@" in url:  # it is not shown: it may hold a password
        raise UsageError(
            "the address of a service holds no user or password; credentials come from the"
            " environment or a file"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if not parts.netloc.startswith("["):
            host.encode("idna")  # labels of 1 to 63 characters
    except ValueError:
        host, port = "", None
    if not host or port == 0 or not re.fullmatch(r"https?://[^/\s?#\\]+/?", url):
        raise UsageError(
            f"{show_words(url, 100)!r} is not an endpoint; expected a URL such as"
            " https://ims.example.com"
        )


def endpoints_for(site: str, region: str | None, override: str | None = None) -> Endpoints:
    """Return a site's endpoints; `override` replaces that of the image service.

    Raises UsageError if there is neither a region nor an override, if the site does not have the
    region, or if one is malformed.
    """
    if override is not None:
        check_address(override)
    cloud = cloud_of(site)
    known = cloud_of_region(region) if region is not None else None
    if override is not None:
        iam = _address(known, region, "iam") if known and region else None
        query = (known or cloud).job_query
        return Endpoints(override.rstrip("/"), iam, region, query)
    if region is None:
        raise UsageError("no region is given, and HW_REGION_NAME is not set", remedies=("region",))
    site_for(site, region)
    if known is None:
        raise _unknown(region)
    ims, iam = (_address(known, region, name) for name in ("ims", "iam"))
    return Endpoints(ims, iam, region, known.job_query)


def obs_endpoint(region: str) -> str:
    """Return the address of OBS in a region; UnknownRegionError if no cloud has it."""
    cloud = cloud_of_region(region)
    if cloud is None:
        raise _unknown(region)
    return _address(cloud, region, "obs")


def _address(cloud: Cloud, region: str, service: str) -> str:
    pattern: str = getattr(cloud, service)
    return _ELSEWHERE.get((region, service)) or pattern.format(region=region)


def _unknown(region: str) -> UnknownRegionError:
    return UnknownRegionError(
        f"no known site has the region {region}; give the addresses of its services, or describe"
        " its cloud in the configuration"
    )
