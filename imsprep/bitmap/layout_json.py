"""Layouts as JSON: what `--layout FILE` reads, what `imsprep bitmap learn` and the sidecar write.

Bytes are written as `{"text": …}` where they are plain ASCII and as `{"hex": …}` elsewhere. What
equals a default of `layout` may be left out when a layout is written by hand.

Read here and not by msgspec, which reads the other files: it has no unions of plain records, takes
bytes as base64 only, and its errors do not name the words that are possible.
"""

from __future__ import annotations

import functools
import json
import types
import typing
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from imsprep.bitmap.layout import (
    DEFAULT_LAYOUT,
    BitmapLayout,
    Bits,
    Cells,
    Checksum,
    Constant,
    Entries,
    Number,
)
from imsprep.errors import ReadError, UsageError, show_path
from imsprep.system import atomic

SCHEMA = 1
KNOWN = {DEFAULT_LAYOUT.name: DEFAULT_LAYOUT}
_MAX_FILE = 1 << 20  # bytes; a layout is short

# Records that stand in a place where several are possible say which one they are.
_KINDS: dict[str, type] = {
    "bits": Bits, "cells": Cells, "entries": Entries,
    "constant": Constant, "number": Number, "checksum": Checksum,
}  # fmt: skip
_NAMES = {record: name for name, record in _KINDS.items()}


def layout_of(layout: BitmapLayout | str) -> BitmapLayout:
    """Return a layout, where it is named by its name or its file's; see `load_layout`."""
    return load_layout(layout) if isinstance(layout, str) else layout


def load_layout(text: str) -> BitmapLayout:
    """Return the layout of that name or in that file; UsageError or ReadError if there is none."""
    if text in KNOWN:
        return KNOWN[text]
    path = Path(text)
    try:
        data = path.read_bytes() if path.stat().st_size <= _MAX_FILE else b""
    except FileNotFoundError as error:
        names = ", ".join(KNOWN)
        raise UsageError(f"unknown layout {text!r}: neither a file nor one of {names}") from error
    except OSError as error:
        raise ReadError.from_os(error, "cannot read", path) from error
    try:
        return from_plain(json.loads(data))
    except (ValueError, UsageError) as error:
        raise UsageError(f"{show_path(path)} is not a layout: {error}") from error


def save_layout(path: Path, layout: BitmapLayout) -> None:
    """Write a layout as JSON, atomically."""
    atomic.write_json(path, to_plain(layout))


def to_plain(layout: BitmapLayout) -> dict[str, object]:
    """Return plain values for JSON."""
    return {"schema": SCHEMA, **_record(layout)}


def from_plain(value: object) -> BitmapLayout:
    """Return what `to_plain` gave; UsageError says what is wrong and where."""
    if not isinstance(value, dict):
        raise UsageError("expected an object")
    members = dict(value)
    if members.pop("schema", None) != SCHEMA:
        raise UsageError(f"schema is {value.get('schema')!r}, this imsprep reads {SCHEMA}")
    layout = _read(BitmapLayout, members, "layout")
    assert isinstance(layout, BitmapLayout)
    return layout


def _record(record: object) -> dict[str, object]:
    of: Any = type(record)
    kind = {"kind": _NAMES[of]} if of in _NAMES else {}
    names = of._fields if hasattr(of, "_fields") else [field.name for field in fields(of)]
    return {**kind, **{name: _plain(getattr(record, name)) for name in names}}


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        plain = value.isascii() and all(chr(b).isprintable() or b in b"\t\n\r" for b in value)
        return {"text": value.decode()} if plain else {"hex": value.hex(" ")}
    if isinstance(value, str | int):
        return value
    if type(value) is tuple:
        return [_plain(item) for item in value]
    return _record(value)


@functools.cache
def _members(record: object) -> dict[str, object]:
    """Return name and type of each member of a record."""
    hints = typing.get_type_hints(record)
    return {n: t for n, t in hints.items() if typing.get_origin(t) is not typing.ClassVar}


def _read(expected: object, value: object, where: str) -> object:
    """Turn a plain value into what a type wants."""
    origin, choices = typing.get_origin(expected), typing.get_args(expected)
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise UsageError(f"{where} is {value!r}; use {', '.join(map(str, choices))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{where} is not a list")
        return tuple(_read(choices[0], item, f"{where}[{n}]") for n, item in enumerate(value))
    if isinstance(expected, types.UnionType):
        members = value if isinstance(value, dict) else {}
        names, kind = [_NAMES[choice] for choice in choices], members.get("kind")
        if kind not in names:
            raise UsageError(f"{where} is of kind {kind!r}; use {', '.join(names)}")
        expected = _KINDS[kind]
        value = {name: item for name, item in members.items() if name != "kind"}
    if expected is bytes:
        return _read_bytes(value, where)
    if expected in (int, str, bool):
        if type(value) is not expected:
            raise UsageError(f"{where} is {value!r}, not of the type {expected.__name__}")
        return value
    assert isinstance(expected, type)
    return _read_record(expected, value, where)


def _read_record(record: Callable[..., object], value: object, where: str) -> object:
    members = _members(record)
    if not isinstance(value, dict):
        raise UsageError(f"{where} is not an object")
    if unknown := sorted(set(value) - set(members)):
        raise UsageError(f"{where} has no {unknown[0]!r}; it has {', '.join(members)}")
    read = {name: _read(members[name], item, f"{where}.{name}") for name, item in value.items()}
    try:
        return record(**read)
    except TypeError:
        raise UsageError(f"{where} lacks one of {', '.join(members)}") from None


def _read_bytes(value: object, where: str) -> bytes:
    try:
        ((encoding, text),) = dict[str, str](value if isinstance(value, dict) else {}).items()
        return {"text": str.encode, "hex": bytes.fromhex}[encoding](text)
    except (KeyError, TypeError, ValueError):
        raise UsageError(f'{where} is neither {{"text": …}} nor {{"hex": …}}') from None
