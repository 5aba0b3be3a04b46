"""What names a bucket is read, and written again as options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imsprep.cloud.endpoints import obs_endpoint
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
