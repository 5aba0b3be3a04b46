"""The options that say where objects are, shared by the commands that use a bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def target_options(command: F) -> F:
    """Add --to, --region, --endpoint and --ca-bundle."""
    for option in (
        click.option(
            "--ca-bundle",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Certificates to trust instead of the usual ones.",
        ),
        click.option("--endpoint", help="Address of OBS, where --region does not tell it."),
        click.option(
            "--region",
            envvar=["HW_REGION_NAME", "OS_REGION_NAME"],
            show_envvar=True,
            help="Region of the bucket, as eu-de.",
        ),
        click.option(
            "--to", required=True, metavar="TARGET", help="local:DIR or obs:BUCKET[/PREFIX]."
        ),
    ):
        command = option(command)
    return command
