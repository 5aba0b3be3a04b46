"""The strings of `os_version`: which system and version they mean, and which listed ones are near.

The strings are those of "Values of Related Parameters" (API reference) and of the user guides: the
name of a system, its version and the width, `64bit`, in no uniform spelling. No page states a
grammar; that a value has a name and a width is inferred from the lists: of their 250 values only
the three of CoreOS have no width. All have a version too, but a system that only rolls on has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

# What stands at the beginning of a name, the longer one first. The systems are those of ID in
# os-release(5), where they have one.
_SYSTEMS = (
    ("centos-stream", r"centos[ -]*stream"), ("centos", r"centos"), ("debian", r"debian"),
    ("ubuntu", r"ubuntu"), ("rhel", r"red ?hat|rhel"), ("ol", r"oracle|ol\b"),
    ("sled", r"suse linux enterprise desktop|sled"), ("sles", r"suse linux enterprise|sles"),
    ("opensuse", r"opensuse"), ("fedora-coreos", r"fedora coreos"), ("fedora", r"fedora"),
    ("coreos", r"coreos"), ("euleros", r"euler ?os"), ("openeuler", r"openeuler"),
    ("rocky", r"rocky"), ("almalinux", r"alma"), ("alpine", r"alpine"), ("freebsd", r"freebsd"),
    ("neokylin", r"neokylin"), ("windows-server", r"(?:microsoft )?windows (?:server|(?=20\d\d))"),
    ("windows", r"(?:microsoft )?windows"),
)  # fmt: skip
_WIDTH = re.compile(r"\b(32|64)[ -]?bit")
_VERSION = re.compile(r"\d+(?:\.\d+)*")
_EDITIONS = ("datacenter", "standard", "enterprise", "essentials", "web", "professional")
_WHOLE = re.compile(r"[^\W\d_].*[^a-z0-9](32|64)[ -]?bit\)?|coreos \d+(\.\d+)*")
_MOST = 3  # values that are named at a time


class OsName(NamedTuple):
    """What a string means; `system` is None for "Other…" and for a system that is not known."""

    system: str | None
    version: tuple[int, ...]  # as far as it is given
    pack: int | None  # service pack: the 5 of SP5
    second: bool  # Windows Server R2
    bits: int | None
    edition: str | None  # of Windows

    @property
    def release(self) -> tuple[int, ...]:
        """The version without zeros at its end: 12.0.0 is 12."""
        numbers = [*self.version, *([] if self.pack is None else [self.pack])]
        while len(numbers) > 1 and numbers[-1] == 0:
            numbers.pop()
        return tuple(numbers)


def read_os_name(text: str) -> OsName:
    """Read one of the strings, or what a person wrote for one."""
    plain = re.sub(r"[\s\u00a0_]+", " ", text).strip().lower()
    system, rest = _system_of(plain)
    width = _WIDTH.search(rest)
    rest = rest[: width.start()] if width else rest
    found = _VERSION.search(rest)
    pack = re.search(r"\bsp ?(\d{1,3})", rest)
    return OsName(
        system,
        tuple(int(number[:9]) for number in found[0].split(".")) if found else (),
        int(pack[1]) if pack else None,
        re.search(r"\br2\b", rest) is not None,
        int(width[1]) if width else None,
        _edition(system, rest),
    )


def _edition(system: str | None, rest: str) -> str | None:
    if system is None or not system.startswith("windows"):
        return None
    return next((word for word in _EDITIONS if word in rest.split()), None)


def _system_of(plain: str) -> tuple[str | None, str]:
    """Return the system that a text names, and what stands behind its name."""
    for system, start in _SYSTEMS:
        found = re.match(start, plain)
        if found is not None:
            return system, plain[found.end() :]
    return None, plain


def near(value: str, listed: Iterable[str]) -> tuple[str, ...]:
    """Return the listed values of the same system and version, the nearest first.

    Never one of another system, width or major version, nor of another minor version or service
    pack where `value` has one: a version that a list does not have is no slip of the pen. The very
    version in another spelling comes first, then the newest.
    """
    asked = read_os_name(value)
    if asked.system is None or not asked.version:
        return ()
    found = {text: name for text in listed if _may_be(asked, name := read_os_name(text))}
    if asked.bits is None and any(name.bits == 64 for name in found.values()):
        found = {text: name for text, name in found.items() if name.bits == 64}
    if any(name.edition == asked.edition for name in found.values()):
        found = {text: name for text, name in found.items() if name.edition == asked.edition}
    by_spelling = {text.lower(): text for text in reversed(found)}  # of two, the first stays
    kept = [text for text in found if by_spelling[text.lower()] == text]
    newest = sorted(kept, key=lambda text: found[text].release, reverse=True)
    return tuple(sorted(newest, key=lambda text: found[text].release != asked.release))


def newest(value: str, listed: Iterable[str]) -> str | None:
    """Return the listed value of the same system, edition and width with the highest version."""
    asked = read_os_name(value)
    if asked.system is None:
        return None
    same = [
        text
        for text in listed
        if (name := read_os_name(text)).system == asked.system
        and (asked.bits or 64) == name.bits
        and asked.edition in (None, name.edition)
    ]
    return max(same, key=lambda text: read_os_name(text).release, default=None)


def named(values: tuple[str, ...], last: str = "and") -> str:
    """Write the first values of those that are near, and how many more there are."""
    quoted = [f'"{value}"' for value in values[:_MOST]]
    if len(values) > _MOST:
        return f"{', '.join(quoted)} and {len(values) - _MOST} more"
    return f" {last} ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))


def _may_be(asked: OsName, listed: OsName) -> bool:
    """Return whether a listed value is one of the system and version that were asked for."""
    given = asked.version[:2]
    return (
        listed.system == asked.system
        and bool(listed.version)
        and (*listed.version, 0)[: len(given)] == given
        and asked.pack in (None, listed.pack)
        and asked.second == listed.second
        and (asked.bits is None or listed.bits in (None, asked.bits))
        and asked.edition in (None, listed.edition)
    )


def is_well_formed(text: str) -> bool:
    """Return whether a string has the form that every listed one has.

    That is a name at the beginning and the width at the end, or CoreOS and a version. A version may
    be missing ("Other Linux(64 bit)", "Arch Linux 64bit"). Inferred, as the module says.
    """
    return _WHOLE.fullmatch(re.sub(r"[\s\u00a0_]+", " ", text).strip().lower()) is not None
