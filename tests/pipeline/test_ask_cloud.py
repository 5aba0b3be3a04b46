"""Bucket and service are asked before anything is made or sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.ims.answers import answering
from tests.support.running import Outcome

Run = Callable[..., Outcome]
NO_RIGHTS = (403, {"error": {"code": "IMG.0026", "message": "no rights"}})
WHO = (401, {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information"})
NONE = (200, {"images": []})


def quota(used: int) -> tuple[int, Any]:
    return (200, {"quotas": {"resources": [{"type": "image", "used": used, "quota": 50}]}})


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", "AK")
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", "SK-do-not-show")
    path = tmp_path / "disk.raw"
    path.write_bytes(b"\x01" * 512 + bytes((1 << 20) - 512))
    return path


REQUEST = ("--name", "d", "--type", "DataImage", "--min-disk", "10", "-q")


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [
        ([NO_RIGHTS], 6, "the account needs ims:images:list"),
        ([WHO], 6, "this machine's clock"),
        ([(200, b"<html>sign in</html>")], 6, "no list of images: <html>sign in"),
        ([(200, b"[" * 200_000)], 6, "no list of images"),
        ([(302, b"")], 6, "check the endpoint"),
        ([NONE, NONE, quota(50), (404, b"")], 1, "IMS707"),
    ],
)
def test_a_refusal_stops_the_import_before_anything_is_made(
    imsprep: Run, disk: Path, tmp_path: Path, answers: list[Any], code: int, words: str
) -> None:
    with answering(*answers) as (url, asked):
        done = imsprep(
            "import", disk, *REQUEST, "--to", f"local:{tmp_path}/cloud", "--endpoint", url
        )
    assert done.code == code, done.err
    assert words in " ".join((done.err + done.out).split())
    assert "SK-do-not-show" not in done.err + done.out
    assert not [call for call in asked if call[0] == "POST"]
    assert not (tmp_path / "cloud/images").exists()
    assert not (tmp_path / "disk.mf").exists()
    assert not (tmp_path / "disk.imsprep.json").exists()


def test_a_dry_run_does_without_what_it_cannot_ask(
    imsprep: Run, disk: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    arguments = ("import", disk, *REQUEST[:-1], "--to", "obs:bucket", "--dry-run")
    for more, words in (((), "its region is not given"), (("--region", "eu-de"), "no credentials")):
        done = imsprep(*arguments, *more)
        assert done.code == 0, done.err
        assert words in done.err


@pytest.mark.slow
def test_a_folder_s_images_are_asked_for_the_name_without_its_emulator(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    to, cloud = ("--to", f"local:{tmp_path}/cloud"), tmp_path / "cloud"
    dry = imsprep("import", disk, *REQUEST, *to, "--dry-run")
    assert dry.code == 0, dry.err
    assert not cloud.exists()
    first = imsprep("import", disk, *REQUEST[:-1], *to, "--json")
    other = tmp_path / "other.raw"
    other.write_bytes(b"\x02" * 512 + bytes((1 << 20) - 512))
    for more in ((), ("--dry-run",)):
        done = imsprep("import", other, *REQUEST[:-1], *to, "--key", f"k{len(more)}", *more)
        assert done.code == 0, done.err
        assert "An image of this name is there already" in done.err
        assert first.json["image_id"] in " ".join(done.err.split())
    checked = imsprep("check", other, *REQUEST[:-1], "--online", f"local:{cloud}")
    assert "IMS712" in checked.out


@pytest.mark.slow
def test_the_names_of_a_file_that_was_imported_are_not_taken_for_those_of_others(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    def of(name: str, folder: str = "cloud") -> Outcome:
        request = ("--name", name, *REQUEST[2:-1], "--to", f"local:{tmp_path}/{folder}")
        return imsprep("import", disk, *request, "--json")

    names = [("web01",), ("web02",), ("web01", "there")]
    made = [of(*name) for name in names]
    for name, first in zip(names, made, strict=True):
        again = of(*name)
        assert "IMS712" not in first.err + again.err
        assert (again.json["image_id"], again.json["sent"]) == (first.json["image_id"], 0)


@pytest.mark.slow
def test_the_image_of_a_file_whose_time_changed_is_no_other_of_the_name(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    arguments = ("import", disk, *REQUEST[:-1], "--to", f"local:{tmp_path}/cloud")
    first = imsprep(*arguments)
    disk.touch()
    again = imsprep(*arguments, "--strict", "--json", "-v")
    assert again.code == 0, again.err
    assert again.json["image_id"] in first.out
    assert "uses it again" in " ".join(again.err.split())
    disk.write_bytes(b"\x03" + disk.read_bytes()[1:])
    changed = imsprep(*arguments, "--json")
    assert changed.json["image_id"] not in first.out
    assert "the file has changed since, so another image is made" in changed.err


@pytest.mark.slow
def test_a_full_folder_takes_no_image(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    to = ("--to", f"local:{tmp_path}/cloud")
    assert imsprep("import", disk, *REQUEST, *to).code == 0
    [record] = (tmp_path / "cloud/.emulator/images").glob("*.json")
    for number in range(49):
        (record.parent / f"{number}.json").write_text(
            record.read_text().replace(record.stem, str(number))
        )
    done = imsprep("import", disk, *REQUEST, *to, "--name", "e")
    assert (done.code, "IMS707" in done.err) == (1, True)
    record.write_text("{")
    done = imsprep("import", disk, *REQUEST, *to, "--name", "e")
    assert (done.code, "is not a record of the emulator" in done.err) == (3, True)
    assert "Traceback" not in done.err


def test_a_name_that_is_in_use_is_said_before_the_upload(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    listed = (200, {"images": [{"id": "i-1", "name": "d", "status": "active"}]})
    with answering(listed, listed, quota(1), (404, b""), NO_RIGHTS) as (url, _):
        arguments = ("--to", f"local:{tmp_path}/cloud", "--endpoint", url)
        done = imsprep("import", disk, *REQUEST[:-1], *arguments)
    assert "'d' is the name of 1 image: i-1" in " ".join(done.err.split())
