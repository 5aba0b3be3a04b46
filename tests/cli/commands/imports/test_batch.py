"""`imsprep batch`: many disks become images, whatever ends it in between."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imsprep import MissingExtraError
from imsprep.cli.options.importing import base_options
from imsprep.cli.settings.configured import settings_here
from imsprep.emulator.app import Settings
from imsprep.emulator.server import serving
from imsprep.pipeline.batch.entries import known_options
from imsprep.pipeline.batch.read import read_entries as read_plan
from imsprep.pipeline.batch.values import BatchEntry
from imsprep.store.directory import DirectoryStore
from imsprep.system import atomic
from imsprep.system.locking import locked
from tests.support.document_shell import ROOT, blocks
from tests.support.emulator.process import emulator
from tests.support.image.raw_disk import make_uefi_disk
from tests.support.image.treedigest import tree_digest
from tests.support.ims.imscloud import KEY
from tests.support.pipeline.batch_folder import DEFAULTS, Folder, make_disk
from tests.support.running import Outcome, need

Run = Callable[..., Outcome]


def read_entries(plan: Path) -> list[BatchEntry]:
    return read_plan(plan, base_options(settings_here()))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.slow
def test_every_disk_of_a_plan_becomes_an_image_that_equals_it(imsprep: Run, folder: Folder) -> None:
    folder.write_plan({"tag": ["a.b"]}, {"min-disk": "50"}, {"key": "sub/web2.raw"})
    done = imsprep("batch", folder.plan, "--json")
    assert done.code == 0, done.err
    folder.assert_each_was_imported_once()
    assert [i["state"] for i in done.json["images"]] == ["done"] * 3
    assert {i["image_id"] for i in done.json["images"]} == {
        Path(i["disk"]["path"]).stem for i in folder.images()
    }
    bodies = {i["body"]["name"]: i["body"] for i in folder.images()}
    assert bodies["web0"]["tags"] == ["a.b"]
    assert bodies["web1"]["min_disk"] == 50
    assert bodies["web2"]["image_url"] == "images:sub/web2.raw"
    assert "[3/3]" in done.err
    assert not list(folder.path.glob("*.lock"))


@pytest.mark.slow
def test_a_plan_may_say_by_which_route(imsprep: Run, tmp_path: Path) -> None:
    folder = Folder(tmp_path, count=2)
    folder.write_plan({"via": "zvhd2", "work-dir": "."}, {"via": "auto"})
    done = imsprep("batch", folder.plan, "--json")
    assert done.code == 0, done.err
    bodies = {i["body"]["name"]: i["body"] for i in folder.images()}
    assert bodies["web0"]["image_url"] == "images:web0.zvhd2"
    assert bodies["web1"]["image_url"] == "images:web1.zvhd2"
    assert "web0.zvhd2 was made" in done.err
    attributes = {i["body"]["name"]: i["disk"] for i in folder.images()}
    for disk in folder.disks:  # a container's disk is followed by zeros up to a GiB
        assert attributes[disk.stem]["original_digest"] == tree_digest(disk.read_bytes())


@need("qemu-img")
def test_a_qcow2_cut_short_is_refused_before_anything_is_sent(imsprep: Run, tmp_path: Path) -> None:
    folder = Folder(tmp_path, count=2)
    cut = tmp_path / "cut.qcow2"
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", folder.disks[1], cut], check=True
    )
    os.truncate(cut, cut.stat().st_size - 65536)
    folder.write_plan({}, {"image": "cut.qcow2", "via": "auto"})
    for options in (["--dry-run"], []):
        done = imsprep("batch", folder.plan, "--json", *options)
        assert done.code == 1, done.err
        states = [i["state"] for i in done.json["images"]]
        assert states == ["planned" if options else "waiting", "refused"]
        [found] = [f for f in done.json["images"][1]["findings"] if f["rule"] == "IMS101"]
        assert "cut short" in found["message"]
        assert found["expected"].endswith(" bytes or more")
        assert found["found"] == f"{cut.stat().st_size} bytes"
    assert not folder.images()


def test_an_image_that_is_given_for_a_plan_is_not_read(imsprep: Run, tmp_path: Path) -> None:
    with open(tmp_path / "disk\n.raw", "wb") as file:
        file.truncate(1 << 40)
    outcome = imsprep("batch", tmp_path / "disk\n.raw")
    assert (outcome.code, outcome.out) == (2, "")
    assert r"disk\n.raw is not a plan: it has 1 TiB" in outcome.err


def test_a_summary_replaces_neither_the_plan_nor_an_image(imsprep: Run, folder: Folder) -> None:
    before = {path: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}
    assert folder.plan in before
    for path in before:
        outcome = imsprep("batch", folder.plan, "--dry-run", "--output", f"json:{path}")
        assert (outcome.code, "--output would replace" in outcome.err) == (2, True), path
    assert before == {path: path.read_bytes() for path in before}


def test_two_images_do_not_share_a_container(imsprep: Run, folder: Folder) -> None:
    (folder.path / "sub").mkdir()
    make_disk(folder.path / "sub" / "web0.raw", 7)
    other = {"image": "sub/web0.raw", "key": "other.zvhd2", "name": "other"}
    both = {"via": "zvhd2", "work-dir": "."}
    folder.write_plan(both, {**other, **both})
    done = imsprep("batch", folder.plan, "--dry-run")
    assert done.code == 2
    assert "web0.zvhd2 is that of web0.raw" in done.err
    assert "another 'work-dir'" in done.err


@pytest.mark.slow
def test_a_second_run_does_nothing_and_says_so(imsprep: Run, folder: Folder) -> None:
    first = imsprep("batch", folder.plan, "--json").json
    second = imsprep("batch", folder.plan, "--json")
    assert [i["earlier"] for i in second.json["images"]] == [True] * 3
    assert [i["image_id"] for i in second.json["images"]] == [
        i["image_id"] for i in first["images"]
    ]
    assert "3 of 3 images were done by an earlier run" in second.err
    Path(f"{folder.plan}.batch.json").unlink()
    third = imsprep("batch", folder.plan, "--json").json
    assert ([i["state"] for i in third["images"]], third["sent"]) == (["done"] * 3, 0)
    folder.assert_each_was_imported_once()


@pytest.mark.slow
def test_an_image_that_is_added_is_imported_and_the_others_are_not(
    imsprep: Run, tmp_path: Path
) -> None:
    folder = Folder(tmp_path)
    folder.write_plan({}, {})
    assert imsprep("batch", folder.plan).code == 0
    folder.write_plan({}, {}, {})
    again = imsprep("batch", folder.plan, "--json").json
    assert [i["earlier"] for i in again["images"]] == [True, True, False]
    folder.assert_each_was_imported_once()


def test_all_are_checked_before_anything_is_sent(imsprep: Run, folder: Folder) -> None:
    folder.write_plan({}, {"min-disk": 0}, {"name": " x"})
    done = imsprep("batch", folder.plan, "--json")
    assert done.code == 1
    assert [i["state"] for i in done.json["images"]] == ["waiting", "refused", "refused"]
    assert not (folder.path / "cloud").exists()
    assert not list(folder.path.glob("*.imsprep.json"))
    text = imsprep("batch", folder.plan)
    for words in (
        "IMS510",
        "web1.raw: refused, exit code 1",
        "web2.raw: refused, exit code 1",
        "1 not begun",
    ):
        assert words in text.out
    assert "the check refuses 2 images: web1.raw, web2.raw; nothing was sent" in text.err


def test_what_cannot_be_checked_is_called_so_with_its_own_code(
    imsprep: Run, folder: Folder
) -> None:
    folder.disks[1].unlink()
    page = folder.path / "page.html"
    done = imsprep("batch", folder.plan, "--output", f"html:{page}")
    assert done.code == 3
    assert "1 image could not be checked: web1.raw; nothing was sent" in done.err
    assert "web1.raw: not checked, exit code 3\n" in done.out
    assert "cannot read" in done.out
    assert "3 images: 1 not checked, 2 not begun; 2 disks of" in done.out
    assert "refuse" not in done.out + done.err
    assert "mend what kept an image from being checked" in page.read_text("utf-8")
    assert not (folder.path / "cloud").exists()
    plain = imsprep("batch", folder.plan, "--json").json
    assert [one["state"] for one in plain["images"]] == ["waiting", "unchecked", "waiting"]
    assert plain["counts"]["unchecked"] == 1


def test_what_lacks_a_part_of_imsprep_is_not_called_refused(
    imsprep: Run, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(image: object, task: object) -> None:
        raise MissingExtraError("btrfs is not read", extra="guest-agpl")

    monkeypatch.setattr("imsprep.pipeline.batch.run_entry.examine", lacking)
    done = imsprep("batch", folder.plan, "--skip-failing")
    assert done.code == 2
    assert "[1/3] web0.raw: not checked: btrfs is not read: imsprep[guest-agpl]" in done.err
    assert "3 images: 3 not checked\n" in done.out
    assert "refuse" not in done.out + done.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ((), 0),
        (("--strict",), 1),  # the list has no such os_version: a warning
        (("--fail-on", "warning"), 1),
        (("--guest",), 1),  # and there is no system: an error
        (("--guest", "--fail-on", "never"), 0),
    ],
)
def test_what_is_checked_and_fails_can_be_asked_of_all_images(
    imsprep: Run, folder: Folder, asked: tuple[str, ...], code: int
) -> None:
    folder.write_plan(*({"os-version": "Debian GNU/Linux 99.0.0 64bit"} for _ in folder.disks))
    outcome = imsprep("batch", folder.plan, "--dry-run", *asked)
    assert outcome.code == code, outcome.out
    assert ("IMS808" in outcome.out) == ("--guest" in asked)


@pytest.mark.slow
@need("sgdisk")
def test_the_firmware_of_each_image_is_taken_from_its_disk(imsprep: Run, folder: Folder) -> None:
    make_uefi_disk(folder.disks[0])
    make_uefi_disk(folder.disks[1], bios=True)
    folder.write_plan({}, {}, {}, defaults=DEFAULTS + "  site: otc\n")
    planned = imsprep("batch", folder.plan, "--dry-run")
    assert planned.out.count("    firmware UEFI, from the disk\n") == 1
    assert planned.out.count("    firmware not requested; ") == 2
    done = imsprep("batch", folder.plan, "--json")
    assert done.code == 0, done.err
    assert [i["boot_mode"]["firmware"] for i in done.json["images"]] == ["uefi", None, None]
    asked = {i["body"]["name"]: i["body"].get("hw_firmware_type") for i in folder.images()}
    assert asked == {"web0": "uefi", "web1": None, "web2": None}


def test_advice_names_keys_of_the_plan_and_no_option(imsprep: Run, folder: Folder) -> None:
    bucket = folder.path / "cloud" / "images"
    bucket.mkdir(parents=True)
    (bucket / "web0.raw").write_bytes(b"another's")
    done = imsprep("batch", folder.plan)
    assert done.code == 1
    assert "IMS704" in done.out
    told = " ".join(done.out.split())
    assert "Choose another key (key in the plan), remove" in told
    assert "to be replaced (replace: true in the plan)." in told
    assert "--key" not in told
    failed = json.loads(imsprep("batch", folder.plan, "--json").out)["images"][0]
    assert "another key (key in the plan)" in failed["message"]


@pytest.mark.slow
def test_skip_failing_goes_on_with_the_others_and_still_tells(imsprep: Run, folder: Folder) -> None:
    folder.write_plan({}, {"min-disk": 0}, {})
    done = imsprep("batch", folder.plan, "--skip-failing", "--json")
    assert done.code == 1
    assert done.err.count("refuse") == 1  # it is said once, with the reason
    assert (
        "[1/3] web1.raw: refused: IMS510 min_disk is out of range (and 1 more error)\n" in done.err
    )
    assert re.findall(r"^\[(\d)/3\] \S+: (\w+)", done.err, re.M) == [
        ("1", "refused"),
        ("2", "done"),
        ("3", "done"),
    ]
    assert [i["state"] for i in done.json["images"]] == ["done", "refused", "done"]
    assert sorted(i["body"]["name"] for i in folder.images()) == ["web0", "web2"]
    folder.write_plan({}, {}, {})
    assert imsprep("batch", folder.plan).code == 0
    folder.assert_each_was_imported_once()
    # There is no system inside, which is an error, but not of images that exist.
    again = imsprep("batch", folder.plan, "--guest", "--json")
    assert [i["state"] for i in again.json["images"]] == ["done"] * 3
    assert all(i["image_id"] for i in again.json["images"])


@pytest.mark.slow
def test_one_that_fails_does_not_stop_the_others(imsprep: Run, folder: Folder) -> None:
    # The check has no eye for it; the service has.
    (folder.path / "cloud" / "images" / "web1.raw").mkdir(parents=True)
    done = imsprep("batch", folder.plan, "--jobs", "1", "--json")
    assert [i["state"] for i in done.json["images"]] == ["done", "failed", "done"]
    assert done.code == 6
    assert "KeyConflict" not in done.err
    assert done.json["images"][1]["message"] in done.err
    (folder.path / "cloud" / "images" / "web1.raw").rmdir()
    again = imsprep("batch", folder.plan, "--json")
    assert again.code == 0
    assert [i["earlier"] for i in again.json["images"]] == [True, False, True]
    folder.assert_each_was_imported_once()


def test_dry_run_tells_every_request_and_writes_nothing(imsprep: Run, folder: Folder) -> None:
    before = sorted(folder.path.iterdir())
    done = imsprep("batch", folder.plan, "--dry-run", "--json")
    assert done.code == 0, done.err
    assert [i["body"]["name"] for i in done.json["images"]] == ["web0", "web1", "web2"]
    assert [i["body"]["image_url"] for i in done.json["images"]] == [f"images:web{n}.raw" for n in range(3)]  # fmt: skip
    assert {i["data_bytes"] for i in done.json["images"]} == {None}, "nothing was counted"
    assert '"min_disk": 40' in imsprep("batch", folder.plan, "--dry-run").out
    assert sorted(folder.path.iterdir()) == before


def test_dry_run_needs_no_account_and_asks_nobody(
    imsprep: Run, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_credentials(monkeypatch, folder.path)
    folder.write_plan({}, {}, {}, defaults=DEFAULTS.replace("local:cloud", "obs:bucket/x"))
    done = imsprep("batch", folder.plan, "--dry-run", "--json")
    assert done.code == 0, done.out
    assert done.json["images"][0]["body"]["image_url"] == "bucket:x/web0.raw"


def without_credentials(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("HUAWEICLOUD_", "HW_", "OS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))


@pytest.mark.slow
def test_the_summary_is_written_as_asked(imsprep: Run, folder: Folder) -> None:
    page, data = folder.path / "r.html", folder.path / "r.json"
    done = imsprep("batch", folder.plan, "--output", f"html:{page}", "--output", f"json:{data}")
    assert done.code == 0
    assert all(f"web{n}.raw" in page.read_text() for n in range(3))
    assert "run the same command again" not in page.read_text()
    assert json.loads(data.read_text())["counts"]["done"] == 3
    assert "3 images: 3 done" in done.out
    wrong = imsprep("batch", folder.plan, "--output", "pdf:x")
    assert wrong.code == 2
    assert "FORMAT one of text, json, html" in wrong.err


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{}, {"name": "web0"}], "web1.raw: the name web0 is that of web0.raw on line 8 too"),
        ([{}, {"image": "./web0.raw"}], "the image"),
        ([{}, {"image": "../{here}/web0.raw"}], "the image"),
        ([{"key": "x.raw"}, {"key": "x.raw"}], "give one of them another 'key'"),
        ([{"key": "x.raw"}, {"key": "x.img"}], "the bitmap's object x.mf"),
        ([{}, {"image": "web0.img"}], "the manifest"),
        ([{"min-disk": "many"}, {"api": "v9"}], "min-disk: "),
        ([{"min-disk": "many"}, {"api": "v9"}], ":9: api: "),
        ([{"to": "ftp:x"}], "expected local:DIR"),
        ([{"name": None}], "it needs a 'name'"),
        ([{"to": None, "name": None}], "it needs a 'name' and a 'to'"),
        ([{"endpoint": "https://me:pw@host"}], "holds no user or password"),
        ([{"dry-run": "true"}], "unknown key 'dry-run'"),
    ],
)
def test_a_wrong_plan_is_refused_with_its_line(
    entries: list[dict[str, Any]], said: str, imsprep: Run, folder: Folder
) -> None:
    text = json.dumps(entries).replace("{here}", folder.path.name)
    folder.write_plan(*json.loads(text))
    done = imsprep("batch", folder.plan)
    assert done.code == 2
    assert said in done.err
    assert "plan.yaml:" in done.err
    assert not (folder.path / "cloud").exists()


def test_mistakes_of_all_kinds_are_listed_together_and_one_of_the_defaults_once(
    imsprep: Run, folder: Folder
) -> None:
    defaults = "defaults:\n  to: local:cloud\n  min-disk: forty\n"
    folder.write_plan({"os-versions": "x"}, {"via": "fax"}, {"naem": "z"}, defaults=defaults)
    text = folder.plan.read_text().replace('"name": "web2", ', "")
    folder.plan.write_text(text)
    done = imsprep("batch", folder.plan)
    assert done.code == 2
    first, *mistakes = (line.strip() for line in done.err.splitlines())
    assert "the plan has 4 mistakes, and nothing was started:" in first
    assert [line.split(":")[1] for line in mistakes] == ["3", "5", "6", "7"]
    assert "min-disk: 'forty' is not a whole number" in mistakes[0]
    assert "unknown key 'os-versions'" in mistakes[1]
    assert "'fax' is not one of" in mistakes[2]
    assert "unknown key 'naem' in image 3; did you mean 'name'?" in mistakes[3]


@pytest.mark.slow
def test_the_same_key_in_another_bucket_is_no_clash(imsprep: Run, folder: Folder) -> None:
    folder.write_plan({"key": "x.raw"}, {"key": "x.raw", "to": "local:cloud?bucket=other"})
    done = imsprep("batch", folder.plan)
    assert done.code == 0, done.err


@pytest.mark.parametrize(("data", "code"), [(b"\xff", 2), (None, 3)])
def test_a_plan_that_cannot_be_read_is_told(
    data: bytes | None, code: int, imsprep: Run, tmp_path: Path
) -> None:
    if data is not None:
        (tmp_path / "plan.yaml").write_bytes(data)
    done = imsprep("batch", tmp_path / "plan.yaml")
    assert done.code == code
    assert "plan.yaml" in done.err


def test_a_folder_is_no_plan(imsprep: Run, tmp_path: Path) -> None:
    done = imsprep("batch", tmp_path)
    assert done.code == 2
    assert f"{tmp_path} is a folder, and a plan is expected" in done.err


def test_paths_are_relative_to_the_plan_wherever_it_is_called_from(
    imsprep: Run, folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> None:
    bundle = folder.path / "ca.pem"
    bundle.write_text("")
    folder.write_plan({"ca-bundle": "ca.pem", "bitmap": "web0.map"})
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    [entry] = read_entries(folder.plan)
    assert entry.image == str(folder.disks[0])
    assert entry.options.to == f"local:{folder.path}/cloud"
    assert entry.options.ca_bundle == str(bundle)
    assert entry.options.bitmap == str(folder.path / "web0.map")


def test_a_plan_takes_every_option_of_an_import_but_those_of_the_command_line() -> None:
    import importlib

    command: Any = importlib.import_module("imsprep.cli.commands.imports.import_").command
    names = {max(p.opts, key=len).removeprefix("--") for p in command.params if p.expose_value}
    assert names - set(known_options().options) == {
        "all-disks", "image", "dry-run", "json", "quiet", "strict",
    }  # fmt: skip


def test_the_plans_of_the_documentation_are_valid(tmp_path: Path) -> None:
    shown = [b.text for b in blocks(ROOT / "docs" / "batch.md") if b.language == "yaml"]
    shown.append((ROOT / "docs" / "examples" / "plan.yaml").read_text())
    for text in shown:
        (tmp_path / "plan.yaml").write_text(text)
        assert len(read_entries(tmp_path / "plan.yaml")) >= 2
    last = read_entries(tmp_path / "plan.yaml")[-1]
    assert (last.options.os_version, last.options.tags) == (None, ("project.migration",))


def test_two_batches_of_one_plan_do_not_run_together(imsprep: Run, folder: Folder) -> None:
    with locked(Path(f"{folder.plan}.batch.lock"), "x"):
        done = imsprep("batch", folder.plan)
    assert done.code == 5
    assert "another imsprep works on the plan" in done.err


class Killed(BaseException):
    """The process ends here."""


STATE = (".imsprep.json", ".upload.json", ".batch.json")


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_ended_at_any_note_it_goes_on_and_imports_nothing_twice(
    before: bool, imsprep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """End the run at its first note, then at its second, and so on, until one comes through."""
    real = atomic.write_json
    monkeypatch.setattr("imsprep.pipeline.ship.LOOK_FOR_S", 0.1)
    for last in range(40):
        folder_path = tmp_path / str(last)
        folder_path.mkdir()
        folder = Folder(folder_path, count=1)
        left = last

        def write(path: Path, value: Any) -> None:
            nonlocal left
            if path.name.endswith(STATE):
                left -= 1
                if left < 0 and before:
                    raise Killed
            real(path, value)
            if path.name.endswith(STATE) and left < 0:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(atomic, "write_json", write)
            try:
                done = imsprep("batch", folder.plan, "--jobs", "1", "-q")
            except Killed:
                done = None
        if done is not None:
            assert done.code == 0
            break
        assert imsprep("batch", folder.plan, "--jobs", "1", "-q").code == 0
        folder.assert_each_was_imported_once()
    assert 7 < last < 39  # so many notes there are for one image


@pytest.mark.slow
def test_killed_at_random_instants_it_goes_on_and_imports_nothing_twice(tmp_path: Path) -> None:
    folder, choice = Folder(tmp_path, count=4), random.Random(7)
    for _ in range(6):
        with folder.start("--jobs", "2") as process:
            assert process.stderr is not None
            process.stderr.readline()  # it has begun
            time.sleep(choice.random())
            process.kill()
    with folder.start("--jobs", "2", "--json") as process:
        # Killed between a request and its answer, it looks for the image for two minutes.
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert json.loads(out)["counts"]["done"] == 4
    folder.assert_each_was_imported_once()
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_ends_it_and_tells_how_to_go_on(
    sent: signal.Signals, code: int, folder: Folder
) -> None:
    cloud = folder.path / "cloud"
    with emulator(cloud, "--fault", "slow-job-s=600") as environment:
        where = f"  endpoint: {environment['URL']}\n"
        folder.write_plan({}, {}, {"min-disk": 0}, defaults=DEFAULTS + where)
        page, words = folder.path / "page.html", ("--jobs", "2", "--skip-failing")
        with folder.start(*words, "--output", f"html:{page}", env=environment) as process:
            assert process.stderr is not None
            running = 0
            for line in process.stderr:
                running += ": RUNNING" in line
                if running == 2:
                    break
            process.send_signal(sent)
            out, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert "ed; run the same command again to continue\n" in err
        assert re.findall(r"^web\d.raw +web\d +(\w+)", out, re.M) == [
            "interrupted", "interrupted", "refused",
        ]  # fmt: skip
        assert "min_disk" in out  # why it is refused
        assert "3 images: 2 interrupted, 1 refused" in out
        assert f"interrupted, exit code {code}" in page.read_text("utf-8")
        assert "Traceback" not in err
    assert not list(folder.path.glob("*.lock"))
    assert not list(folder.path.glob(".*.part"))


@pytest.mark.slow
def test_no_secret_is_in_anything_that_is_written(folder: Folder) -> None:
    cloud = folder.path / "cloud"
    with emulator(cloud) as environment:
        folder.write_plan({}, {}, {}, defaults=DEFAULTS + f"  endpoint: {environment['URL']}\n")
        with folder.start(
            "--json", "--output", f"html:{folder.path}/r.html", env=environment
        ) as run:
            out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    secret = environment["HUAWEICLOUD_SDK_SK"]
    written = [p.read_text() for p in folder.path.glob("*.json")] + [
        (folder.path / "r.html").read_text()
    ]
    assert secret not in out + err + "".join(written)
    assert secret not in "".join(map(repr, read_entries(folder.plan)))


@pytest.mark.slow
def test_a_quota_that_is_too_small_is_told_before_anything_is_sent(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imsprep: Run
) -> None:
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", KEY.access_key)
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", KEY.secret_key)
    store = DirectoryStore(folder.path / "cloud" / "images")
    settings = Settings(KEY.access_key, KEY.secret_key, lambda name: store, tmp_path / "s", image_quota=2)  # fmt: skip
    with serving(settings) as (_, url):
        folder.write_plan({}, {}, {}, defaults=DEFAULTS + f"  endpoint: {url}\n")
        done = imsprep("batch", folder.plan, "--jobs", "1", "--json")
    told = done.err.index("3 images are to be imported, and the quota has room for 2 more")
    assert told < done.err.index("importing 3 images")
    assert (done.code, done.json["counts"]["done"]) == (1, 2)
    assert "IMS707" in done.json["images"][2]["message"]


def test_without_credentials_nothing_is_begun(
    imsprep: Run, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_credentials(monkeypatch, folder.path)
    folder.write_plan({}, {}, {}, defaults=DEFAULTS + "  endpoint: http://127.0.0.1:1\n")
    done = imsprep("batch", folder.plan)
    assert done.code == 2
    assert done.out.count("no credentials found") == 1
    assert "web0.raw, web1.raw, web2.raw: refused, exit code 2" in done.out


def test_a_scheduler_is_not_given_what_only_this_process_can_do(
    imsprep: Run, folder: Folder
) -> None:
    done = imsprep("batch", folder.plan, "--scheduler", "tcp://127.0.0.1:1")
    assert done.code == 2
    assert "also needs `endpoint`" in done.err
