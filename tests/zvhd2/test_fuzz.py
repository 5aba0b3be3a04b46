"""The fuzzer's own tests: its seeds are sound, its corpus is replayed, its mutations are tried."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures import fuzz_zvhd2
from fixtures.fuzz_zvhd2 import CORPUS, SEEDS, change_field, file_of, recipe_of, seed, try_file
from imsprep.checks import registry
from imsprep.checks.gather_facts import Look, gather_file
from imsprep.cloud.sites import SITES
from imsprep.ims.request import RequestFields
from imsprep.options import DEFAULT_SITE
from imsprep.report import Severity
from tests.support.zvhd2.goldens import golden


@pytest.mark.parametrize("name", SEEDS)
def test_a_seed_makes_a_sound_file(name: str) -> None:
    assert try_file(file_of(seed(name)))


def test_a_recipe_makes_the_very_file() -> None:
    assert file_of(recipe_of(golden("one_block"), flags=0)) == golden("one_block")


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*")), ids=lambda path: path.name)
def test_what_the_fuzzer_kept_is_handled(path: object) -> None:
    try_file(file_of(path.read_bytes()))


@given(st.sampled_from(sorted(SEEDS)), st.integers(0, 2**32), st.integers(1, 4))
def test_files_with_changed_fields_are_handled(name: str, number: int, changes: int) -> None:
    recipe, choice = seed(name), Random(number)
    for _ in range(changes):
        recipe = change_field(recipe, choice)
    try_file(file_of(recipe))


@pytest.mark.slow
@settings(max_examples=60)
@given(st.sampled_from(sorted(SEEDS)), st.integers(0, 2**32), st.integers(0, 3))
def test_the_check_says_what_the_reader_does(name: str, number: int, changes: int) -> None:
    """What cannot be read whole has an error, and what has none is read whole."""
    recipe, choice = seed(name), Random(number)
    for _ in range(changes):
        recipe = change_field(recipe, choice)
    data = file_of(recipe)
    sound = try_file(data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "disk.zvhd2")
        path.write_bytes(data)
        facts = gather_file(
            path, request=RequestFields(), site=SITES[DEFAULT_SITE], look=Look(deep=True)
        )
        report = registry.run(facts)
    errors = {f.rule for f in report.findings if f.severity is Severity.ERROR}
    if facts.format == "zvhd2":
        container = {rule for rule in errors if rule.startswith("IMS3")} - {"IMS313"}
        assert sound == (not container), (sound, container)
    else:
        assert not sound


@given(st.binary(max_size=300))
def test_any_recipe_makes_a_file_that_is_handled(recipe: bytes) -> None:
    try_file(file_of(recipe))


@pytest.mark.slow
def test_the_fuzzer_notices_a_reader_that_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the look at the index a record outside the file is read: the harness must see it."""
    from imsprep.zvhd2 import faults

    monkeypatch.setattr(faults, "entry_fault", lambda footer, index: None)
    monkeypatch.setattr(faults, "overlap_fault", lambda by_offset: None)
    failed = 0
    for number in range(200):
        recipe = change_field(seed("plain"), Random(number))
        try:
            fuzz_zvhd2.try_file(file_of(recipe))
        except (AssertionError, IndexError, ValueError):
            failed += 1
    assert failed
