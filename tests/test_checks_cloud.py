from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imsprep import checks
from imsprep.bucket import BucketFacts, look_at_bucket
from imsprep.directory import DirectoryStore
from imsprep.errors import ServiceError
from imsprep.facts import Facts
from imsprep.store import ObjectFacts
from tests.conftest import Outcome

THERE = ObjectFacts("disk.raw", 100, "e", "STANDARD", None, {})
GOOD = BucketFacts("images", "disk.raw", object=THERE)
BAD = {
    "IMS701": BucketFacts("images", "disk.raw", refusal="403"),
    "IMS702": BucketFacts("images", "disk.raw", storage_class="WARM"),
    "IMS703": BucketFacts("images", "disk.raw", object=THERE._replace(storage_class="COLD")),
    "IMS704": BucketFacts("images", "disk.raw", object=THERE._replace(size=99)),
    "IMS705": BucketFacts("images", "disk.raw", unfinished=2),
    "IMS706": BucketFacts("my.images", "disk.raw"),
}


def fired(cloud: Any) -> set[str]:
    report = checks.run(Facts(name="disk.raw", file_size=100, cloud=cloud))
    return {f.rule for f in report.findings if f.rule.startswith("IMS7")}


@pytest.mark.parametrize("rule", BAD)
def test_a_rule_fires_where_it_should_and_only_there(rule: str) -> None:
    assert fired(BAD[rule]) == {rule}


def test_a_good_bucket_passes_everything() -> None:
    assert fired(GOOD) == set()


def test_a_bucket_that_was_not_asked_passes_nothing() -> None:
    report = checks.run(Facts(name="disk.raw", file_size=100))
    assert {s.rule for s in report.skipped} >= set(BAD)


def test_a_bucket_is_looked_at(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.create("disk.raw", {})
    store.put("disk.raw", b"12345")
    found = look_at_bucket(store, "images", "disk.raw")
    assert (found.unfinished, found.storage_class) == (1, "STANDARD")
    assert found.object is not None
    assert found.object.size == 5


def test_a_refusal_is_a_fact() -> None:
    class Refusing:
        def bucket_storage_class(self) -> str:
            raise ServiceError("403 AccessDenied")

    assert look_at_bucket(Refusing(), "b", "k").refusal == "403 AccessDenied"  # type: ignore[arg-type]


def test_check_asks_the_bucket_and_writes_nothing(
    imsprep: Callable[..., Outcome], tmp_path: Path
) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(b"x" * 1024)
    imsprep("check", image, "--online", f"local:{tmp_path}/cloud", "--select", "IMS7")
    assert not (tmp_path / "cloud").exists()
    DirectoryStore(tmp_path / "cloud/images").create("disk.raw", {})
    shown = imsprep("check", image, "--online", f"local:{tmp_path}/cloud", "--select", "IMS7")
    assert "IMS705" in shown.out
