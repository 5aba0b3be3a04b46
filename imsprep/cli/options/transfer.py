"""The options that say how a file is brought into a bucket, shared by `upload` and `import`."""

from __future__ import annotations

import click

from imsprep.cli.options.common import RATE, SIZE, CountType, F, SecondsType, with_options
from imsprep.options import TransferOptions
from imsprep.store.contract import STANDARD

_PART_SIZE = click.option(
    "--part-size", type=SIZE, default=TransferOptions.part_size,
    help="Size of a part (default: 32m); larger where more than 10,000 would be needed.",
)  # fmt: skip
_LIMIT_RATE = click.option(
    "--limit-rate", type=RATE, help="Limit the upload to this many bytes per second, as 10m."
)
_RETRY_FOR = click.option(
    "--retry-for", type=SecondsType(0), default=TransferOptions.retry_for_s,
    help="Give up after retries have failed for this time in all"
    f" (default: {TransferOptions.retry_for_s:g}).",
)  # fmt: skip
_KMS_KEY = click.option(
    "--kms-key",
    metavar="ID",
    help="Encrypt the objects with this KMS key; '' is the service's default key.",
)
_OPTIONS = (
    click.option("--jobs", type=CountType(1, 64), default=TransferOptions.jobs,
                 show_default=True,
                 help="Parts sent in parallel, 1 to 64; as many are copied at the same time."),
    _PART_SIZE,
    click.option("--no-copy", is_flag=True, help="Send the zeros too; copy nothing inside the"
    " store."),
    _LIMIT_RATE,
    click.option("--replace", is_flag=True,
                 help="Replace an object of that name even if imsprep did not make it of"
                 " this file."),
    _RETRY_FOR,
    _KMS_KEY,
    click.option("--storage-class", type=click.Choice([STANDARD]), default=STANDARD,
                 help="Storage class of the objects; quick import reads no other."),
)  # fmt: skip


def transfer_options(command: F) -> F:
    """Add the options of a transfer; the command takes them as keywords."""
    return with_options(command, _OPTIONS)


def send_options(command: F) -> F:
    """Add the options of whatever sends, by the names of the command line."""
    return with_options(command, (_PART_SIZE, _LIMIT_RATE, _RETRY_FOR, _KMS_KEY))
