"""From options to the values that the library works with, as far as that needs no cloud."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import TYPE_CHECKING

from imsprep.checks.policy import Policy
from imsprep.cloud.endpoints import site_for, whose_region
from imsprep.cloud.sites import SITES, Site
from imsprep.errors import UsageError
from imsprep.ims.request import RequestFields
from imsprep.options import DEFAULT_SITE
from imsprep.report import Severity
from imsprep.system.threads import usable_cpus
from imsprep.zvhd2.records import METHODS
from imsprep.zvhd2.writer import PackTask

if TYPE_CHECKING:
    from imsprep.options import PackOptions, RequestOptions, RuleOptions

NEVER = "never"


def site_of(name: str, region: str | None = None) -> Site:
    """Return the limits of a site; UsageError if the name is not known.

    The default site gives way to the one that has the region; another one has to have it.
    """
    if name not in SITES:
        known = ", ".join(sorted(SITES))
        raise UsageError(f"unknown site {name!r}; known: {known}{whose_region(str(name))}")
    return SITES[site_for(name, region, chosen=name != DEFAULT_SITE)]


def fields_of(options: RequestOptions) -> RequestFields:
    """Return what the options say of the request."""
    return RequestFields(
        name=options.name,
        image_url=options.image_url,
        min_disk=options.min_disk,
        os_version=options.os_version,
        os_type=options.os_type,
        type=options.type,
        description=options.description,
        license_type=options.license_type,
        tags=tuple(options.tags) or None,
        image_tags=tuple(options.image_tags) or None,
        enterprise_project_id=options.enterprise_project_id,
        architecture=options.architecture,
        hw_firmware_type=options.firmware,
    )


def policy_of(options: RuleOptions) -> Policy:
    """Return which rules are applied, and how they count today; ids may be in small letters."""
    return Policy(
        select=tuple(rule.upper() for rule in options.select),
        ignore=tuple(rule.upper() for rule in options.ignore),
        severity={rule.upper(): severity_of(word) for rule, word in options.severity.items()},
        waivers=tuple(replace(one, rule=one.rule.upper()) for one in options.waivers),
        today=datetime.datetime.now(tz=datetime.UTC).date(),
    )


def severity_of(word: str) -> Severity:
    """Return a severity by its word; UsageError for another word."""
    try:
        return Severity.parse(word)
    except ValueError as error:
        raise UsageError(str(error)) from None


def fail_on(options: RuleOptions) -> Severity | None:
    """Return the least severity that fails; None: nothing does."""
    return None if options.fail_on == NEVER else severity_of(options.fail_on)


def pack_task_of(options: PackOptions, *, jobs: int | None = None, timestamp: int = 0) -> PackTask:
    """Return how to pack; the container's date and id are set by who makes it."""
    method = next(m for m, name in METHODS.items() if name == options.compression)
    jobs = jobs or usable_cpus()
    return PackTask(timestamp, method=method, level=options.level, jobs=jobs)
