"""Entries: what a plan says of an image, as the options of its import.

`KEYS` is the table of what may be said: each key, the option that it sets, and how its text is
read. Nothing else is understood, and every mistake is noted with its line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from imsprep.cloud.endpoints import check_address
from imsprep.errors import UsageError
from imsprep.options import ImportOptions, choices
from imsprep.pipeline.batch.plan import FLAG, LIST, TEXT, KnownOptions, PlanEntry, Value
from imsprep.units import parse_size

Read = Callable[[str], object]


def _whole(least: int, most: int | None = None) -> Read:
    """Return how a whole number of a range is read."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise UsageError(f"{text!r} is not a whole number") from None
        if number < least or (most is not None and number > most):
            above = f" to {most}" if most is not None else " or more"
            raise UsageError(f"{number} is out of range; {least}{above}")
        return number

    return read


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a whole number") from None


def _seconds(least: float) -> Read:
    """Return how seconds are read; not `nan`, which no clock ever passes."""

    def read(text: str) -> float:
        try:
            seconds = float(text)
        except ValueError:
            raise UsageError(f"{text!r} is not a number of seconds") from None
        if not seconds >= least:
            raise UsageError(f"{text!r} is too small; {least:g} or more")
        return seconds

    return read


def _rate(text: str) -> int:
    return parse_size(text, least=1)


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise UsageError(f"{text!r}: write KEY=VALUE")
    return key, value


def _one_of(option: str) -> Read:
    """Return how one of an option's words is read."""

    def read(text: str) -> str:
        allowed = choices(ImportOptions, option)
        if text not in allowed:
            raise UsageError(f"{text!r} is not one of {', '.join(allowed)}")
        return text

    return read


def _endpoint(text: str) -> str:
    check_address(text)
    return text


def _standard(text: str) -> str:
    if text != "STANDARD":
        raise UsageError(f"{text!r} is not STANDARD; quick import reads no other class")
    return text


@dataclass(frozen=True)
class Key:
    """What a key of a plan sets."""

    option: str | None  # of ImportOptions; None: nothing, it is only checked
    read: Read = str
    kind: str = TEXT
    is_path: bool = False
    negated: bool = False  # a flag that takes an option back


KEYS: Mapping[str, Key] = {
    "to": Key("to"),
    "key": Key("key"),
    "via": Key("via", _one_of("via")),
    "bandwidth": Key("bandwidth", _rate),
    "work-dir": Key("work_dir", is_path=True),
    "keep-container": Key("keep_container", is_path=True),
    "compression": Key("compression", _one_of("compression")),
    "level": Key("level", _number),
    "bitmap": Key("bitmap", is_path=True),
    "layout": Key("layout"),
    "name": Key("name"),
    "image-url": Key("image_url"),
    "min-disk": Key("min_disk", _number),
    "os-version": Key("os_version"),
    "os-type": Key("os_type"),
    "type": Key("type"),
    "description": Key("description"),
    "license-type": Key("license_type"),
    "tag": Key("tags", kind=LIST),
    "image-tag": Key("image_tags", _pair, kind=LIST),
    "enterprise-project-id": Key("enterprise_project_id"),
    "architecture": Key("architecture"),
    "firmware": Key("firmware"),
    "ignore": Key("ignore", kind=LIST),
    "jobs": Key("jobs", _whole(1, 64)),
    "part-size": Key("part_size", parse_size),
    "no-copy": Key("copy_zeros", kind=FLAG, negated=True),
    "limit-rate": Key("bytes_per_s", _rate),
    "replace": Key("replace", kind=FLAG),
    "retry-for": Key("retry_for_s", _seconds(0)),
    "kms-key": Key("kms_key"),
    "storage-class": Key(None, _standard),
    "holes": Key("holes", _one_of("holes")),
    "keep-cache": Key("keep_cache", kind=FLAG),
    "force-share": Key("force_share", kind=FLAG),
    "sha256": Key("sha256", kind=FLAG),
    "guest": Key("guest", kind=FLAG),
    "boot": Key("boot", kind=FLAG),
    "fail-on": Key("fail_on", _one_of("fail_on")),
    "cleanup": Key("cleanup", _one_of("cleanup")),
    "site": Key("site"),
    "region": Key("region"),
    "endpoint": Key("endpoint", _endpoint),
    "obs-endpoint": Key("obs_endpoint", _endpoint),
    "api": Key("api", _one_of("api")),
    "ca-bundle": Key("ca_bundle", is_path=True),
    "timeout": Key("timeout_s", _seconds(0)),
    "poll": Key("poll_s", _seconds(0.01)),
}
_PER_IMAGE = ("name", "key", "bitmap", "image-url")
_NEEDED = ("name", "to")


def known_options() -> KnownOptions:
    """Return what a plan may say of an image."""
    return KnownOptions({name: key.kind for name, key in KEYS.items()}, _PER_IMAGE)


def options_of(
    entry: PlanEntry, folder: str, base: ImportOptions, mistakes: list[tuple[int, str]]
) -> ImportOptions | None:
    """Return an entry's options; `base` holds what applies where it says nothing.

    Paths are relative to `folder`. What is wrong is noted, and then None is returned.
    """
    before, found = len(mistakes), {}
    for name, value in entry.options.items():
        try:
            found.update(read_value(KEYS[name], value, folder))
        except UsageError as error:
            mistakes.append((entry.lines[name], f"{name}: {error}"))
    missing = [
        repr(name)
        for name in _NEEDED
        if not (entry.options.get(name) or getattr(base, KEYS[name].option or name))
    ]
    if missing and not entry.understood:
        return None  # a key that could not be read may be the one
    if missing:
        mistakes.append((entry.line, f"{entry.image}: it needs a {' and a '.join(missing)}"))
    return replace(base, **found) if len(mistakes) == before else None


def read_value(key: Key, value: Value, folder: str) -> dict[str, Any]:
    """Return the option that a value sets, if it sets one; UsageError for what is wrong."""
    read: object
    if isinstance(value, bool):
        read = value is not key.negated
    elif isinstance(value, tuple):
        read = tuple(key.read(text) for text in value)
    elif key.is_path:
        read = _path(value, folder)
    else:
        read = key.read(_local(value, folder) if key.option == "to" else str(value))
    return {} if key.option is None else {key.option: read}


def _path(value: Value, folder: str) -> str:
    if not value:
        raise UsageError("the name is empty")
    return os.path.join(folder, str(value))


def _local(value: Value, folder: str) -> str:
    """Return where the objects go, a folder of `local:` made absolute."""
    text = str(value)
    if text.startswith("local:"):
        return "local:" + os.path.join(folder, text.removeprefix("local:"))
    return text
