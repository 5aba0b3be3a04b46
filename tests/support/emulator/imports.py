"""Imports asked of an emulator by Huawei's SDK, and what became of each."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions import exceptions
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkims.v2 import (
    ImportImageQuickInSafeModeRequest,
    ImportImageQuickRequest,
    ImsClient,
    QuickImportImageByFileRequestBody,
    ResourceTag,
    ShowJobProgressRequest,
)

from tests.support.ims.imscloud import KEY, Objects, cloud

BODY: dict[str, Any] = {
    "name": "web01",
    "image_url": "images:disk.raw",
    "os_version": "Ubuntu 18.04 server 64bit",
    "min_disk": 10,
}
PROJECT = "0" * 32
ZVHD2_BODY = {**BODY, "image_url": "images:disk.zvhd2"}


def sdk(url: str, ak: str = KEY.access_key, sk: str = KEY.secret_key) -> ImsClient:
    config = HttpConfig.get_default_config()
    config.user_agent = "test"  # else the SDK writes a file into the home directory
    credentials = BasicCredentials(ak, sk, PROJECT)
    builder = ImsClient.new_builder().with_http_config(config)
    return builder.with_credentials(credentials).with_endpoint(url).build()


def import_by_sdk(client: ImsClient, body: dict[str, Any], *, safe: bool = False) -> str:
    values = dict(body)
    if "image_tags" in values:
        values["image_tags"] = [ResourceTag(**tag) for tag in values["image_tags"]]
    sent = QuickImportImageByFileRequestBody(**values)
    if safe:
        request = ImportImageQuickInSafeModeRequest(body=sent)
        return str(client.import_image_quick_in_safe_mode(request).job_id)
    return str(client.import_image_quick(ImportImageQuickRequest(body=sent)).job_id)


def ended(client: ImsClient, job_id: str) -> Any:
    for _ in range(2000):
        answer = client.show_job_progress(ShowJobProgressRequest(job_id=job_id))
        if answer.status in ("SUCCESS", "FAIL"):
            return answer
        time.sleep(0.01)
    raise AssertionError("the job does not end")


def outcome(tmp_path: Path, objects: Objects, **settings: Any) -> tuple[str, str]:
    """Import BODY; return SUCCESS or FAIL or refused, and the code."""
    with cloud(tmp_path, objects, **settings) as (_, url, _):
        client = sdk(url)
        try:
            answer = ended(client, import_by_sdk(client, BODY))
        except exceptions.ClientRequestException as error:
            return "refused", str(error.error_code)
        return answer.status, answer.error_code
