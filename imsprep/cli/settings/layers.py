"""Configuration: what applies when an option is not given, and where each value came from.

The order is command line, environment (`IMSPREP_*`), profile, file, default. The file is
`imsprep.toml` or the table `[tool.imsprep]` of `pyproject.toml`, in the working directory or the
nearest folder above it that has one. The tables `[import]`, `[upload]` and `[batch]` hold options
of these commands; `[clouds.NAME]` describes a site (`cloud.partners`); `[profiles.NAME]` holds the
rest again, for when the profile is asked for. An unknown key is an error: a misspelt key must not
be silently ignored.
"""

from __future__ import annotations

import datetime
import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imsprep.checks.policy import Waiver
from imsprep.cloud import partners
from imsprep.cloud.endpoints import whose_region
from imsprep.cloud.sites import SITES
from imsprep.errors import ReadError, UsageError, show_path
from imsprep.options import DEFAULT_SITE
from imsprep.report import Severity

FILE_NAME = "imsprep.toml"
PYPROJECT = "pyproject.toml"
PREFIX = "IMSPREP_"


@dataclass(frozen=True)
class Setting:
    """One value and its origin, in words: `default`, `IMSPREP_SITE`, or the file's name."""

    value: Any
    origin: str


# Key, type in the file, default. In the environment a list is separated by commas.
KEYS: dict[str, tuple[type, object]] = {
    "site": (str, DEFAULT_SITE),
    "fail-on": (str, "error"),
    "strict": (bool, False),
    "select": (list, []),
    "ignore": (list, []),
    "severity": (dict, {}),
    "waivers": (list, []),
    "jobs": (int, 0),
}
OPTION_TABLES = ("import", "upload", "batch")  # commands whose options may stand in the file
PROFILES = "profiles"
CLOUDS = "clouds"  # tables that describe sites, see cloud.partners
PROFILE_VARIABLE = f"{PREFIX}PROFILE"
FAIL_ON = ("error", "warning", "note", "never")

_WORDS = {str: "string", bool: "boolean", list: "list", dict: "table", int: "number"}
_BOOLEANS = {**dict.fromkeys(("1", "true", "yes"), True),
             **dict.fromkeys(("0", "false", "no", ""), False)}  # fmt: skip


def load(
    environment: Mapping[str, str],
    folder: Path,
    file: Path | None = None,
    profile: str | None = None,
) -> dict[str, Setting]:
    """Return every setting with its origin; raises UsageError for anything not understood.

    `file` names the file to read; without it the nearest one at or above `folder` is taken.
    `profile` names a profile of it; without it IMSPREP_PROFILE does.
    """
    settings = {key: Setting(default, "default") for key, (_, default) in KEYS.items()}
    for table, origin in _layers(environment, folder, file, profile):
        for name, described in table.get(CLOUDS, {}).items():
            partners.add(name, described, origin)
        for key, value in table.items():
            if key in KEYS:
                settings[key] = Setting(_typed(key, value, origin), origin)
    for key in KEYS:
        name = PREFIX + key.upper().replace("-", "_")
        if key != "waivers" and name in environment:
            settings[key] = Setting(_from_text(key, environment[name], name), name)
    validate(settings)
    return settings


def options(
    environment: Mapping[str, str],
    folder: Path,
    command: str,
    *,
    file: Path | None = None,
    profile: str | None = None,
) -> dict[str, Setting]:
    """Return what the file says of a command's options, by their names without dashes."""
    found: dict[str, Setting] = {}
    for table, origin in _layers(environment, folder, file, profile):
        values = table.get(command, {})
        found |= {name: Setting(value, f"{origin} [{command}]") for name, value in values.items()}
    return found


def _layers(
    environment: Mapping[str, str], folder: Path, file: Path | None, profile: str | None
) -> list[tuple[dict[str, Any], str]]:
    """Return the file's tables with their origins, the profile's last; UsageError as `load`."""
    found = file if file is not None else find(folder)
    wanted = profile or environment.get(PROFILE_VARIABLE)
    table = _read(found) if found is not None else {}
    name = found.name if found is not None else FILE_NAME
    layers = [(table, name)]
    if wanted:
        profiles = table.get(PROFILES, {})
        if wanted not in profiles:
            raise UsageError(f"{name}: there is no profile {wanted!r}{_near(wanted, profiles)}")
        layers.append((profiles[wanted], f"{name}, profile {wanted}"))
    return layers


def _near(word: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""


def find(folder: Path) -> Path | None:
    """Return the nearest configuration file at or above `folder`."""
    for place in (folder, *folder.parents):
        if (place / FILE_NAME).is_file():
            return place / FILE_NAME
        pyproject = place / PYPROJECT
        if pyproject.is_file() and _table(pyproject) is not None:
            return pyproject
    return None


def severities(value: Mapping[str, object], origin: str) -> dict[str, Severity]:
    """Turn `{IMS104: "note"}` into severities."""
    for rule, word in value.items():
        if word == "":
            raise UsageError(f"{origin}: {rule!r} has no severity; write it as in {rule}=note")
    try:
        return {rule: Severity.parse(str(word)) for rule, word in value.items()}
    except ValueError as error:
        raise UsageError(f"{origin}: severity: {error}") from error


def waivers(value: list[object], origin: str) -> tuple[Waiver, ...]:
    """Turn the tables `[[waivers]]` into waivers; each needs a rule and a reason."""
    return tuple(_waiver(entry, number, origin) for number, entry in enumerate(value, 1))


def _waiver(entry: object, number: int, origin: str) -> Waiver:
    where = f"{origin}: waiver {number}"
    if not isinstance(entry, dict):
        raise UsageError(f"{where} is not a table; write [[waivers]]")
    unknown = set(entry) - {"rule", "reason", "expires", "image"}
    if unknown:
        raise UsageError(f"{where} has an unknown key {sorted(unknown)[0]!r}")
    for key in ("rule", "reason"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise UsageError(f"{where} needs {key!r}, a string")
    if not isinstance(entry.get("image", "*"), str):
        raise UsageError(f"{where}: 'image' must be a pattern for file names, as in \"web*.raw\"")
    expires = entry.get("expires")
    if isinstance(expires, str):
        try:
            expires = datetime.date.fromisoformat(expires)
        except ValueError as error:
            raise UsageError(f"{where}: 'expires' is not a date: {expires!r}") from error
    if isinstance(expires, datetime.datetime):
        expires = expires.date()
    if expires is not None and not isinstance(expires, datetime.date):
        raise UsageError(f"{where}: 'expires' must be a date, as in 2027-01-31")
    return Waiver(entry["rule"], entry["reason"], expires, entry.get("image", "*"))


def _read(path: Path) -> dict[str, Any]:
    table = _table(path)
    if table is None:
        raise UsageError(f"{show_path(path)} has no table [tool.imsprep]")
    _check_keys(table, show_path(path), (*KEYS, *OPTION_TABLES, PROFILES, CLOUDS))
    for name, inner in table.get(PROFILES, {}).items():
        _check_keys(inner, f"{show_path(path)}, profile {name}", (*KEYS, *OPTION_TABLES))
    return table


def _check_keys(table: object, where: str, known: Sequence[str]) -> None:
    """Raise UsageError for a key that is not known, or a table that is none."""
    if not isinstance(table, dict):
        raise UsageError(f"{where} must be a table, got {table!r}")
    for key, value in table.items():
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}{_near(key, known)}")
        if key in (*OPTION_TABLES, PROFILES, CLOUDS) and not isinstance(value, dict):
            raise UsageError(f"{where}: {key!r} must be a table, got {value!r}")


def _table(path: Path) -> dict[str, Any] | None:
    """Return imsprep's table of a TOML file, or None if the file is a pyproject without one."""
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReadError.from_os(error, "cannot read", path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{show_path(path)} is not valid TOML: {error}") from error
    if path.name != PYPROJECT:
        return value
    tool = value.get("tool", {})
    table = tool.get("imsprep") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def _typed(key: str, value: object, origin: str) -> object:
    kind = KEYS[key][0]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UsageError(f"{origin}: {key!r} must be a {_WORDS[kind]}, got {value!r}")
    return value


def _from_text(key: str, text: str, name: str) -> object:
    """Read an environment variable as the key's type."""
    kind = KEYS[key][0]
    if kind is list:
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind is dict:
        parts = [part.partition("=") for part in text.split(",") if part.strip()]
        return {rule.strip(): word.strip() for rule, _, word in parts}
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise UsageError(f"{name} must be true or false, got {text!r}")
        return _BOOLEANS[text.lower()]
    if kind is int:
        if not text.isdecimal():
            raise UsageError(f"{name} must be a number, got {text!r}")
        return int(text)
    return text


def validate(settings: Mapping[str, Setting]) -> None:
    """Raise UsageError for a value that its key cannot have."""
    for key, values in (("site", tuple(SITES)), ("fail-on", FAIL_ON)):
        setting = settings[key]
        if setting.value not in values:
            known = ", ".join(values) + (whose_region(str(setting.value)) if key == "site" else "")
            raise UsageError(f"{setting.origin}: {key} {setting.value!r} is not one of {known}")
    severities(settings["severity"].value, settings["severity"].origin)
    waivers(settings["waivers"].value, settings["waivers"].origin)
    for key in ("select", "ignore"):
        if not all(isinstance(item, str) for item in settings[key].value):
            raise UsageError(f"{settings[key].origin}: {key!r} must be a list of rule ids")
    if settings["jobs"].value < 0:
        raise UsageError(f"{settings['jobs'].origin}: jobs must be 0 or more")
