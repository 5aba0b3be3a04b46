"""What GRUB holds while it runs a script: variables, functions, and the menu and entry in the make.

Sources: GRUB manual 2.12, "Special environment variables"; grub-core/kern/env.c and
grub-core/normal/main.c for what is set before a script runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TypedDict, Unpack

from imsprep.guest.chain.bls import Bls
from imsprep.guest.chain.devices import Devices, File
from imsprep.guest.chain.files import locate
from imsprep.guest.chain.grub.syntax import Part, Statement, Word
from imsprep.guest.chain.values import UEFI, BootEntry
from imsprep.image.volumes.signatures import BTRFS

# What a variable holds that only a running machine knows.
SET_AT_BOOT = "\0"
_FEATURES = (
    "menuentry_id", "platform_search_hint", "default_font_path", "all_video_module",
    "chainloader_bpb", "timeout_style", "menuentry_options", "nativedisk_cmd", "200_final", "ntldr",
)  # fmt: skip
# Disks as GRUB counts them on every machine; what it calls others depends on its modules.
_COUNTED = re.compile(r"hd\d+,(?:gpt|msdos)?\d+$")


# What a variable is split into at blanks; names of volumes, which stand in brackets, have some.
_SPLIT = re.compile(r"(?:\([^()]*\)|\S)+")
_MATCH_LIMIT = 1000  # files that a pattern may give


def _has_wildcard(word: Word) -> bool:
    """Return whether a word is a path with a wildcard that is not quoted."""
    plain = "".join(p.text for p in word if not p.quoted and not p.variable)
    first = word[0] if word else None
    path = first is not None and (first.variable or first.text.startswith(("/", "(")))
    return path and any(mark in plain for mark in "*?[") and plain != "["


@dataclass
class Menu:
    """What a script came to: entries, and the one that starts by default."""

    entries: list[BootEntry] = field(default_factory=list)
    default: int | None = None
    files: list[str] = field(default_factory=list)  # that were gone through
    failures: list[str] = field(default_factory=list)  # searches and files that lead nowhere
    waits: str | None = None  # why it does not start an entry by itself
    unknown: str | None = None
    prefix: str = ""  # where GRUB looks for its modules in the end: `(DEVICE)/FOLDER`


@dataclass
class Choice:
    """An entry or submenu as it stands in the script, not run yet."""

    statement: Statement
    path: str
    title: str
    ids: tuple[str, ...]
    bls: Bls | None = None
    parameters: tuple[str, ...] = ()  # $1, which is the title, and those behind it
    restricted: bool = False  # to users with a password, where there are any


@dataclass
class Started:
    """What the commands of one entry have said so far."""

    kernel: str | None = None
    initrds: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    line: int = 0
    unknown: str | None = None
    version: str | None = None
    lacks: str | None = None  # the command that would load the kernel, which GRUB does not have
    missing: dict[str, str] = field(default_factory=dict)  # why a file is not found, by its name

    def entry(self, path: str, title: str, unknown: str | None = None) -> BootEntry:
        """Return it as a value, with what is wrong with its files."""
        unknown = unknown or self.unknown
        if not (self.kernel or unknown or self.initrds or self.lacks):
            unknown = "it names no kernel"
        files = [self.kernel or "", *self.initrds]
        gone = [name for name in files if name and ":" not in name]
        why = self.missing.get(gone[0], "is not in the image") if gone else ""
        broken = f"{gone[0]}, which {why}" if gone and unknown is None else None
        if self.kernel is None and unknown is None:
            return BootEntry(path, self.line, title, "", tuple(self.initrds), (),
                             self.lacks or "no kernel, and only an initramfs")  # fmt: skip
        return BootEntry(path, self.line, title, self.kernel or "", tuple(self.initrds),
                         tuple(self.arguments), broken, unknown,
                         gone[0] if broken else None, self.version)  # fmt: skip


@dataclass
class Frame:
    """Where commands act that are run now: in which file, for which menu, for which entry."""

    path: str = ""
    choices: list[Choice] = field(default_factory=list)  # of the menu that is being made
    entry: Started = field(default_factory=Started)
    in_entry: bool = False  # the commands are those of an entry, and not of a file or submenu


class _Changes(TypedDict, total=False):
    path: str
    choices: list[Choice]
    entry: Started
    in_entry: bool


class State:
    """The variables of GRUB, the files that they lead to, and what is being made."""

    def __init__(self, devices: Devices, firmware: str, root: str) -> None:
        self.devices, self.menu = devices, Menu()
        platform, target = ("efi", "x86_64") if firmware == UEFI else ("pc", "i386")
        self.variables = {"grub_platform": platform, "grub_cpu": target, "root": root}
        self.variables |= {f"feature_{name}": "y" for name in _FEATURES}
        self.functions: dict[str, Statement] = {}
        self.frame = Frame()
        self._built_in = root
        self._chosen = False  # the script itself has set `root`

    @contextlib.contextmanager
    def inside(self, **changes: Unpack[_Changes]) -> Iterator[Frame]:
        """Run commands in a frame that differs; what it does not change, it shares."""
        outer = self.frame
        self.frame = dataclasses.replace(outer, **changes)
        try:
            yield self.frame
        finally:
            self.frame = outer

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Forget afterwards what variables were set, as GRUB does behind an entry."""
        variables, chosen = dict(self.variables), self._chosen
        try:
            yield
        finally:
            self.variables, self._chosen = variables, chosen

    def set(self, name: str, value: str) -> None:
        """Set a variable; GRUB takes `root` with and without brackets."""
        if name == "root":
            self._chosen = True
            value = value[1:-1] if value.startswith("(") and value.endswith(")") else value
        self.variables[name] = value

    @contextlib.contextmanager
    def parameters(self, values: Sequence[str]) -> Iterator[None]:
        """Set $1 and those behind it, $# and $@, for as long as a function or an entry runs."""
        outer = self._replaced_parameters(_parameters(values))
        try:
            yield
        finally:
            self._replaced_parameters(outer)

    def shift(self, count: int) -> bool:
        """Let the parameters begin `count` later; return whether there are so many."""
        given = int(self.variables.get("#", "0"))
        values = [self.variables.get(str(at), "") for at in range(1, given + 1)]
        if count > given:
            return False
        self._replaced_parameters(_parameters(values[count:]))
        return True

    def _replaced_parameters(self, values: dict[str, str]) -> dict[str, str]:
        """Put parameters in the place of those that are set; return the latter."""
        names = [name for name in self.variables if name.isdigit() or name in ("#", "@", "*")]
        found = {name: self.variables.pop(name) for name in names}
        self.variables |= values
        return found

    def text(self, word: Word) -> str:
        """Return a word with its variables, unsplit."""
        return "".join(self.variables.get(p.text, "") if p.variable else p.text for p in word)

    def expanded(self, words: Iterable[Word]) -> list[str]:
        """Return words with their variables; an unquoted variable is split at blanks."""
        found: list[str] = []
        for word in words:
            if len(word) == 1 and word[0].variable and not word[0].quoted:
                found += _SPLIT.findall(self.variables.get(word[0].text, ""))
            elif _has_wildcard(word):
                found += self._matching("".join(self._pattern(part) for part in word)) or [
                    self.text(word)
                ]
            else:
                found.append(self.text(word))
        return found

    def _pattern(self, part: Part) -> str:
        """Return a part of a word as a pattern: what is quoted means itself."""
        text = self.variables.get(part.text, "") if part.variable else part.text
        return re.sub(r"([*?[])", r"[\1]", text) if part.quoted else text

    def _matching(self, pattern: str) -> list[str]:
        """Return the files that a pattern with wildcards means; [] if there is none.

        Source: grub-core/commands/wildcard.c. Which devices a machine has is not known.
        """
        device, _, inside = pattern.rpartition(")")
        if any(mark in device for mark in "*?["):
            return [SET_AT_BOOT]
        before = f"{device})" if device else ""
        _, volume, _ = self._split(f"{before}/")
        if volume is None or not inside.startswith("/"):
            return []
        self.devices.must_see(volume)
        folders = [""]
        for component in inside.split("/")[1:]:
            folders = [
                f"{folder}/{name}"
                for folder in folders
                for name in self._fitting(volume, folder, component)
            ][:_MATCH_LIMIT]
        return [f"{before}{path}" for path in folders]

    def _fitting(self, volume: str, folder: str, component: str) -> list[str]:
        if not any(mark in component for mark in "*?["):
            return [component] if self.devices.find(volume, f"{folder}/{component}") else []
        names = sorted(self.devices.names(volume, folder or "/"))
        hidden = component.startswith(".")
        return [n for n in names if fnmatchcase(n, component) and n.startswith(".") <= hidden]

    def file(self, path: str) -> File | None:
        """Return the file or folder that GRUB means; None if there is none."""
        _, volume, inside = self._split(path)
        if volume is None:
            return None
        self.devices.must_see(volume)
        return self.devices.find(volume, inside)

    def named(self, path: str, entry: Started, own: str | None = None) -> str:
        """Return `VOLUME:PATH` of a file that an entry names; the path alone if it is not there.

        Where the script itself says on which volume, the file must lie there, and that of an entry
        in a file of its own on that file's volume `own`. btrfs is left out, whose paths depend on
        how GRUB was built.
        """
        device, volume, inside = (self.variables.get("root", ""), own, path)
        if own is None:
            device, volume, inside = self._split(path)
        if self._chosen or device != self._built_in or own is not None:
            kind = next((v.kind for v in self.devices.volumes if v.name == volume), None)
            if volume is None and _COUNTED.match(device):
                entry.missing[inside] = f"is to be on ({device}), which the image does not have"
                return inside
            if volume in self.devices.trees and kind != BTRFS:
                entry.missing[inside] = f"is not on {volume}, where the entry looks"
                return f"{volume}:{inside}" if self.devices.find(volume, inside) else inside
        return locate(self.devices, volume, inside) or inside

    def _split(self, path: str) -> tuple[str, str | None, str]:
        """Return GRUB's device of a path, the volume that it is, and the path on that."""
        device, inside = self.variables.get("root", ""), path
        if path.startswith("("):
            device, _, inside = path[1:].partition(")")
        return device, self.devices.named(device), inside or "/"


def _parameters(values: Sequence[str]) -> dict[str, str]:
    """Return the variables that hold parameters: their number, all of them, and each."""
    joined = " ".join(values)
    own = {"#": str(len(values)), "@": joined, "*": joined}
    return own | {str(at): value for at, value in enumerate(values, 1)}
