"""What is said of this machine, where the command shows it; `doctor` itself has its own tests."""

from __future__ import annotations

import email.utils
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from imsprep.options import ServiceOptions
from imsprep.pipeline.machine import FAILED, MISSING, OK, look


def items(folder: Path, services: ServiceOptions | None = None) -> dict[str, tuple[str, str]]:
    return {
        item.name: (item.state, item.words) for item in look(folder, services, lambda text: None)
    }


@pytest.fixture(autouse=True)
def _no_guest_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imsprep.pipeline.machine.why_no_kvm", lambda *_: "it was not tried")


def test_a_folder_that_is_gone_fails_and_nothing_is_raised(tmp_path: Path) -> None:
    state, words = items(tmp_path / "gone")["folder"]
    assert state == FAILED
    assert "No such file" in words


def test_little_space_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((1 << 30, OK), ((1 << 30) - 1, FAILED)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        assert items(tmp_path)["space"][0] == state


def test_an_extra_that_is_not_installed_is_missing_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.pipeline.machine.EXTRAS", {"guest": ("no_such_module", "a test")})
    state, words = items(tmp_path)["[guest]"]
    assert state == MISSING
    assert words.startswith("for a test: ")


@pytest.mark.parametrize(("behind_s", "state"), [(0, OK), (890, OK), (910, FAILED), (-910, FAILED)])
def test_a_clock_that_signatures_are_refused_for_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind_s: int, state: str
) -> None:
    date = email.utils.formatdate(time.time() - behind_s)
    answer = SimpleNamespace(status_code=403, headers={"Date": date})
    monkeypatch.setattr("requests.head", lambda *_, **__: answer)
    found = items(tmp_path, ServiceOptions(site="otc", region="eu-de"))
    assert found["clock"][0] == state
    assert found["obs"] == (OK, "obs.eu-de.otc.t-systems.com answers 403")


def test_without_a_region_no_address_is_asked(tmp_path: Path) -> None:
    found = items(tmp_path, ServiceOptions(site="otc"))
    assert found["endpoints"] == (FAILED, "no region is given, so the addresses are not known")
    assert "obs" not in found
