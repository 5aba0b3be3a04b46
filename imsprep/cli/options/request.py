"""The options that describe an import request, shared by `check` and `import`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from imsprep.cli.help.completion import words
from imsprep.cli.options.common import F, GbType, with_options

_OPTIONS = (
    click.option("--name", help="Name of the image, 1 to 128 characters."),
    click.option("--image-url", metavar="BUCKET:KEY", help="Object that the request names."),
    click.option("--min-disk", type=GbType(), metavar="GB",
                 help="Smallest disk of the image's servers, in GB (2^30 bytes)."),
    click.option("--os-version", help='System in the image, as "Debian GNU/Linux 12.0.0 64bit".'),
    click.option("--os-type", help="System of a data disk's servers, Linux or Windows."),
    click.option("--type", "type_", metavar="ECS|BMS|DataImage",
                 shell_complete=words("ECS", "BMS", "DataImage"), help="Kind of image."),
    click.option("--description",
                 help="Description of the image, up to 1024 characters, one line."),
    click.option("--license-type", metavar="platform|byol",
                 shell_complete=words("platform", "byol"), help="Licence of a Windows image."),
    click.option("--tag", "tags", multiple=True, metavar="KEY.VALUE",
                 help="Tag of the image; repeatable."),
    click.option(
        "--image-tag", "image_tags", multiple=True, metavar="KEY=VALUE",
        help="Tag in the newer form; repeatable. Use one form only.",
    ),
    click.option("--enterprise-project-id", metavar="UUID",
                 help="Enterprise project of the image; 0 is the default one."),
    click.option("--architecture", metavar="[x86|arm]",
                 shell_complete=words("x86", "arm"),
                 help="Architecture of the image's servers (default: x86)."),
    click.option("--firmware", "hw_firmware_type", metavar="bios|uefi",
                 shell_complete=words("bios", "uefi"),
                 help="Firmware that the image's servers start with."),
)  # fmt: skip

FIELDS = ("name", "image_url", "min_disk", "os_version", "os_type", "type_", "description",
          "license_type", "tags", "image_tags", "enterprise_project_id", "architecture",
          "hw_firmware_type")  # fmt: skip


def request_options(command: F) -> F:
    """Add the options of a request; the command takes them as keywords, see `request_values`."""
    return with_options(command, _OPTIONS)


def request_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a command's keywords say of the request, by the names of `RequestOptions`."""
    names = {"type_": "type", "hw_firmware_type": "firmware"}
    values = {names.get(name, name): options[name] for name in FIELDS}
    values["tags"] = tuple(values["tags"])
    values["image_tags"] = tuple(_pair(text) for text in values["image_tags"])
    return values


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise click.UsageError(f"--image-tag {text!r}: write KEY=VALUE")
    return key, value
