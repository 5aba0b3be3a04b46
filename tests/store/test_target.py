"""What names a bucket is read, and written again as options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imsprep.cloud.endpoints import obs_endpoint
from imsprep.errors import UsageError
from imsprep.store.target import Target, parse_target
from tests.support.running import Outcome

Run = Callable[..., Outcome]


def test_targets_are_read() -> None:
    assert parse_target("obs:bkt") == parse_target("obs://bkt/") == Target("bkt")
    assert parse_target("obs:bkt/a/b").key_for("x.raw") == "a/b/x.raw"
    assert parse_target("local:/data").folder == Path("/data")
    assert obs_endpoint("eu-de") == "https://obs.eu-de.otc.t-systems.com"
    assert obs_endpoint("eu-west-101") == "https://obs.eu-west-101.myhuaweicloud.eu"
    assert obs_endpoint("cn-north-4") == "https://obs.cn-north-4.myhuaweicloud.com"


@pytest.mark.parametrize(
    "endpoint", ["https://me:a-password@host", "http://[::1", "host", "ftp://x"]
)
def test_an_address_that_no_service_has_is_refused_and_shows_no_password(endpoint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target("obs:bkt", region="eu-de", endpoint=endpoint)
    assert "a-password" not in str(caught.value)
