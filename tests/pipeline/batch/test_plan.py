"""The plan: what it says is taken as text, and whatever is not understood is told with its line."""

from __future__ import annotations

import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imsprep.errors import MissingExtraError, UsageError
from imsprep.pipeline.batch import plan
from imsprep.pipeline.batch.plan import FLAG, LIST, TEXT, KnownOptions, PlanEntry

KNOWN = KnownOptions({"name": TEXT, "to": TEXT, "min-disk": TEXT, "tag": LIST, "no-copy": FLAG, "os-version": TEXT}, ("name",))  # fmt: skip


def parse(text: str) -> tuple[PlanEntry, ...]:
    mistakes: list[tuple[int, str]] = []
    entries = plan.parse(text, "plan.yaml", KNOWN, mistakes)
    plan.refuse("plan.yaml", mistakes)
    return entries


def mistakes(text: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        parse(text)
    return [line.strip() for line in str(caught.value).splitlines()]


def test_what_an_image_says_stands_before_the_defaults() -> None:
    first, second = parse(
        "defaults: {to: 'local:c', min-disk: 40, tag: [a.b], os-version: x}\n"
        "images:\n"
        "  - {image: a.raw, name: one}\n"
        "  - image: b.raw\n"
        "    name: two\n"
        "    min-disk: 7\n"
        "    tag: [c.d, e.f]\n"
        "    os-version: null\n"
    )
    assert first == PlanEntry("a.raw", 3, {"to": "local:c", "min-disk": "40", "tag": ("a.b",), "os-version": "x", "name": "one"}, {"to": 1, "min-disk": 1, "tag": 1, "os-version": 1, "name": 3})  # fmt: skip
    assert second.options == {"to": "local:c", "min-disk": "7", "tag": ("c.d", "e.f"), "name": "two"}  # fmt: skip
    assert (second.line, second.lines["min-disk"]) == (4, 6)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("007", "007"), ("no", "no"), ("1e3", "1e3"), ("2024-01-01", "2024-01-01"), ("'null'", "null"), ('""', ""), ("!!python/none x", "x")],
)  # fmt: skip
def test_a_value_is_the_text_that_stands_there(written: str, meant: str) -> None:
    assert parse(f"images: [{{image: a, name: {written}}}]")[0].options == {"name": meant}


@pytest.mark.parametrize("nothing", ["", "~", "null"])
def test_an_empty_value_is_not_given(nothing: str) -> None:
    assert parse(f"images:\n- image: a\n  name: {nothing}")[0].options == {}


def test_a_flag_is_true_or_false_and_one_text_is_a_list_of_one() -> None:
    [entry] = parse("images: [{image: a, no-copy: true, tag: a.b}]")
    assert entry.options == {"no-copy": True, "tag": ("a.b",)}
    assert parse("images: [{image: a, no-copy: false}]")[0].options == {"no-copy": False}
    assert "true or false, got 'yes'" in mistakes("images: [{image: a, no-copy: yes}]")[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "plan.yaml: the plan is empty"),
        ("x", "plan.yaml:1: the plan must be a mapping of keys to values, got a single value"),
        ("defaults: {}", "plan.yaml:1: the plan needs 'images'"),
        ("images: []", "plan.yaml:1: the plan needs 'images', a list"),
        ("images: {a: b}", "plan.yaml:1: the plan needs 'images', a list"),
        ("images:\n- a.raw", "plan.yaml:2: image 1 must be a mapping of keys to values, got a single value"),
        ("images:\n- name: x", "plan.yaml:2: image 1 needs 'image'"),
        ("images:\n- {image: a, min_disk: 4}", "plan.yaml:2: unknown key 'min_disk' in image 1; did you mean 'min-disk'?"),
        ("images:\n- {image: a, zzz: 4}", "plan.yaml:2: unknown key 'zzz' in image 1; known: image, name,"),
        ("image:\n- a", "plan.yaml:1: unknown key 'image' in the plan; did you mean 'images'?"),
        ("images:\n- {image: a, name: b, name: c}", "plan.yaml:2: 'name' is given twice in image 1, first on line 2"),
        ("images:\n- {image: a, name: [b]}", "plan.yaml:2: 'name' in image 1 must be one value, got a list"),
        ("images:\n- {image: a, tag: [[b]]}", "plan.yaml:2: 'tag' in image 1 must be a list of strings, got a list"),
        ("defaults: {name: x}\nimages: [{image: a}]", "plan.yaml:1: 'name' belongs to each image"),
        ("defaults: {image: x}\nimages: [{image: a}]", "plan.yaml:1: 'image' belongs to each image"),
        ("images: [{image: a, secret_key: x}]", "credentials come from the environment"),
        ("images: [{image: a, AK: x}]", "credentials come from the environment"),
        ("images: [", "plan.yaml:1: not valid YAML:"),
        ("a: b\n---\nc: d", "not valid YAML: but found another document"),
        ("images: [{image: a, name: '\0'}]", "plan.yaml: not valid YAML"),
        ("[" * 1500, "nested too deeply"),
        ("? [a]\n: b\nimages: [{image: a}]", "plan.yaml:1: unknown key '?'"),
        ("&a [*a]", "got a list"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_told_with_its_line(text: str, said: str) -> None:
    assert said in "\n".join(mistakes(text))


def test_all_mistakes_are_told_together_in_the_order_of_their_lines() -> None:
    said = mistakes("defaults: {x: 1}\nimages:\n- {y: 2}\n- {image: a, no-copy: 3}")
    assert said[0] == "the plan has 4 mistakes, and nothing was started:"
    assert [line.split(":")[1] for line in said[1:]] == ["1", "3", "3", "4"]


def test_what_two_images_claim_is_told_once_with_both_lines() -> None:
    a, b, c = (PlanEntry(image, line, {}, {}) for image, line in (("a", 3), ("b", 5), ("c", 8)))
    found = plan.clashes(
        [(a, [("the name", "x"), ("the object", "k")]), (b, [("the name", "y")]), (c, [("the name", "x"), ("the object", "k")])]
    )  # fmt: skip
    assert found == [(8, "c: the name x is that of a on line 3 too; give each its own")]


def test_an_object_of_one_image_is_not_the_bitmap_of_another() -> None:
    a, b = (PlanEntry(image, line, {}, {}) for image, line in (("a", 3), ("b", 5)))
    own = (a, [("the object", "k.mf"), ("the bitmap's object", "k.mf")])
    assert plan.clashes([own]) == []
    [(line, said)] = plan.clashes([own, (b, [("the bitmap's object", "k.mf")])])
    assert (line, said[:38]) == (5, "b: the bitmap's object k.mf is that of")
    clash = [(a, [("the object", "k.mf")]), (b, [("the bitmap's object", "k.mf")])]
    assert [line for line, _ in plan.clashes(clash)] == [5]


def test_without_pyyaml_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"imsprep\[batch\] is not installed"):
        parse("images: []")


def said_if_refused(text: str) -> bool | None:
    """Return whether a refusal names the file; None if it is a plan. Anything else raises."""
    try:
        parse(text)
    except UsageError as error:
        return "plan.yaml" in str(error)
    return None


@given(st.text(st.sampled_from("abi:-{}[]'\"\n ,&*!#|>?~%@`0é\t\0"), max_size=60))
def test_any_text_is_a_plan_or_an_error(text: str) -> None:
    assert said_if_refused(text) in (None, True)


names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=20)  # fmt: skip


@given(st.lists(st.tuples(names, names, st.lists(names, max_size=3)), min_size=1, max_size=5))
def test_what_is_written_is_what_is_read(images: list[tuple[str, str, list[str]]]) -> None:
    written = {"images": [{"image": i, "name": n, "tag": t} for i, n, t in images]}
    entries = parse(yaml.safe_dump(written, allow_unicode=True))
    read = [(e.image, e.options.get("name"), list(e.options.get("tag", ()))) for e in entries]
    assert read == images


@given(st.data())
def test_a_plan_with_anything_wrong_in_it_names_its_file(data: st.DataObject) -> None:
    good = "defaults: {to: 'local:c'}\nimages:\n- {image: a.raw, name: one}\n"
    at = data.draw(st.integers(0, len(good) - 1))
    broken = good[:at] + data.draw(st.characters()) + good[at + 1 :]
    assert said_if_refused(broken) in (None, True)
