"""`imsprep boot`: what it asks of a boot, and what it says; `tests/trial` starts machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imsprep import api
from imsprep.progress import BOOT, Event
from tests.support.running import Outcome

Run = Callable[..., Outcome]


class Done(SimpleNamespace):
    """What a boot came to."""

    def as_dict(self) -> dict[str, object]:
        return {"verdict": self.verdict}

    def __str__(self) -> str:
        return f"verdict  {self.verdict}"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The keywords of the last boot."""
    found: dict[str, Any] = {}

    def boot(image: Path, **options: Any) -> Done:
        found.update(options, image=image)
        options["progress"](Event(BOOT, text="the kernel starts"))
        return Done(verdict="login", exit_code=0)

    monkeypatch.setattr(api, "boot_image", boot)
    return found


def test_a_log_and_a_picture_are_kept_next_to_the_image(
    imsprep: Run, asked: dict[str, Any], tmp_path: Path
) -> None:
    done = imsprep("boot", tmp_path / "disk.raw")
    assert (done.code, done.out) == (0, "verdict  login\n")
    assert asked["log"] == tmp_path / "disk.raw.boot.log"
    assert asked["screenshot"] == tmp_path / "disk.raw.boot.png"
    assert asked["limit_s"] == 300
    assert "the kernel starts" in done.err


def test_a_boot_without_a_verdict_names_the_option_that_gives_it_more_time(
    imsprep: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(api, "boot_image", lambda *_, **__: Done(verdict="nothing", exit_code=7))
    done = imsprep("boot", tmp_path / "disk.raw")
    assert (done.code, done.err) == (7, "imsprep: --time-limit gives it longer than 5 min\n")
    assert imsprep("boot", tmp_path / "disk.raw", "--quiet").err == ""


def test_of_a_file_that_is_not_there_nothing_is_started(imsprep: Run, tmp_path: Path) -> None:
    done = imsprep("boot", tmp_path / "disk.raw")
    assert (done.code, done.err.count("\n")) == (3, 1)
    assert "No such file" in done.err


def test_every_option_is_handed_on(imsprep: Run, asked: dict[str, Any], tmp_path: Path) -> None:
    done = imsprep(
        "boot", tmp_path / "disk.raw", "--firmware", "uefi", "--memory", "2g", "--cpus", 4, "--time-limit", 9,
        "--accel", "tcg", "--no-wait", "--log", tmp_path / "l", "--screenshot", tmp_path / "s", "-q", "--json",
    )  # fmt: skip
    assert done.json == {"schema": "imsprep.boot/1", "verdict": "login"}
    assert done.err == ""
    del asked["progress"]
    assert asked == {
        "image": tmp_path / "disk.raw", "architecture": "x86", "firmware": "uefi", "memory": 2 << 30, "cpus": 4,
        "limit_s": 9.0, "accelerator": "tcg", "wait_for_source": False, "log": tmp_path / "l",
        "screenshot": tmp_path / "s",
    }  # fmt: skip


def test_a_machine_without_memory_is_wrong_usage(
    imsprep: Run, asked: dict[str, Any], tmp_path: Path
) -> None:
    done = imsprep("boot", tmp_path / "disk.raw", "--memory", "63m")
    assert done.code == 2
    assert "--memory: at least 64m" in done.err
    assert asked == {}
