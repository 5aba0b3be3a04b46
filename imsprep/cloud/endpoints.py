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
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from imsprep.errors import UsageError

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


_SITES = {
    "huawei": Endpoints(
        "https://ims.{region}.myhuaweicloud.com", "https://iam.{region}.myhuaweicloud.com"
    ),
    "otc": Endpoints(
        "https://ims.{region}.otc.t-systems.com",
        "https://iam.{region}.otc.t-systems.com",
        job_query="jobs",
    ),
    "otc-swiss": Endpoints(
        "https://ims.{region}.sc.otc.t-systems.com",
        "https://iam-pub.{region}.sc.otc.t-systems.com",
        job_query="jobs",
    ),
}
_SITES["huawei-intl"] = _SITES["huawei"]
# Regions whose IAM is not where the site's is.
_IAM = {"eu-west-101": "https://iam.eu-west-101.myhuaweicloud.eu"}


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine, which no proxy can reach."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def endpoints_for(site: str, region: str | None, override: str | None = None) -> Endpoints:
    """Return a site's endpoints; `override` replaces that of the image service.

    Raises UsageError if there is neither a region nor an override, or if one is malformed.
    """
    if region is not None and not _REGION.fullmatch(region):
        raise UsageError(f"{region!r} is not a region; it looks like eu-de or ap-southeast-3")
    if override is not None and not re.fullmatch(r"https?://[^/\s?#]+/?", override):
        raise UsageError(f"{override!r} is not an endpoint; it looks like https://ims.example.com")
    found = _SITES.get(site)
    if found is None:
        raise UsageError(f"no site is called {site!r}; there are: {', '.join(sorted(_SITES))}")
    if region is None:
        if override is None:
            raise UsageError("which region? give --region (or set HW_REGION_NAME)")
        return Endpoints(override.rstrip("/"), job_query=found.job_query)
    ims = override.rstrip("/") if override else found.ims.format(region=region)
    iam = _IAM.get(region) or (found.iam.format(region=region) if found.iam else None)
    return replace(found, ims=ims, iam=iam, region=region)
