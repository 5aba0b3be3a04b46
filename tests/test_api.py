"""The front door: each public name is there, lazily, and does what the command line does."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import imsprep
from imsprep import api, options

MIB = 1 << 20

FUNCTIONS = {
    "abort_uploads", "bench", "boot_image", "check", "check_images", "convert", "digest", "estimate", "export_map",
    "find_leftovers", "import_batch", "import_image", "info", "learn_layout", "make_bitmap", "open_store", "os_versions",
    "plan_all_disks", "plan_import", "plan_upload", "rules", "scan", "serve_emulator", "upload", "verify_bitmap", "wait",
    "write_probe",
}  # fmt: skip
DATA_DISK: dict[str, Any] = {"via": "raw",
    "name": "data", "type": "DataImage", "os_type": "Linux", "min_disk": 40, "fail_on": "never",
}  # fmt: skip


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(12 * MIB)
        file.seek(5 * MIB)
        file.write(b"data" * 4096)
    return path


def run_python(text: str) -> str:
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_public_names_are_these() -> None:
    values = {name for name in imsprep.__all__ if name[0].isupper()}
    assert set(imsprep.__all__) == values | FUNCTIONS | {"__version__"}
    assert {name for name in values if name.endswith("Error")} == {
        "ContentError", "FindingsError", "FormatError", "ImageChangedError", "ImsprepError", "JobFailedError",
        "MissingExtraError", "ReadError", "ServiceError", "TransferError", "UncertainError",
        "UsageError", "WaitTimeoutError",
    }  # fmt: skip
    assert list(imsprep.__all__) == sorted(imsprep.__all__)


@pytest.mark.parametrize("name", imsprep.__all__)
def test_a_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(imsprep, name) is not None
    assert name in dir(imsprep)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_has_a_signature_and_says_what_it_raises(name: str) -> None:
    function: Callable[..., Any] = getattr(imsprep, name)
    names = list(inspect.signature(function).parameters)
    assert len(names) > 1 or name == "rules"
    assert "keywords" not in names
    doc = inspect.getdoc(getattr(api, name)) or ""
    assert doc.split("\n")[0].endswith((".", ";"))


def test_what_is_no_name_of_it_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = imsprep.nothing_such  # type: ignore[attr-defined]  # a wrong call, on purpose


def test_the_import_loads_nothing_else() -> None:
    code = "import sys, imsprep; print(*[m for m in sys.modules if m.startswith('imsprep')])"
    assert run_python(code) == "imsprep"


def test_a_bitmap_loads_no_rules_and_no_cloud(disk: Path) -> None:
    code = (
        f"import sys, imsprep; imsprep.make_bitmap({str(disk)!r});"
        "print([m for m in sys.modules if m.startswith(('imsprep.checks', 'imsprep.store'))])"
    )
    assert run_python(code) == "[]"


@pytest.mark.parametrize("name", ["scan", "upload"])
def test_a_package_of_a_functions_name_is_the_function_too(name: str) -> None:
    for first in ("pass", f"import imsprep.{name}.__init__", "import imsprep.api"):
        code = f"import imsprep; {first}; print(callable(imsprep.{name}))"
        assert run_python(code) == "True"


def test_every_path_may_be_text_or_a_path(disk: Path, tmp_path: Path) -> None:
    for number, kind in enumerate((str, Path)):
        image = kind(disk)
        assert imsprep.scan(image).block_map.allocated == 1
        assert imsprep.make_bitmap(image).sidecar.blocks == 6
        assert imsprep.verify_bitmap(image, bitmap=kind(tmp_path / "disk.mf")).holds
        exported = imsprep.export_map(image, output=kind(tmp_path / "m.bmap"), force=True)
        assert exported.found.allocated == 4
        assert imsprep.info(image).virtual_size == 12 * MIB
        assert imsprep.check(image).facts["format"] == "raw"
        target = kind(tmp_path / f"{number}.zvhd2")
        assert imsprep.convert(image, target).block_map.allocated == 1
        assert imsprep.digest(image) == imsprep.digest(target)


@pytest.mark.slow
def test_an_image_comes_through_the_emulator_as_from_the_command_line(
    disk: Path, tmp_path: Path
) -> None:
    target = f"local:{tmp_path / 'cloud'}"
    plan = imsprep.plan_import(disk, to=target, **DATA_DISK)
    assert not (tmp_path / "cloud").exists()
    assert plan.request.as_body()["name"] == "data"
    seen: list[imsprep.Event] = []
    done = imsprep.import_image(disk, to=target, progress=seen.append, **DATA_DISK)
    assert done.job_id is not None
    assert imsprep.wait(done.job_id, to=target).image_id == done.image_id
    assert done.image_id in repr(done)
    assert len(repr(done)) < 1000  # a page of facts is no help in an interpreter
    assert sum(event.count for event in seen if event.step == "scan") == 12 * MIB
    sent = [event for event in seen if event.step == "upload"]
    assert sum(event.count for event in sent) == sent[0].total
    assert any(event.job_id == done.job_id for event in seen)
    again: list[imsprep.Event] = []
    assert imsprep.import_image(disk, to=target, progress=again.append, **DATA_DISK).earlier
    assert [event for event in again if event.step == "upload"] == []  # no bar at 0 %


@pytest.mark.slow
def test_the_data_of_an_import_is_what_packing_found(disk: Path, tmp_path: Path) -> None:
    """Zeros that are stored count as data before they are read, and not in the result."""
    with disk.open("r+b") as file:
        file.seek(4 * MIB)
        file.write(bytes(4 * MIB))
    packed = imsprep.convert(disk, tmp_path / "packed.zvhd2")
    assert isinstance(packed, imsprep.Converted)
    options = {**DATA_DISK, "via": "zvhd2"}
    for _ in range(2):  # the second run finds it done
        done = imsprep.import_image(disk, to=f"local:{tmp_path}/cloud", **options)
        assert done.data_bytes == packed.block_map.data_bytes


@pytest.mark.slow
def test_a_plan_is_imported_with_defaults_that_are_typed(disk: Path, tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "plan.yaml").write_text("images:\n- image: disk.raw\n  name: data\n  to: local:c\n")
    defaults = imsprep.ImportOptions(to="", **{**DATA_DISK, "name": None})
    planned = imsprep.import_batch(tmp_path / "plan.yaml", defaults=defaults, dry_run=True)
    assert [outcome.state for outcome in planned.outcomes] == ["planned"]
    done = imsprep.import_batch(tmp_path / "plan.yaml", defaults=defaults)
    assert (done.exit_code, [o.state for o in done.outcomes]) == (0, ["done"])


def test_an_upload_goes_where_the_store_says(disk: Path, tmp_path: Path) -> None:
    store = imsprep.open_store(f"local:{tmp_path / 'cloud'}")
    plan = imsprep.plan_upload(disk)
    assert plan.size == 12 * MIB
    done = imsprep.upload(disk, store, key="k")
    assert (done.sent, done.copied) == (plan.sent, plan.copied)
    assert (tmp_path / "cloud" / "images" / "k").read_bytes() == disk.read_bytes()
    assert imsprep.upload(disk, store, key="k").skipped


def test_what_goes_wrong_is_raised(disk: Path, tmp_path: Path) -> None:
    with pytest.raises(imsprep.ReadError, match=r"missing\.raw"):
        imsprep.check(tmp_path / "missing.raw")
    with pytest.raises(imsprep.UsageError, match="holes is 'maybe', not one of trust"):
        imsprep.scan(disk, holes="maybe")
    with pytest.raises(imsprep.UsageError, match="unknown site 'moon'"):
        imsprep.info(disk, site="moon")
    with pytest.raises(imsprep.UsageError, match="empty"):
        imsprep.scan("")
    with pytest.raises(TypeError, match="nothing_such"):
        imsprep.scan(disk, nothing_such=1)  # type: ignore[call-arg]  # a wrong call, on purpose
    with pytest.raises(imsprep.FindingsError):
        imsprep.import_image(disk, to=f"local:{tmp_path}", **{**DATA_DISK, "fail_on": "note"})


def test_a_progress_that_raises_ends_the_work_and_leaves_nothing(disk: Path) -> None:
    def stop(event: imsprep.Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imsprep.make_bitmap(disk, progress=stop)
    assert not disk.with_suffix(".mf").exists()


def test_many_images_are_checked_and_a_bad_one_is_a_value(disk: Path, tmp_path: Path) -> None:
    run = imsprep.check_images(
        [disk, tmp_path / "missing.raw"], options.CheckOptions(fail_on="never")
    )
    assert [report.image for report in run.reports] == [str(disk)]
    assert [failure.kind for failure in run.failures] == ["ReadError"]
