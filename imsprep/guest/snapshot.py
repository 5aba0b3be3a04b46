"""Take from a guest's tree what the rules need: a few texts, names and sizes."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from imsprep.guest import paths
from imsprep.guest.chain.values import Boot
from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.linux.fstab import read_fstab
from imsprep.guest.linux.libraries import Search
from imsprep.guest.linux.programs import why_not_started
from imsprep.guest.linux.udev import names_cards
from imsprep.guest.model import Entry
from imsprep.guest.tree import Tree
from imsprep.units import KIB, MIB

_MACHINES = {3: "i386", 62: "x86_64", 40: "arm", 183: "aarch64", 243: "riscv64", 21: "ppc64"}

# Lines of a NetworkManager connection that may leave the child; the others can be secrets.
_CONNECTION_LINE = re.compile(
    r"^\s*(\[.*\]|(?:id|type|method|mac-address|interface-name|driver|autoconnect|master|controller)\s*=.*)$"
)


def guarded(gaps: dict[str, str], pattern: str, take: Callable[[], None]) -> None:
    """Run a step; what it cannot read becomes a gap, and the next step runs all the same."""
    try:
        take()
    except UnreadableError as error:
        gaps[pattern] = str(error)


def take_files(
    tree: Tree, texts: tuple[str, ...], names: tuple[str, ...], gaps: dict[str, str]
) -> dict[str, Entry]:
    """Look at all paths that match the patterns; `texts` also with their content."""
    files: dict[str, Entry] = {}

    def take(pattern: str, limit: int) -> None:
        for path, entry in _entries(tree, pattern, limit):
            files[path] = entry
            if entry.truncated:
                gaps[path] = f"only the first {limit} of its {entry.size} bytes were read"

    for pattern in names:
        guarded(gaps, pattern, partial(take, pattern, 0))
    for pattern in texts:
        guarded(gaps, pattern, partial(take, pattern, paths.TEXT_LIMIT))
    return files


def take_names(tree: Tree, gaps: dict[str, str], boot: Boot) -> dict[str, Entry]:
    """Look at what is there: paths of the list, first programs, and files that fstab mounts.

    First programs are also those that the entries of `boot` that start ask for.
    """
    files = take_files(tree, (), paths.LINUX_NAMES, gaps)
    asked = (route.entry.value("init") for route in boot.routes if route.entry is not None)
    files.update(_first_programs(tree, gaps, tuple(path for path in asked if path)))
    guarded(gaps, "/etc/fstab", lambda: files.update(_mounted_files(tree, gaps)))
    for pattern in paths.VENDOR_RULES:
        guarded(gaps, pattern, partial(_take_naming, tree, pattern, files))
    return files


def _take_naming(tree: Tree, pattern: str, files: dict[str, Entry]) -> None:
    """Add the udev rules of packages that give names to network cards."""
    for path in tree.glob(pattern):
        text = tree.read(path, limit=paths.TEXT_LIMIT).decode("utf-8", "surrogateescape")
        entry = tree.entry(path) if names_cards(text) else None
        if entry is not None:
            files[path] = entry


def _first_programs(tree: Tree, gaps: dict[str, str], asked: tuple[str, ...]) -> dict[str, Entry]:
    """Look at what may be the first program, and whether the kernel can start it."""
    files: dict[str, Entry] = {}
    search = Search(tree)

    def take(path: str) -> None:
        entry = tree.entry(path)
        if entry is not None:
            files[path] = replace(entry, fault=why_not_started(tree, path, search))

    for path in dict.fromkeys((*paths.INITS, *asked)):
        guarded(gaps, path, partial(take, path))
    return files


def _mounted_files(tree: Tree, gaps: dict[str, str]) -> dict[str, Entry]:
    """Look at the files of the system itself that fstab mounts or swaps to."""
    files: dict[str, Entry] = {}

    def take(path: str) -> None:
        entry = tree.entry(path)
        if entry is not None:
            files[path] = entry

    text = tree.read("/etc/fstab", limit=paths.TEXT_LIMIT).decode("utf-8", "surrogateescape")
    for path in (mount.inside for mount in read_fstab(text)[: paths.PATTERN_LIMIT]):
        if path is not None:
            guarded(gaps, path, partial(take, path))
    return files


def take_secrets(tree: Tree, gaps: dict[str, str]) -> dict[str, Entry]:
    """Take of files with secrets in them only the lines a rule needs."""
    files = {}

    def connections(pattern: str) -> None:
        for path, entry in _entries(tree, pattern, paths.TEXT_LIMIT):
            if entry.text is not None:
                kept = [line for line in entry.text.splitlines() if _CONNECTION_LINE.match(line)]
                files[path] = Entry(entry.kind, entry.mode, entry.size, "\n".join(kept))

    def password() -> None:
        state = password_state(tree.read(paths.PASSWORDS, limit=paths.TEXT_LIMIT))
        if state is not None:
            files[paths.PASSWORDS] = Entry("file", 0o640, text=f"root:{state}")

    for pattern in paths.CONNECTIONS:
        guarded(gaps, pattern, partial(connections, pattern))
    guarded(gaps, paths.PASSWORDS, password)
    return files


def _entries(tree: Tree, pattern: str, limit: int) -> Iterator[tuple[str, Entry]]:
    """Yield the paths that match, and UnreadableError after the first PATTERN_LIMIT."""
    for number, path in enumerate(tree.glob(pattern)):
        if number == paths.PATTERN_LIMIT:
            raise UnreadableError(f"only the first {number} paths were looked at")
        entry = tree.entry(path, text_limit=limit)
        if entry is not None:
            yield path, entry


def password_state(shadow: bytes) -> str | None:
    """Return how root's password stands: "empty", "locked", "set"; None if there is no root."""
    for line in shadow.splitlines():
        fields = line.split(b":")
        if fields[0] == b"root" and len(fields) > 1:
            if not fields[1]:
                return "empty"
            return "locked" if fields[1][:1] in b"!*x" else "set"
    return None


def machine(tree: Tree) -> str | None:
    """Return the architecture by the ELF header of one of the guest's own programs."""
    for path in paths.PROGRAMS:
        try:
            head = tree.read(path, limit=20)
        except UnreadableError:
            continue
        if len(head) == 20 and head[:4] == b"\x7fELF":
            order = ">" if head[5] == 2 else "<"
            (number,) = struct.unpack_from(f"{order}H", head, 18)
            return _MACHINES.get(number, f"ELF machine {number}")
    return None


# A version as GRUB's package has it; normal.mod carries it for the headline of its menu.
_GRUB_MODULES = (
    "/boot/grub*/i386-pc/normal.mod", "/boot/grub*/x86_64-efi/normal.mod",
    "/usr/lib/grub/i386-pc/normal.mod", "/usr/lib/grub/x86_64-efi/normal.mod",
)  # fmt: skip
_GRUB_VERSION = re.compile(rb"(?:GNU GRUB  version |\0)(\d\.\d{2}[\w.+~:-]*)\0")
_GRUB_PACKAGE = re.compile(
    r"^Package: grub(?:2-common|-common|-pc|-pc-bin)\n(?:.+\n)*?Version: (?:\d+:)?(\S+)",
    re.MULTILINE,
)
_MODULE_LIMIT, _STATUS_LIMIT = 512 * KIB, 8 * MIB


_EXTLINUX_FILES = ("/boot/extlinux/ldlinux.sys", "/boot/ldlinux.sys", "/ldlinux.sys")
_EXTLINUX_VERSION = re.compile(rb"(?:SYS|EXT)LINUX (\d+\.\d+)")


def extlinux_version(tree: Tree) -> str | None:
    """Return the version of the extlinux that is installed, as its second stage says it."""
    for path in _EXTLINUX_FILES:
        try:
            found = _EXTLINUX_VERSION.search(tree.read(path, limit=_MODULE_LIMIT))
        except UnreadableError:
            return None
        if found is not None:
            return found[1].decode("ascii")
    return None


def grub_version(tree: Tree) -> str | None:
    """Return the version of the GRUB that is installed, from its modules or Debian's package list.

    The modules in /boot are those that start; a package may be newer than what was installed.
    """
    try:
        for pattern in _GRUB_MODULES:
            for path in tree.glob(pattern):
                found = _GRUB_VERSION.search(tree.read(path, limit=_MODULE_LIMIT))
                if found is not None:
                    return found[1].decode("ascii")
        status = tree.read("/var/lib/dpkg/status", limit=_STATUS_LIMIT).decode("utf-8", "replace")
    except UnreadableError:
        return None
    package = _GRUB_PACKAGE.search(status)
    return package[1] if package is not None else None
