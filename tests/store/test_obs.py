from __future__ import annotations

import os
import secrets
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

pytest.importorskip("moto", reason="not installed: moto")

from moto.s3.models import s3_backends

from imsprep.cloud.credentials import Credentials
from imsprep.errors import ImageChangedError, ServiceError, TransferError
from imsprep.options import UploadOptions
from imsprep.store import obs
from imsprep.store.contract import BucketHead, CopyRefusedError, ObjectRange
from imsprep.store.obs import ObsStore, content_md5, open_obs
from imsprep.store.obs_connection import ANSWER_LIMIT, connect
from imsprep.store.retry import RetryPolicy
from imsprep.store.target import Bucket, Target
from imsprep.system.threads import serving
from imsprep.units import MIB
from imsprep.upload.file import send_file
from imsprep.upload.values import TransferPolicy, Uploaded
from tests.support.store import s3cloud
from tests.support.store.suite import StoreSuite, pattern

if TYPE_CHECKING:
    from botocore.client import BaseClient

KEYS = Credentials("AKTEST", "SK-very-secret")
# `make e2e` tries the full 200 ms against a real server.
LATENCY_S = float(os.environ.get("IMSPREP_LATENCY_MS", "20")) / 1000


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


@pytest.fixture(scope="module")
def client(server: tuple[s3cloud.Strict, str]) -> BaseClient:
    """One for all tests: botocore takes a tenth of a second to make it."""
    return connect(endpoint=server[1], region="us-east-1", credentials=KEYS)


@pytest.fixture
def store(cloud: s3cloud.Strict, client: BaseClient) -> Iterator[ObsStore]:
    store = ObsStore(client, f"test-{secrets.token_hex(6)}", secrets=KEYS.secrets)
    client.create_bucket(Bucket=store.bucket)
    yield store
    store.close()


@pytest.fixture
def own_store(store: ObsStore, server: tuple[s3cloud.Strict, str]) -> Iterator[ObsStore]:
    """A bucket whose client a test may change."""
    own = open_obs(store.bucket, endpoint=server[1], region="us-east-1", credentials=KEYS)
    yield own
    own.close()


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


def test_a_part_in_memory_is_a_file_that_copies_nothing(
    store: ObsStore, cloud: s3cloud.Strict
) -> None:
    body = obs.InMemory(memoryview(b"0123456789"))
    assert (bytes(body.read(4)), body.tell(), bytes(body.read())) == (b"0123", 4, b"456789")
    assert (bytes(body.read(4)), body.seek(0), bytes(body.read(20))) == (b"", 0, b"0123456789")
    assert (body.seek(-3, 2), bytes(body.read()), len(body)) == (7, b"789", 10)
    data = pattern(6 * MIB)
    assert obs.InMemory(memoryview(data)).read(5).obj is data
    upload_id = store.create("k", {})
    store.upload_part("k", upload_id, 1, memoryview(data))
    store.complete("k", upload_id, store.list_parts("k", upload_id))
    assert store.read("k", 0, 7 * MIB) == data


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


PASSING = [
    ("500 Internal Server Error", "InternalError"), ("503 Service Unavailable", "ServiceUnavailable"),
    ("429 Too Many Requests", "TooMany"), ("408 Request Timeout", "Late"), ("400 Bad Request", "BadDigest"),
    ("400 Bad Request", "RequestTimeout"), ("400 Bad Request", "IncompleteBody"), ("409 Conflict", "OperationAborted"),
]  # fmt: skip
LASTING = [
    ("400 Bad Request", "InvalidArgument"), ("403 Forbidden", "AccessDenied"), ("404 Not Found", "NoSuchBucket"),
    ("409 Conflict", "BucketNotEmpty"), ("500 Internal Server Error", "NoSuchUpload"),
    ("500 Internal Server Error", "AccessDenied"), ("503 Service Unavailable", "InvalidPart"),
    ("501 Not Implemented", "NotImplemented"), ("501 Not Implemented", "X"),
    ("507 Insufficient Storage", "InsufficientStorage"), ("505 HTTP Version Not Supported", "X"),
]  # fmt: skip


def test_only_what_may_pass_is_worth_another_try(store: ObsStore, cloud: s3cloud.Strict) -> None:
    for refusals, error in ((PASSING, TransferError), (LASTING, ServiceError)):
        for refusal in refusals:
            cloud.refuses = refusal
            with pytest.raises(error, match=refusal[1]):
                store.put("k", b"x")


def test_what_may_not_be_looked_at_is_not_taken_for_missing(
    store: ObsStore, cloud: s3cloud.Strict
) -> None:
    cloud.refuses = ("403 Forbidden", "AccessDenied")
    for look in (
        lambda: store.head("k"),
        lambda: store.abort("k", "u"),
        lambda: store.list_parts("k", "u"),
    ):
        with pytest.raises(ServiceError, match=r"403|AccessDenied"):
            look()
    cloud.refuses = ("404 Not Found", "NoSuchUpload")
    store.abort("k", "u")
    with pytest.raises(ServiceError):
        store.list_parts("k", "u")


def test_an_object_that_is_cut_short_while_it_is_read_can_be_read_again(
    store: ObsStore, cloud: s3cloud.Strict
) -> None:
    store.put("k", b"x" * 1000)
    cloud.cuts = True
    with pytest.raises(TransferError, match="read the object 'k'"):
        store.read("k", 0, 1000)


def test_a_list_of_several_pages_is_read_to_its_end(own_store: ObsStore) -> None:
    """A store answers with 1,000 at a time, or with fewer."""
    limits = {"ListParts": "MaxParts", "ListObjectsV2": "MaxKeys"}
    for operation, limit in limits.items():
        own_store.client.meta.events.register(
            f"provide-client-params.s3.{operation}",
            lambda params, limit=limit, **_: {**params, limit: 2},
        )
    upload_id = own_store.create("k", {})
    for number in range(1, 6):
        own_store.put(f"o{number}", b"x")
        own_store.upload_part("k", upload_id, number, b"x")
    assert [part.number for part in own_store.list_parts("k", upload_id)] == [1, 2, 3, 4, 5]
    assert [found.key for found in own_store.list_objects("o")] == ["o1", "o2", "o3", "o4", "o5"]


def test_encryption_is_asked_for(server: tuple[s3cloud.Strict, str], store: ObsStore) -> None:
    for key in ("key-1", ""):  # or the service's own
        encrypted = ObsStore(store.client, store.bucket, kms_key=key)
        assert not encrypted.etags_are_md5
        encrypted.put("k", b"x")
        head = store.client.head_object(Bucket=store.bucket, Key="k")
        assert (head["ServerSideEncryption"], head.get("SSEKMSKeyId", "")) == ("aws:kms", key)


def test_objects_are_made_in_the_standard_class_and_tell_another_one(
    store: ObsStore, cloud: s3cloud.Strict
) -> None:
    """A bucket may have another class by default, and quick import reads no other."""
    cloud.reset()
    store.create("k", {})
    store.put("k", b"x")
    assert cloud.classes == ["STANDARD", "STANDARD"]
    store.client.put_object(
        Bucket=store.bucket,
        Key="k",
        Body=b"x",
        StorageClass="GLACIER",
        ContentMD5=content_md5(b"x"),
    )
    found = store.head("k")
    assert found is not None
    assert [found.storage_class, store.list_objects()[0].storage_class] == ["GLACIER", "GLACIER"]


@pytest.mark.slow
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
    target = Target(store.bucket, region="r")
    policy = TransferPolicy(retry=RetryPolicy(limit_s=60, first_wait_s=0.01))
    cloud.faults = s3cloud.Faults(busy=0.05, dropped=0.01, latency_s=LATENCY_S)
    for round_ in range(4):
        part_size = (10 if round_ % 2 else 64) * MIB
        options = UploadOptions(key=f"disk{round_}.raw", part_size=part_size)
        done = send_file(
            path, Bucket(target, store), options, lambda plan: nullcontext(lambda **_: None), policy
        )
        assert done.sent + done.copied == 170 * MIB
    assert cloud.failed > 0
    cloud.faults = s3cloud.Faults()
    for round_ in range(4):
        assert store.read(f"disk{round_}.raw", 0, 170 * MIB) == path.read_bytes()
    assert len(store.list_objects()) == 4


@pytest.mark.slow
def test_only_the_data_travels(store: ObsStore, cloud: s3cloud.Strict, tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    with open(path, "wb") as file:
        file.write(pattern(20 * MIB))
        file.truncate(200 * MIB)
    watch = lambda plan: nullcontext(lambda **_: None)  # noqa: E731 - one line
    send_file(path, Bucket(Target(store.bucket), store), UploadOptions(key="k"), watch)
    # The data, the seed of zeros, and the lists of parts.
    assert cloud.received < (20 + 5) * MIB + 64 * 1024


def test_a_copy_that_is_answered_with_200_and_an_error_is_none(
    store: ObsStore, cloud: s3cloud.Strict
) -> None:
    store.put("zeros", bytes(100))
    upload_id = store.create("k", {})
    cloud.copy_answer = b"<Error><Code>InternalError</Code><Message>later</Message></Error>"
    with pytest.raises(TransferError, match="InternalError"):
        store.copy_part("k", upload_id, 1, ObjectRange("zeros", 0, 100))
    cloud.copy_answer = b"<CopyPartResult></CopyPartResult>"
    with pytest.raises(TransferError, match="without an ETag"):
        store.copy_part("k", upload_id, 1, ObjectRange("zeros", 0, 100))


@pytest.mark.parametrize("acted", [False, True])
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>",
        b"<CompleteMultipartUploadResult><ETag>",
        b"<Error><Code>InternalError</Code><Message>later</Message></Error>",
    ],
)
def test_a_completion_that_is_answered_with_200_and_no_etag_is_looked_into(
    store: ObsStore, cloud: s3cloud.Strict, tmp_path: Path, said: bytes, acted: bool
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(pattern(6 * MIB))
    cloud.completion = (said, acted)
    policy = TransferPolicy(retry=RetryPolicy(limit_s=20, first_wait_s=0.01))
    send_file(
        path, Bucket(Target(store.bucket), store), UploadOptions(key="k"),
        lambda plan: nullcontext(lambda **_: None), policy,
    )  # fmt: skip
    assert cloud.completion is None
    assert store.read("k", 0, 7 * MIB) == path.read_bytes()
    assert store.list_uploads() == []


def test_a_completion_that_is_refused_with_200_is_not_tried_for_ever(
    store: ObsStore, cloud: s3cloud.Strict
) -> None:
    upload_id = store.create("k", {})
    store.upload_part("k", upload_id, 1, b"x")
    cloud.completion = (b"<Error><Code>InvalidPart</Code><Message>no</Message></Error>", False)
    with pytest.raises(ServiceError, match="InvalidPart no"):
        store.complete("k", upload_id, store.list_parts("k", upload_id))


def test_the_upload_that_made_an_object_is_told(store: ObsStore) -> None:
    upload_id = store.create("k", {})
    etag = store.upload_part("k", upload_id, 1, b"x")
    store.complete("k", upload_id, store.list_parts("k", upload_id))
    found = store.head("k")
    assert found is not None
    assert found.upload_id == upload_id
    assert etag


def test_a_wrong_clock_is_told_with_what_to_do(
    store: ObsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = lambda *_: datetime.now() - timedelta(minutes=16)  # noqa: E731 - one line
    monkeypatch.setattr("botocore.auth.get_current_datetime", late)
    with pytest.raises(ServiceError, match="set this machine's clock"):
        store.put("k", b"x")


def test_a_bucket_that_encrypts_by_itself_says_that_etags_are_no_md5s(
    store: ObsStore, cloud: s3cloud.Strict
) -> None:
    assert store.etags_are_md5
    cloud.encrypts = "AES256"  # whose etags stay MD5s
    store.put("k", b"x")
    assert store.etags_are_md5
    cloud.encrypts = "aws:kms"
    store.put("k", b"x")
    assert not store.etags_are_md5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "says_so"),
    [
        ("AES256", "x-amz-server-side-encryption"), ("AES256", "x-obs-server-side-encryption"),
        ("kms", "x-obs-server-side-encryption"),
    ],
)  # fmt: skip
def test_an_encrypted_object_whose_etags_are_no_md5s_is_not_refused(
    how: str, says_so: str, store: ObsStore, cloud: s3cloud.Strict, tmp_path: Path
) -> None:
    cloud.encrypts, cloud.says_so, cloud.etags = how, says_so, "own"
    path = tmp_path / "d.raw"
    path.write_bytes(pattern(10 * MIB) + bytes(30 * MIB) + pattern(MIB, 2))
    done = _send(path, store)
    assert (done.etags_compared, done.copied > 0) == (False, True)
    assert store.read("d.raw", 0, path.stat().st_size) == path.read_bytes()


def test_etags_that_are_no_md5s_prove_nothing_where_no_encryption_is_said(
    store: ObsStore, cloud: s3cloud.Strict, tmp_path: Path
) -> None:
    cloud.etags = "own"
    path = tmp_path / "d.raw"
    path.write_bytes(pattern(MIB))
    with pytest.raises(ServiceError, match=r"nothing was completed.*encrypts") as caught:
        _send(path, store)
    assert caught.value.remedies == ("kms_key",)
    assert store.head("d.raw") is None


def test_a_secret_that_the_store_quotes_is_hidden(
    server: tuple[s3cloud.Strict, str], cloud: s3cloud.Strict
) -> None:
    keys = Credentials("AK", "the-secret", "the-token")
    store = open_obs("images", endpoint=server[1], region="r", credentials=keys)
    cloud.copy_answer = b"<Error><Code>InvalidToken</Code><Message>the-token is none of the-secret</Message></Error>"
    cloud.tokens.clear()
    with pytest.raises(TransferError, match=r"\*\*\* is none of \*\*\*"):
        store.copy_part("k", "u", 1, ObjectRange("zeros", 0, 100))
    assert cloud.tokens == {"the-token"}
    store.close()


def test_settings_for_aws_change_nothing(
    store: ObsStore,
    cloud: s3cloud.Strict,
    server: tuple[s3cloud.Strict, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = "[default]\nuse_fips_endpoint = true\ns3 =\n  addressing_style = path\n  use_accelerate_endpoint = true\n"
    (tmp_path / "config").write_text(settings)
    for name, value in {
        "AWS_PROFILE": "of-another-cloud",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
        "AWS_MAX_ATTEMPTS": "9",
    }.items():
        monkeypatch.setenv(name, value)
    other = open_obs(store.bucket, endpoint=server[1], region="us-east-1", credentials=KEYS)
    cloud.reset()
    other.put("k", b"x")
    cloud.faults = s3cloud.Faults(busy=1.0)
    with pytest.raises(TransferError):
        other.head("k")
    assert len(cloud.log) == 2
    other.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def tls_cloud(authority: trustme.CA, *names: str) -> Iterator[tuple[s3cloud.Strict, str]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    with s3cloud.localhost_resolves(), s3cloud.serve(context) as running:
        yield running


@pytest.mark.slow
def test_over_tls_parts_go_unsigned_with_a_length_and_an_md5(
    authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with tls_cloud(authority, "*.obs.localhost") as (cloud, endpoint):
        store = open_obs("images", endpoint=endpoint, region="us-east-1", credentials=KEYS, ca_bundle=tmp_path / "ca.pem")  # fmt: skip
        store.client.create_bucket(Bucket="images")
        cloud.reset()
        upload_id = store.create("k", {})
        body = pattern(6 * MIB)
        store.upload_part("k", upload_id, 1, body)
        store.complete("k", upload_id, store.list_parts("k", upload_id))
        assert store.read("k", 0, 7 * MIB) == body
        # The middleware refuses what is chunked; the mode that OBS documents is another one.
        assert "UNSIGNED-PAYLOAD" in cloud.signed
        assert cloud.received < 6 * MIB + 1000
        store.close()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "trusted"), [("*.obs.localhost", False), ("another.example", True)])  # fmt: skip
def test_a_certificate_has_to_be_trusted_and_to_name_the_host(
    name: str, trusted: bool, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ca_bundle = tmp_path / "ca.pem" if trusted else None
    with tls_cloud(authority, name) as (cloud, endpoint):
        store = open_obs("images", endpoint=endpoint, region="r", credentials=KEYS, ca_bundle=ca_bundle)  # fmt: skip
        with pytest.raises(ServiceError, match="certificate"):
            store.put("k", b"x")
        assert cloud.log == []
        store.close()


class Tunnel(socketserver.BaseRequestHandler):
    """An HTTP proxy: notes what is asked of it, and connects to that port of this machine."""

    def handle(self) -> None:
        line = self.request.recv(65536).split(b"\r\n")[0].decode()
        self.server.asked.append(line)
        port = int(line.split()[1].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as onward:
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self.pump, args=(onward, self.request))
            back.start()
            self.pump(self.request, onward)
            back.join()

    @staticmethod
    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """Run a proxy; give its URL and what is asked of it."""
    server: Any = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel)
    server.asked = []
    with serving(server, poll_s=0.05):
        yield f"http://127.0.0.1:{server.server_address[1]}", server.asked


@pytest.mark.parametrize("past", [False, True])
def test_a_proxy_of_the_environment_is_used_unless_it_is_to_be_passed_by(
    past: bool, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name in [n for n in os.environ if n.lower() in ("https_proxy", "no_proxy", "all_proxy")]:
        monkeypatch.delenv(name)
    with tls_cloud(authority, "*.obs.localhost") as (_, endpoint), proxy() as (url, asked):
        # A store on this machine is never reached through a proxy; this one stands for another's.
        monkeypatch.setattr("imsprep.store.obs_connection.is_loopback", lambda url: False)
        monkeypatch.setenv("HTTPS_PROXY", url)
        monkeypatch.setenv("NO_PROXY", ".obs.localhost" if past else "elsewhere.example")
        store = open_obs("images", endpoint=endpoint, region="us-east-1", credentials=KEYS, ca_bundle=tmp_path / "ca.pem")  # fmt: skip
        store.client.create_bucket(Bucket="images")
        assert store.head("nothing here") is None
        store.close()
    assert bool(asked) is not past
    assert all(line.startswith("CONNECT images.obs.localhost:") for line in asked)


class Broken:
    """A body that the image no longer gives."""

    def read(self, count: int = -1) -> bytes:
        raise ImageChangedError("the image became shorter")

    def seek(self, offset: int, whence: int = 0) -> int:
        return 10 if whence == 2 else offset

    def tell(self) -> int:
        return 0


def test_an_image_that_cannot_be_read_any_more_is_not_taken_for_a_broken_connection(
    store: ObsStore,
) -> None:
    upload_id = store.create("k", {})
    body: Any = Broken()
    with pytest.raises(ImageChangedError, match="shorter"):
        store.upload_part("k", upload_id, 1, body, "0" * 32)


def test_a_bucket_tells_its_class_and_region_in_the_words_of_obs_and_of_s3(
    cloud: s3cloud.Strict, store: ObsStore
) -> None:
    assert store.head_bucket() == BucketHead("STANDARD", "us-east-1")
    cloud.bucket_says = {"x-obs-bucket-location": "cn-north-4", "x-obs-storage-class": "WARM"}
    assert store.head_bucket() == BucketHead("WARM", "cn-north-4")
    # What OBS answers to requests that are signed as for S3.
    cloud.bucket_says = {"x-default-storage-class": "STANDARD_IA"}
    assert store.head_bucket() == BucketHead("STANDARD_IA", "us-east-1")


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        (("403 Forbidden", "SignatureDoesNotMatch"), "check the secret key"),
        (("403 Forbidden", "RequestTimeTooSkewed"), "set this machine's clock"),
        (("403 Forbidden", "InvalidAccessKeyId"), "check the access key"),
        (("403 Forbidden", "AccessDenied"), "needs the rights"),
        (("403 Forbidden", "NewWord"), "needs the rights"),
        (("400 Bad Request", "ExpiredToken"), "has expired"),
        (("301 Moved Permanently", "PermanentRedirect"), "another region"),
    ],
)
def test_a_refusal_without_a_body_is_asked_for_its_reason_once(
    store: ObsStore, cloud: s3cloud.Strict, refusal: tuple[str, str], advice: str
) -> None:
    cloud.refuses = refusal
    for look in (lambda: store.head("k"), store.head_bucket):
        asked = len(cloud.log)
        with pytest.raises(ServiceError, match=refusal[1]) as caught:
            look()
        assert advice in str(caught.value)
        assert len(cloud.log) - asked <= 2


def test_a_store_that_refuses_to_copy_is_told_from_one_that_is_busy(
    store: ObsStore, cloud: s3cloud.Strict
) -> None:
    upload_id = store.create("k", {})
    for refusal in (("501 Not Implemented", "NotImplemented"), ("403 Forbidden", "AccessDenied")):
        cloud.refuses = refusal
        with pytest.raises(CopyRefusedError, match=refusal[1]):
            store.copy_part("k", upload_id, 1, ObjectRange("zeros", 0, 100))
    cloud.refuses = ("503 Service Unavailable", "SlowDown")
    with pytest.raises(TransferError):
        store.copy_part("k", upload_id, 1, ObjectRange("zeros", 0, 100))


def test_a_busy_store_says_how_long_to_leave_it_alone(
    store: ObsStore, cloud: s3cloud.Strict
) -> None:
    cloud.refuses = ("503 Service Unavailable", "SlowDown")
    for header, seconds in (("7", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None)):
        cloud.refuses_with = {"Retry-After": header}
        with pytest.raises(TransferError) as caught:
            store.put("k", b"x")
        assert caught.value.retry_after_s == seconds


def test_the_place_that_a_redirect_names_is_shown(store: ObsStore, cloud: s3cloud.Strict) -> None:
    cloud.refuses = ("307 Temporary Redirect", "TemporaryRedirect")
    cloud.refuses_with = {"Location": "https://elsewhere.example/"}
    with pytest.raises(ServiceError, match=r"location https://elsewhere\.example/"):
        store.put("k", b"x")


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"<html>sign in</html>", b"<!-- ListPartsResult -->",
        b"<Result><UploadId></UploadId></Result>", b"not xml",
        b"<ListPartsResult><Part><PartNumber>1</PartNumber></Part><Upload><Key>k</Key></Upload>"
        b"<Contents><Key>k</Key></Contents></ListPartsResult>",
        b"<R><Part><PartNumber>x</PartNumber><Size>q</Size></Part>"
        b"<Contents><Size>q</Size></Contents><Upload><Initiated>q</Initiated></Upload></R>",
        b"<a>" * 100_000,
    ],
)  # fmt: skip
def test_an_answer_that_is_not_as_documented_is_no_internal_error(
    store: ObsStore, cloud: s3cloud.Strict, answer: bytes
) -> None:
    """As of a sign-in page between: another attempt may help, and nothing is taken for success."""
    cloud.answers = answer
    with pytest.raises(TransferError):
        store.create("k", {})
    with pytest.raises(TransferError):
        store.upload_part("k", "id", 1, b"data")
    listed = [lambda: store.list_parts("k", "id"), store.list_uploads, store.list_objects]
    for ask in listed:  # not even an empty list
        with pytest.raises(TransferError):
            ask()


def test_an_answer_of_any_length_is_read_to_its_limit_only(
    store: ObsStore, cloud: s3cloud.Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.answers = b"<a>" + b" " * (ANSWER_LIMIT + 1)
    with pytest.raises(TransferError, match="the answer has more than 64 MiB"):
        store.list_objects()


@pytest.mark.parametrize(
    "head", [b"<", b'<?xml version="1.0"?>\n<', b"  <s3:", b"\xef\xbb\xbf<!-- a list -->\n<"]
)
def test_a_list_is_known_by_its_name(store: ObsStore, cloud: s3cloud.Strict, head: bytes) -> None:
    part = b"<Part><PartNumber>1</PartNumber><Size>5</Size><ETag>e</ETag></Part>"
    space = b' xmlns:s3="urn:x"' if b"s3:" in head else b' xmlns="urn:x"'
    end = b"</s3:" if b"s3:" in head else b"</"
    cloud.answers = (
        head + b"ListPartsResult" + space + b">" + part + end + b"ListPartsResult>"
    ).lstrip()
    assert [found.number for found in store.list_parts("k", "u")] == [1]
    cloud.answers = cloud.answers.replace(b"<PartNumber>1<", b"<PartNumber>10001<")
    with pytest.raises(TransferError, match="part number 10001"):
        store.list_parts("k", "u")


@pytest.mark.parametrize("limit", ["MOST_PAGES", "MOST_ENTRIES"])
def test_a_list_without_end_is_given_up(
    limit: str, own_store: ObsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_store.client.meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 1}
    )
    for number in range(4):
        own_store.put(f"k{number}", b"x")
    assert len(own_store.list_objects("k")) == 4
    monkeypatch.setattr(obs, limit, 2)
    with pytest.raises(ServiceError, match="the list does not end"):
        own_store.list_objects("k")


def test_only_the_range_that_was_asked_for_is_read(store: ObsStore, cloud: s3cloud.Strict) -> None:
    store.put("k", b"0123456789")
    assert store.read("k", 3, 4) == b"3456"
    cloud.answers = b"0123456789"  # of a store, or something between, that knows no ranges
    for offset, length in ((0, 4), (3, 4), (3, 7)):
        with pytest.raises(ServiceError, match="another range"):
            store.read("k", offset, length)
    assert store.read("k", 0, 10) == b"0123456789"


def test_a_range_that_is_another_one_is_not_taken_for_it(
    own_store: ObsStore, cloud: s3cloud.Strict
) -> None:
    own_store.put("k", b"0123456789")
    own_store.client.meta.events.register(
        "before-call.s3.GetObject",
        lambda params, **_: params["headers"].update(Range="bytes=0-3"),
    )
    with pytest.raises(ServiceError, match="another range"):
        own_store.read("k", 3, 4)


def test_an_etag_that_head_does_not_say_is_looked_for_in_the_list(
    store: ObsStore, cloud: s3cloud.Strict
) -> None:
    etag = store.put("k", b"x")
    store.put("k2", b"y")
    cloud.etags = "none of HEAD"
    found = store.head("k")
    assert found is not None
    assert found.etag == etag
    cloud.etags = "none"
    found = store.head("k")
    assert found is not None
    assert found.etag == ""


@pytest.mark.slow
@pytest.mark.parametrize("etags", ["capitals", "bare", "none of HEAD"])
def test_an_upload_is_proved_by_etags_however_they_are_written(
    etags: str, store: ObsStore, cloud: s3cloud.Strict, tmp_path: Path
) -> None:
    cloud.etags = etags
    path = tmp_path / "d.raw"
    path.write_bytes(pattern(10 * MIB) + bytes(30 * MIB) + pattern(MIB, 2))
    done, again = (_send(path, store) for _ in range(2))
    assert done.etags_compared
    assert (done.copied > 0, again.skipped) == (True, True)
    assert store.read("d.raw", 0, path.stat().st_size) == path.read_bytes()


def _send(path: Path, store: ObsStore) -> Uploaded:
    bucket, options = Bucket(Target(store.bucket), store), UploadOptions(part_size=10 * MIB)
    return send_file(path, bucket, options, lambda plan: nullcontext(lambda **_: None))


def test_an_object_without_any_etag_is_not_accepted(
    store: ObsStore, cloud: s3cloud.Strict, tmp_path: Path
) -> None:
    path = tmp_path / "d.raw"
    path.write_bytes(pattern(6 * MIB))
    cloud.etags = "none"
    with pytest.raises(ServiceError, match="nothing proves what it holds; do not import it"):
        _send(path, store)


@pytest.mark.slow
def test_nothing_of_the_zeros_stays_in_a_bucket_with_versioning(
    store: ObsStore, tmp_path: Path
) -> None:
    [account] = s3_backends.values()
    account["aws"].put_bucket_versioning(store.bucket, "Enabled")
    path = tmp_path / "d.raw"
    with open(path, "wb") as file:
        file.write(pattern(MIB))
        file.truncate(40 * MIB)
    done = _send(path, store)
    assert (done.left, done.copied > 0) == (None, True)
    kept = store.client.list_object_versions(Bucket=store.bucket)
    assert [item["Key"] for item in kept["Versions"]] == ["d.raw"]
    assert "DeleteMarkers" not in kept
    store.delete("d.raw")  # of which the bucket keeps what it is made to keep
    assert len(store.client.list_object_versions(Bucket=store.bucket)["Versions"]) == 1


def test_one_version_is_removed_and_what_it_took_the_place_of_is_there_again(
    store: ObsStore, cloud: s3cloud.Strict
) -> None:
    store.put("k", b"without versions")
    before = store.head("k")
    assert before is not None
    assert before.version is None
    [account] = s3_backends.values()
    account["aws"].put_bucket_versioning(store.bucket, "Enabled")
    store.put("k", b"of others")
    store.put("k", b"ours")
    ours = store.head("k")
    assert ours is not None
    store.delete("k", version=ours.version)
    assert store.read("k", 0, 99) == b"of others"
    assert "DeleteMarkers" not in store.client.list_object_versions(Bucket=store.bucket)
    store.put("k", b"ours again")
    again = store.head("k")
    assert again is not None
    cloud.refuses, cloud.refuses_queries = ("403 Forbidden", "AccessDenied"), "versionId="
    store.delete("k", version=again.version)
    assert store.head("k") is None
    assert store.list_objects() == []
