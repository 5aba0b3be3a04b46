"""The options that say where objects are, shared by the commands that use a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.options.common import F, ca_bundle_option, with_options
from imsprep.cli.settings.configured import region_option

if TYPE_CHECKING:
    from imsprep import Bucket

_PLACE = (
    region_option("Region of the bucket, as eu-de."),
    click.option("--endpoint", help="Address of OBS, if not the region's."),
    ca_bundle_option,
)  # fmt: skip
_OPTIONS = (
    click.option("--to", required=True, metavar="TARGET", help="local:DIR or obs:BUCKET[/PREFIX]."),
    *_PLACE,
)


def target_options(command: F) -> F:
    """Add --to, --region, --endpoint and --ca-bundle; see `bucket_from`."""
    return with_options(command, _OPTIONS)


def place_options(command: F) -> F:
    """Add --region, --endpoint and --ca-bundle, where a target is an argument."""
    return with_options(command, _PLACE)


def bucket_from(where: Mapping[str, Any], kms_key: str | None = None) -> Bucket:
    """Open the bucket that a command's keywords name."""
    from imsprep import api

    return api.open_store(where["to"], kms_key=kms_key, **place_of(where))


def place_of(where: Mapping[str, object]) -> dict[str, Any]:
    """Return where the bucket is, by the names of `PlaceOptions`."""
    return {
        "region": where["region"],
        "obs_endpoint": where["endpoint"],
        "ca_bundle": where["ca_bundle"],
    }
