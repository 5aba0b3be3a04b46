"""The builder of the guest images: it keeps what it made, and makes anew what another state of it made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures import guest_images

Build = Callable[..., list[str]]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Run the builder with steps that only say that they were taken."""
    taken: list[str] = []

    def make_base(base: Path, *, quick: bool) -> None:
        taken.append(f"base{' quick' * quick}")
        base.mkdir()

    def make_initramfs(base: Path, out: Path) -> None:
        taken.append("initramfs")
        out.mkdir()

    def make_disk(name: str, out: Path, *, quick: bool) -> Path:
        image = out / f"{name}.raw"
        if not image.exists():
            taken.append(name)
            image.touch()
        return image

    monkeypatch.setattr(guest_images, "make_base", make_base)
    monkeypatch.setattr(guest_images, "make_initramfs", make_initramfs)
    monkeypatch.setattr(guest_images, "build", make_disk)

    def run(*options: str) -> list[str]:
        taken.clear()
        monkeypatch.setattr(sys, "argv", ["guest_images", "--out", str(tmp_path), *options])
        guest_images.main()
        return taken[:1] + sorted(taken[1:])  # the steps behind the first may be taken together

    return run


ONE = "debian-small"


def test_what_this_builder_made_is_kept(build: Build, tmp_path: Path) -> None:
    assert not guest_images.is_current(tmp_path)
    assert build(ONE) == ["base", ONE, "initramfs"]
    assert build(ONE) == []
    assert build("debian-full") == ["debian-full"]
    assert guest_images.is_current(tmp_path)


def test_what_another_builder_made_is_made_anew_and_nothing_else_is_touched(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(ONE)
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(guest_images, "own_hash", lambda: "another")
    assert not guest_images.is_current(tmp_path)
    assert build(ONE) == ["base", ONE, "initramfs"]
    assert guest_images.is_current(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_quick_and_whole_images_do_not_pass_for_each_other(build: Build) -> None:
    assert build("--quick", ONE) == ["base quick", ONE, "initramfs"]
    assert build("--quick", ONE) == []
    assert build(ONE) == ["base", ONE, "initramfs"]


def test_a_folder_that_nobody_marked_is_left_alone(build: Build, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "thesis.txt").touch()
    with pytest.raises(SystemExit, match="base is there without"):
        build(ONE)
    assert (tmp_path / "base" / "thesis.txt").exists()
