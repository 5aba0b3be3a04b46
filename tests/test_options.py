"""Options: groups go together, words are checked, and a value says what was given."""

from __future__ import annotations

import dataclasses
import inspect
import pickle

import pytest

from imsprep import options
from imsprep.errors import UsageError
from imsprep.pipeline import upload_formats, values
from imsprep.scan import holes
from imsprep.upload import plan
from imsprep.zvhd2 import convert, records

CLASSES = [
    found
    for _, found in inspect.getmembers(options, inspect.isclass)
    if issubclass(found, options.Options)
]


@pytest.mark.parametrize("of", CLASSES)
def test_options_are_values_whose_only_demand_is_where_to(of: type[options.Options]) -> None:
    needed = {"to": "local:x"} if of is options.ImportOptions else {}
    assert of(**needed) == of(**needed)
    with pytest.raises(dataclasses.FrozenInstanceError):
        of(**needed).progress = print  # type: ignore[misc]  # frozen, which is what is tested


def test_a_word_that_is_not_allowed_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="via is 'ftp', not one of raw, zvhd2, auto"):
        options.ImportOptions(to="local:x", via="ftp")


def test_options_can_travel_to_another_machine() -> None:
    value = options.ImportOptions(to="local:x", name="n", tags=("a.b",))
    assert pickle.loads(pickle.dumps(value)) == value


def test_the_words_are_those_that_the_library_knows() -> None:
    words = options.choices
    assert words(options.ImportOptions, "via") == upload_formats.VIA
    assert words(options.ImportOptions, "cleanup") == values.CLEANUP
    assert words(options.ImportOptions, "holes") == holes.HOLES
    assert words(options.ImportOptions, "compression") == tuple(
        sorted(records.METHODS.values(), reverse=True)
    )
    assert words(options.ConvertOptions, "to_format") == convert.TARGETS
    assert options.TransferOptions.part_size == plan.DEFAULT_PART_SIZE
