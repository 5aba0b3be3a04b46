"""How OBS is reached: limits of its answers, and what cannot be reached."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from imsprep.cloud.credentials import Credentials
from imsprep.errors import TransferError, UsageError
from imsprep.store.contract import ObjectRange, Part
from imsprep.store.obs import open_obs
from tests.support.cloud.dripping import BODY, HEADER, dripping

KEYS = Credentials("AKTEST", "SK-very-secret")


@pytest.mark.slow
@pytest.mark.parametrize(("begins", "drop"), [(HEADER, b"x"), (BODY, b" ")])
def test_no_answer_of_a_store_drips_for_longer_than_its_limit(
    begins: bytes, drop: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.store.obs_connection.ANSWER_LIMIT_S", 0.1)
    part = [Part(1, 4, "0" * 32)]
    with dripping(begins, drop) as url:
        store = open_obs("bucket", endpoint=url, region="eu-de", credentials=KEYS)
        for ask in (
            store.list_objects,
            lambda: store.read("k", 0, 100),
            lambda: store.put("k", b"x"),
            lambda: store.upload_part("k", "id", 1, b"data"),
            lambda: store.copy_part("k", "id", 1, ObjectRange("z", 0, 4)),
            lambda: store.complete("k", "id", part),
        ):
            began = time.monotonic()
            with pytest.raises(TransferError, match="the answer takes more than"):
                ask()
            assert time.monotonic() - began < 2
        store.close()


def test_a_missing_file_of_certificates_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="certificates"):
        open_obs("b", endpoint="https://x.invalid", region="r", credentials=KEYS, ca_bundle=tmp_path / "no.pem")  # fmt: skip


def test_nobody_listening_can_be_tried_again() -> None:
    store = open_obs("bucket", endpoint="http://127.0.0.1:9", region="r", credentials=KEYS)
    with pytest.raises(TransferError):
        store.head("k")
    store.close()
