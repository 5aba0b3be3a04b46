"""`imsprep convert`: what it says of a disk that it packed, and how it names its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("disk.raw")
    path.write_bytes(b"data" * 1024 + bytes(4 << 20))
    return path


def test_there_and_back_is_the_same_disk(imsprep: Run, raw: Path) -> None:
    Path("link.zvhd2").symlink_to("disk.zvhd2")
    value = imsprep("convert", raw, "link.zvhd2", "--json").json
    assert value["schema"] == "imsprep.convert/1"
    assert (value["target"], value["target_format"]) == ("link.zvhd2", "zvhd2")
    assert Path("link.zvhd2").is_symlink(), "the file behind a link is written"
    assert imsprep("convert", "disk.zvhd2", "back.raw").code == 0
    assert Path("back.raw").read_bytes() == raw.read_bytes()


def test_the_same_id_and_time_give_the_same_bytes(imsprep: Run, raw: Path) -> None:
    same = ("--uuid", "00000000-0000-4000-8000-000000000000", "--timestamp", 1_700_000_000)
    for name, jobs in (("a.zvhd2", 1), ("b.zvhd2", 4)):
        assert imsprep("convert", raw, name, *same, "--jobs", jobs).code == 0
    assert Path("a.zvhd2").read_bytes() == Path("b.zvhd2").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("disk.vmdk",), "(--to-format)"),
        (("disk.zvhd2", "--from-format", "floppy"), "--from-format must be one of "),
        (("disk.zvhd2", "--block-size", "3m"), "blocks of 1, 2, 4, 8, 16 or 32 MiB"),
        (("disk.zvhd2", "--level", "20"), "zstd has levels 1 to 19, not 20"),
        (("disk.raw",), "is the source itself"),
    ],
)
def test_what_cannot_be_made_is_wrong_usage(
    imsprep: Run, raw: Path, words: tuple[str, ...], said: str
) -> None:
    done = imsprep("convert", raw, *words)
    assert done.code == 2
    assert said in done.err
    assert [path.name for path in Path().iterdir()] == ["disk.raw"]


def test_what_is_there_is_replaced_only_by_force(imsprep: Run, raw: Path) -> None:
    Path("disk.zvhd2").write_text("another file")
    done = imsprep("convert", raw, "disk.zvhd2")
    assert done.code == 2
    assert done.err.endswith("(--force)\n")
    assert Path("disk.zvhd2").read_text() == "another file"
    assert imsprep("convert", raw, "disk.zvhd2", "--force").code == 0


def test_an_image_that_may_be_several_is_asked_for_its_format(imsprep: Run, raw: Path) -> None:
    raw.write_bytes(b"\0" * 32769 + b"CD001" + bytes(1 << 20))  # ISO 9660
    done = imsprep("convert", raw, "disk.zvhd2")
    assert done.code == 1
    assert "state its format with --from-format" in done.err
    assert imsprep("convert", raw, "disk.zvhd2", "--from-format", "raw").code == 0
