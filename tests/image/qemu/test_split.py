"""A VMDK in several files is read by its descriptor, if all of them lie in its folder."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imsprep.system import lease
from imsprep.units import MIB
from tests.support.running import Outcome, need

Imsprep = Callable[..., Outcome]
pytestmark = need("qemu-img", "qemu-nbd")


def split(folder: Path, subformat: str) -> bytes:
    """Make disk.vmdk with its pieces; return the disk."""
    data = np.random.default_rng(8)
    raw = folder / "disk.raw"
    content = data.bytes(MIB) + bytes(2 * MIB) + data.bytes(MIB)
    raw.write_bytes(content)
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={subformat}",
         raw, folder / "disk.vmdk"],
        check=True,
    )  # fmt: skip
    raw.unlink()
    return content


PIECES = {
    "monolithicFlat": "disk-flat.vmdk",
    "twoGbMaxExtentFlat": "disk-f001.vmdk",
    "twoGbMaxExtentSparse": "disk-s001.vmdk",
}


@pytest.mark.parametrize("subformat", PIECES)
def test_the_descriptor_gives_the_disk(subformat: str, imsprep: Imsprep, tmp_path: Path) -> None:
    disk = split(tmp_path, subformat)
    outcome = imsprep("convert", tmp_path / "disk.vmdk", tmp_path / "out.raw")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "out.raw").read_bytes() == disk


@pytest.mark.parametrize("subformat", PIECES)
def test_a_piece_that_is_missing_or_cut_short_is_named(
    subformat: str, imsprep: Imsprep, tmp_path: Path
) -> None:
    split(tmp_path, subformat)
    piece = tmp_path / PIECES[subformat]
    piece.write_bytes(piece.read_bytes()[:-70_000])
    outcome = imsprep("convert", tmp_path / "disk.vmdk", tmp_path / "out.raw")
    assert outcome.code == 1
    assert piece.name in outcome.err
    assert "cut short" in outcome.err
    piece.unlink()
    outcome = imsprep("convert", tmp_path / "disk.vmdk", tmp_path / "out.raw")
    assert outcome.code == 1
    assert f"its piece {piece.name} is missing" in outcome.err


@pytest.mark.parametrize("subformat", ["twoGbMaxExtentFlat", "twoGbMaxExtentSparse"])
def test_one_piece_alone_is_called_so_and_its_descriptor_named(
    subformat: str, imsprep: Imsprep, tmp_path: Path
) -> None:
    split(tmp_path, subformat)
    outcome = imsprep("convert", tmp_path / PIECES[subformat], tmp_path / "out.raw")
    assert outcome.code == 1
    assert "piece" in outcome.err
    assert "descriptor" in outcome.err


@pytest.mark.parametrize(
    "name", ["../disk-flat.vmdk", "/etc/shadow", "nbd:127.0.0.1:1", "..", "a\\b", "link.vmdk"]
)
def test_a_descriptor_leads_nowhere_else(name: str, imsprep: Imsprep, tmp_path: Path) -> None:
    split(tmp_path, "monolithicFlat")
    (tmp_path / "link.vmdk").symlink_to(tmp_path / "disk-flat.vmdk")
    text = (tmp_path / "disk.vmdk").read_text().replace("disk-flat.vmdk", name)
    (tmp_path / "disk.vmdk").write_text(text)
    outcome = imsprep("convert", tmp_path / "disk.vmdk", tmp_path / "out.raw")
    assert outcome.code == 1
    assert "leads out of its folder" in outcome.err or "is a link" in outcome.err
    assert not (tmp_path / "out.raw").exists()


@pytest.mark.parametrize("line", ['RDONLY 8192 FLAT "disk-flat.vmdk" 0', "RW 8192 ZERO"])
def test_what_qemu_would_leave_out_is_refused(line: str, imsprep: Imsprep, tmp_path: Path) -> None:
    split(tmp_path, "monolithicFlat")
    text = (tmp_path / "disk.vmdk").read_text()
    text = text.replace('RW 8192 FLAT "disk-flat.vmdk" 0', line)
    (tmp_path / "disk.vmdk").write_text(text)
    outcome = imsprep("convert", tmp_path / "disk.vmdk", tmp_path / "out.raw")
    assert outcome.code == 1
    assert "leaves out" in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [("convert", "{}", "out.raw"), ("digest", "{}"), ("check", "{}", "--deep")]
)
@pytest.mark.parametrize("subformat", PIECES)
def test_a_program_that_may_write_to_a_piece_is_noticed(
    subformat: str,
    command: tuple[str, ...],
    imsprep: Imsprep,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    split(tmp_path, subformat)
    with open(PIECES[subformat], "r+b"):
        done = imsprep(*(word.format("disk.vmdk") for word in command))
    if lease_of(tmp_path / "disk.vmdk") != lease.NONE:
        pytest.skip("the temporary folder lies on a file system that does not tell")
    assert done.code == 3, done.err
    assert f"{PIECES[subformat]} is open for writing by" in done.err
    assert not (tmp_path / "out.raw").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kept", [(), ("--work-dir", ".")], ids=["streamed", "kept"])
def test_a_disk_whose_piece_changed_is_not_taken_for_the_one_that_was_imported(
    kept: tuple[str, ...], imsprep: Imsprep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    split(tmp_path, "monolithicFlat")
    words = ("import", tmp_path / "disk.vmdk", "--name", "a", "--type", "DataImage", "--min-disk", 10,
             "--site", "otc", "--to", f"local:{tmp_path / 'cloud'}", "--replace", "--json", *kept)  # fmt: skip

    def run() -> tuple[str, str]:
        outcome = imsprep(*words)
        assert outcome.code == 0, outcome.err
        manifest = json.loads((tmp_path / "disk.imsprep.json").read_text())
        return json.loads(outcome.out)["image_id"], manifest["image"]["digest"]

    first = run()
    assert run() == first
    times = os.stat(tmp_path / "disk.vmdk")
    with open(tmp_path / "disk-flat.vmdk", "r+b") as file:
        file.seek(2 * MIB)
        file.write(b"changed")
    assert os.stat(tmp_path / "disk.vmdk") == times
    second = run()
    assert second[0] != first[0]
    assert second[1] == imsprep("digest", tmp_path / "disk.vmdk").out.split()[0] != first[1]


def lease_of(path: Path) -> str:
    with open(path, "rb") as file:
        return lease.writers(file.fileno()).state


@pytest.mark.parametrize("subformat", PIECES)
def test_no_piece_is_replaced_by_what_is_made_of_it(
    subformat: str, imsprep: Imsprep, tmp_path: Path
) -> None:
    split(tmp_path, subformat)
    disk, piece = tmp_path / "disk.vmdk", tmp_path / PIECES[subformat]
    content = piece.read_bytes()
    into = ("--to", f"local:{tmp_path.parent}?bucket={tmp_path.name}", "--key", piece.name)
    about = ("--name", "a", "--type", "DataImage", "--min-disk", 10, "--site", "otc", "--replace")
    for words in (
        ("convert", disk, piece, "--to-format", "zvhd2", "--force"),
        ("convert", disk, piece, "--to-format", "raw", "--force"),
        ("convert", disk, into[1], *into[2:], "--force"),
        ("import", disk, *about, *into),
    ):
        outcome = imsprep(*words)
        assert outcome.code == 2, (words, outcome.err)
        assert piece.read_bytes() == content
