"""What a plan says of an image becomes options, and each mistake is noted with its line."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from imsprep.errors import UsageError
from imsprep.options import ImportOptions
from imsprep.pipeline.batch.entries import KEYS, known_options, options_of, read_value
from imsprep.pipeline.batch.plan import FLAG, LIST, PlanEntry, Value

BASE = ImportOptions(to="", site="otc")


def options(
    values: dict[str, Value], base: ImportOptions = BASE
) -> tuple[ImportOptions | None, list[tuple[int, str]]]:
    mistakes: list[tuple[int, str]] = []
    lines = {name: 10 + number for number, name in enumerate(values)}
    entry = PlanEntry("disk.raw", 3, values, lines)
    return options_of(entry, "/plan", base, mistakes), mistakes


def test_every_key_sets_an_option_that_exists() -> None:
    names = {field.name for field in fields(ImportOptions)}
    assert {key.option for key in KEYS.values() if key.option is not None} <= names
    assert set(known_options().options) == set(KEYS)


def test_words_become_values_and_paths_are_the_plan_s() -> None:
    found, mistakes = options({
        "name": "web01", "to": "local:cloud", "min-disk": "40", "part-size": "8m", "no-copy": True,
        "tag": ("a.b",), "image-tag": ("k=v",), "work-dir": "made", "timeout": "1.5", "storage-class": "STANDARD",
    })  # fmt: skip
    assert mistakes == []
    assert found is not None
    assert (found.to, found.work_dir) == ("local:/plan/cloud", "/plan/made")
    assert (found.min_disk, found.part_size, found.copy_zeros) == (40, 8 << 20, False)
    assert (found.tags, found.image_tags, found.timeout_s) == (("a.b",), (("k", "v"),), 1.5)
    assert found.site == "otc", "what the plan does not say is as before"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("min-disk", "much", "'much' is not a whole number"),
        ("jobs", "65", "65 is out of range; 1 to 64"),
        ("timeout", "nan", "'nan' is too small; 0 or more"),
        ("poll", "soon", "'soon' is not a number of seconds"),
        ("via", "air", "'air' is not one of raw, zvhd2, auto"),
        ("storage-class", "COLD", "'COLD' is not STANDARD"),
        ("image-tag", ("k",), "'k': write KEY=VALUE"),
        ("bitmap", "", "the name is empty"),
        ("limit-rate", "0", ""),
    ],
)
def test_a_mistake_has_its_line(key: str, value: Value, said: str) -> None:
    found, mistakes = options({"name": "n", "to": "obs:bucket", key: value})
    assert found is None
    ((line, text),) = mistakes
    assert (line, text.startswith(f"{key}: {said}")) == (12, True)


def test_what_is_needed_may_come_from_the_base() -> None:
    found, mistakes = options({})
    assert (found, mistakes) == (None, [(3, "disk.raw: it needs a 'name' and a 'to'")])
    found, mistakes = options({"name": "n"}, ImportOptions(to="obs:bucket"))
    assert mistakes == []
    assert found is not None
    assert found.to == "obs:bucket"


def test_flags_and_lists_are_as_they_are_declared() -> None:
    assert read_value(KEYS["replace"], True, "") == {"replace": True}
    assert read_value(KEYS["no-copy"], False, "") == {"copy_zeros": True}
    assert {name for name, key in KEYS.items() if key.kind == LIST} == {
        "tag",
        "image-tag",
        "ignore",
    }
    assert KEYS["sha256"].kind == FLAG
    with pytest.raises(UsageError):
        read_value(KEYS["endpoint"], "not an address", "")
    assert read_value(KEYS["work-dir"], "/there", str(Path("/plan"))) == {"work_dir": "/there"}
