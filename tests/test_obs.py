from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

pytest.importorskip("moto", reason="not installed: moto")

from imsprep.credentials import Credentials
from imsprep.errors import ServiceError, TransferError, UsageError
from imsprep.obs import ObsStore, open_obs
from imsprep.retry import Patience
from imsprep.sending import Sending, send_file
from imsprep.targets import Target
from imsprep.transfer import Options
from imsprep.units import MIB
from tests import s3cloud
from tests.store_suite import StoreSuite, pattern

KEYS = Credentials("AKTEST", "SK-very-secret")


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[s3cloud.Strict, str]]:
    with s3cloud.localhost_resolves(), s3cloud.serve() as running:
        yield running


@pytest.fixture
def cloud(server: tuple[s3cloud.Strict, str]) -> Iterator[s3cloud.Strict]:
    server[0].faults = s3cloud.Faults()
    server[0].reset()
    yield server[0]
    server[0].faults = s3cloud.Faults()


@pytest.fixture
def store(cloud: s3cloud.Strict, server: tuple[s3cloud.Strict, str]) -> Iterator[ObsStore]:
    bucket = f"test-{secrets.token_hex(6)}"
    store = open_obs(bucket, endpoint=server[1], region="us-east-1", credentials=KEYS)
    store._client.create_bucket(Bucket=bucket)
    yield store
    store.close()


class TestObsStore(StoreSuite):
    minds_ranges = False  # moto cuts a copy short, as OBS does
    minds_gone_uploads = False  # moto breaks with a 500


def test_trailing_checksums_and_path_style_are_never_sent(
    store: ObsStore, cloud: s3cloud.Strict
) -> None:
    # The middleware refuses both, and every body without a Content-MD5.
    upload_id = store.create("k", {})
    store.upload_part("k", upload_id, 1, b"data")
    assert cloud.received == 4


def test_a_busy_store_can_be_asked_again(store: ObsStore, cloud: s3cloud.Strict) -> None:
    cloud.faults = s3cloud.Faults(busy=1.0)
    with pytest.raises(TransferError, match="SlowDown"):
        store.put("k", b"x")


def test_a_dropped_connection_can_be_tried_again(store: ObsStore, cloud: s3cloud.Strict) -> None:
    cloud.faults = s3cloud.Faults(dropped=1.0)
    with pytest.raises(TransferError):
        store.put("k", b"x")


def test_a_refusal_says_what_to_do_and_shows_no_secret(server: tuple[s3cloud.Strict, str]) -> None:
    store = open_obs("no-such-bucket", endpoint=server[1], region="r", credentials=KEYS)
    with pytest.raises(ServiceError, match="make the bucket first") as caught:
        store.put("k", b"x")
    assert caught.value.code == "NoSuchBucket"
    assert "SK-very-secret" not in str(caught.value) + repr(store)
    store.close()


def test_nobody_listening_can_be_tried_again() -> None:
    store = open_obs("bucket", endpoint="http://127.0.0.1:9", region="r", credentials=KEYS)
    with pytest.raises(TransferError):
        store.head("k")
    store.close()


def test_a_missing_file_of_certificates_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="certificates"):
        open_obs("b", endpoint="https://x.invalid", region="r", credentials=KEYS, ca_bundle=tmp_path / "no.pem")  # fmt: skip


def test_encryption_is_asked_for(server: tuple[s3cloud.Strict, str], store: ObsStore) -> None:
    encrypted = ObsStore(store._client, store._bucket, kms_key="key-1")
    assert not encrypted.etags_are_md5
    encrypted.put("k", b"x")
    head = store._client.head_object(Bucket=store._bucket, Key="k")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "key-1")


def test_an_upload_ends_right_although_requests_fail(
    store: ObsStore, cloud: s3cloud.Strict, tmp_path: Path
) -> None:
    """5 % answered with 503, 1 % dropped, and every one late."""
    path = tmp_path / "disk.raw"
    with open(path, "wb") as file:
        for n in range(10):
            file.seek(n * 17 * MIB)
            file.write(pattern(6 * MIB, n))
        file.truncate(170 * MIB)
    target = Target(store._bucket, region="r")
    options = Options(patience=Patience(limit_s=60, first_wait_s=0.01))
    cloud.faults = s3cloud.Faults(busy=0.05, dropped=0.01, latency_s=0.02)
    for round_ in range(4):
        done = send_file(
            path,
            store,
            target,
            f"disk{round_}.raw",
            sending=Sending(part_size=(10 if round_ % 2 else 64) * MIB, options=options),
            watch=lambda plan: nullcontext(lambda **_: None),
        )
        assert done.sent + done.copied == 170 * MIB
    assert cloud.failed > 0
    cloud.faults = s3cloud.Faults()
    for round_ in range(4):
        assert store.read(f"disk{round_}.raw", 0, 170 * MIB) == path.read_bytes()
    assert len(store.list_objects()) == 4


def test_only_the_data_travels(store: ObsStore, cloud: s3cloud.Strict, tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    with open(path, "wb") as file:
        file.write(pattern(20 * MIB))
        file.truncate(200 * MIB)
    watch = lambda plan: nullcontext(lambda **_: None)  # noqa: E731
    send_file(path, store, Target(store._bucket), "k", sending=Sending(), watch=watch)
    # The data, the seed of zeros, and the lists of parts.
    assert cloud.received < (20 + 5) * MIB + 64 * 1024
