"""Options: groups go together, words are checked, and a value says what was given."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from pathlib import Path

import pytest

from imsprep import options
from imsprep.checks.policy import Waiver
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


SAMPLES: dict[str, tuple[object, object]] = {  # a value of each type, and one that is not
    "int": (4, "four"), "float": (0.5, "half"), "str": ("text", 5), "bool": (True, "yes"),
    "bytes": (b"x" * 16, "x"), "StrPath": (Path("x"), 5), "BitmapLayout": (Path("x.json"), 5),
    "tuple[str, ...]": (["a", "b"], "ab"), "tuple[tuple[str, str], ...]": ((("a", "b"),), ("ab",)),
    "tuple[Waiver, ...]": ((Waiver("IMS114", "known"),), ("IMS114",)),
    "Mapping[str, str]": ({"IMS114": "note"}, {"IMS114": 5}),
    "Progress": (print, 5), "ImportOptions": (options.ImportOptions(to="local:x"), "local:x"),
}  # fmt: skip


@pytest.mark.parametrize("of", CLASSES)
def test_every_option_takes_its_type_and_says_what_another_should_be(
    of: type[options.Options],
) -> None:
    needed = {"to": "local:x"} if of is options.ImportOptions else {}
    for one in dataclasses.fields(of):
        if "choices" in one.metadata:
            continue
        right, wrong = SAMPLES[str(one.type).split(" | ")[0]]
        assert getattr(of(**{**needed, one.name: right}), one.name) is right
        with pytest.raises(UsageError, match=f"^{one.name} is .*; expected [aTbBI]"):
            of(**{**needed, one.name: wrong})


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_disk", True), ("min_disk", 40.5), ("image_tags", (("a",),)), ("tags", (1,))],
)
def test_what_is_nearly_of_a_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"^{name} is "):
        options.RequestOptions(**{name: value})  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize(
    ("of", "name", "value", "words"),
    [
        (options.ScanOptions, "jobs", 0, "jobs is 0; expected 1 or more"),
        (options.UploadOptions, "jobs", -1, "jobs is -1; expected 1 or more"),
        (options.ConvertOptions, "uuid", b"5", "uuid has 1 byte; expected 16"),
    ],
)
def test_a_number_or_a_length_out_of_range_is_refused(
    of: type[options.Options], name: str, value: object, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        of(**{name: value})
