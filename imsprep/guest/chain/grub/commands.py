"""GRUB's commands that set variables, search volumes and name what an entry starts.

Sources: GRUB manual 2.12, "The list of commands"; for `blscfg` the distributions' documentation of
Fedora ("BootLoaderSpecByDefault").
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator

from imsprep.guest.chain.bls import Bls, read_entries
from imsprep.guest.chain.devices import UnknownStepError
from imsprep.guest.chain.grub.state import SET_AT_BOOT, Choice, Started, State
from imsprep.guest.chain.grub.syntax import Statement
from imsprep.guest.fs.interface import UnreadableError

LINUX = ("linux", "linux16", "linuxefi", "linux_rh")
INITRD = ("initrd", "initrd16", "initrdefi", "initrd_rh")
OTHER = ("chainloader", "multiboot", "multiboot2", "xen_hypervisor", "ntldr", "appleloader",
         "knetbsd", "kfreebsd", "kopenbsd", "openbsd", "freebsd")  # fmt: skip
# With which a block of variables begins; GRUB reads no other (grub-core/lib/envblk.c).
_BLOCK = "# GRUB Environment Block\n"
# What an extended expression of POSIX has that Python's means otherwise; and what is too slow.
_OTHER_PATTERN = re.compile(r"\(\?|\\\w|[*+?}][*+?{]|\)[*+{]|\[\[?[.=]")
_CLASSES = {"digit": "0-9", "alpha": "a-zA-Z", "alnum": "a-zA-Z0-9", "lower": "a-z", "upper": "A-Z",
            "xdigit": "0-9a-fA-F", "space": r"\s", "blank": r" \t"}  # fmt: skip
_TEXT, _REPEATED = 200, 3  # characters, and parts of a pattern that may repeat
# Options of `search` that take the next word for their value unless it begins with a dash.
_WITH_VALUE = ("--set", "-s", "--hint", "-h", "--hint-bios", "--hint-efi", "--hint-baremetal",
               "--hint-ieee1275", "--hint-arc")  # fmt: skip


def set_variable(state: State, arguments: list[str], _: Statement) -> bool:
    """Run `set` or `export`."""
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals:
            state.set(key, value)
    return True


def unset(state: State, arguments: list[str], _: Statement) -> bool:
    """Run `unset`."""
    for argument in arguments:
        state.variables.pop(argument, None)
    return True


def load_env(state: State, arguments: list[str], _: Statement) -> bool:
    """Take variables from an environment block; return whether there is one."""
    path, names = f"{state.variables.get('prefix', '')}/grubenv", list[str]()
    rest = iter(arguments)
    for word in rest:
        if word in ("-f", "--file"):
            path = next(rest, "")
        elif word.startswith("--file="):
            path = word.partition("=")[2]
        elif not word.startswith("-"):
            names.append(word)
    found = state.file(path)
    text = found.text() if found is not None else ""
    if not text.startswith(_BLOCK):
        return False
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#") and (not names or key in names):
            state.set(key, value)
    return True


def shift(state: State, arguments: list[str], _: Statement) -> bool:
    """Run `shift`: the parameters move up, and the first ones are gone."""
    count = int(arguments[0]) if arguments and arguments[0].isdigit() else 1
    return state.shift(count)


def regexp(state: State, arguments: list[str], _: Statement) -> bool | None:
    """Run `regexp`; None where what it matches is not known, or more than is tried here."""
    names, plain = list[str](), list[str]()
    rest = iter(arguments)
    for word in rest:
        if word in ("--set", "-s"):
            names.append(next(rest, ""))
        elif word.startswith("--set="):
            names.append(word.partition("=")[2])
        else:
            plain.append(word)
    found = _match(plain[0], plain[1]) if len(plain) == 2 and _can_match(names, *plain) else ()
    for name in names:
        group, variable = name.rpartition(":")[::2]
        number = int(group) if group.isdigit() else 1
        value = (
            SET_AT_BOOT if found == () else found[number] if found and number < len(found) else None
        )
        state.variables.pop(variable, None)
        if value is not None:
            state.set(variable, value)
    return None if found == () else found is not None


def _can_match(names: list[str], pattern: str, text: str) -> bool:
    """Return whether a pattern means the same in POSIX and here, and comes to an end soon."""
    known = SET_AT_BOOT not in pattern + text and not _OTHER_PATTERN.search(pattern)
    short = len(pattern) <= _TEXT and len(text) <= _TEXT
    # Of several ways POSIX takes the longest, which matters to what is taken out.
    return (
        known
        and short
        and len(re.findall(r"[*+{]", pattern)) <= _REPEATED
        and not (names and "|" in pattern)
    )


def _match(pattern: str, text: str) -> tuple[str | None, ...] | None:
    """Return what a pattern and its groups match, () where it is no pattern, or None."""
    for name, characters in _CLASSES.items():
        pattern = pattern.replace(f"[:{name}:]", characters)
    try:
        found = re.search(pattern, text)
    except (re.error, OverflowError):
        return ()
    return (found[0], *found.groups()) if found is not None else None


def search(state: State, arguments: list[str], statement: Statement) -> bool:
    """Run `search`: set a variable to the first volume that has a UUID, label or file."""
    by, variable, values = "", "root", list[str]()
    rest: Iterator[str] = iter(arguments)
    while (word := next(rest, None)) is not None:
        if word in ("--fs-uuid", "-u", "--label", "-l", "--file", "-f"):
            by = {"u": "uuid", "l": "label"}.get(word.strip("-").replace("fs-", "")[0], "file")
        elif word.startswith("--set="):
            variable = word.partition("=")[2] or "root"
        elif word in _WITH_VALUE:
            given = next(rest, "")
            if given.startswith("-"):  # the value may be left out
                rest = itertools.chain([given], rest)
            elif word in ("--set", "-s"):
                variable = given or "root"
        elif not word.startswith("-"):
            values.append(word)
    return _searched(state, by, values[0] if values else "", variable, statement)


def search_by(state: State, arguments: list[str], statement: Statement) -> bool:
    """Run `search.fs_uuid`, `search.fs_label` or `search.file`."""
    name = state.expanded(statement.words)[0]
    by = {"search.fs_uuid": "uuid", "search.fs_label": "label"}.get(name, "file")
    plain = [word for word in arguments if not word.startswith("-")]
    variable = plain[1] if len(plain) > 1 else "root"
    return _searched(state, by, plain[0] if plain else "", variable, statement)


def _searched(state: State, by: str, value: str, variable: str, statement: Statement) -> bool:
    found = state.devices.search(by, value)
    if found is not None:
        state.set(variable, found)
        return True
    kind = {"uuid": "UUID", "label": "label"}.get(by, "file")
    state.menu.failures.append(
        f"{state.frame.path} line {statement.line} searches {kind} {value[:80]}, which no volume "
        "of the image has"
    )
    return False


def linux(state: State, arguments: list[str], statement: Statement) -> bool:
    """Name the kernel of an entry, and its command line."""
    entry = state.frame.entry
    entry.line = statement.line
    name = "".join(state.expanded(statement.words[:1]))
    if (folder := _folder_without(state, name)) is not None:
        entry.lacks = f"no kernel: {folder} has no module for the command {name}"
        return False
    if arguments:
        entry.kernel, entry.arguments = state.named(arguments[0], entry), arguments[1:]
    return True


def _folder_without(state: State, name: str) -> str | None:
    """Return the folder of modules whose list of commands lacks one; None: not known of any.

    GRUB's normal/dyncmd.c. By a BIOS alone it is sure to have no Linux built in.
    """
    if state.variables["grub_platform"] != "pc":
        return None
    with contextlib.suppress(UnknownStepError, UnreadableError):
        found = state.file(f"{state.variables.get('prefix', '')}/i386-pc/command.lst")
        text = found.text() if found is not None else ""
        if found is not None and re.search(r"^linux: ", text, re.MULTILINE):
            named = re.search(rf"^\*?{re.escape(name)}: ", text, re.MULTILINE)
            return None if named else found.name.removesuffix("/command.lst")
    return None


def initrd(state: State, arguments: list[str], _: Statement) -> bool:
    """Name the initramfs of an entry."""
    entry = state.frame.entry
    entry.initrds += [state.named(path, entry) for path in arguments if not path.startswith("-")]
    return True


def foreign(state: State, arguments: list[str], statement: Statement) -> bool:
    """Start something else than Linux."""
    words = [*state.expanded(statement.words[:1]), *arguments]
    entry = state.frame.entry
    entry.unknown = f"it starts {' '.join(words)[:100]}, not Linux itself"
    entry.line = statement.line
    return True


def blscfg(state: State, _: list[str], statement: Statement) -> bool:
    """Make entries of the files of the Boot Loader Specification."""
    named = [state.variables.get(name) for name in ("boot", "root")]
    devices = [state.devices.named(device) for device in named if device]
    folders = (state.variables.get("blsdir", ""), "/loader/entries", "/boot/loader/entries")
    for device in dict.fromkeys(devices):
        for folder in filter(None, folders):
            entries = read_entries(state.devices, device, folder)
            for entry in entries:
                name = f"{entry.volume}:{entry.path}"
                state.frame.choices.append(Choice(statement, name, entry.title, (entry.id,), entry))
            if entries:
                return True
    for device in filter(None, devices):
        state.devices.must_see(device)
    state.menu.failures.append(
        f"{state.frame.path} line {statement.line}: blscfg finds no entry in /loader/entries"
    )
    return True


def from_bls(state: State, bls: Bls) -> Started:
    """Return what an entry of the Boot Loader Specification says, with GRUB's variables."""
    entry = Started(line=bls.line, version=bls.version)
    entry.kernel = state.named(bls.kernel, entry, bls.volume)
    for path in bls.initrds:
        entry.initrds += [state.named(name, entry, bls.volume) for name in _words(state, path)]
    entry.arguments = list(_words(state, bls.options))
    return entry


def _words(state: State, text: str) -> Iterator[str]:
    for word in text.split():
        if word.startswith("$"):
            yield from state.variables.get(word[1:].strip("{}"), "").split()
        else:
            yield word
