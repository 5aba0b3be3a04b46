"""The command that installs an extra: right for a release, for the sources, and for each installer."""

from __future__ import annotations

import importlib.metadata
import pickle
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imsprep import extras
from imsprep.errors import MissingExtraError
from tests.support.paths import ROOT


def set_up(
    monkeypatch: pytest.MonkeyPatch, *, installed: set[str], programs: dict[str, str]
) -> None:
    """Have these distributions in the Python that runs, and these programs in PATH."""

    def find(name: str) -> None:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", find)
    monkeypatch.setattr(shutil, "which", programs.get)
    monkeypatch.setattr(sys, "executable", "/my env/bin/python")


@pytest.mark.parametrize(
    ("programs", "installed", "command"),
    [
        ({"pip": "/my env/bin/pip"}, {"pip"}, "pip install"),
        ({"pip": "/usr/bin/pip"}, {"pip"}, "'/my env/bin/python' -m pip install"),
        ({}, {"pip"}, "'/my env/bin/python' -m pip install"),
        ({"uv": "/usr/bin/uv"}, set(), "uv pip install --python '/my env/bin/python'"),
        ({"uv": "/usr/bin/uv"}, {"pip"}, "'/my env/bin/python' -m pip install"),
    ],
)
def test_it_installs_into_the_python_that_runs(
    monkeypatch: pytest.MonkeyPatch, programs: dict[str, str], installed: set[str], command: str
) -> None:
    set_up(monkeypatch, installed={*installed, "imsprep"}, programs=programs)
    assert extras.install_command("guest") == f"{command} 'imsprep[guest]'"


def test_sources_that_are_not_installed_are_named_by_their_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_up(monkeypatch, installed={"pip"}, programs={"pip": "/my env/bin/pip"})
    assert shlex.split(extras.install_command("guest")) == ["pip", "install", f"{ROOT}[guest]"]


def test_without_sources_or_an_installation_it_is_the_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_up(monkeypatch, installed={"pip"}, programs={"pip": "/my env/bin/pip"})
    monkeypatch.setattr(extras, "SOURCES", tmp_path)
    assert extras.install_command("guest") == "pip install 'imsprep[guest]'"


def test_an_error_names_the_extra_and_what_installs_it_once() -> None:
    error = MissingExtraError("a plan needs PyYAML", extra="batch")
    install = extras.install_command("batch")
    assert str(error) == (
        f"a plan needs PyYAML: imsprep[batch] is not installed; install with: {install}"
    )
    assert str(MissingExtraError(str(error), extra="batch")) == str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.extra) == (str(error), "batch")
    assert str(MissingExtraError("QEMU is missing")) == "QEMU is missing"


@pytest.mark.slow
def test_pip_asks_no_index_for_an_imsprep_that_is_installed() -> None:
    for name in ("pip", "imsprep", "pyyaml"):
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed in this Python")
    command = [*shlex.split(extras.install_command("batch")), "--dry-run", "--no-index"]
    if command[0] == "pip":
        command = [sys.executable, "-m", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "already satisfied: imsprep[batch]" in done.stdout
