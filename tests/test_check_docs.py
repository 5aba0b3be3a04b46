"""The documentation of the check: its commands run, its settings load, its pipelines name real options."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from imsprep.config import load
from tests.conftest import Outcome

Run = Callable[..., Outcome]
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "checks.md").read_text()
PIPELINES = sorted((ROOT / "docs" / "examples").glob("*.yml"))


def commands(text: str) -> list[list[str]]:
    """Return the `imsprep check` and `config` commands of a text, as arguments."""
    found = re.findall(r"^\s*imsprep ((?:check|config) .*)$", text, re.MULTILINE)
    return [shlex.split(line) for line in found]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the examples: images where they name them."""
    monkeypatch.chdir(tmp_path)
    for name in ("disk.raw", "images/one.raw", "build/disk.raw"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 4096)
    return tmp_path


@pytest.mark.parametrize("arguments", commands(PAGE), ids=" ".join)
def test_a_command_of_the_page_runs(imsprep: Run, folder: Path, arguments: list[str]) -> None:
    assert imsprep(*arguments).code == 0


@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: p.stem)
def test_the_command_of_a_pipeline_runs_and_writes_what_it_publishes(
    imsprep: Run, folder: Path, path: Path
) -> None:
    if "github" in path.stem:
        steps = yaml.safe_load(path.read_text())["jobs"]["check"]["steps"]
        lines = [step.get("run", "") for step in steps]
        published = ["imsprep.sarif", "imsprep.html"]
    else:
        job = yaml.safe_load(path.read_text())["check-image"]
        lines, published = (
            job["script"],
            [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]],
        )
    (line,) = [line for line in lines if line.startswith("imsprep")]
    assert imsprep(*shlex.split(line)[1:]).code == 0
    assert all((folder / name).stat().st_size for name in published)


def test_the_settings_of_the_page_are_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    tomllib.loads(block)
    (tmp_path / "imsprep.toml").write_text(block)
    assert load({}, tmp_path)["site"].value == "otc"


def test_the_hook_checks_what_it_says() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split()[:2] == ["imsprep", "check"]
    assert re.search(hook["files"], "a/disk.raw")
    assert not re.search(hook["files"], "a/disk.raw.txt")
