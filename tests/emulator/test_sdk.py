"""Why the import API is called one level below Huawei's generated clients: what those lose.

Each test shows that the SDK loses something, and that imsprep keeps it. When one fails with a newer
SDK, the reason in docs/import.md has gone.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions import exceptions
from huaweicloudsdkims.v2 import (
    ImportImageQuickRequest,
    ImsClient,
    QuickImportImageByFileRequestBody,
    ShowJobProgressRequest,
)

from imsprep import __version__
from imsprep.errors import TransferError, UncertainError
from tests.support.ims.answers import answering
from tests.support.ims.imscloud import REQUEST, client
from tests.support.paths import ROOT

BODY = QuickImportImageByFileRequestBody(**REQUEST.as_body())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def sdk(url: str) -> ImsClient:
    credentials = BasicCredentials("AK", "SK", "0" * 32)
    return ImsClient.new_builder().with_credentials(credentials).with_endpoint(url).build()


def failure(url: str, *, post: bool) -> Any:
    client = sdk(url)
    try:
        if post:
            client.import_image_quick(ImportImageQuickRequest(body=BODY))
        else:
            client.show_job_progress(ShowJobProgressRequest(job_id="j"))
    except exceptions.SdkException as error:
        return error
    raise AssertionError("the SDK takes this answer")


def test_the_code_and_the_words_of_a_429() -> None:
    busy = (429, {"error": {"code": "IMG.0060", "message": "too many tasks"}})
    with answering(busy) as (url, _):
        lost = failure(url, post=False)
    assert lost.error_code == "429"
    assert "IMG.0060" not in str(vars(lost))
    assert "too many tasks" not in str(vars(lost))
    with (
        answering(busy) as (url, _),
        pytest.raises(TransferError, match=r"IMG\.0060: too many tasks"),
    ):
        client(url).job("j")


def test_whether_a_request_was_never_sent_or_got_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with answering((0, b"")) as (silent, _):
        assert type(failure(nobody, post=True)) is type(failure(silent, post=True))
        with pytest.raises(UncertainError):
            client(silent).quick_import(REQUEST)
    with pytest.raises(TransferError) as caught:
        client(nobody).quick_import(REQUEST)
    assert not isinstance(caught.value, UncertainError)


def test_a_reason_in_a_member_that_its_answer_is_not_told_to_have() -> None:
    entities = {"addition_error_code": "IMG.0057", "addition_error_msg": "no such file"}
    answer = (200, {"status": "FAIL", "job_id": "j", "entities": entities})
    with answering(answer) as (url, _):
        lost = sdk(url).show_job_progress(ShowJobProgressRequest(job_id="j"))
        assert "no such file" not in str(lost)
        why = client(url).job("j").why_failed
        assert (why or "").startswith("IMG.0057 no such file (check that the object exists")


ALONE = """
import sys
from tests.emulator.test_sdk import ShowJobProgressRequest, sdk
sdk(sys.argv[1]).show_job_progress(ShowJobProgressRequest(job_id="j"))
"""


@pytest.mark.slow
def test_that_nothing_is_written_into_the_home_directory(home: Path) -> None:
    with answering((200, {"status": "INIT"})) as (url, _):
        client(url).job("j")
        assert not home.exists()
        # In a process of its own, since it writes once in each.
        subprocess.run([sys.executable, "-c", ALONE, url], check=True, cwd=ROOT)
    assert (home / ".huaweicloud" / "application_id").exists()


def test_the_user_agent_is_our_name_and_version_alone() -> None:
    agents: list[str] = []
    with answering((200, {"images": []}), agents=agents) as (url, _):
        client(url).images("x")
    assert agents == [f"imsprep/{__version__}"]
