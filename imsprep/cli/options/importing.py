"""From the options of `imsprep import` to what the library takes; shared with `batch`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from imsprep.cli.options.packing import packing_of
from imsprep.cli.options.request import request_fields
from imsprep.cli.options.scan import scanning
from imsprep.cli.options.transfer import transferring

if TYPE_CHECKING:
    from imsprep.ims.client import ImsClient
    from imsprep.ims.wait import Pace
    from imsprep.pipeline.asking import AskBucket
    from imsprep.pipeline.prepare import Order
    from imsprep.pipeline.ship import Shipping
    from imsprep.store.target import Target
    from imsprep.upload.transfer import Progress


def target_of(options: Mapping[str, Any]) -> Target:
    """Return where the objects go."""
    from imsprep.store.target import parse_target

    return parse_target(options["to"], region=options["region"], endpoint=options["obs_endpoint"])


def order_of(
    options: Mapping[str, Any],
    target: Target,
    scanned: Callable[[int], None] = lambda count: None,
    packed: Callable[[int], None] = lambda count: None,
) -> Order:
    """Return what `prepare` is to do; it tells the bytes that are scanned, and packed.

    `options` has a `policy` beside what the command line gave.
    """
    from imsprep.bitmap.layout_json import load_layout
    from imsprep.cloud.sites import SITES
    from imsprep.pipeline.prepare import Order

    return Order(
        fields=request_fields(dict(options)),
        target=target,
        site=SITES[options["site"]],
        key=options["key"],
        bitmap=options["bitmap"],
        layout=load_layout(options["layout"]) if options.get("layout") else None,
        policy=options["policy"],
        copy_zeros=not options["no_copy"],
        part_size=options["part_size"],
        via=options["via"],
        bytes_per_s=options["bandwidth"],
        packing=packing_of(options),
        work_folder=options["work_dir"],
        progress=scanned,
        packed=packed,
        scanning=scanning(options),
    )


def asking(
    options: Mapping[str, Any],
    target: Target,
    *,
    checking: bool = False,
    dry_run: bool = False,
    told: Callable[[str], object] = lambda news: None,
) -> AskBucket:
    """Return how the bucket is asked before anything is sent; `checking` only looks."""
    from imsprep.pipeline.asking import AskBucket
    from imsprep.store.target import open_store

    return AskBucket(
        target,
        partial(open_store, target, ca_bundle=options["ca_bundle"], kms_key=options["kms_key"]),
        patience=None if checking else transferring(options).patience,
        replace=options["replace"],
        dry_run=dry_run,
        told=told,
    )


def shipping_of(
    options: Mapping[str, Any], target: Target, client: ImsClient, pace: Pace, progress: Progress
) -> Shipping:
    """Return what `ship` works with; opens the store."""
    from imsprep.image.file import RawImage
    from imsprep.pipeline.ship import Shipping
    from imsprep.store.target import open_store

    return Shipping(
        store=open_store(target, ca_bundle=options["ca_bundle"], kms_key=options["kms_key"]),
        bucket=target.bucket,
        target=str(target),
        service=client,
        service_name=client.url if target.folder is None else f"local:{target.folder}",
        pace=pace,
        open_source=partial(RawImage.open_whole, force_share=options["force_share"]),
        progress=progress,
        options=transferring(options),
        cleanup=options["cleanup"],
        with_sha256=options["sha256"],
    )
