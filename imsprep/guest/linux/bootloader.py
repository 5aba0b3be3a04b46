"""The kernel command lines that boot loaders will use.

Sources: GRUB manual (grub.cfg, menu.lst of GRUB legacy), the Boot Loader Specification for
`loader/entries/*.conf`, the syslinux documentation for extlinux.conf. Variables are resolved only
as far as distributions use them: `$kernelopts`, `$default_kernelopts` and `$tuned_params`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

from imsprep.guest.model import Guest

GRUB2 = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/efi/EFI/*/grub.cfg",
         "/efi/EFI/*/grub.cfg")  # fmt: skip
GRUB1 = ("/boot/grub/menu.lst", "/boot/grub/grub.conf")
BLS = (
    "/boot/loader/entries/*.conf",
    "/boot/efi/loader/entries/*.conf",
    "/efi/loader/entries/*.conf",
)
EXTLINUX = ("/boot/extlinux.conf", "/boot/extlinux/*.conf", "/boot/syslinux/syslinux.cfg")
_ENVIRONMENTS = ("/boot/grub2/grubenv", "/boot/grub/grubenv", "/boot/efi/EFI/*/grubenv",
                 "/efi/EFI/*/grubenv")  # fmt: skip

_GRUB2_LINE = re.compile(r"^\s*linux(?:16|efi)?\s+(\S+)\s*(.*)$")
_GRUB1_LINE = re.compile(r"^\s*kernel\s+(?:--\S+\s+)*(\S+)\s*(.*)$")
_XEN = re.compile(r"(?:xen|memtest|ipxe|\.c32)", re.IGNORECASE)


class CommandLine(NamedTuple):
    """One boot entry: where it stands, its kernel and what the kernel is told."""

    path: str
    line: int  # counted from 1
    kernel: str
    arguments: tuple[str, ...]

    def value(self, name: str) -> str | None:
        """Return the last value of an argument `name=value`, or None."""
        found = [a.partition("=")[2] for a in self.arguments if a.startswith(f"{name}=")]
        return found[-1] if found else None


def command_lines(guest: Guest) -> list[CommandLine]:
    """Return the command lines of all boot entries of all loaders that were found."""
    variables = _variables(guest)
    lines: list[CommandLine] = []
    for patterns, read in ((GRUB2, _grub2), (GRUB1, _grub1), (BLS, _bls), (EXTLINUX, _extlinux)):
        for path, entry in guest.matching(*patterns):
            # menu.lst is often a link to grub.conf, which is read under its own name.
            target = posixpath.normpath(f"{posixpath.dirname(path)}/{entry.target}")
            if entry.target is None or target not in guest.files:
                lines.extend(read(path, entry.text or ""))
    return [_resolved(line, variables) for line in lines if not _XEN.search(line.kernel)]


def _variables(guest: Guest) -> dict[str, str]:
    values: dict[str, str] = {}
    for path, entry in guest.matching(*GRUB2, *_ENVIRONMENTS):
        for line in (entry.text or "").splitlines():
            found = re.match(r'\s*(?:set\s+)?(\w*kernelopts|tuned_params)="?([^"]*)"?\s*$', line)
            if found and (path.endswith("grubenv") or found[1] not in values):
                values[found[1]] = found[2]
    if "kernelopts" not in values and "default_kernelopts" in values:
        values["kernelopts"] = values["default_kernelopts"]
    return values


def _resolved(line: CommandLine, variables: dict[str, str]) -> CommandLine:
    arguments: list[str] = []
    for argument in line.arguments:
        name = argument.strip('"').removeprefix("$").strip("{}")
        known = argument.strip('"').startswith("$") and name in variables
        arguments.extend(variables[name].split() if known else [argument.strip('"')])
    return line._replace(arguments=tuple(arguments))


def _grub2(path: str, text: str) -> Iterator[CommandLine]:
    yield from _matched(path, text, _GRUB2_LINE)


def _grub1(path: str, text: str) -> Iterator[CommandLine]:
    yield from _matched(path, text, _GRUB1_LINE)


def _matched(path: str, text: str, pattern: re.Pattern[str]) -> Iterator[CommandLine]:
    for number, line in enumerate(text.splitlines(), 1):
        found = pattern.match(line)
        if found:
            yield CommandLine(path, number, found[1], tuple(found[2].split()))


def _bls(path: str, text: str) -> Iterator[CommandLine]:
    kernel, arguments, where = "", [], 1
    for number, line in enumerate(text.splitlines(), 1):
        key, _, value = line.strip().partition(" ")
        if key == "linux":
            kernel = value.strip()
        elif key == "options":
            arguments += value.split()
            where = number
    if kernel:
        yield CommandLine(path, where, kernel, tuple(arguments))


def _extlinux(path: str, text: str) -> Iterator[CommandLine]:
    kernel = ""
    for number, line in enumerate(text.splitlines(), 1):
        key, _, value = line.strip().partition(" ")
        if key.lower() in ("linux", "kernel"):
            kernel = value.strip()
        elif key.lower() == "append" and kernel:
            yield CommandLine(path, number, kernel, tuple(value.split()))
            kernel = ""
