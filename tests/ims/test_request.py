"""The request: the API page's own examples, and every parameter of its two tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from huaweicloudsdkims.v2 import QuickImportImageByFileRequestBody, ResourceTag

from imsprep.ims.request import QuickImportRequest
from tests.support.ims.answers import answering
from tests.support.ims.imscloud import client
from tests.support.running import Outcome
from tests.support.zvhd2.goldens import golden

Run = Callable[..., Outcome]

# "Importing an Image File Quickly", API reference, 2024-08-09: the four examples, as they stand.
EXAMPLES = {
    "system tags": """
{
    "name": "ims_test_file",
   "description": "Create an image using a file in the OBS bucket.",
    "image_url": "ims-image:centos70.zvhd2",
    "os_version": "CentOS 7.0 64bit",
    "min_disk": 40,
    "type": "ECS",
    "tags":
        [
            "aaa.111",
            "bbb.333",
            "ccc.444"
        ]
}""",
    "system image_tags": """
{
    "name": "ims_test_file",
   "description": "Create an image using a file in the OBS bucket.",
    "image_url": "ims-image:centos70.zvhd2",
    "os_version": "CentOS 7.0 64bit",
    "min_disk": 40,
    "type": "ECS",
    "image_tags": [{"key":"key2","value":"value2"},{"key":"key1","value":"value1"}]
}""",
    "data tags": """
{
    "name": "ims_test_file",
   "description": "Create an image using a file in the OBS bucket.",
    "image_url": "ims-image:centos70.zvhd2",
    "os_type": "Linux",
    "min_disk": 40,
    "type": "DataImage",
    "tags": [
        "aaa.111",
        "bbb.333",
        "ccc.444"
    ]
}""",
    "data image_tags": """
{
    "name": "ims_test_file",
   "description": "Create an image using a file in the OBS bucket.",
    "image_url": "ims-image:centos70.zvhd2",
    "os_type": "Linux",
    "min_disk": 40,
    "type": "DataImage",
    "image_tags": [{"key":"key2","value":"value2"},{"key":"key1","value":"value1"}]
}""",
}
# The parameters of the page's two tables, in its order.
SYSTEM_DISK = ("name", "description", "os_version", "license_type", "image_url", "min_disk", "tags",
               "image_tags", "type", "enterprise_project_id", "architecture")  # fmt: skip
DATA_DISK = ("name", "description", "os_type", "image_url", "min_disk", "tags", "image_tags", "type",
             "enterprise_project_id")  # fmt: skip
FULL: dict[str, Any] = {
    "name": "web01", "description": "d", "os_version": "Windows 10 64bit", "os_type": "Windows",
    "license_type": "byol", "image_url": "images:disk.raw", "min_disk": 40, "tags": ["a.b"],
    "image_tags": [{"key": "a", "value": "b"}], "type": "BMS", "enterprise_project_id": "0",
    "architecture": "arm", "hw_firmware_type": "uefi",
}  # fmt: skip
# The option of each parameter, and what is given with it.
OPTIONS = {
    "name": ["--name", "web01"], "description": ["--description", "d"],
    "os_version": ["--os-version", "Windows 10 64bit"], "os_type": ["--os-type", "Windows"],
    "license_type": ["--license-type", "byol"], "image_url": ["--image-url", "images:disk.raw"],
    "min_disk": ["--min-disk", "40"], "tags": ["--tag", "a.b"], "image_tags": ["--image-tag", "a=b"],
    "type": ["--type", "BMS"], "enterprise_project_id": ["--enterprise-project-id", "0"],
    "architecture": ["--architecture", "arm"], "hw_firmware_type": ["--firmware", "uefi"],
}  # fmt: skip


def request_of(body: dict[str, Any]) -> QuickImportRequest:
    """The request whose body is this."""
    lists = {"tags": tuple(body["tags"])} if "tags" in body else {}
    if "image_tags" in body:
        lists["image_tags"] = tuple((tag["key"], tag["value"]) for tag in body["image_tags"])
    return QuickImportRequest(**{**body, **lists})


examples = pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)


@examples
def test_an_example_is_read_and_written_as_it_stands(text: str) -> None:
    assert request_of(json.loads(text)).as_body() == json.loads(text)


@examples
@pytest.mark.parametrize("api", ["v2", "v2.1"])
def test_an_example_goes_over_the_wire_as_it_stands(text: str, api: Any) -> None:
    with answering((200, {"job_id": "8a12fc664fb4daa3014fb4e581380005"})) as (url, asked):
        job_id = client(url, api=api).quick_import(request_of(json.loads(text)))
    assert job_id == "8a12fc664fb4daa3014fb4e581380005"
    [(method, path, sent)] = asked
    assert (method, path) == ("POST", f"/{api}/cloudimages/quickimport/action")
    assert json.loads(sent) == json.loads(text)


@examples
def test_huawei_s_sdk_writes_an_example_alike(text: str) -> None:
    values = json.loads(text)
    if "image_tags" in values:
        values["image_tags"] = [ResourceTag(**tag) for tag in values["image_tags"]]
    written = QuickImportImageByFileRequestBody(**values).to_dict()
    assert {k: v for k, v in written.items() if v is not None} == json.loads(text)


@examples
@pytest.mark.slow
def test_the_command_line_makes_an_example_and_the_emulator_takes_it(
    text: str, imsprep: Run, tmp_path: Path
) -> None:
    example = json.loads(text)
    image = tmp_path / "centos70.zvhd2"
    image.write_bytes(golden("one_block"))
    words = ["--name", example["name"], "--description", example["description"], "--min-disk", "40",
             "--type", example["type"], "--to", f"local:{tmp_path}/cloud?bucket=ims-image"]  # fmt: skip
    for name in ("os_version", "os_type"):
        words += [f"--{name.replace('_', '-')}", example[name]] if name in example else []
    for tag in example.get("tags", ()):
        words += ["--tag", tag]
    for tag in example.get("image_tags", ()):
        words += ["--image-tag", f"{tag['key']}={tag['value']}"]
    shown = imsprep("import", image, *words, "--dry-run", "--json")
    assert shown.code == 0, shown.err
    assert shown.json["body"] == example
    done = imsprep("import", image, *words, "--poll", "0.05", "--json")
    assert done.code == 0, done.err


@pytest.mark.parametrize("name", sorted({*SYSTEM_DISK, *DATA_DISK, "hw_firmware_type"}))
def test_every_parameter_of_both_tables_has_an_option_and_reaches_the_body(
    name: str, imsprep: Run, tmp_path: Path
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"\xeb" + bytes(509) + b"\x55\xaa" + bytes(1 << 20))
    words = dict.fromkeys(("name", "os_version", "min_disk", name))
    done = imsprep(
        "import", disk, *(word for given in words for word in OPTIONS[given]),
        "--via", "raw", "--to", "obs:images", "--dry-run", "--json", "--ignore", "IMS210", "--ignore", "IMS521",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["body"] == {n: FULL[n] for n in (*words, "image_url")}


def test_no_parameter_is_left_out() -> None:
    assert {f.name for f in fields(QuickImportRequest)} - {"final"} == set(FULL)
    assert set(QuickImportImageByFileRequestBody.openapi_types) == set(FULL)
    assert request_of(FULL).as_body() == FULL
