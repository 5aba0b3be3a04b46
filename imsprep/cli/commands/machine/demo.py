"""`imsprep demo`: a small real disk through everything, against the local image service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from imsprep.cli.options.common import PATH, output_options, print_result
from imsprep.cli.screen import say
from imsprep.options import ImportOptions
from imsprep.progress import Event
from imsprep.report import Report, Severity
from imsprep.units import counted, exact_size, format_size

if TYPE_CHECKING:
    from imsprep.pipeline.values import Imported

MIN_DISK = 10  # GiB; the least that every site takes for a data disk


@click.command(epilog="Example: imsprep demo --dir ./demo")
@click.option("--dir", "folder", type=PATH, default=Path("demo"),
              show_default=True, metavar="DIR",
              help="Folder in which everything is made.")  # fmt: skip
@output_options
def command(folder: Path, as_json: bool, quiet: bool) -> None:
    """Make a small disk image and import it: check, bitmap, upload, import, wait.

    The image service is the emulator, the bucket a folder: no account, no network. The disk is
    imported as RAW with its bitmap and then as ZVHD2; at the end both imported disks are compared
    with the source. After an interruption, run the same command again to continue.
    """
    from imsprep import api

    with api.claimed_demo(folder):
        result = _run(folder, _Teller(quiet))
    print_result(as_json, result, _text(result), hang=10)


class _Result(TypedDict):
    """What was done, as JSON has it. Sizes in bytes."""

    size: int
    data_bytes: int
    sent: int
    sent_before: int
    findings: list[dict[str, object]]
    image_id: str
    digest: str
    equal: bool
    files: dict[str, str]
    zvhd2: dict[str, str]


class _Teller:
    """Says on stderr what is being done."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, step: str, text: object) -> None:
        if not self._quiet:
            first, *more = f"{step:9} {text}".split("\n")
            for line in (first, *(f"{'':9} {line}" if line else "" for line in more)):
                say(line, hang=10)


def _verdict(report: Report) -> str:
    counts = (counted(report.count(s), s.word) for s in sorted(Severity, reverse=True))
    passed = f"{counted(len(report.passed), 'rule')} passed, {len(report.skipped)} skipped"
    return f"{', '.join(counts)}; {passed}"


def _run(folder: Path, tell: _Teller) -> _Result:
    from imsprep import api

    disk = folder / "disk.raw"
    made = api.make_demo_disk(disk)
    tell("disk", f"{disk}, a GPT with an ext4: {'made' if made else 'kept from an earlier run'}")
    options = _options(folder / "cloud", tell, "raw")
    with api.open_for_import(disk, options) as image:
        prepared = api.prepare_import(image, options)
        tell("check", _verdict(prepared.report))
        tell("bitmap", prepared.artefacts[1].path)
        _verify(disk, tell)
        tell("upload", prepared.artefacts[0].plan)
        done = api.ship_import(prepared, image, options)
    tell("import", f"image {done.image_id}{'' if done.uploads else ', from an earlier run'}")
    ever, before = _sent(done)
    imported = api.emulated_disk(folder / "cloud", done.image_id)
    digest = compare(disk, imported)
    tell("compare", "the imported disk equals the source")
    packed = _as_zvhd2(disk, tell)
    return {
        "size": done.size,
        "data_bytes": done.data_bytes,
        "sent": ever if done.uploads else 0,
        "sent_before": before,
        "findings": [finding.as_dict() for finding in prepared.report.findings],
        "image_id": done.image_id,
        "digest": digest,
        "equal": True,
        "files": {
            "image": str(disk),
            "bitmap": str(prepared.artefacts[1].path),
            "manifest": str(done.manifest),
            "bucket": str(folder / "cloud" / "images"),
            "imported": str(imported),
        },
        "zvhd2": packed,
    }


def _as_zvhd2(disk: Path, tell: _Teller) -> dict[str, str]:
    """Import the disk again, packed while it is sent, and compare it; return what was made.

    It is named by a link, so that this import has a manifest of its own.
    """
    from imsprep import api

    link = disk.parent / "packed" / disk.name
    link.parent.mkdir(exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(Path("..", disk.name))
    options = _options(disk.parent / "cloud", tell, "zvhd2")
    tell("pack", "the same disk as ZVHD2, packed while it is sent")
    with api.open_for_import(link, options) as image:
        done = api.ship_import(api.prepare_import(image, options), image, options)
    sent = f", {format_size(done.sent)} sent" if done.uploads else ", from an earlier run"
    tell("import", f"image {done.image_id}{sent}")
    imported = api.emulated_disk(disk.parent / "cloud", done.image_id)
    compare(disk, imported)
    tell("compare", "the imported disk equals the source\n")
    paths = {"image": str(link), "manifest": str(done.manifest), "imported": str(imported)}
    return {"image_id": done.image_id, **paths}


def _sent(done: Imported) -> tuple[int, int]:
    """Return the bytes that travelled in all runs together, and of those the earlier runs'."""
    from imsprep import api

    ever = api.sent_in_all(done)
    return ever, max(0, ever - done.sent) if not done.uploads else 0


def _options(cloud: Path, tell: _Teller, via: str) -> ImportOptions:
    def show(event: Event) -> None:
        if event.job_id is not None and not event.text:
            tell("import", f"job {event.job_id}")

    return ImportOptions(
        to=f"local:{cloud}",
        name=f"imsprep-demo-{via}",
        via=via,
        type="DataImage",
        os_type="Linux",
        min_disk=MIN_DISK,
        poll_s=0.05,
        progress=show,
    )


def _verify(disk: Path, tell: _Teller) -> None:
    from imsprep import api
    from imsprep.errors import FormatError, show_path

    proof = api.verify_bitmap(disk)
    tell("verify", proof)
    if not proof.holds:
        raise FormatError(
            f"{show_path(proof.bitmap)} is not proved to fit its image; nothing was sent"
        )


def compare(disk: Path, imported: Path) -> str:
    """Compute both disks' digests from their bytes and return it; FormatError if they differ."""
    from imsprep import api
    from imsprep.errors import FormatError

    source, made = api.digest(disk), api.digest(imported)
    if source != made:
        raise FormatError(f"{imported} is not the disk that was imported: {made}, not {source}")
    return source


def _named(findings: list[dict[str, object]]) -> str:
    """Return what was found, in words."""
    words = [f"{one['severity']} {one['rule']}: {one['title']}" for one in findings]
    return "; ".join(words) or "none"


def _text(result: _Result) -> str:
    files, packed = result["files"], result["zvhd2"]
    share = result["data_bytes"] / result["size"]
    earlier = result["sent_before"]
    before = f"; {format_size(earlier)} by an earlier run" if earlier else ""
    lines = [
        f"disk      {exact_size(result['size'])}, {share:.1%} of it data",
        f"sent      {format_size(result['sent'])}{before}",
        f"findings  {_named(result['findings'])}",
        f"images    {result['image_id']}, {packed['image_id']}",
        f"equal     yes, both: {result['digest']}",
        f"files     {files['image']}, {files['bitmap']}, {files['manifest']}",
        f"packed    {packed['image']}, a link, and {packed['manifest']}",
        f"bucket    {files['bucket']}",
        f"imported  {files['imported']}",
    ]
    return "\n".join(lines)
