"""`imsprep boot`: start an image in QEMU as the cloud would, and return whether it comes up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imsprep.cli.help.completion import images
from imsprep.cli.options.common import (
    PATH,
    SIZE,
    CountType,
    SecondsType,
    output_options,
    print_result,
)
from imsprep.cli.screen import say
from imsprep.options import BootOptions, choices
from imsprep.progress import silent
from imsprep.units import MIB, format_seconds

EPILOG = """\
Exit codes: 0 it comes up, 1 it does not, 7 no verdict within the time limit.

Example: imsprep boot disk.raw --firmware uefi
"""


@click.command(epilog=EPILOG)
@click.argument("image", shell_complete=images, type=PATH)
@click.option("--firmware", type=click.Choice(["bios", "uefi"]),
              help="Firmware of the machine (default: bios; uefi for arm and where only UEFI starts"
              " the disk).")  # fmt: skip
@click.option("--architecture", type=click.Choice(choices(BootOptions, "architecture")),
              default=BootOptions.architecture,
              help="Architecture of the machine (default: x86).")  # fmt: skip
@click.option(
    "--memory", type=SIZE, default=BootOptions.memory, help="Memory of the machine (default: 1g)."
)
@click.option("--cpus", type=CountType(1, 64), default=BootOptions.cpus, show_default=True,
              help="CPUs of the machine.")  # fmt: skip
@click.option("--time-limit", type=SecondsType(1), default=BootOptions.limit_s,
              help="Give up after this time (default: 300).")  # fmt: skip
@click.option("--accel", type=click.Choice(choices(BootOptions, "accelerator")),
              default=BootOptions.accelerator,
              help="Accelerator; auto: KVM if it works, else tcg, which emulates.")  # fmt: skip
@click.option("--no-wait", is_flag=True, help="Do not wait for cloud-init after the login prompt.")
@click.option("--log", type=PATH, metavar="FILE",
              help="Log of the console (default: IMAGE with .boot.log).")  # fmt: skip
@click.option("--screenshot", type=PATH, metavar="FILE",
              help="Picture of the screen at the end (default: IMAGE with .boot.png).")  # fmt: skip
@output_options
def command(image: Path, as_json: bool, quiet: bool, **options: Any) -> int:
    """Start IMAGE in QEMU as the cloud would, and report whether it boots.

    IMAGE is RAW, ZVHD2 or what imsprep converts. The disk is virtio-blk, the card virtio-net, and a
    metadata service answers as OpenStack's; the guest reaches no network, and IMAGE is never
    written to. The console is watched until there is a verdict: login or cloud-init, an emergency
    shell, the prompt of initramfs or GRUB, a kernel panic, nothing to start, a Windows stop code.
    """
    from imsprep import api

    if options["memory"] < 64 * MIB:
        raise click.UsageError("--memory: at least 64m")
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
    print_result(as_json, done.as_dict(), str(done), hang=2)
    if done.exit_code == 7 and not quiet:
        say(f"imsprep: --time-limit gives it longer than {format_seconds(options['time_limit'])}")
    return done.exit_code
