"""What names a bucket is read, and written again as options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imsprep.cloud.endpoints import obs_endpoint
from imsprep.errors import UsageError
from imsprep.store.target import Target, check_writable, parse_target
from tests.support.running import Outcome

Run = Callable[..., Outcome]


def test_targets_are_read() -> None:
    assert parse_target("obs:bkt") == parse_target("obs://bkt/") == Target("bkt")
    assert parse_target("obs:bkt/a/b").key_for("x.raw") == "a/b/x.raw"
    assert parse_target("local:/data").folder == Path("/data")
    assert obs_endpoint("eu-de") == "https://obs.eu-de.otc.t-systems.com"
    assert obs_endpoint("eu-west-101") == "https://obs.eu-west-101.myhuaweicloud.eu"
    assert obs_endpoint("cn-north-4") == "https://obs.cn-north-4.myhuaweicloud.com"


def test_what_is_no_text_is_no_target() -> None:
    with pytest.raises(UsageError, match="cannot upload to 5: expected local:DIR"):
        parse_target(5)  # type: ignore[arg-type]  # what is tested


def test_a_local_bucket_that_cannot_be_written_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    check_writable(Target("images", folder=tmp_path / "new" / "cloud"))
    (tmp_path / "images").mkdir()
    check_writable(Target("images", folder=tmp_path))
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "images"]
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match=r"cannot write to .*file.*: Not a directory"):
            check_writable(Target("images", folder=folder))
    (tmp_path / "other").write_text("x")
    with pytest.raises(UsageError, match=r"cannot write to .*other: Not a directory"):
        check_writable(Target("other", folder=tmp_path))


@pytest.mark.parametrize(
    "endpoint", ["https://me:a-password@host", "http://[::1", "host", "ftp://x"]
)
def test_an_address_that_no_service_has_is_refused_and_shows_no_password(endpoint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target("obs:bkt", region="eu-de", endpoint=endpoint)
    assert "a-password" not in str(caught.value)
