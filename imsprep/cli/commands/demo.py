"""`imsprep demo`: a small real disk through everything, against the local image service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.options.common import PATH, output_options, print_result
from imsprep.cli.screen import say
from imsprep.cli.service import EMULATOR_FOLDER, connected
from imsprep.cloud.sites import DEFAULT_SITE, SITES
from imsprep.units import counted, exact_size, format_size

if TYPE_CHECKING:
    from imsprep.pipeline.prepare import Prepared
    from imsprep.pipeline.ship import Imported
    from imsprep.store.target import Target

SITE = DEFAULT_SITE
MIN_DISK = 10  # GiB; the least that every site takes for a data disk


@click.command(epilog="Example: imsprep demo --dir ./demo")
@click.option("--dir", "folder", type=PATH, default=Path("demo"),
              show_default=True, metavar="DIR", help="Where everything is made.")  # fmt: skip
@output_options
def command(folder: Path, as_json: bool, quiet: bool) -> None:
    """Make a small real disk image and import it: check, bitmap, upload, import, wait.

    The image service is the emulator, the bucket a folder: no account, no network. At the end the
    imported disk is compared with the source. Whatever ends it early, the same command goes on.
    """
    from imsprep.cli.demo_disk import claimed

    with claimed(folder):
        result = _run(folder, _Teller(quiet))
    print_result(as_json, result, _text(result))


class _Teller:
    """Says on stderr what is being done."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, step: str, text: object) -> None:
        if not self._quiet:
            say(f"{step:9} {text}")


def _run(folder: Path, tell: _Teller) -> dict[str, Any]:
    from imsprep.cli.demo_disk import ensure_disk
    from imsprep.pipeline.manifest import read
    from imsprep.store.target import parse_target

    disk, target = folder / "disk.raw", parse_target(f"local:{folder / 'cloud'}")
    made = ensure_disk(disk)
    tell("disk", f"{disk}, a GPT with an ext4: {'made' if made else 'there from before'}")
    prepared = _prepare(disk, target)
    findings, passed = prepared.report.findings, prepared.report.passed
    tell("check", f"{counted(len(findings), 'finding')}; {counted(len(passed), 'rule')} passed")
    tell("bitmap", prepared.artefacts[1].path)
    _verify(disk, tell)
    tell("upload", prepared.artefacts[0].plan)
    done = _ship(prepared, target, tell)
    tell("import", f"image {done.image_id}{'' if done.uploads else ', there from before'}")
    manifest = read(done.manifest)
    ever = sum(o.sent for o in manifest.objects) if manifest else done.sent
    before = max(0, ever - done.sent) if not done.uploads else 0
    sent = 0 if not done.uploads else ever
    imported = folder / "cloud" / EMULATOR_FOLDER / "disks" / f"{done.image_id}.raw"
    digest = _compare(disk, imported)
    tell("compare", "the imported disk equals the source\n")
    return {
        "size": done.size,
        "data_bytes": done.data_bytes,
        "sent": sent,
        "sent_before": before,
        "findings": [finding.as_dict() for finding in findings],
        "image_id": done.image_id,
        "digest": digest,
        "equal": True,
        "files": {
            "image": str(disk),
            "bitmap": str(prepared.artefacts[1].path),
            "manifest": str(done.manifest),
            "bucket": str(folder / "cloud" / target.bucket),
            "imported": str(imported),
        },
    }


def _prepare(disk: Path, target: Target) -> Prepared:
    from imsprep.ims.request import DATA_IMAGE, RequestFields
    from imsprep.pipeline.prepare import Order, prepare

    fields = RequestFields(name="imsprep-demo", type=DATA_IMAGE, os_type="Linux", min_disk=MIN_DISK)
    return prepare(disk, Order(fields=fields, target=target, site=SITES[SITE]))


def _verify(disk: Path, tell: _Teller) -> None:
    from imsprep.bitmap.files import prove
    from imsprep.errors import FormatError, show_path

    proof = prove(disk)
    tell("verify", proof)
    if not proof.holds:
        raise FormatError(f"{show_path(proof.bitmap)} does not hold for its image")


def _ship(prepared: Prepared, target: Target, tell: _Teller) -> Imported:
    from imsprep.image.file import RawImage
    from imsprep.ims.wait import Pace
    from imsprep.pipeline.ship import Shipping, ship
    from imsprep.store.target import open_store
    from imsprep.upload.transfer import Options

    def on_job(job_id: str) -> None:
        tell("import", f"job {job_id}")

    with connected(
        target.folder, site=SITE, region=None, endpoint=None, ca_bundle=None, api="v2"
    ) as client:
        shipping = Shipping(
            store=open_store(target),
            bucket=target.bucket,
            target=str(target),
            service=client,
            service_name=f"local:{target.folder}",
            pace=Pace(time.sleep, time.monotonic, interval_s=0.05),
            open_source=RawImage.open,
            progress=lambda **counts: None,
            options=Options(),
            on_job=on_job,
        )
        return ship(prepared, shipping)


def _compare(disk: Path, imported: Path) -> str:
    """Compute both disks' digests from their bytes and return it; FormatError if they differ."""
    from imsprep.errors import FormatError
    from imsprep.pipeline.digests import digest_file
    from imsprep.system.threads import usable_cpus

    source, made = (digest_file(path, jobs=usable_cpus()) for path in (disk, imported))
    if source != made:
        raise FormatError(f"{imported} is not the disk that was imported: {made}, not {source}")
    return source


def _text(result: dict[str, Any]) -> str:
    files = result["files"]
    share = result["data_bytes"] / result["size"]
    earlier = result["sent_before"]
    before = f"; {format_size(earlier)} by an earlier run" if earlier else ""
    lines = [
        f"disk      {exact_size(result['size'])}, {share:.1%} of it data",
        f"sent      {format_size(result['sent'])}{before}",
        f"findings  {len(result['findings'])}",
        f"image     {result['image_id']}",
        f"equal     yes: {result['digest']}",
        f"files     {files['image']}, {files['bitmap']}, {files['manifest']}",
        f"bucket    {files['bucket']}",
        f"imported  {files['imported']}",
    ]
    return "\n".join(lines)
