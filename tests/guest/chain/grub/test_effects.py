"""What GRUB's commands change, without running them."""

from __future__ import annotations

import pytest

from imsprep.guest.chain.grub import effects
from imsprep.guest.chain.grub.syntax import parse


@pytest.mark.parametrize(
    ("script", "decides"),
    [
        ("echo hello", False),
        ("set timeout=3", False),
        ("set gfxmode=auto; set color_normal=x", False),
        ("set default=1", True),
        ("if true; then echo a; else linux /vmlinuz; fi", True),
        ("if search --file /x; then echo a; fi", True),
        ("menuentry x { echo }", True),
        ("while true; do echo a; done", False),
        ("for n in 1 2; do source /a; done", True),
    ],
)
def test_a_script_decides_what_starts_or_only_what_is_seen(script: str, decides: bool) -> None:
    assert effects.decide(parse(script + "\n")) is decides


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("-d dev -u part", ["dev", "part"]),
        ("--set=1:name x", ["name"]),
        ("--set 1:n (.) x", ["n"]),
        ("answer", ["answer"]),
        ("--no-variable", []),
        ("-n 3", []),
    ],
)
def test_the_variables_that_a_command_sets_stand_in_its_words(words: str, names: list[str]) -> None:
    assert list(effects.variables_of(words.split())) == names
