"""Whether GRUB's modules fit the program that loads them: every symbol that they need is there.

A module is a relocatable ELF file; what it needs and brings stands in its symbol table, which other
modules it needs in the section `.moddeps`. GRUB's kernel has the names of what it exports as text
(its symlist.c). A program of another version than the modules, as where the package was renewed and
`grub-install` was not run on this disk, stops: “symbol `…' not found” (GRUB's kern/dl.c).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

_SYMBOLS, _GLOBAL, _WEAK = 2, 1, 2  # section type; bindings
_LIMIT = 64  # modules that may need one another

# By EI_CLASS, 1 for 32 bits and 2 for 64: of the header the place, size, number and names of the
# sections; of a section name, type, offset, size, link; of a symbol name, binding, section.
_HEADS = {1: struct.Struct("<32xI10xHHH"), 2: struct.Struct("<40xQ10xHHH")}
_SECTIONS = {1: struct.Struct("<II8xIII"), 2: struct.Struct("<II16xQQI")}
_ENTRIES = {1: (struct.Struct("<I8xBxH"), 16), 2: (struct.Struct("<IBxH"), 24)}


class Module(NamedTuple):
    """What a module needs and brings."""

    needs: frozenset[bytes]  # symbols
    brings: frozenset[bytes]
    modules: tuple[str, ...]  # that have to be loaded in front of it


def read_module(elf: bytes) -> Module | None:
    """Read a module; None if it is none, or of a form that is not known."""
    width = elf[4] if elf[:4] == b"\x7fELF" and len(elf) > 64 else 0
    if width not in _HEADS or elf[5] != 1:
        return None
    table, size, count, names = _HEADS[width].unpack_from(elf)
    section = _SECTIONS[width]
    if size < section.size or names >= count or table + count * size > len(elf):
        return None
    sections = [section.unpack_from(elf, table + number * size) for number in range(count)]
    texts = sections[names][2]
    needs, brings, modules = set[bytes](), set[bytes](), tuple[str, ...]()
    for name, kind, offset, length, link in sections:
        if elf[texts + name :].startswith(b".moddeps\0"):
            words = elf[offset : offset + length].split(b"\0")
            modules = tuple(word.decode("ascii", "replace") for word in words if word)
        if kind != _SYMBOLS or link >= count:
            continue
        layout, step = _ENTRIES[width]
        strings = sections[link][2]
        for at in range(offset, min(offset + length, len(elf) - step + 1), step):
            start, info, place = layout.unpack_from(elf, at)
            text = elf[strings + start : strings + start + 256].split(b"\0")[0]
            if text and info >> 4 in (_GLOBAL, _WEAK):
                (brings if place else needs).add(text)
    return Module(frozenset(needs), frozenset(brings), modules)


def missing_symbol(
    kernel: bytes, built_in: Mapping[str, bytes], wanted: Iterable[str],
    load: Callable[[str], bytes | None],
) -> tuple[str, str] | None:  # fmt: skip
    """Return a module that is loaded and a symbol that it needs and that nothing has, or None.

    `load` returns the file of a module by its name, None where there is none.
    """
    there: set[bytes] = set()
    for data in built_in.values():
        module = read_module(data)
        if module is None:
            return None
        there |= module.brings
    loaded: dict[str, Module] = {}
    todo = [name for name in wanted if name not in built_in]
    while todo and len(loaded) < _LIMIT:
        name = todo.pop()
        if name in built_in or name in loaded:
            continue
        file = load(name)
        module = read_module(file) if file is not None else None
        if module is None:
            return None
        loaded[name] = module
        there |= module.brings
        todo += module.modules
    for name, module in loaded.items():
        for symbol in sorted(module.needs - there):
            if symbol + b"\0" not in kernel:
                return name, symbol.decode("ascii", "replace")
    return None
