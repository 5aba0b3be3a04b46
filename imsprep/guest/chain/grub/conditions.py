"""GRUB's `test` and `[`: what a condition of a script comes to.

Source: GRUB manual 2.12, "test"; grub-core/commands/test.c.
"""

from __future__ import annotations

from imsprep.guest.chain.grub.state import State

_NUMBERS = {"-eq": int.__eq__, "-ne": int.__ne__, "-lt": int.__lt__, "-le": int.__le__,
            "-gt": int.__gt__, "-ge": int.__ge__}  # fmt: skip


def holds(state: State, words: list[str]) -> bool | None:
    """Return whether an expression holds; None where that is not known."""
    for mark, join in (("-o", any), ("-a", all)):
        if mark in words:
            at = words.index(mark)
            parts = [holds(state, words[:at]), holds(state, words[at + 1 :])]
            return None if None in parts else join(map(bool, parts))
    if words[:1] == ["!"]:
        inner = holds(state, words[1:])
        return None if inner is None else not inner
    if len(words) == 2 and words[0] in ("-e", "-f", "-d", "-s"):
        return _is_there(state, *words)
    if len(words) == 2 and words[0] in ("-n", "-z"):
        return bool(words[1]) is (words[0] == "-n")
    if len(words) == 3 and words[1] in ("=", "==", "!="):
        return (words[0] == words[2]) is (words[1] != "!=")
    if len(words) == 3 and words[1] in _NUMBERS:
        numbers = [word for word in words[::2] if word.lstrip("-").isdigit()]
        if len(numbers) == 2:
            return _NUMBERS[words[1]](int(numbers[0]), int(numbers[1]))
    if len(words) <= 1:
        return bool(words and words[0])
    return None


def _is_there(state: State, asked: str, path: str) -> bool:
    """Return whether a path is there (`-e`), a folder (`-d`), none (`-f`), or a file with bytes."""
    file = state.file(path)
    if file is None or asked == "-e":
        return file is not None
    return (
        file.is_folder if asked == "-d" else not file.is_folder and (asked == "-f" or file.size > 0)
    )
