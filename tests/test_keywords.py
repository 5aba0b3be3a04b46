"""Keywords: a function takes the fields of its options, and shows them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import pytest

from imsprep.keywords import with_keywords, with_keywords_after_two


@dataclass(frozen=True, kw_only=True)
class Ways:
    speed: int = 1
    where: str


@with_keywords(Ways)
def go(who: str, options: Ways) -> str:
    """Go."""
    return f"{who} {options.where} {options.speed}"


@with_keywords_after_two(Ways)
def send(who: str, what: str, options: Ways) -> str:
    """Send."""
    return f"{who} {what} {options.where} {options.speed}"


def test_fields_are_keywords_with_their_defaults() -> None:
    assert go("a", where="home") == "a home 1"
    assert send("a", "b", where="home", speed=2) == "a b home 2"


def test_the_signature_is_that_of_the_fields_and_what_must_be_given_comes_first() -> None:
    assert (
        str(inspect.signature(go)) == "(who: 'str', /, *, where: 'str', speed: 'int' = 1) -> 'str'"
    )
    assert list(inspect.signature(send).parameters) == ["who", "what", "where", "speed"]
    assert go.__doc__ == "Go."


def test_another_keyword_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"^go\(\) .*whither"):
        go("a", where="x", whither="x")  # type: ignore[call-arg]  # a wrong call, on purpose


def test_a_keyword_that_is_nearly_right_is_suggested() -> None:
    with pytest.raises(TypeError, match=r"^send\(\) .*'sped'; did you mean 'speed'\?$"):
        send("a", "b", where="x", sped=3)  # type: ignore[call-arg]  # a wrong call, on purpose
    with pytest.raises(TypeError, match=r"^go\(\) .*'were'; did you mean 'where'\?$"):
        go("a", were="x")  # type: ignore[call-arg]  # a wrong call, on purpose


def test_a_keyword_that_is_missing_is_asked_of_the_function_that_was_called() -> None:
    with pytest.raises(TypeError, match=r"^go\(\) missing .*'where'$"):
        go("a")  # type: ignore[call-arg]  # a wrong call, on purpose
