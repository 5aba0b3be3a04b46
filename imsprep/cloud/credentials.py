"""Credentials: an access key, its secret, and what goes with them; from environment or file only.

Names and files are those of the ecosystem, so that what works for Huawei's SDK, Terraform, Packer
or the OpenStack clients works here. The first source that names a key wins, and must be complete:

    HUAWEICLOUD_SDK_AK, ..._SK, ..._SECURITY_TOKEN, ..._PROJECT_ID
    HW_ACCESS_KEY, HW_SECRET_KEY, HW_SECURITY_TOKEN, HW_PROJECT_ID
    OS_ACCESS_KEY, OS_SECRET_KEY, OS_SECURITY_TOKEN, OS_PROJECT_ID
    OBS_ACCESS_KEY_ID, OBS_SECRET_ACCESS_KEY, OBS_SECURITY_TOKEN
    OS_CLOUD: that cloud in clouds.yaml (OS_CLIENT_CONFIG_FILE, the current folder,
    ~/.config/openstack, /etc/openstack), `auth` with ak, sk, security_token, project_id
    ~/.huaweicloud/credentials, section [basic]: ak, sk, security_token, project_id
    (HUAWEICLOUD_SDK_CREDENTIALS_FILE names another file)

Profiles of KooCLI (~/.hcloud) and obsutil are not read: both keep their secrets encrypted.

A secret is never taken from a command line, and never shown: `repr` and `str` hide it.
"""

from __future__ import annotations

import base64
import configparser
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus

from imsprep.errors import ImsprepError, MissingExtraError, UsageError, show_path

# Access key, secret, security token, project id: the names of each ecosystem.
ENVIRONMENTS = (
    (
        "HUAWEICLOUD_SDK_AK",
        "HUAWEICLOUD_SDK_SK",
        "HUAWEICLOUD_SDK_SECURITY_TOKEN",
        "HUAWEICLOUD_SDK_PROJECT_ID",
    ),
    ("HW_ACCESS_KEY", "HW_SECRET_KEY", "HW_SECURITY_TOKEN", "HW_PROJECT_ID"),
    ("OS_ACCESS_KEY", "OS_SECRET_KEY", "OS_SECURITY_TOKEN", "OS_PROJECT_ID"),
    # Huawei's SDK for OBS, which knows no projects.
    (
        "OBS_ACCESS_KEY_ID",
        "OBS_SECRET_ACCESS_KEY",
        "OBS_SECURITY_TOKEN",
        "HUAWEICLOUD_SDK_PROJECT_ID",
    ),
)
FILE_VARIABLE = "HUAWEICLOUD_SDK_CREDENTIALS_FILE"
DEFAULT_FILE = "~/.huaweicloud/credentials"
SECTION = "basic"
_LEAST_SECRET = 8  # characters; a shorter one may stand in any word


@dataclass(frozen=True)
class Credentials:
    """What signs a request. Only `access_key`, `project_id` and `source` may be shown."""

    access_key: str
    secret_key: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    project_id: str | None = None
    source: str = "given"  # where they were found, for messages

    @property
    def secrets(self) -> tuple[str, ...]:
        """The strings that must never appear in any output."""
        return tuple(s for s in (self.secret_key, self.security_token) if s)


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return a text with `***` for each secret, however it is written there.

    As it is, as in a URL, in JSON, in HTML or XML, as one of these inside another, or in base64 as
    in a header of Basic authentication.
    """
    for secret in secrets:
        for form in _forms(secret):
            text = text.replace(form, "***")
    return text


def hide_own(text: str) -> str:
    """Return a text with `***` for each secret of `find_here`; as it is where there are none."""
    try:
        secrets = find_here().secrets
    except (ImsprepError, OSError, RuntimeError):  # there are none, or no home
        return text
    return hide(text, [secret for secret in secrets if len(secret) >= _LEAST_SECRET])


@cache
def _forms(secret: str) -> tuple[str, ...]:
    """Return how a secret may be written, the longest first: one may be a part of another."""
    once = {form for write in _WRITINGS for form in _in_both_cases(write(secret))}
    twice = {form for inner in once for write in _WRITINGS for form in _in_both_cases(write(inner))}
    return tuple(sorted({secret, *once, *twice, *_in_base64(secret)}, key=len, reverse=True))


def _as_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _as_careful_json(text: str, careful_with: str) -> str:
    """Write JSON as services do whose answers may stand inside HTML."""
    return re.sub(careful_with, lambda c: f"\\u{ord(c[0]):04x}", _as_json(text))


_WRITINGS: tuple[Callable[[str], str], ...] = (
    str,
    lambda text: quote(text, safe=""),
    quote,
    quote_plus,
    _as_json,
    lambda text: _as_json(text).replace("/", r"\/"),
    lambda text: _as_careful_json(text, "[&<>]"),  # as Go does
    lambda text: _as_careful_json(text, "[/&<>'+=]"),
    escape,
    lambda text: escape(text, quote=False),
    lambda text: escape(text).replace("/", "&#x2F;"),
)
_HEX = re.compile(r"%..|\\u....")
_LEAST_BASE64 = 8  # characters; fewer may stand anywhere


def _in_both_cases(text: str) -> set[str]:
    """Return a text with its hexadecimal digits as capitals, and not."""
    lower = _HEX.sub(lambda code: code[0].lower(), text)
    return {text, lower, _HEX.sub(lambda code: code[0][:2] + code[0][2:].upper(), text)}


def _in_base64(secret: str) -> set[str]:
    """Return what of base64 the secret alone decides, wherever it stands in what is encoded."""
    data, forms = secret.encode(), set()
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(before) + data).decode()
            first, bits = -(-before * 8 // 6), (before + len(data)) * 8
            forms.add(whole[first : bits // 6])
    return {form for form in forms if len(form) >= _LEAST_BASE64}


class NoCredentialsError(UsageError):
    """No source names any credentials."""


def find(environment: Mapping[str, str], home: Path) -> Credentials:
    """Return the first credentials found, in the order of the module's docstring.

    Raises NoCredentialsError if there are none, and UsageError if the source that names a key lacks
    its other half.
    """
    for names in ENVIRONMENTS:
        found = _from_values([environment.get(name, "").strip() for name in names], names)
        if found is not None:
            return found
    if cloud := environment.get("OS_CLOUD", "").strip():
        return _from_clouds(cloud, environment, home)
    named = environment.get(FILE_VARIABLE, "")
    path = Path(named) if named else home / DEFAULT_FILE.removeprefix("~/")
    found = _from_file(path, required=bool(named))
    if found is not None:
        return found
    raise NoCredentialsError(
        "no credentials found: set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK (or HW_ACCESS_KEY and"
        f" HW_SECRET_KEY, or OS_ACCESS_KEY and OS_SECRET_KEY), or write {DEFAULT_FILE} with a"
        f" section [{SECTION}] that has ak and sk"
    )


def find_here() -> Credentials:
    """Return the credentials of this process's environment and home; see `find`."""
    return find(os.environ, Path.home())


def _from_values(values: list[str], names: tuple[str, ...]) -> Credentials | None:
    access_key, secret_key, token, project_id = values
    if not access_key and not secret_key:
        return None
    for value, name in zip(values[:2], names[:2], strict=True):
        if not value:
            other = names[1] if name == names[0] else names[0]
            raise UsageError(f"{other} is set but {name} is not; set both or neither")
    for value, name in zip(values, names, strict=True):
        # Such a value cannot stand in a header; the usual cause is a pasted line.
        if not value.isascii() or not all(c.isprintable() and c != " " for c in value):
            raise UsageError(f"{name} holds a space or a character that no key has; paste it again")
    return Credentials(access_key, secret_key, token or None, project_id or None, names[0])


def _from_clouds(cloud: str, environment: Mapping[str, str], home: Path) -> Credentials:
    """Return the keys of a cloud in clouds.yaml, where OpenStack's clients look for that file.

    That `auth` may have ak and sk is gophertelekomcloud's, which Terraform's provider uses. Secrets
    may stand in secure.yaml instead (openstacksdk, "Splitting Secrets").
    """
    named = environment.get("OS_CLIENT_CONFIG_FILE", "")
    folders = (Path(), home / ".config/openstack", Path("/etc/openstack"))
    places = [Path(named)] if named else [folder / "clouds.yaml" for folder in folders]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UsageError(f"OS_CLOUD is set, and there is no {show_path(places[0])} that names it")
    secure = environment.get("OS_CLIENT_SECURE_FILE", "")
    secrets = [Path(secure)] if secure else [folder / "secure.yaml" for folder in folders]
    files = [path, *[place for place in secrets if place.is_file()][:1]]
    auth: dict[str, str] = {}
    for file in files:
        auth |= _auth_of(cloud, file, needed=file is path)
    keys = ("ak", "sk", "security_token", "project_id")
    names = tuple(f"{key} of {cloud} in {show_path(path)}" for key in keys)
    found = _from_values([auth.get(key, "").strip() for key in keys], names)
    if found is None:
        raise UsageError(
            f"{show_path(path)}: the cloud {cloud!r} has no ak and sk in auth; requests are signed"
            " with them, a user name and password are not enough"
        )
    return found


def _auth_of(cloud: str, path: Path, *, needed: bool) -> dict[str, str]:
    """Return the table `auth` of a cloud; raises UsageError for what is none."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("clouds.yaml needs PyYAML", extra="cloud") from error
    try:
        entry = yaml.safe_load(path.read_text("utf-8"))["clouds"][cloud]
        auth = {k: v for k, v in entry["auth"].items() if v is not None}
    except (OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        if not needed:
            return {}
        raise UsageError(f"{show_path(path)} has no cloud {cloud!r} with a table auth") from None
    except (yaml.YAMLError, RecursionError) as error:
        # The message of the library quotes lines, which may hold a secret.
        raise UsageError(f"{show_path(path)} is not valid YAML ({type(error).__name__})") from None
    for key in ("ak", "sk", "security_token", "project_id"):
        # YAML makes another text of what looks like a number: 0123 is 83.
        if not isinstance(auth.get(key, ""), str):
            raise UsageError(
                f"{key} of {cloud} in {show_path(path)} is a number to YAML, or another value that"
                " is not a string: put it in quotes"
            )
    return {key: value for key, value in auth.items() if isinstance(value, str)}


def _from_file(path: Path, *, required: bool) -> Credentials | None:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if required:
            raise UsageError(
                f"{FILE_VARIABLE} names {show_path(path)}, which does not exist"
            ) from None
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"cannot read the credentials in {show_path(path)}: {reason}") from None
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        # Neither the message nor the cause is passed on: both quote lines, which may hold a secret.
        kind = type(error).__name__
        raise UsageError(
            f"{show_path(path)} is not a credentials file ({kind}): expected a section"
            f" [{SECTION}] with ak and sk"
        ) from None
    if not parser.has_section(SECTION):
        return None
    section = parser[SECTION]
    keys = ("ak", "sk", "security_token", "project_id")
    names = tuple(f"{key} in {show_path(path)}" for key in keys)
    return _from_values([section.get(key, "").strip() for key in keys], names)
