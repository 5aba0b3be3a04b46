"""`imsprep boot`: start an image in QEMU as the cloud would, and return whether it comes up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imsprep.cli.completing import images
from imsprep.cli.options.common import PATH, SIZE, SecondsType, output_options, print_result
from imsprep.cli.screen import say
from imsprep.options import BootOptions, choices
from imsprep.progress import silent
from imsprep.units import MIB, format_seconds

EPILOG = """\
\b
Exit codes: 0 it comes up, 1 it does not, 7 nothing that tells within the time limit.
Example: imsprep boot disk.raw --firmware uefi
"""


@click.command(epilog=EPILOG)
@click.argument("image", shell_complete=images, type=PATH)
@click.option("--firmware", type=click.Choice(["bios", "uefi"]),
              help="How it starts; bios for x86, uefi for arm.")  # fmt: skip
@click.option("--architecture", type=click.Choice(choices(BootOptions, "architecture")),
              default=BootOptions.architecture,
              help="Of the server; x86 unless given.")  # fmt: skip
@click.option(
    "--memory", type=SIZE, default=BootOptions.memory, help="Of the machine; 1g unless given."
)
@click.option("--cpus", type=click.IntRange(1, 64), default=BootOptions.cpus, show_default=True,
              help="Of the machine.")  # fmt: skip
@click.option("--time-limit", type=SecondsType(min=1), default=BootOptions.limit_s,
              metavar="SECONDS", help="When to give up; 300 unless given.")  # fmt: skip
@click.option("--accel", type=click.Choice(choices(BootOptions, "accelerator")),
              default=BootOptions.accelerator,
              help="auto takes KVM if it works; tcg emulates.")  # fmt: skip
@click.option("--no-wait", is_flag=True, help="After the login, do not wait for cloud-init.")
@click.option("--log", type=PATH, metavar="FILE",
              help="Of the console; IMAGE with .boot.log if not given.")  # fmt: skip
@click.option("--screenshot", type=PATH, metavar="FILE",
              help="Of the end; IMAGE with .boot.png if not given.")  # fmt: skip
@output_options
def command(image: Path, as_json: bool, quiet: bool, **options: Any) -> int:
    """Start IMAGE in QEMU as the cloud would, and report whether it boots.

    RAW, ZVHD2 and what imsprep converts. The disk is virtio-blk, the card virtio-net, and a
    metadata service answers as OpenStack's; the guest reaches no network, and IMAGE is never
    written to. The console is watched until there is a verdict: login or cloud-init, an emergency
    shell, the prompt of initramfs or GRUB, a kernel panic, nothing to start, a Windows stop code.
    """
    from imsprep import api

    if options["memory"] < 64 * MIB:
        raise click.UsageError("--memory: at least 64m")
    if not quiet:
        limit = format_seconds(options["time_limit"])
        say(f"{image} is started in QEMU, and watched for {limit} at most")
    done = api.boot_image(
        image,
        progress=silent if quiet else lambda event: say(event.text),
        architecture=options["architecture"],
        firmware=options["firmware"],
        memory=options["memory"],
        cpus=options["cpus"],
        limit_s=options["time_limit"],
        accelerator=options["accel"],
        wait_for_source=not options["no_wait"],
        log=options["log"] or image.with_name(f"{image.name}.boot.log"),
        screenshot=options["screenshot"] or image.with_name(f"{image.name}.boot.png"),
    )
    print_result(as_json, done.as_dict(), str(done))
    return done.exit_code
