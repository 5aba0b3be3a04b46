"""Doctor, completion and manual pages: what a new user asks first."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imsprep import cli
from tests.support.running import Outcome, need

Run = Callable[..., Outcome]


def test_a_machine_is_looked_at_and_no_key_is_shown(
    imsprep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", "AKSECRET")
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", "SKSECRET")
    done = imsprep("doctor", "--dir", tmp_path, "--json")
    items = {item["name"]: item for item in done.json["items"]}
    assert items["[cloud]"]["state"] == "ok"
    assert items["credentials"]["state"] == "ok"
    assert "SECRET" not in done.out + done.err
    assert done.code == (3 if any(i["state"] == "failed" for i in items.values()) else 0)


def test_what_is_missing_says_what_it_is_for_and_where_to_get_it(
    imsprep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    done = imsprep("doctor", "--dir", tmp_path)
    (line,) = (line for line in done.out.splitlines() if " qemu-nbd " in line)
    assert line.startswith("missing ")
    assert "qcow2" in line
    assert "apt-get install qemu-utils" in line


def test_a_folder_that_is_not_there_fails(imsprep: Run, tmp_path: Path) -> None:
    done = imsprep("doctor", "--dir", tmp_path / "gone")
    assert done.code == 3
    assert done.out.splitlines()[-1].startswith("FAILED ")


@need("bash")
def test_bash_completes_commands_sites_and_rules(imsprep: Run) -> None:
    script = imsprep("completion", "bash").out
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize("name", ["imsprep", *cli.COMMANDS])
def test_every_command_has_a_manual_page(imsprep: Run, name: str) -> None:
    done = imsprep("man", name)
    assert done.code == 0
    assert done.out.startswith('.TH "IMSPREP')


@need("man")
def test_a_manual_page_is_read_without_complaint(imsprep: Run) -> None:
    folder = imsprep("man", "--path").out.strip()
    done = subprocess.run(
        ["man", "--warnings", "-l", f"{folder}/imsprep-check.1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "--show-skipped" in done.stdout
