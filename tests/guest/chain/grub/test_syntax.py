"""GRUB's script language: the shape of a script, and where it is none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.guest.chain.grub import syntax
from imsprep.guest.chain.grub.syntax import (
    DEPTH_LIMIT,
    Part,
    ScriptError,
    Statement,
    UnfinishedError,
    Word,
    parse,
)


def words(text: str) -> tuple[Word, ...]:
    """The words of a script of one command."""
    (command,) = parse(text)
    assert command.kind == "command"
    return command.words


def bare(text: str) -> Word:
    return (Part(text, variable=False, quoted=False),)


def called(*names: str, line: int = 1) -> tuple[Statement, ...]:
    """Commands of one bare word each, on one line."""
    return tuple(Statement("command", line, (bare(name),)) for name in names)


def test_a_command_is_its_words_and_ends_at_a_semicolon_or_a_line() -> None:
    assert parse("insmod gzio; echo a\n\n  set  b=c # not this\n") == (
        Statement("command", 1, (bare("insmod"), bare("gzio"))),
        Statement("command", 1, (bare("echo"), bare("a"))),
        Statement("command", 3, (bare("set"), bare("b=c"))),
    )


@pytest.mark.parametrize(("text", "parts"), [
    ("a$b", [("a", False, False), ("b", True, False)]),
    ("${b}c", [("b", True, False), ("c", False, False)]),
    ("$1$?", [("1", True, False), ("?", True, False)]),
    ("'$b \"c'", [("$b \"c", False, True)]),
    ('"b $c"', [("b ", False, True), ("c", True, True), ("", False, True)]),
    (r'"\$c \" \d"', [(r'$c " \d', False, True)]),
    (r"a\ b", [("a", False, False), (" ", False, True), ("b", False, False)]),
    ("a\\\nb", [("a", False, False), ("b", False, False)]),
    ("a#b", [("a#b", False, False)]),
])  # fmt: skip
def test_a_word_says_of_each_part_whether_it_is_a_variable_and_quoted(
    text: str, parts: list[tuple[str, bool, bool]]
) -> None:
    assert words(text) == (tuple(Part(*part) for part in parts),)


def test_lines_are_counted_inside_quotations_and_behind_a_backslash() -> None:
    assert [s.line for s in parse("a 'x\ny'\nb \\\n c\nd\n")] == [1, 3, 5]


def test_an_if_has_its_conditions_and_bodies_in_order() -> None:
    (one,) = parse("if a; then b; elif c; then d; e; else f; fi\n")
    assert (one.kind, one.arms) == (
        "if",
        ((called("a"), called("b")), (called("c"), called("d", "e")), ((), called("f"))),
    )


@pytest.mark.parametrize("kind", ["while", "until"])
def test_a_loop_with_a_condition_has_one_arm(kind: str) -> None:
    (one,) = parse(f"{kind} a; do b; done")
    assert (one.kind, one.arms, one.body) == (kind, ((called("a"), called("b")),), ())


def test_a_loop_over_words_has_them_and_its_body() -> None:
    (one,) = parse("for n in 0 1; do b; done")
    assert (one.kind, one.words, one.body) == (
        "loop",
        (bare("n"), bare("in"), bare("0"), bare("1")),
        called("b"),
    )


@pytest.mark.parametrize("kind", ["menuentry", "submenu", "function"])
def test_a_block_has_the_words_in_front_of_its_brace(kind: str) -> None:
    for text in (f"{kind} x --id y {{ b; }}", f"{kind} x --id y{{\nb\n}}", f"{kind} x --id y\n{{b}}"):  # fmt: skip
        (one,) = parse(text)
        assert (one.kind, one.words) == (kind, (bare("x"), bare("--id"), bare("y")))
        assert [s.words for s in one.body] == [(bare("b"),)]


def test_a_menuentry_without_a_block_is_a_command() -> None:
    (one,) = parse("menuentry title command")
    assert (one.kind, one.words) == ("command", (bare("title"), bare("command")))


def test_a_word_of_the_language_that_is_quoted_or_no_first_word_is_a_word() -> None:
    assert words("echo if fi") == (bare("echo"), bare("if"), bare("fi"))
    assert words("'if'") == ((Part("if", variable=False, quoted=True),),)


@pytest.mark.parametrize(("text", "said"), [
    ("a\n}\n", "line 2: unexpected brace"),
    ("{ for n in 1; then b; }", "line 1: do is missing"),
    ("echo a {\n}", "line 1: a brace where a command should end"),
    ("if a; then b; }; fi", "line 1: elif or else or fi is missing"),
])  # fmt: skip
def test_what_is_no_script_says_at_which_line(text: str, said: str) -> None:
    with pytest.raises(ScriptError, match=said):
        parse(text)


@pytest.mark.parametrize("end", [
    "menuentry x {\n b\n", "menuentry 'x {\n b\n}\n", 'echo "x', "if true; then\n b\n",
    "function f {\n", "while a; do b\n",
])  # fmt: skip
def test_a_script_that_is_cut_has_what_stands_in_front_of_it(end: str) -> None:
    with pytest.raises(UnfinishedError, match="what begins at line 2 has no end") as told:
        parse(f"a; b\n{end}")
    assert (told.value.line, told.value.before) == (2, called("a", "b"))


def test_blocks_may_be_nested_to_a_limit() -> None:
    assert parse("{" * (DEPTH_LIMIT - 1) + "}" * (DEPTH_LIMIT - 1))
    with pytest.raises(ScriptError, match="nested too deep"):
        parse("{" * DEPTH_LIMIT + "}" * DEPTH_LIMIT)


def test_commands_are_counted_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntax, "STATEMENT_LIMIT", 5)
    assert len(parse("a\n{ b; c; }\nd\n")) == 3
    with pytest.raises(ScriptError, match="more commands"):
        parse("a\n{ b; c; d; }\ne\n")


@given(st.text(alphabet="menutry{}'\"$ \n;[]=ifthlsx/#\\", max_size=80))
def test_any_text_is_a_script_or_says_why_not(text: str) -> None:
    with contextlib.suppress(ScriptError):
        parse(text)
