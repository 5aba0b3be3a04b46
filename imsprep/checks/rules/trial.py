"""IMS850: what became of the image when it was started in QEMU as a server of the cloud."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import NOT_STARTED, Evidence, UnknownError, rule
from imsprep.report import Severity
from imsprep.trial.verdict import NOTHING, WORDS


@rule(
    "IMS850",
    Severity.ERROR,
    "The image does not boot",
    why="It was started as the cloud starts a server, with a virtio disk, and did not come up.",
    fix="Repair what the console reports, and start the image again with `imsprep boot IMAGE`,"
    " which keeps the console's log and a picture of the screen: only a boot shows that it is"
    " mended. `imsprep check --guest IMAGE` looks for the cause, and does not know every one: where"
    " it finds no error, the image still does not boot.",
    source="tried: QEMU with virtio-blk and virtio-net; what a boot there cannot show stands in"
    " docs/boot.md",
)
def does_not_boot(facts: Facts) -> Iterator[Evidence]:
    """Start the image and watch its console."""
    booted = facts.booted
    if booted is None:
        raise UnknownError(NOT_STARTED)
    if booted.verdict.key == NOTHING:
        raise UnknownError(f"{WORDS[NOTHING]} ({booted.how}, {booted.seconds:.0f} s)")
    if not booted.verdict.good:
        yield Evidence(
            booted.verdict.sentence,
            expected="a login",
            found=booted.verdict.key,
        )
