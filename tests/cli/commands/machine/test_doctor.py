"""Doctor, completion and manual pages: what a new user asks first."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imsprep import cli
from tests.support.running import Outcome, need

Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _short_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the trial of KVM short where it does not work."""
    monkeypatch.setattr("imsprep.trial.programs.TRIAL_S", 0.2)


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


def test_what_takes_seconds_is_announced_unless_it_is_to_be_quiet(
    imsprep: Run, tmp_path: Path
) -> None:
    tried = shutil.which("qemu-system-x86_64") and os.path.exists("/dev/kvm")
    assert ("starting a guest to try KVM: " in imsprep("doctor").err) == bool(tried)
    assert imsprep("doctor", "-q").err == ""


def test_what_is_missing_says_what_it_is_for_and_where_to_get_it(
    imsprep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    done = imsprep("doctor", "--dir", tmp_path)
    (line,) = (line for line in done.out.splitlines() if " qemu-nbd " in line)
    assert line.startswith("missing ")
    assert "qcow2" in line
    assert "apt-get install qemu-utils" in line


def test_what_a_boot_takes_is_looked_for(
    imsprep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "imsprep.pipeline.machine."
    there = tmp_path / "code"
    monkeypatch.setattr(f"{place}find_qemu", lambda architecture: "qemu")
    for reason, firmware in (("there is no /dev/kvm", ()), (None, ((there, there),))):
        monkeypatch.setattr(f"{place}why_no_kvm", lambda *_, reason=reason: reason)
        monkeypatch.setattr("imsprep.trial.programs.FIRMWARE", {"x86": firmware})
        there.touch()
        items = {i["name"]: i for i in imsprep("doctor", "--json").json["items"]}
        state = "missing" if reason else "ok"
        assert (items["KVM"]["state"], items["OVMF"]["state"]) == (state, state)
        assert (reason or "within seconds") in items["KVM"]["words"]
        assert ("ovmf" if reason else str(there)) in items["OVMF"]["words"]


def test_credentials_are_only_for_the_cloud(
    imsprep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HUAWEICLOUD_SDK_AK", "HW_ACCESS_KEY", "OS_ACCESS_KEY", "OBS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    items = {i["name"]: i for i in imsprep("doctor", "--json").json["items"]}
    assert items["credentials"]["state"] == "missing"
    assert items["credentials"]["words"].startswith("only for the cloud: ")


@need("qemu-img")
def test_a_program_that_is_there_says_what_it_is_for(imsprep: Run) -> None:
    items = {i["name"]: i for i in imsprep("doctor", "--json").json["items"]}
    assert "images that QEMU reads; version " in items["qemu-img"]["words"]


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
