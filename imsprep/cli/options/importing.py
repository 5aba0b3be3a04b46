"""From what the command line and the configuration say to the options of an import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imsprep.cli.options.request import request_values
from imsprep.cli.settings.configured import config_options

if TYPE_CHECKING:
    from imsprep.cli.settings.layers import Setting
    from imsprep.options import CheckOptions, ImportOptions

_SAME = (
    "key", "via", "bandwidth", "work_dir", "keep_container",
    "compression", "level", "bitmap", "layout",
    "jobs", "part_size", "replace", "kms_key", "holes", "keep_cache", "force_share", "sha256",
    "guest", "boot", "cleanup", "site", "region", "endpoint", "obs_endpoint", "api", "ca_bundle",
)  # fmt: skip
_REGION = ("HW_REGION_NAME", "OS_REGION_NAME")


def import_options(options: Mapping[str, Any], settings: Mapping[str, Setting]) -> ImportOptions:
    """Return the options of an import, from the command's keywords and the configuration."""
    from imsprep.options import ImportOptions

    rules = rule_values(settings)
    if options["ignore"]:
        rules["ignore"] = tuple(options["ignore"])
    return ImportOptions(
        **{name: options[name] for name in _SAME},
        to=options["to"] or "",  # one that is missing is said with what else is
        **request_values(options),
        **rules,
        fail_on="warning" if options["strict"] else options["fail_on"],
        copy_zeros=not options["no_copy"],
        bytes_per_s=options["limit_rate"],
        retry_for_s=options["retry_for"],
        timeout_s=options["timeout"],
        poll_s=options["poll"],
    )


def base_options(settings: Mapping[str, Setting]) -> ImportOptions:
    """Return what applies to the images of a plan that does not say otherwise."""
    from imsprep.options import ImportOptions
    from imsprep.pipeline.batch.entries import KEYS, read_value

    region = next((os.environ[name] for name in _REGION if os.environ.get(name)), None)
    base = ImportOptions(to="", site=settings["site"].value, region=region, **rule_values(settings))
    for name, setting in config_options("import").items():
        if name not in KEYS:
            continue  # of the command line alone; `imsprep import` says what it does not know
        written = setting.value
        value = tuple(map(str, written)) if isinstance(written, list) else written
        plain = value if isinstance(value, bool | tuple) else str(value)
        base = replace(base, **read_value(KEYS[name], plain, ""))
    return base


def check_options(
    options: Mapping[str, Any], settings: Mapping[str, Setting], *, scan: bool
) -> CheckOptions:
    """Return the options of a check; what the command line says is in the settings already."""
    from imsprep.cli.settings import layers as config
    from imsprep.options import CheckOptions

    rules = rule_values(settings)
    given = {rule: word for rule, _, word in (text.partition("=") for text in options["severity"])}
    said = config.severities(given, "--severity")
    rules["severity"] |= {rule: severity.word for rule, severity in said.items()}
    rules |= {name: tuple(options[name]) for name in ("select", "ignore") if options[name]}
    same = ("holes", "keep_cache", "force_share", "guest", "boot", "deep", "online",
            "region", "endpoint", "obs_endpoint", "ca_bundle", "reproducible")  # fmt: skip
    return CheckOptions(
        **{name: options[name] for name in same},
        **request_values(options),
        **rules,
        site=settings["site"].value,
        fail_on="warning" if settings["strict"].value else settings["fail-on"].value,
        scan=scan,
        jobs=settings["jobs"].value or None,
    )


def rule_values(settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return what the configuration says of the rules, by the names of `RuleOptions`."""
    from imsprep.cli.settings import layers as config

    severities = config.severities(settings["severity"].value, settings["severity"].origin)
    return {
        "select": tuple(settings["select"].value),
        "ignore": tuple(settings["ignore"].value),
        "severity": {rule: severity.word for rule, severity in severities.items()},
        "waivers": config.waivers(settings["waivers"].value, settings["waivers"].origin),
    }
