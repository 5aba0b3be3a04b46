"""`imsprep import`, `wait` and `emulator`: the whole way, from a disk to an image."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from imsprep import UsageError, import_image, plan_import
from imsprep.cli import screen
from imsprep.emulator.app import Settings
from imsprep.emulator.server import serving
from imsprep.image.identity import Identity
from imsprep.store.directory import DirectoryStore
from imsprep.store.obs import open_obs
from imsprep.upload.journal import ZEROS, Journal, UploadEntry
from tests.support.emulator.process import SECRET, emulator
from tests.support.image.raw_disk import make_uefi_disk
from tests.support.image.treedigest import tree_digest
from tests.support.ims.imscloud import KEY, sha256
from tests.support.running import Outcome, need, slow
from tests.support.store import s3cloud
from tests.support.zvhd2.files import of_disk

MIB = 1 << 20
REQUEST = ("--via", "raw", "--name", "web01", "--os-version", "Debian GNU/Linux 10.0.0 64bit", "--min-disk", "40", "--poll", "0.05")  # fmt: skip
Run = Callable[..., Outcome]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A RAW disk of 64 MiB that is mostly holes."""
    path = tmp_path / "disk.raw"
    choice = random.Random(4)
    with path.open("wb") as file:
        file.truncate(64 * MIB)
        file.write(b"\xeb" + bytes(509) + b"\x55\xaa")
        for offset in (3 * MIB + 5, 20 * MIB, 64 * MIB - 9):
            file.seek(offset)
            file.write(choice.randbytes(9))
    return path


def import_of(disk: Path, folder: Path) -> tuple[object, ...]:
    """The command that imports a disk at one site, into a folder."""
    return ("import", disk, *REQUEST, "--site", "otc", "--to", f"local:{folder}/cloud")


def imported(folder: Path) -> list[Path]:
    return sorted((folder / "cloud" / ".emulator" / "disks").glob("*.raw"))


@pytest.mark.slow
def test_an_import_that_was_done_says_so(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    arguments = ("import", disk, *REQUEST, "--to", f"local:{tmp_path}/cloud")
    first, second = imsprep(*arguments), imsprep(*arguments)
    planned = imsprep(*arguments, "--dry-run")
    assert first.code == second.code == 0, first.err + second.err
    assert first.out.startswith("imported web01\nimage    ")
    image_id = first.out.split()[3]
    assert f"sent     0 bytes: an earlier run made image {image_id}, as asked for" in planned.out
    assert imsprep(*arguments, "--dry-run", "--json").json["imported"] == image_id
    changed = imsprep(*arguments, "--dry-run", "--min-disk", "41")
    assert "earlier run" not in changed.out
    assert "format   raw, about" in first.err
    assert "format " not in second.err
    assert "\nsent     0 bytes: imported already by an earlier run\n" in second.out
    assert second.out.splitlines()[1:3] == first.out.splitlines()[1:3]  # image and job
    third = imsprep(*arguments, "--min-disk", "41")
    assert "\nsent     0 bytes: the objects were in the bucket already\n" in third.out
    assert "(min_disk differs), so another image is made" in third.err


@pytest.mark.slow
def test_the_estimate_is_shown_when_it_is_known_that_something_is_sent(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    arguments = ("import", disk, *REQUEST, "--to", f"local:{tmp_path}/cloud")
    first = imsprep(*arguments)
    assert first.err.count("format   ") == 1
    os.utime(disk, (1, 1))  # that it is the same disk is known when it was read
    again = imsprep(*arguments)
    assert "reading it to find out whether it is the same disk" in again.err
    assert "imported already by an earlier run" in again.out
    assert "format   " not in again.err


@pytest.mark.slow
def test_why_raw_is_not_taken_is_for_those_who_ask(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    arguments = ("import", disk, *REQUEST, "--to", f"local:{tmp_path}/cloud", "--via", "auto")
    planned, done, asked = (
        imsprep(*arguments, *more) for more in (("--dry-run",), (), ("-v", "--min-disk", "41"))
    )
    why = "raw is not taken: it needs a bitmap that the vendor's tool made"
    assert why in " ".join(planned.out.split())
    assert why not in done.err + done.out
    assert why in " ".join(asked.err.split())


@pytest.mark.slow
def test_what_was_sent_stands_next_to_what_was_expected(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    arguments = ("import", disk, *REQUEST, "--to", f"local:{tmp_path}/cloud", "--via")
    packed = imsprep(*arguments, "zvhd2")
    assert f"\ndisk     {imported(tmp_path)[0]} (the emulator's copy)\n" in packed.out
    [expected] = re.findall(r"^format   zvhd2, .*, (about \S+ \w+) to store", packed.err, re.M)
    assert f" (estimated: {expected}), of a disk of 64 MiB\n" in packed.out
    for done in (imsprep(*arguments, "zvhd2"), imsprep(*arguments, "raw")):
        assert "(estimated:" not in done.out  # nothing was sent, or what was sent was known


@pytest.mark.slow
def test_a_zvhd2_becomes_an_image_that_equals_its_disk_up_to_a_gib(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "disk.zvhd2"
    packed.write_bytes(of_disk(disk.read_bytes()))
    done = imsprep("import", packed, *REQUEST, "--to", f"local:{tmp_path}/cloud", "--json")
    assert done.code == 0, done.err
    [made] = imported(tmp_path)
    content = made.read_bytes()
    assert content[: 64 * MIB] == disk.read_bytes()
    assert len(content) == 1024 * MIB
    assert not any(content[64 * MIB :])
    assert not (tmp_path / "disk.mf").exists()  # a container needs no bitmap


@pytest.mark.slow
def test_a_damaged_zvhd2_is_not_uploaded(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    packed = tmp_path / "disk.zvhd2"
    packed.write_bytes(of_disk(disk.read_bytes())[:-1])
    done = imsprep("import", packed, *REQUEST, "--to", f"local:{tmp_path}/cloud", "--json")
    assert done.code == 1
    assert "IMS303" in done.err
    assert not (tmp_path / "cloud").exists()


@pytest.mark.slow
@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry-run", "import"])
def test_a_zvhd2_whose_payload_is_damaged_is_not_uploaded(
    dry: list[str], imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    data = bytearray(of_disk(disk.read_bytes()))
    data[4096 + 48 + 9] ^= 0xFF  # in the first payload; header, tables and record heads are sound
    packed = tmp_path / "disk.zvhd2"
    packed.write_bytes(data)
    done = imsprep("import", packed, *REQUEST, "--to", f"local:{tmp_path}/cloud", "--json", *dry)
    assert done.code == 1
    assert "IMS312" in done.err
    assert not (tmp_path / "cloud").exists()


@pytest.mark.slow
def test_a_disk_becomes_an_image_that_equals_it(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    done = imsprep("import", disk, *REQUEST, "--to", f"local:{tmp_path}/cloud", "--json")
    assert done.code == 0, done.err
    [made] = imported(tmp_path)
    assert made.stem == done.json["image_id"]
    assert sha256(made.read_bytes()) == sha256(disk.read_bytes())
    assert done.json["sent"] < 40 * MIB
    manifest = json.loads((tmp_path / "disk.imsprep.json").read_text())
    assert manifest["state"] == "done"
    assert manifest["image_id"] == done.json["image_id"]
    assert (tmp_path / "disk.mf").exists()
    again = imsprep("import", disk, *REQUEST, "--to", f"local:{tmp_path}/cloud", "--json")
    assert again.json["image_id"] == done.json["image_id"]
    assert again.json["sent"] == 0
    waited = imsprep("wait", done.json["job_id"], "--to", f"local:{tmp_path}/cloud")
    assert (waited.code, waited.out.strip()) == (0, done.json["image_id"])


@pytest.mark.parametrize("site", ["huawei", "huawei-intl", "otc", "otc-swiss"])
@pytest.mark.parametrize("api", ["v2", "v2.1"])
def test_every_site_and_version_works_that_is_documented(
    site: str, api: str, imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    done = imsprep(
        "import", disk, *REQUEST, "--site", site, "--api", api, "--to", f"local:{tmp_path}/cloud"
    )
    if api == "v2.1" and site.startswith("otc"):
        assert done.code == 6
        assert "404" in done.err
        assert "not every site serves every version" in done.err
        return
    assert done.code == 0, done.err
    assert len(imported(tmp_path)) == 1


def test_a_data_disk_needs_no_os_version(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    done = imsprep("import", disk, "--name", "d", "--type", "DataImage", "--min-disk", "40",
                   "--poll", "0.05", "--to", f"local:{tmp_path}/cloud")  # fmt: skip
    assert done.code == 0, done.err


def test_dry_run_prints_the_exact_body_and_the_plan_and_sends_nothing(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    done = imsprep(
        "import", disk, *REQUEST, "--tag", "a.b", "--to", "obs:bucket/x", "--dry-run", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["body"] == {
        "name": "web01",
        "image_url": "bucket:x/disk.raw",
        "min_disk": 40,
        "os_version": "Debian GNU/Linux 10.0.0 64bit",
        "tags": ["a.b"],
    }
    assert [u["key"] for u in done.json["uploads"]] == ["x/disk.raw", "x/disk.mf"]
    assert sum(p["length"] for p in done.json["uploads"][0]["plan"]["parts"]) == 64 * MIB
    text = imsprep("import", disk, *REQUEST, "--to", "obs:bucket", "--dry-run").out
    assert '"image_url": "bucket:disk.raw"' in text
    assert not (tmp_path / "disk.imsprep.json").exists()


@pytest.mark.slow
def test_a_dry_run_names_no_file_that_is_not_made_and_estimates_as_the_import_does(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    with disk.open("r+b") as file:  # blocks that pack well and some that do not
        for block in range(1, 20):
            file.seek(block * 3 * MIB)
            file.write(random.Random(block).randbytes(MIB) if block % 3 else b"text" * 9999)
    arguments = ("import", disk, *REQUEST[2:], "--to", f"local:{tmp_path}/cloud")
    planned = imsprep(*arguments, "--dry-run")
    about = re.findall(r"about [\d.]+ [KM]iB", planned.out)
    assert (len(about), len(set(about))) == (2, 1)
    assert f"container of {disk} -> disk.zvhd2: {about[0]} in " in planned.out
    assert imsprep(*arguments, "--dry-run", "--json").json["uploads"][0]["file"] == str(disk)
    done = imsprep(*arguments)
    assert f"(estimated: {about[0]})" in done.out
    assert about[0] in done.err


def test_findings_stop_the_import_with_exit_code_1(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    done = imsprep(
        "import",
        disk,
        "--name",
        " x",
        "--type",
        "DataImage",
        "--min-disk",
        "40",
        "--to",
        f"local:{tmp_path}/cloud",
    )
    assert done.code == 1
    assert f"the import of {disk} is stopped by" in done.err
    assert not (tmp_path / "cloud").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--name", "x", "--to", "local:c"), 2, "Missing option --min-disk, --os-version;"),
        ((), 2, "Missing option --to, --name, --min-disk, --os-version; --min-disk is 10 to"),
        (("--type", "DataImage", "--name", "x"), 2, "Missing option --to, --min-disk;"),
        (("--all-disks",), 2, "Missing option --to."),
        (("--min-disk", "40G"), 2, "'40G' is not a whole number of GB, as 40"),
        ((*REQUEST, "--to", "ftp:x"), 2, "expected local:DIR"),
        (
            (*REQUEST, "--to", "local:c", "--image-url", "other:disk.raw"),
            2,
            "image_url is other:disk.raw, but",
        ),
        ((*REQUEST, "--to", "obs:bucket"), 2, "region"),
        ((*REQUEST, "--to", "local:/dev/null/x"), 2, "cannot write to /dev/null/x in /dev/null"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    arguments: tuple[str, ...],
    code: int,
    words: str,
    imsprep: Run,
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HW_REGION_NAME", "OS_REGION_NAME"):
        monkeypatch.delenv(name, raising=False)
    done = imsprep("import", disk, *arguments)
    assert done.code == code, done.err
    assert words in done.err
    assert "rules passed" not in done.err  # it is said before the check


def test_what_is_missing_is_said_before_the_image_is_checked(
    imsprep: Run, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[object] = []
    monkeypatch.setattr("imsprep.pipeline.check_import.gather", checked.append)
    given = ("--to", "local:c", "--os-version", "Debian", "--min-disk", "40")
    assert "Error: Missing option --name.\n" in imsprep("import", disk, *given).err
    with pytest.raises(UsageError, match="the import needs name"):
        import_image(disk, to="local:c", os_version="Debian", min_disk=40)
    assert not checked


def test_what_is_missing_is_said_also_of_an_image_that_cannot_be_read(
    imsprep: Run, tmp_path: Path
) -> None:
    done = imsprep("import", tmp_path, "--name", "x")
    assert done.code == 2
    assert "Missing option --to, --min-disk, --os-version;" in done.err
    none = imsprep("import", tmp_path / "none.raw", "--name", "x")
    assert (none.code, "No such file" in none.err) == (3, True)


def assert_advised(err: str) -> None:
    """Look that a refusal offers only what an import has."""
    assert "rename it, or import as ZVHD2, which needs no bitmap" in err
    assert "--output" not in err
    assert "--force" not in err


@pytest.mark.parametrize("case", ["image", "fifo", "sidecar", "other"])
def test_a_bitmap_that_cannot_be_written_is_told_with_advice_for_an_import(
    imsprep: Run, disk: Path, tmp_path: Path, case: str
) -> None:
    if case == "image":
        disk = disk.rename(tmp_path / "disk.mf")
    elif case == "fifo":
        os.mkfifo(tmp_path / "disk.mf")
    elif case == "sidecar":
        (tmp_path / "disk.mf.json").write_text("{}")
    else:
        imsprep("bitmap", disk)
        disk = shutil.copyfile(disk, tmp_path / "disk.img")
    refused = imsprep("import", disk, *REQUEST, "--to", f"local:{tmp_path}/cloud")
    assert refused.code == 2
    assert_advised(refused.err)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a/b", slow(""), slow(5), slow(None)])
@pytest.mark.parametrize("record", ["disk.imsprep.json", "disk.mf.json", "disk.zvhd2.json"])
def test_a_record_that_names_no_file_stops_the_import(
    imsprep: Run, disk: Path, tmp_path: Path, record: str, name: object
) -> None:
    via = "zvhd2" if record.startswith("disk.zvhd2") else "raw"
    started = ("import", disk, *REQUEST, "--to", f"local:{tmp_path}/cloud", "--via", via)
    started += ("--work-dir", tmp_path) if via == "zvhd2" else ()
    assert imsprep(*started).code == 0
    path = tmp_path / record
    value = json.loads(path.read_text())
    value.pop("checksum", None)
    value["image"] = {**value["image"], "name": name} if "imsprep" in record else name
    path.write_text(json.dumps(value))
    again = imsprep(*started)
    # A manifest that is damaged may be of an import that was asked for already.
    assert again.code == (3 if "imsprep" in record else 2), again.err
    assert ("look for its image at the service" in again.err) == ("imsprep" in record)
    assert "internal error" not in again.err


@pytest.mark.slow
def test_the_bitmap_gets_its_sidecar_and_one_made_elsewhere_is_not_replaced(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    to = ("--to", f"local:{tmp_path}/cloud")
    (tmp_path / "disk.mf").write_bytes(b"made elsewhere")
    refused = imsprep("import", disk, *REQUEST, *to)
    assert refused.code == 2
    assert "disk.mf was not made by imsprep" in refused.err
    assert_advised(refused.err)
    (tmp_path / "disk.mf").unlink()
    assert imsprep("import", disk, *REQUEST, *to).code == 0
    before = Identity.of(tmp_path / "disk.mf")
    assert imsprep("verify", disk).code == 0
    assert imsprep("bitmap", disk).code == 0
    assert Identity.of(tmp_path / "disk.mf") == before


def test_an_upload_that_the_import_continues_is_no_leftover(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    arguments = ("import", disk, *REQUEST, "--to", f"local:{tmp_path}/cloud", "--dry-run")
    upload_id = DirectoryStore(tmp_path / "cloud" / "images").create("disk.raw", {})
    assert "IMS705" in imsprep(*arguments).err
    journal = Journal.for_file(disk)
    entry = UploadEntry("t", "disk.raw", upload_id, ZEROS + "0" * 32, "p", Identity.of(disk))
    journal.save(entry)
    assert "IMS705" not in imsprep(*arguments).err
    journal.save(replace(entry, upload_id="another"))
    assert "IMS705" in imsprep(*arguments).err


def test_neither_is_one_of_a_container_that_is_kept(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    kept = ("--via", "zvhd2", "--work-dir", tmp_path)
    arguments = ("import", disk, *REQUEST, *kept, "--to", f"local:{tmp_path}/cloud", "--dry-run")
    upload_id = DirectoryStore(tmp_path / "cloud" / "images").create("disk.zvhd2", {})
    assert "IMS705" in imsprep(*arguments).err
    entry = UploadEntry("t", "disk.zvhd2", upload_id, ZEROS + "0" * 32, "p", Identity.of(disk))
    Journal.for_file(tmp_path / "disk.zvhd2").save(entry)
    assert "IMS705" not in imsprep(*arguments).err


def test_a_missing_os_version_is_wrong_usage_as_a_missing_name_is(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    done = imsprep("import", disk, "--name", "a", "--min-disk", "40", "--to", f"local:{tmp_path}/c")
    assert done.code == 2
    assert "Missing option --os-version; imsprep os-versions lists the values" in done.err
    with pytest.raises(UsageError) as caught:
        import_image(disk, to=f"local:{tmp_path}/c", name="a", min_disk=40)
    assert caught.value.remedies == ("os_version",)


def test_a_missing_image_is_exit_code_3(imsprep: Run, tmp_path: Path) -> None:
    done = imsprep("import", tmp_path / "no.raw", *REQUEST, "--to", f"local:{tmp_path}/cloud")
    assert done.code == 3
    assert "no.raw" in done.err


def test_cleanup_removes_what_was_uploaded(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    done = imsprep(
        "import",
        disk,
        *REQUEST,
        "--to",
        f"local:{tmp_path}/cloud",
        "--cleanup",
        "success",
        "--json",
    )
    assert done.json["removed"] == ["disk.raw", "disk.mf"]
    assert not (tmp_path / "cloud" / "images" / "disk.raw").exists()


@pytest.mark.slow
def test_the_way_through_a_bucket_of_s3(
    imsprep: Run, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", KEY.access_key)
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", KEY.secret_key)
    with s3cloud.localhost_resolves(), s3cloud.serve() as (strict, endpoint):
        open_bucket = partial(open_obs, endpoint=endpoint, region="us-east-1", credentials=KEY)
        bucket: Any = open_bucket("images")
        bucket.client.create_bucket(Bucket="images")
        strict.reset()
        settings = Settings(KEY.access_key, KEY.secret_key, open_bucket, tmp_path / "state")
        with serving(settings) as (emulator, url):
            done = imsprep("import", disk, *REQUEST, "--to", "obs:images/web", "--region", "us-east-1",
                           "--obs-endpoint", endpoint, "--endpoint", url, "--json")  # fmt: skip
            assert done.code == 0, done.err
            [image] = emulator.board.images()
    assert image.image_id == done.json["image_id"]
    assert image.body["image_url"] == "images:web/disk.raw"
    assert image.disk["digest"] == tree_digest(disk.read_bytes())
    assert strict.received < 40 * MIB
    assert KEY.secret_key not in done.out + done.err


def start(
    disk: Path, folder: Path, environment: dict[str, str], *options: str
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "imsprep", "import", str(disk), *REQUEST, "--to", f"local:{folder}",
               "--endpoint", environment["URL"], *options]  # fmt: skip
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_the_emulator_serves_other_processes_and_no_secret_is_seen(
    disk: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cloud"
    with emulator(folder) as environment:
        with start(disk, folder, environment, "--json") as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert json.loads(out)["image_id"]
        environment["HUAWEICLOUD_SDK_SK"] = SECRET + "x"
        (tmp_path / "disk.imsprep.json").unlink()
        with start(disk, folder, environment, "--json") as process:
            refused, said = process.communicate(timeout=60)
        assert process.returncode == 6
        assert "401 APIGW.0301" in said
    everything = out + err + refused + said
    everything += "".join(p.read_text() for p in tmp_path.rglob("*.json"))
    assert SECRET not in everything


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_says_how_to_go_on_and_the_next_run_does(
    sent: signal.Signals, code: int, disk: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cloud"
    with emulator(folder, "--fault", "slow-job-s=600") as environment:
        with start(disk, folder, environment) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if ": RUNNING" in line:
                    break
            time.sleep(0.2)
            process.send_signal(sent)
            _, said = process.communicate(timeout=30)
        assert process.returncode == code
    found = re.search(r"imsprep wait ([0-9a-f]{32})", said)
    assert found, said
    with emulator(folder) as environment, start(disk, folder, environment, "--json") as process:
        # The job goes on with the next emulator; its address is another one, which the real
        # service's is not, so the job is waited for by its id.
        process.communicate(timeout=60)
        waiting: list[Any] = [
            sys.executable,
            "-m",
            "imsprep",
            "wait",
            found[1],
            "--endpoint",
            environment["URL"],
            "--poll",
            "0.05",
        ]
        done = subprocess.run(waiting, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert sha256(
        (folder / ".emulator" / "disks" / f"{done.stdout.strip()}.raw").read_bytes()
    ) == sha256(disk.read_bytes())


@pytest.mark.slow
def test_a_failed_job_is_exit_code_6_and_giving_up_7(disk: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cloud"
    with emulator(folder, "--fault", "fail-job=IMG.0057") as environment:
        with start(disk, folder, environment) as process:
            _, said = process.communicate(timeout=60)
        assert process.returncode == 6
        assert "IMG.0057" in said
    with emulator(folder, "--fault", "slow-job-s=600") as environment:
        with start(disk, folder, environment, "--timeout", "0.3") as process:
            _, said = process.communicate(timeout=60)
        assert process.returncode == 7
        assert "imsprep wait " in said


def test_the_emulator_refuses_a_port_that_is_taken_and_an_unknown_fault(
    imsprep: Run, tmp_path: Path
) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = imsprep("emulator", "--data", tmp_path, "--port", taken.getsockname()[1])
    assert done.code == 2
    assert "choose another port (--port)" in done.err
    done = imsprep("emulator", "--data", tmp_path, "--fault", "nonsense")
    assert done.code == 2
    assert "slow-job-s" in done.err


@pytest.mark.parametrize("cleanup", ["keep", "success", "always"])
def test_an_image_that_lies_in_the_bucket_is_neither_replaced_nor_cleaned_up(
    imsprep: Run, disk: Path, tmp_path: Path, cleanup: str
) -> None:
    inside = tmp_path / "images" / "disk.raw"
    inside.parent.mkdir()
    disk.rename(inside)
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path)
    before = Identity.of(inside)
    for name, to in ((inside, tmp_path), (linked / "images/disk.raw", tmp_path), (inside, linked)):
        done = imsprep("import", name, *REQUEST, "--to", f"local:{to}", "--cleanup", cleanup)
        assert done.code == 2
        assert "the object 'disk.raw' would be" in done.err
    hard = tmp_path / "hard.raw"
    os.link(inside, hard)
    done = imsprep("upload", hard, "--key", "disk.raw", "--to", f"local:{tmp_path}")
    assert done.code == 2
    hard.unlink()
    assert (before.inode, before.mtime_ns) == (Identity.of(inside).inode, inside.stat().st_mtime_ns)
    assert [path.name for path in inside.parent.iterdir()] == ["disk.raw"]


def test_a_bitmap_that_lies_in_the_bucket_is_not_cleaned_up(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    inside = tmp_path / "images" / "own.mf"
    inside.parent.mkdir()
    inside.write_bytes(b"made elsewhere")
    where = ("--to", f"local:{tmp_path}", "--key", "own.raw", "--cleanup", "always")
    done = imsprep("import", disk, *REQUEST, *where, "--bitmap", inside)
    assert done.code == 2
    assert "the object 'own.mf' would be" in done.err
    assert inside.read_bytes() == b"made elsewhere"


def test_an_object_is_not_replaced_by_its_own_bitmap(
    imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    done = imsprep("import", disk, *REQUEST, "--to", f"local:{tmp_path}/cloud", "--key", "disk.mf")
    assert done.code == 2
    assert "the object 'disk.mf' would be replaced by its own bitmap" in done.err
    assert not (tmp_path / "cloud").exists()


@pytest.mark.slow
@pytest.mark.parametrize("key", ["disk.raw", "disk.mf"])
def test_an_object_of_somebody_else_stops_the_import_before_anything_is_made(
    imsprep: Run, disk: Path, tmp_path: Path, key: str
) -> None:
    theirs = tmp_path / "cloud/images" / key
    theirs.parent.mkdir(parents=True)
    theirs.write_text("somebody's")
    arguments = ("import", disk, *REQUEST, "--to", f"local:{tmp_path}/cloud")
    for more in ((), ("--dry-run",)):
        done = imsprep(*arguments, *more)
        assert done.code == 1
        said = " ".join(done.err.split())
        assert "IMS704" in said
        assert f"the object {key!r} is there, and imsprep did not make it" in said
        assert "Choose another key (--key), remove" in said
        assert "allow it to be replaced (--replace)." in said
        assert theirs.read_text() == "somebody's"
        assert not (tmp_path / "disk.mf").exists()
    assert imsprep(*arguments, "--replace").code == 0
    assert imsprep(*arguments).code == 0  # now it is this image's own


@pytest.mark.slow
def test_two_files_do_not_share_a_key(imsprep: Run, disk: Path, tmp_path: Path) -> None:
    arguments = (*REQUEST, "--to", f"local:{tmp_path}/cloud", "--key", "one.raw")
    assert imsprep("import", disk, *arguments).code == 0
    other = tmp_path / "other" / "disk.raw"
    other.parent.mkdir()
    other.write_bytes(disk.read_bytes())
    with other.open("r+b") as file:
        file.seek(8 * MIB)
        file.write(b"other data")
    before = (tmp_path / "cloud/images/one.raw").read_bytes()
    done = imsprep("import", other, *arguments)
    assert done.code == 1
    assert "imsprep made it of another file" in " ".join(done.err.split())
    assert (tmp_path / "cloud/images/one.raw").read_bytes() == before


@pytest.mark.slow
@need("sgdisk")
@pytest.mark.parametrize(
    ("bios", "asked", "sent", "mode"),
    [
        (False, (), "uefi", "UEFI, from the disk"),
        (False, ("--firmware", "uefi"), "uefi", "UEFI, as requested"),
        (False, ("--architecture", "arm"), None, "UEFI, as every Arm server"),
        (True, (), None, "not requested; the disk starts by BIOS or UEFI"),
        (True, ("--firmware", "bios"), "bios", "BIOS, as requested"),
    ],
)
def test_the_firmware_is_taken_from_a_disk_that_uefi_alone_starts(
    bios: bool, asked: tuple[str, ...], sent: str | None, mode: str, imsprep: Run, tmp_path: Path
) -> None:
    disk = make_uefi_disk(tmp_path / "disk.raw", bios=bios)
    arguments = (*import_of(disk, tmp_path), *asked)
    planned = imsprep(*arguments, "--dry-run")
    assert f"\nfirmware {mode}" in planned.out
    plan = json.loads(imsprep(*arguments, "--dry-run", "--json").out)
    assert plan["body"].get("hw_firmware_type") == sent
    done = imsprep(*arguments)
    assert done.code == 0, done.err
    assert f"\nfirmware {mode}" in done.out
    manifest = json.loads((tmp_path / "disk.imsprep.json").read_text())
    assert manifest["request"].get("hw_firmware_type") == sent
    assert manifest["image"]["boot_mode"] == plan["boot_mode"]
    again = json.loads(imsprep(*arguments, "--json").out)
    assert again["earlier"]
    assert again["boot_mode"] == plan["boot_mode"]


@pytest.mark.slow
@need("sgdisk")
def test_a_check_warns_of_a_request_without_the_firmware_that_an_import_asks_for(
    imsprep: Run, tmp_path: Path
) -> None:
    disk = make_uefi_disk(tmp_path / "disk.raw")
    request = ("--name", "a", "--os-version", "CentOS 7.6 64bit", "--min-disk", "40")
    for site, asks in (("otc", True), ("huawei", True), ("otc-swiss", False)):
        strict = (*request, "--site", site, "--strict", "--ignore", "IMS603")
        done = imsprep("import", disk, *strict, "--to", f"local:{tmp_path}/{site}", "--dry-run")
        assert done.code == (0 if asks else 1), done.err
        assert ("IMS217" in done.out + done.err) is not asks
        checked = imsprep("check", disk, *strict)
        assert checked.code == 1
        assert "warning  The disk starts by UEFI only" in checked.out
        if asks:
            assert imsprep("check", disk, *strict, "--firmware", "uefi").code == 0
        file_alone = imsprep("check", disk, *strict[2:])  # as a pipeline gates it
        assert file_alone.code == (0 if asks else 1)


@pytest.mark.slow
@need("sgdisk")
def test_a_bios_that_a_disk_does_not_start_by_stops_the_import(
    imsprep: Run, tmp_path: Path
) -> None:
    disk = make_uefi_disk(tmp_path / "disk.raw")
    done = imsprep(*import_of(disk, tmp_path), "--firmware", "bios")
    assert done.code == 1
    assert "IMS210" in done.err


@pytest.mark.slow
@need("sgdisk")
def test_a_data_image_has_no_boot_mode(imsprep: Run, tmp_path: Path) -> None:
    disk = make_uefi_disk(tmp_path / "disk.raw")
    plan = plan_import(
        disk, to=f"local:{tmp_path}/cloud", name="a", type="DataImage", min_disk=40, site="otc"
    )
    assert plan.boot_mode is None
    assert "hw_firmware_type" not in plan.request.as_body()
    system = plan_import(
        disk, to=f"local:{tmp_path}/cloud", name="a", min_disk=40, site="otc",
        os_version="Debian GNU/Linux 12.0.0 64bit",
    )  # fmt: skip
    assert str(system.boot_mode) == "UEFI, from the disk"
    assert system.request.hw_firmware_type == "uefi"


@pytest.mark.parametrize("more", [("--dry-run",), ()], ids=["dry-run", "import"])
def test_what_local_would_refuse_is_warned_of_and_refused_before_anything_is_sent(
    more: tuple[str, ...], imsprep: Run, disk: Path, tmp_path: Path
) -> None:
    arguments = (*import_of(disk, tmp_path), *more)
    done = imsprep(*arguments, "--os-version", "Debian 12")
    assert done.code == 2
    assert '"Debian GNU/Linux 12.0.0 64bit" (--os-version;' in done.err
    checked = imsprep("check", disk, "--site", "otc", "--os-version", "Debian 12")
    assert checked.code == 0
    assert "`local:` takes no other" in " ".join(checked.out.split())
    assert not (tmp_path / "cloud").exists()
    assert imsprep(*arguments, "--os-version", "Rocky Linux 9.3 64bit").code == 0


@pytest.mark.slow
@need("sgdisk")
def test_a_wrapped_boot_mode_goes_on_below_its_value(
    imsprep: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk = make_uefi_disk(tmp_path / "disk.raw", bios=True)
    monkeypatch.setattr(screen, "columns", lambda stream: 60)
    to = ("--site", "otc", "--to", f"local:{tmp_path}/cloud", "--dry-run")
    lines = imsprep("import", disk, *REQUEST, *to).out.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("firmware not requested; "))
    assert lines[at + 1].startswith(" " * len("firmware ") + lines[at + 1].strip())
    assert max(map(len, lines[at : at + 2])) <= 60


@pytest.mark.slow
@need("sgdisk")
@pytest.mark.parametrize(("firmware", "rule"), [(None, "IMS217"), ("bios", "IMS210")])
def test_a_fix_that_requests_a_firmware_names_the_option(
    firmware: str | None, rule: str, imsprep: Run, tmp_path: Path
) -> None:
    disk = make_uefi_disk(tmp_path / "disk.raw")
    asked = ("--firmware", firmware) if firmware else ()
    done = imsprep("check", disk, "--site", "otc", *asked, "--select", rule, "-v")
    assert rule in done.out
    assert "(--firmware names it)" in " ".join(done.out.split())
