"""`imsprep check`: everything that can be known about an image before a byte is uploaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from imsprep.cli.request_options import request_fields, request_options
from imsprep.report import Severity


@click.command(epilog="Example: imsprep check disk.raw --min-disk 40")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@request_options
def command(images: tuple[Path, ...], as_json: bool, quiet: bool, **options: Any) -> int:
    """Check disk images and the request to import them, offline and in seconds."""
    from imsprep import checks
    from imsprep.gather import gather
    from imsprep.sites import DEFAULT_SITE, SITES

    fields = request_fields(options)
    reports = [
        checks.run(gather(image, request=fields, site=SITES[DEFAULT_SITE])) for image in images
    ]
    if as_json:
        click.echo(
            json.dumps({"reports": [r.as_dict() for r in reports]}, indent=2, sort_keys=True)
        )
    else:
        for report in reports:
            for f in report.findings:
                click.echo(f"{report.image}: {f.rule} {f.severity.word}: {f.message}")
    return 1 if any(report.fails(Severity.ERROR) for report in reports) else 0
