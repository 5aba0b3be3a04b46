"""docs/zvhd2.md says what the code does: fields, offsets, rules, and its example runs."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import get_type_hints

import pytest

from imsprep.checks import registry
from imsprep.zvhd2 import records
from tests.support.paths import ROOT
from tests.support.zvhd2.goldens import disk_bytes, golden

PAGE = (ROOT / "docs" / "zvhd2.md").read_text()


def fields(section: str) -> list[tuple[int, int, str]]:
    text = PAGE.partition(f"### {section}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\w+) \|", text, re.MULTILINE)
    return [(int(offset), int(size), name) for offset, size, name in rows]


@pytest.mark.parametrize(
    ("section", "record"),
    [("Footer record", records.Footer), ("Block record", records.BlockHeader)],
)
def test_the_tables_are_the_records(section: str, record: type) -> None:
    at, declared = 0, []
    for name, hint in get_type_hints(record, include_extras=True).items():
        size = struct.calcsize("<" + hint.__metadata__[0])
        declared.append((at, size, name))
        at += size
    assert fields(section) == declared


def test_every_rule_is_listed_with_its_title() -> None:
    rows = re.findall(r"^\| (IMS3\d\d) \| (\w+) \| (.+) \|$", PAGE, re.MULTILINE)
    rules = [rule for rule in registry.all_rules() if rule.id.startswith("IMS3")]
    assert rows == [(rule.id, rule.severity.word, rule.title) for rule in rules]


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "disk.zvhd2").write_bytes(golden("scattered"))
    monkeypatch.chdir(tmp_path)
    values: dict[str, bytes] = {}
    exec(block, values)
    assert values["first_sector"] == disk_bytes("scattered", 0, 512)
