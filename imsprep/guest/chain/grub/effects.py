"""What GRUB's commands change, as far as that can be said without running them.

Where a command that decides what starts may or may not run, the menu is unknown; one that only
sets a colour is left out without harm. What a command learns from the machine (keys, firmware,
sensors) has no value before the boot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imsprep.guest.chain.grub.commands import INITRD, LINUX, OTHER
from imsprep.guest.chain.grub.syntax import Statement

# Commands that decide what starts.
DECISIVE = {*LINUX, *INITRD, *OTHER, "set", "search", "configfile", "source", "normal", "blscfg",
            "load_env", "eval", "search.fs_uuid", "search.fs_label", "search.file"}  # fmt: skip
# Commands whose result only a running machine knows.
ASKS_THE_MACHINE = {"sleep", "keystatus", "cmostest", "background_image", "read",
                    "probe", "smbios", "cpuid", "hashsum", "cmp", "getenv", "efivar",
                    "gptprio.next", "gptpriority", "extract_entries", "lsefi", "inl", "rdmsr",
                    "date"}  # fmt: skip
# How the variables begin that change what is seen, and not what starts.
_APPEARANCE = ("timeout", "gfx", "color", "theme", "font", "lang", "locale", "pager", "menu_",
               "superusers", "vt_", "linux_gfx", "terminal", "debug", "recordfail")  # fmt: skip
_TAKES_A_VARIABLE = ("--set", "-s", "-d", "-u", "-b")


def decide(statements: Iterable[Statement]) -> bool:
    """Return whether statements change what starts."""
    return any(_decides(statement) for statement in statements)


def _decides(statement: Statement) -> bool:
    if statement.kind in ("menuentry", "submenu"):
        return True
    bodies = [statement.body, *(body for arm in statement.arms for body in arm)]
    words = ["".join(part.text for part in word) for word in statement.words]
    return any(map(decide, bodies)) or is_decisive(words)


def is_decisive(words: list[str]) -> bool:
    """Return whether a command decides what starts: not one that changes what is seen alone."""
    if not words or words[0] not in DECISIVE:
        return False
    return not (words[1:] and words[1].startswith(_APPEARANCE))


def variables_of(arguments: list[str]) -> Iterator[str]:
    """Yield the variables that a command sets by its options, or as the last of its words."""
    for before, word in zip(["", *arguments], arguments, strict=False):
        if word.startswith("--set="):
            yield word.partition("=")[2].rpartition(":")[2]
        elif before in _TAKES_A_VARIABLE:
            yield word.rpartition(":")[2]
    if len(arguments) == 1 and arguments[0].isidentifier():
        yield arguments[0]
