"""The sentences of real consoles, and what they mean."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.trial.screen import Picture
from imsprep.trial.verdict import (
    GOOD,
    NOTHING,
    WORDS,
    Verdict,
    at_the_end,
    blames_the_machine,
    is_stop_screen,
    is_stuck,
    judge,
    kernel_speaks,
    last_lines,
    lines_before,
    plain,
    source_of,
)

CONSOLES = [
    ("login", b"\r\nDebian GNU/Linux 12 web01 ttyS0\r\n\r\nweb01 login: "),
    ("login", b"web01 login: [   30.1] cloud-init[512]: Cloud-init v. 22.4.2 running 'modules:config'"),
    ("login", b"Computer is booting, SAC started and initialized.\r\nSAC>"),
    ("cloud-init", b"[   90.1] cloud-init[512]: Cloud-init v. 22.4.2 finished at Sun. Datasource X."),
    ("emergency-shell", b"You are in emergency mode. After logging in, type \"journalctl -xb\""),
    ("emergency-shell", b"Cannot open access to console, the root account is locked."),
    ("emergency-shell", b"Give root password for maintenance\r\n(or press Control-D to continue): "),
    ("initramfs-prompt", b"BusyBox v1.35.0 (Debian)\r\n\r\n(initramfs) "),
    ("initramfs-prompt", b"Generating \"/run/initramfs/rdsosreport.txt\"\r\nEntering emergency mode."),
    ("initramfs-prompt", b"dracut:/# "),
    ("initramfs-prompt", b"You are now being dropped into an emergency shell.\r\n[rootfs ]# "),
    ("emergency-shell", b"run-init: /bin/init: No such file or directory\r\n"
     b"/bin/sh: 0: can't access tty; job control turned off\r\n# "),
    ("initramfs-prompt", b"/bin/sh: can't access tty; job control turned off\r\n(initramfs) "),
    ("kernel-panic", b"[    2.1] Kernel panic - not syncing: No working init found."),
    ("grub-prompt", b"error: no such partition.\r\nEntering rescue mode...\r\ngrub rescue> "),
    ("grub-prompt", b"   Minimal BASH-like line editing is supported.\r\n\r\ngrub> "),
    ("grub-prompt", b"  Booting `Debian GNU/Linux'\r\n\x1b[?25h\x1b[H\x1b[J\x1b[1;1HEnter username: "),
    ("grub-prompt", b"GNU GRUB  version 2.06\r\n  Press enter to boot the selected OS\r\nerror: file `/vmlinuz'"
     b" not found.\r\nPress any key to continue...\r\nGNU GRUB  version 2.06\r\n  Press enter to boot the"
     b" selected OS"),
    ("no-boot-device", b'BdsDxe: loading Boot0000 "UiApp" from Fv(7CB8)\r\nBdsDxe: starting Boot0000 "UiApp" from'),
    ("loader-prompt", b"Could not find kernel image: /boot/vmlinuz\r\nboot: "),
    ("no-boot-device", b"Booting from Hard Disk...\r\nBoot failed: not a bootable disk\r\n\r\nNo bootable device.\r\n"),
    ("no-boot-device", b"UEFI Interactive Shell v2.2\r\nEDK II\r\nShell> "),
    ("no-boot-device", b"Booting from Hard Disk...\r\nGRUB GRUB GRUB GRUB GRUB"),
    ("no-boot-device", b"Booting from Hard Disk...\r\nOperating system load error.\r\n"),
    ("no-boot-device", b"Booting from Hard Disk...\r\nMissing OS\r\n"),
    ("no-boot-device", b"BOOTMGR is missing\r\nPress Ctrl+Alt+Del to restart"),
    ("windows-stop", b"*** STOP: 0x0000007B (0xF78D2524, 0xC0000034, 0x00000000, 0x00000000)"),
    ("windows-stop", b"Status: 0xc0000225\r\nInfo: The boot selection failed"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "console"), CONSOLES)
def test_a_console_is_judged(key: str, console: bytes) -> None:
    found = judge(plain(b"SeaBIOS (version 1.16)\r\n" + console))
    assert found is not None
    assert found.key == key
    assert found.good == (key in GOOD)


def test_an_error_before_the_first_menu_of_grub_ends_nothing() -> None:
    """A signed GRUB has no module for the serial line, says so, and starts its entry."""
    before = b"Welcome to GRUB!\r\nerror: terminal `serial' isn't found.\r\n"
    menu = b"GNU GRUB  version 2.06\r\n  Press enter to boot the selected OS\r\n"
    counts = b"  The highlighted entry will be executed automatically in 5s.\r\n"
    for console in (before + menu, before + menu + counts, (before + menu + counts) * 2):
        assert judge(plain(console)) is None
    failed = b"error: file `/vmlinuz' not found.\r\nPress any key to continue...\r\n"
    for console in (failed + menu, before + menu + counts + failed + menu):
        found = judge(plain(console))
        assert found == ("grub-prompt", "error: file `/vmlinuz' not found.")


def test_an_error_of_grub_counts_only_when_the_time_is_over() -> None:
    text = plain(b"error: file `/boot/vmlinuz' not found.\r\n\r\nPress any key to continue...")
    assert judge(text) is None
    assert at_the_end(text).key == "grub-prompt"


def test_what_the_loader_said_before_a_kernel_spoke_ended_nothing() -> None:
    grub = "error: no suitable video mode found.\nBooting in blind mode\n"
    kernel = "[    0.000000] Linux version 6.1.0\n[  OK  ] Started systemd-udevd.service\n"
    assert at_the_end(grub + kernel).key == NOTHING
    assert at_the_end(kernel + grub).key == "grub-prompt", "after it restarted"


def test_a_system_too_slow_to_find_its_serial_port_has_no_verdict() -> None:
    udev = "[  OK  ] Started systemd-udevd.serv…nager for Device Events and Files.\n"
    serial = "[ TIME ] Timed out waiting for device …dev-ttyS0.device - /dev/ttyS0.\n"
    other = "[ TIME ] Timed out waiting for device … - /dev/disk/by-uuid/ABCD-1234.\n"
    shell = "You are in emergency mode. After logging in, type\n"
    assert judge(udev + serial + other) is None
    found = judge(udev + serial + other + shell)
    assert found == (NOTHING, serial.strip())
    for text in (udev + other + shell, serial + other + shell):
        stopped = judge(text)
        assert stopped is not None
        assert stopped.key == "emergency-shell"


def test_the_reason_is_told_not_the_prompt() -> None:
    text = plain(
        b"[ TIME ] Timed out waiting for device /dev/disk/by-uuid/9.\r\n"
        b"[DEPEND] Dependency failed for /data.\r\n[DEPEND] Dependency failed for Local File Systems.\r\n"
        b"You are in emergency mode. After logging in ..."
    )
    found = judge(text)
    assert found is not None
    assert found.line == (
        "[ TIME ] Timed out waiting for device /dev/disk/by-uuid/9.; "
        "[DEPEND] Dependency failed for /data."
    )


def test_a_device_that_is_not_there_is_named_with_its_mount() -> None:
    """The target of all mounts, and services that need it, fail after them and say nothing."""
    device = "dev-disk-by\\x2duuid-dead\\x2d0.device - /dev/disk/by-uuid/dead-0"
    said = (
        f"[ TIME ] Timed out waiting for device {device}.\n"
        "[DEPEND] Dependency failed for data.mount - /data.\n"
        "[DEPEND] Dependency failed for loca...s.target - Local File Systems.\n"
        "[DEPEND] Dependency failed for seli...vice - Mark the need to relabel after reboot.\n"
        "You are in emergency mode. After logging in ...\n"
    )
    found = judge(plain(said.replace("\n", "\r\n").encode()))
    assert found is not None
    assert found.line == (
        f"[ TIME ] Timed out waiting for device {device}.; "
        "[DEPEND] Dependency failed for data.mount - /data."
    )
    failed = "[FAILED] Failed to mount data.mount - /data.\n"
    found = judge(failed + said[said.index("[DEPEND] Dependency failed for loca") :])
    assert found is not None
    assert found.line == failed.strip()


@pytest.mark.parametrize(
    "console",
    [
        b"Starting \x1b[0;1;39mmodprobe@dm_mod.s...[0m - Load Kernel Module dm_mod...",
        "Starting \x1b[0;1;39mmodprobe@dm_mod.s…0m - Load Kernel Module dm_mod...".encode(),
        b"Starting \x1b[0;1;39mmodprobe@dm_mod.s\x1b[0...\x1b[0m - Load Kernel Module dm_mod...",
    ],
)
def test_a_colour_that_is_cut_leaves_nothing(console: bytes) -> None:
    shown = plain(console).replace("…", "...")
    assert shown == "Starting modprobe@dm_mod.s... - Load Kernel Module dm_mod..."


def test_the_frame_of_a_menu_is_not_text() -> None:
    console = b"\xda\xc4\xc4\xbf\r\n\xb3 Debian \xb3\r\nerror: no such device.\r\n"
    assert plain(console).split() == ["Debian", "error:", "no", "such", "device."]


def test_colours_and_cursors_are_not_text() -> None:
    assert plain(b"\x1b[0;32m  OK  \x1b[0m Started\r\n\x1b[2J\x1b[01;01H\x1b(Bnext") .split() == [
        "OK", "Started", "next"]  # fmt: skip
    assert kernel_speaks(plain(b"\x1b[0m[    0.000000] Linux version 6.1"))
    assert not kernel_speaks("Loading Linux 6.1 ...")


RESCUE = """\
error: no suitable video mode found.
Booting in blind mode
[    0.000000] Linux version 6.1.0-50-amd64
[   41.685553] systemd[1]: Unit default.target not found.
[   41.686022] systemd[1]: Falling back to rescue.target.
[  OK  ] Reached target rescue.target - Rescue Mode.
You are in rescue mode. After logging in, type "journalctl -xb" to view
Cannot open access to console, the root account is locked.
"""


def test_what_the_loader_complained_of_is_not_why_a_system_stopped() -> None:
    found = judge(RESCUE)
    assert found == (
        "emergency-shell",
        "Unit default.target not found.; Falling back to rescue.target.",
    )
    found = judge(re.sub(r".*systemd\[1\].*\n", "", RESCUE))
    assert found is not None
    assert found.line.startswith("You are in rescue mode.")


# Of Debian 12 without systemd's library; the second is cut by the init that still writes.
PANIC = """\
Begin: Running /scripts/init-bottom ... done.
/sbin/init: error while loading shared libraries: libsystemd-core-252.so: cannot open shared object file
[   30.576425] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00
[   30.576946] CPU: 1 PID: 1 Comm: init Not tainted 6.1.0-50-amd64 #1  Debian 6.1.176-1
[   30.577780] Hardware name: OpenStack Foundation OpenStack Nova, BIOS 1.16.2-debian-1.16.2-1 04/01/2014
[   30.577780] Call Trace:
[   30.577780]  <TASK>
[   30.577780]  dump_stack_lvl+0x44/0x5c
[   30.577780]  ? exit_to_user_mode_prepare+0x44/0x240
[   30.577780] RIP: 0033:0x7f80e6fade51
[   30.577780] Code: f7 d8 89 01 48 83 c8 ff c3 be e7 00 00 00 ba 3c 00 00 00 eb 11 0f 1f 40 00 89 d0 0f 05
[   30.577780] RAX: ffffffffffffffda RBX: 00007f80e6fb8c10 RCX: 00007f80e6fade51
[   30.577780] R13: 0000000000000001 R14: 00007f80e6f8b270 R15: 0000000000000000
[   30.577780]  </TASK>
[   30.577780] ---[ end Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00 ]---
"""
LACKS = PANIC.splitlines()[1]
MIXED = PANIC.replace(
    "[   30.576425] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00",
    "[   30.576425] Kernel panic - not syncing: Attempted to kill init! exitcoshared objde=0x00007f00",
)


@pytest.mark.parametrize("console", [PANIC, MIXED])
def test_the_line_of_a_panic_is_whole(console: str) -> None:
    line = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00"
    assert judge(console) == ("kernel-panic", f"{LACKS}; {line}")


def test_the_last_lines_of_a_panic_are_those_that_lead_to_it() -> None:
    found = at_the_end(PANIC)
    assert lines_before(found, PANIC, 12) == "\n".join(PANIC.splitlines()[:3])
    # An oops prints its dump before the panic.
    dump, (begin, init, panic) = "\n".join(PANIC.splitlines()[3:-1]), PANIC.splitlines()[:3]
    oops = "[   30.1] BUG: kernel NULL pointer dereference, address: 0000000000000008"
    said = "\n".join([begin, init, oops, dump, panic, ""])
    assert lines_before(found, said, 3).splitlines() == [init, oops, panic]


@pytest.mark.parametrize(
    ("before", "panic", "after", "line"),
    [
        ("", "Attempted to kill init!", f"{LACKS}\n", f"{LACKS}; Kernel panic - not syncing: Attempted to kill init!"),
        (
            "[    1.2] VFS: Cannot open root device \"vda9\" or unknown-block(0,0): error -6\n",
            "VFS: Unable to mount root fs on unknown-block(0,0)", "",
            'VFS: Cannot open root device "vda9" or unknown-block(0,0): error -6; Kernel panic - not'
            " syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
        ),
        (
            "[    1.2] Failed to execute /init (error -2)\n", "No working init found.", "",
            "Failed to execute /init (error -2); Kernel panic - not syncing: No working init found.",
        ),
        (f"{LACKS}\n" + "[    0.5] pci: found\n" * 20, "Oops", "", "Kernel panic - not syncing: Oops"),
    ],
)  # fmt: skip
def test_a_panic_says_why_whether_that_came_before_or_after(
    before: str, panic: str, after: str, line: str
) -> None:
    text = f"{before}[    2.1] Kernel panic - not syncing: {panic}\n{after}"
    assert at_the_end(text).line == line
    if after:
        assert lines_before(at_the_end(text), text, 2).splitlines()[-1] == after.strip()


def test_the_last_lines_of_another_verdict_are_the_last() -> None:
    assert lines_before(at_the_end(RESCUE), RESCUE, 1) == RESCUE.splitlines()[-1]


def test_colours_do_not_cut_the_line_that_says_why() -> None:
    console = b"[\x1b[0;1;33mDEPEND\x1b[0m] Dependency failed for \x1b[0;1;39m/data\x1b[0m.\r\n"
    found = judge(plain(console + b"You are in emergency mode."))
    assert found is not None
    assert found.line == "[DEPEND] Dependency failed for /data."


def test_a_colour_that_is_cut_does_not_hide_the_device() -> None:
    """As systemd 252 shortens it for 80 columns."""
    device = "…dbeef-0000-4000-8000-000000000000."
    console = (
        f"[ TIME ] Timed out waiting for device \x1b[0;1;{device}\r\nYou are in emergency mode."
    )
    found = judge(plain(console.encode()))
    assert found is not None
    assert found.line == f"[ TIME ] Timed out waiting for device {device}"


def test_extlinux_says_which_file_is_gone() -> None:
    found = judge("Loading /boot/vmlinuz-6.1... failed: No such file or directory\nboot: ")
    assert found is not None
    assert found.line == "Loading /boot/vmlinuz-6.1... failed: No such file or directory"


def test_a_disk_that_says_nothing_at_all_is_stuck() -> None:
    assert is_stuck("SeaBIOS (version 1.16)\nBooting from Hard Disk...\n")
    assert not is_stuck("Booting from Hard Disk...\nGRUB loading.\n")
    for said in ("Booting from Hard Disk...\n", "Booting from Hard Disk...\nGRUB \n"):
        assert is_stuck(said)
        assert at_the_end(said).key == "no-boot-device"


def test_a_menu_of_grub_that_counts_nothing_down_waits_for_a_key() -> None:
    menu = "GNU GRUB  version 2.06\n *Debian\n      before booting or `c' for a command-line.\n"
    counts = f"{menu}   The highlighted entry will be executed automatically in 1s.\n"
    assert is_stuck(menu)
    assert at_the_end(menu).key == "grub-prompt"
    assert not is_stuck(counts)
    assert at_the_end(counts).key == NOTHING


def test_a_panic_of_a_busy_machine_is_not_the_images() -> None:
    line = "Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug"
    assert blames_the_machine(at_the_end(line))
    assert not blames_the_machine(at_the_end("Kernel panic - not syncing: VFS: Unable to mount"))


def test_cloud_init_says_its_source() -> None:
    line = "Cloud-init v. 22.4.2 finished at Sun, 29 Nov. Datasource DataSourceOpenStackLocal [net,ver=2].  Up 9"
    assert source_of(line) == "DataSourceOpenStackLocal"
    assert source_of("Cloud-init v. 22.4.2 running 'init'") is None


@given(st.binary(max_size=2000))
def test_every_console_has_a_verdict_at_the_end(console: bytes) -> None:
    assert at_the_end(plain(console)).key in WORDS


@given(st.sampled_from(CONSOLES), st.binary(max_size=300))
def test_what_went_before_does_not_hide_a_panic(row: tuple[str, bytes], noise: bytes) -> None:
    text = plain(row[1] + noise + b"\nKernel panic - not syncing: Attempted to kill init!\n")
    found = judge(text)
    assert found is not None
    assert found.key == "kernel-panic"


def test_silence_is_nothing() -> None:
    assert at_the_end("").key == NOTHING
    assert last_lines("a\n\nb\n  \nc\n", 2) == "b\nc"


def test_the_blue_of_a_stop_screen_is_known() -> None:
    blue, white, black = bytes([0, 120, 215]), bytes([255] * 3), bytes(3)
    assert is_stop_screen(Picture(100, 10, blue * 900 + white * 100))
    assert not is_stop_screen(Picture(100, 10, black * 900 + blue * 100))
    assert not is_stop_screen(Picture(720, 400, bytes([0, 0, 170]) * 720 * 400))  # a text mode's


@pytest.mark.parametrize(
    ("key", "line", "said"),
    [
        ("kernel-panic", "Kernel panic - not syncing: VFS: Unable to mount root fs",
         "the kernel panicked: VFS: Unable to mount root fs"),
        ("kernel-panic", "", "the kernel panicked"),
        ("switched-off", "reboot: Power down", "the machine powered off: reboot: Power down"),
    ],
)  # fmt: skip
def test_a_verdict_in_a_sentence_says_nothing_twice(key: str, line: str, said: str) -> None:
    assert Verdict(key, line).sentence == said
