"""`imsprep wait`: the job of an earlier command, until it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import imsprep as library
from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.mark.slow
def test_a_job_that_ended_gives_its_image(imsprep: Run, tmp_path: Path) -> None:
    image, cloud = tmp_path / "disk.raw", f"local:{tmp_path}/cloud"
    image.write_bytes(b"data" * 1024)
    made = library.import_image(
        image, to=cloud, name="data", type="DataImage", os_type="Linux", min_disk=40, fail_on="never",
    )  # fmt: skip
    done = imsprep("wait", made.job_id, "--to", cloud)
    assert (done.code, done.out) == (0, f"{made.image_id}\n")
    value = imsprep("wait", made.job_id, "--to", cloud, "--json").json
    assert value["schema"] == "imsprep.wait/1"
    assert value["image_id"] == made.image_id


def test_a_job_that_never_comes_to_be_known_is_waited_for_to_the_limit(
    imsprep: Run, tmp_path: Path
) -> None:
    done = imsprep("wait", "0" * 32, "--to", f"local:{tmp_path}", "--timeout", 0)
    assert done.code == 7
    assert "0" * 32 in done.err


def test_a_time_that_is_none_is_wrong_usage(imsprep: Run) -> None:
    assert imsprep("wait", "j", "--timeout", "nan").code == 2


def test_without_a_region_a_job_of_the_local_service_is_thought_of(
    imsprep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HW_REGION_NAME", "OS_REGION_NAME"):
        monkeypatch.delenv(name, raising=False)
    done = imsprep("wait", "j")
    assert done.code == 2
    assert "(--region; of a job of the local service: --to local:DIR)\n" in done.err
