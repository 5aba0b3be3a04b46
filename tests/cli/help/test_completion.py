"""Completion: what a shell offers, asked of click and of the shells themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from imsprep.checks import registry
from imsprep.cli import cli
from imsprep.cloud.sites import SITES
from tests.conftest import need
from tests.support.paths import ROOT


def offered(*words: str) -> list[str]:
    completer = ShellComplete(cli, {}, "imsprep", "_IMSPREP_COMPLETE")
    return [item.value for item in completer.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("check", "--site", ""), list(SITES)),
        (("import", "--site", "otc"), ["otc", "otc-swiss"]),
        (("import", "--region", "eu-"), ["eu-de", "eu-nl", "eu-west-101"]),
        (("check", "--ignore", "IMS10"), [f"IMS10{n}" for n in range(1, 10)]),
        (("import", "--ignore", "IMS501,IMS81"), [f"IMS501,IMS81{n}" for n in range(10)]),
        (("check", "--severity", "IMS209="), [f"IMS209={w}" for w in ("error", "warning", "note")]),
        (("check", "--severity", "IMS209"), ["IMS209="]),
        (("check", "--explain", "IMS209"), ["IMS209"]),
        (("check", "--fail-on", "n"), ["note", "never"]),
        (("import", "--type", "D"), ["DataImage"]),
        (("check", "--firm"), ["--firmware"]),
        (("os-v",), ["os-versions"]),
    ],
)
def test_values_of_options_are_offered(words: tuple[str, ...], found: list[str]) -> None:
    assert [one for one in offered(*words) if one in found] == found
    assert set(offered(*words)) >= set(found)
    assert all(one.startswith(words[-1]) for one in offered(*words))


def test_every_rule_is_offered_with_its_title() -> None:
    completer = ShellComplete(cli, {}, "imsprep", "_IMSPREP_COMPLETE")
    items = completer.get_completions(["check", "--select"], "")
    assert {i.value: i.help for i in items} == {r.id: r.title for r in registry.all_rules()}


def test_images_are_offered_and_folders_left_to_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("web.qcow2", "web.txt", "db.raw"):
        Path(name).touch()
    assert offered("check", "") == ["db.raw", "web.qcow2"]
    assert offered("import", "w") == ["web.qcow2"]
    Path("webs").mkdir()
    Path("webs/one.vmdk").touch()
    completer = ShellComplete(cli, {}, "imsprep", "_IMSPREP_COMPLETE")
    (item,) = completer.get_completions(["check"], "w")
    assert (item.type, item.value) == ("file", "w")
    assert offered("check", "webs/o") == ["webs/one.vmdk"]
    (item,) = completer.get_completions(["check"], "missing/")
    assert item.type == "file"


_ASK = {
    "bash": """eval "$(imsprep completion bash)"
COMP_WORDS=(imsprep check --site otc) COMP_CWORD=3
_imsprep_completion imsprep; printf '%s\\n' "${COMPREPLY[@]}" """,
    "zsh": """compdef() { : }
_describe() { print -l -- ${(P)3} }
compadd() { print -l -- ${@[-1]} }
eval "$(imsprep completion zsh)"
words=(imsprep check --site otc); CURRENT=4
_imsprep_completion""",
    "fish": """imsprep completion fish | source
complete -C 'imsprep check --site otc'""",
}


@pytest.mark.slow
@pytest.mark.parametrize("shell", [pytest.param(s, marks=need(s)) for s in _ASK])
def test_a_shell_completes_a_site(tmp_path: Path, shell: str) -> None:
    program = tmp_path / "imsprep"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m imsprep "$@"\n')
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        [shell, "-c", _ASK[shell]], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
    )  # fmt: skip
    found = {line.split(":")[0].split("\t")[0] for line in done.stdout.splitlines()}
    assert found == {"otc", "otc-swiss"}, done.stdout + done.stderr


def test_no_command_fails_when_it_is_completed() -> None:
    for name in cli.list_commands(click.Context(cli)):
        assert "--help" in offered(name, "--")
