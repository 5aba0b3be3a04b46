"""Wrong usage: nothing of a command line commands the terminal, and no key is repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running import Outcome

Run = Callable[..., Outcome]
ODD = "\x1b[31mred\x1b[0m\x07\r\nanother line"
KEY = "a-secret-key-of-40-characters/+=abcdefgh"


@pytest.mark.parametrize(
    "arguments",
    [
        [ODD],
        ["check", f"--x{ODD}"],
        ["upload", "d.raw", ODD, "--to", "local:c"],
        ["upload", "d.raw", "--to", "local:c", "--jobs", ODD],
        ["upload", "d.raw", "--to", "obs:b", "--ca-bundle", ODD],
        ["check", "d.raw", "--log-file", f"{ODD}/x"],
        ["completion", ODD],
        ["uploads", ODD],
    ],
)
def test_what_is_repeated_cannot_command_the_terminal(imsprep: Run, arguments: list[str]) -> None:
    done = imsprep(*arguments)
    assert done.code == 2
    assert "\\x1b[31mred" in done.err
    assert all(line.isprintable() for line in done.err.splitlines())
    assert done.err.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([KEY], "No such command '***'"),
        (["upload", "d.raw", KEY, "--to", "local:c"], "unexpected extra argument (***)"),
        (["upload", "d.raw", "--to", "local:c", "--jobs", KEY], "'***' is not a whole number"),
        (["upload", "d.raw", "--to", "obs:bkt", "--region", KEY], "'***' is not a region name"),
        (["check", "d.raw", "--site", KEY], "site '***' is not one of"),
        (["upload", "d.raw", "--to", "local:c", "--sk", "other"], "'--sk': keys are taken from"),
        (["upload", "d.raw", "--to", "local:c", "--secret-key=o"], "never from the command line"),
        (["check", "d.raw", "--access-key", "other"], "keys are taken from the environment"),
        (["check", "d.raw", "--ski", "other"], "No such option '--ski'"),
    ],
)
def test_a_key_that_was_given_by_mistake_is_not_repeated(
    imsprep: Run, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.raw").write_bytes(bytes(1024))
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", "AK")
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", KEY)
    done = imsprep(*arguments, "--json")
    assert done.code == 2
    assert said in done.err
    assert KEY not in done.err + done.out
    assert "--kms-key" not in done.err  # a suggestion that would take it


def test_a_short_key_leaves_words_alone(imsprep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", "AK")
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", "no")
    assert "'nothing'" in imsprep("nothing").err
    monkeypatch.delenv("HUAWEICLOUD_SDK_SK")  # half a key: nothing to hide
    assert "'nothing'" in imsprep("nothing").err


@pytest.mark.parametrize("group", [[], ["config"], ["uploads"]], ids=" ".join)
def test_a_group_without_a_command_prints_its_help_as_it_stands(
    imsprep: Run, group: list[str]
) -> None:
    asked, none = imsprep(*group, "--help"), imsprep(*group)
    assert none.err + none.out == asked.out
    assert none.code in (0, 2)  # click before 8.2, and since
    assert "Error" not in none.err
