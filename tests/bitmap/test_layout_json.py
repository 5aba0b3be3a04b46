"""Layouts as JSON: read back as they were, refused with the reason."""

from __future__ import annotations

import json
import re
import zlib

import numpy as np
import pytest
from hypothesis import given

from imsprep.bitmap.codec import encode
from imsprep.bitmap.layout import (
    DEFAULT_LAYOUT,
    BitmapLayout,
    Cells,
)
from imsprep.bitmap.layout_json import from_plain, load_layout, save_layout, to_plain
from imsprep.errors import UsageError
from imsprep.image.blockmap import BlockMap
from tests.support.bitmap.layouts import layouts
from tests.support.paths import ROOT

B = 512


@pytest.mark.slow
@given(layouts())
def test_a_layout_is_the_same_after_it_was_written_as_json(layout: BitmapLayout) -> None:
    assert from_plain(json.loads(json.dumps(to_plain(layout)))) == layout


WRONG = [
    ({}, "schema"),
    ([], "expected an object"),
    ({"schema": 1}, "lacks one of block_size"),
    ({"schema": 1, "block_size": True}, "not of the type int"),
    ({"schema": 1, "block_size": 1000}, "not a whole number of sectors"),
    ({"schema": 1, "block_size": 512, "body": {"kind": "x"}}, "use bits, cells, entries"),
    ({"schema": 1, "block_size": 512, "body": {"kind": "bits", "word": 3}}, "a word of 3"),
    ({"schema": 1, "block_size": 512, "body": {"kind": "bits", "data_bit": True}}, "use 0, 1"),
    ({"schema": 1, "block_size": 512, "body": {"kind": "cells", "data": {"text": "xx"}}}, "length"),
    ({"schema": 1, "block_size": 512,
      "body": {"kind": "cells", "data": {"text": "x"}, "empty": {"text": "x"}}}, "the same bytes"),
    ({"schema": 1, "block_size": 512, "header": [{"kind": "number", "what": "x"}]}, "unknown number"),
    ({"schema": 1, "block_size": 512, "header": {}}, "not a list"),
    ({"schema": 1, "block_size": 512, "header": [{"kind": "constant", "data": {"hex": "z"}}]}, "hex"),
    ({"schema": 1, "block_size": 512, "body": {"kind": "entries", "entry": []}}, "says nothing"),
    ({"schema": 1, "block_size": 512, "padding": {"multiple": 0}}, "padding"),
    ({"schema": 1, "block_size": 512, "body": {"kind": "bits", "trim": True},
      "padding": {"multiple": 8, "fill": 255}}, "padded with zeros"),
    ({"schema": 1, "block_size": 512, "padding": {"multiple": 8, "fill": 48},
      "body": {"kind": "entries", "each": "block",
               "entry": [{"kind": "number", "what": "start", "form": "decimal", "width": 0}]}},
     "digits"),
    ({"schema": 1, "block_size": 512, "colour": 1}, "has no 'colour'"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "words"), WRONG)
def test_a_layout_that_is_none_says_what_is_wrong(value: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        from_plain(value)


def test_layouts_are_named_or_files(tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / "x.json"
    layout = BitmapLayout(B, Cells(), name="mine")
    save_layout(path, layout)
    assert load_layout(str(path)) == layout
    assert load_layout("zvhd2") == DEFAULT_LAYOUT
    with pytest.raises(UsageError, match="neither a file nor one of zvhd2"):
        load_layout("zvhd3")
    path.write_text("{")
    with pytest.raises(UsageError, match="is not a layout"):
        load_layout(str(path))


def test_the_layout_that_the_documentation_shows_is_one() -> None:
    page = (ROOT / "docs" / "bitmap-file.md").read_text()
    (block,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    layout = from_plain(json.loads(block))
    made = encode(BlockMap.from_flags(4 << 20, 4 << 20, np.array([True])), layout)
    assert made.startswith(b"MF01" + (4 << 20).to_bytes(8, "big") + b"\x80" + bytes(499))
    assert made[512:] == zlib.crc32(b"\x80").to_bytes(4, "little")
