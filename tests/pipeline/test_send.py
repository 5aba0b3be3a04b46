"""One artefact is sent: its sum is kept if asked for, and another file than planned is not sent.

The image that was open when it was planned is the one that is read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from imsprep.errors import (
    ImageChangedError,
)
from imsprep.zvhd2.source import OpenImage
from tests.support.ims.imscloud import sha256
from tests.support.pipeline.import_place import Place, schema
from tests.support.running import need


@pytest.mark.slow
def test_the_sum_of_each_file_is_kept_if_asked_for(place: Place) -> None:
    with place.emulator() as go:
        done = go(with_sha256=True)
    written = json.loads(done.manifest.read_text())
    jsonschema.validate(written, schema())
    assert [sent["sha256"] for sent in written["objects"]] == [
        sha256(path.read_bytes()) for path in done.files
    ]


@pytest.mark.parametrize("name", ["disk.raw", "disk.mf"])
def test_a_file_that_changed_after_it_was_checked_is_not_sent(place: Place, name: str) -> None:
    path = place.folder / "local" / name
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with (
        place.emulator() as go,
        pytest.raises(ImageChangedError, match="changed after it was checked"),
    ):
        go()
    assert place.jobs == []


def rewrite(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def put_another_in_its_place(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(path.read_bytes())
    new.replace(path)


@pytest.mark.parametrize("change", [rewrite, put_another_in_its_place, Path.unlink])
def test_an_image_that_changed_since_it_was_opened_is_not_sent(
    place: Place, change: Callable[[Path], object]
) -> None:
    path = place.prepared.image
    with OpenImage.open(path) as image, place.emulator() as go:
        change(path)
        with pytest.raises(ImageChangedError):
            go(opened=image)
    assert place.jobs == []
    assert not list(place.store.folder.rglob("disk.raw"))


# Notes each time the image is opened in this process, and each program that is started.
_COUNTING = """
import os, sys
image, opened, started = sys.argv[1], 0, []
def note(event, args):
    global opened
    if event == "open" and args[0] == image:
        opened += 1
    elif event == "subprocess.Popen":
        started.append(os.path.basename(args[0]))
sys.addaudithook(note)
from imsprep.cli import run
code = run(sys.argv[2:])
print("counted", code, opened, started.count("qemu-nbd"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format_", "via", "served"),
    [
        pytest.param("raw", "zvhd2", 0),
        pytest.param("raw", "raw", 0),
        pytest.param("qcow2", "auto", 1, marks=need("qemu-img", "qemu-nbd")),
    ],
)
def test_an_import_opens_its_image_and_the_disk_in_it_once(
    tmp_path: Path, format_: str, via: str, served: int
) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(os.urandom(512).ljust(510, b"\0")[:510] + b"\x55\xaa" + bytes(1 << 22))
    if format_ != "raw":
        other = image.with_suffix(f".{format_}")
        argv = ["qemu-img", "convert", "-f", "raw", "-O", format_, image, other]
        subprocess.run(argv, check=True)
        image = other
    asked = ["--name", "data", "--type", "DataImage", "--os-type", "Linux", "--min-disk", "40"]
    argv = [sys.executable, "-c", _COUNTING, image, "import", image, *asked]
    argv += ["--via", via, "--fail-on", "never", "--to", f"local:{tmp_path}/cloud"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout.endswith(f"counted 0 1 {served}\n"), done.stdout + done.stderr
