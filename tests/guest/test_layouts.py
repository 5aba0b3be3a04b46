"""Layouts of distributions, as their documents and images have them: the good ones raise nothing.

Each is a tree with the texts that its installer writes, on the volumes that it makes. What boots
must have neither error nor warning; one planted fault each must be found where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from imsprep.guest.model import Guest, Volume
from imsprep.report import Severity
from tests.support.guest.rules import check_guest
from tests.support.guest.trees import (
    ELF_X86_64,
    UUID,
    VIRTIO,
    Link,
    cpio,
    drivers,
    inspected,
    linux_guest,
    modules,
)

ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
MIB = 1 << 20


def part(number: int, kind: str, uuid: str | None = None, **more: Any) -> Volume:
    return Volume(
        f"partition {number}", number * 100 * MIB, 90 * MIB, kind, uuid, clean=True, **more
    )


ESP_UUID, HOME_UUID = "1A2B-3C4D", "22222222-2222-4333-8444-555555555555"
PARTUUID = "33333333-2222-4333-8444-555555555555"
EFI = part(1, "FAT", ESP_UUID, part_type=ESP, label="EFI")
ROOT = part(2, "ext4", UUID, part_uuid=PARTUUID, label="root")
ON_BIOS = {"table": "mbr", "boot_code": True, "volumes": (part(1, "ext4", UUID, label="root"),)}
ON_UEFI = {"table": "gpt", "boot_code": False, "volumes": (EFI, ROOT)}
LVM = {"table": "mbr", "boot_code": True,
       "volumes": (part(1, "LVM"), Volume("LVM rl/root", -1, 90 * MIB, "XFS", UUID, clean=True),
                   Volume("LVM rl/swap", -1, MIB, "swap", HOME_UUID))}  # fmt: skip

BASE: dict[str, Any] = {
    "/bin/sh": ELF_X86_64,
    "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n",
    "/etc/machine-id": "",
    "/etc/shadow": "root:!:19000:0:99999:7:::\n",
    "/usr/bin/cloud-init": "#!/usr/bin/python3\n",
    "/etc/cloud/cloud.cfg": "datasource_list: [ OpenStack, None ]\n",
    "/etc/systemd/system/cloud-init.target.wants/cloud-init.service": Link("/x"),
}


def release(id_: str, version: str, **more: str) -> dict[str, Any]:
    text = f'ID={id_}\nVERSION_ID="{version}"\nPRETTY_NAME="{id_} {version}"\n'
    return {"/etc/os-release": text, **more}


def kernel(version: str, image: str, initrd: str | None, *, names: Any = VIRTIO) -> dict[str, Any]:
    files: dict[str, Any] = {image: b"MZ", **modules(version)}
    if initrd is not None:
        files[initrd] = cpio(drivers(version, names))
    return files


DEBIAN_HEAD = """
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="%(default)s"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
if [ "${prev_saved_entry}" ]; then
  set saved_entry="${prev_saved_entry}"
  save_env saved_entry
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
function recordfail {
  set recordfail=1
  if [ -n "${have_grubenv}" ]; then if [ -z "${boot_once}" ]; then save_env recordfail; fi; fi
}
function load_video {
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  else
    insmod efi_gop
  fi
}
if [ x$feature_default_font_path = xy ] ; then
   font=unicode
else
insmod part_gpt
insmod ext2
set root='hd0,gpt2'
if [ x$feature_platform_search_hint = xy ]; then
  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 --hint-efi=hd0,gpt2  %(uuid)s
else
  search --no-floppy --fs-uuid --set=root %(uuid)s
fi
    font="/usr/share/grub/unicode.pf2"
fi
if loadfont $font ; then
  set gfxmode=auto
  load_video
  insmod gfxterm
  set locale_dir=$prefix/locale
  set lang=en_US
  insmod gettext
fi
terminal_output gfxterm
if [ "${recordfail}" = 1 ] ; then
  set timeout=30
else
  if [ x$feature_timeout_style = xy ] ; then
    set timeout_style=hidden
    set timeout=0
  # Fallback hidden-timeout code in case the timeout_style feature is
  # unavailable.
  elif sleep --interruptible 0 ; then
    set timeout=0
  fi
fi
"""
DEBIAN_ENTRY = """
menuentry '%(title)s' --class gnu-linux --class os $menuentry_id_option 'gnulinux-%(id)s-%(uuid)s' {
        recordfail
        load_video
        gfxmode $linux_gfx_mode
        insmod gzio
        if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
        insmod part_gpt
        insmod ext2
        search --no-floppy --fs-uuid --set=root %(uuid)s
        echo    'Loading Linux %(version)s ...'
        linux   /boot/vmlinuz-%(version)s root=UUID=%(uuid)s ro  quiet splash console=ttyS0 $vt_handoff
        initrd  /boot/initrd.img-%(version)s
}
"""
DEBIAN_TAIL = """
if [ "$grub_platform" = "efi" ]; then
        fwsetup --is-supported
        if [ "$?" = 0 ]; then
                menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
                        fwsetup
                }
        fi
fi
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
"""


def debian_grub(version: str, *, old: str = "", default: str = "0") -> str:
    values = {"uuid": UUID, "version": version, "default": default}
    text = DEBIAN_HEAD % values + DEBIAN_ENTRY % {**values, "title": "Ubuntu", "id": "simple"}
    text += f"submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-{UUID}' {{\n"
    for one in filter(None, (version, old)):
        text += DEBIAN_ENTRY % {**values, "version": one, "title": f"with {one}", "id": one}
    return text + "}\n" + DEBIAN_TAIL


class Layout(NamedTuple):
    files: Mapping[str, Any]
    disk: Mapping[str, Any] = ON_BIOS


UBUNTU, OLD = "5.15.0-107-generic", "5.15.0-100-generic"
ROCKY, FEDORA, ARCH = "5.14.0-427.el9.x86_64", "6.11.4-301.fc41.x86_64", "6.11.5-arch1-1"
SUSE, VOID, GENTOO, PHOTON = (
    "6.4.0-150600.21-default",
    "6.6.52_1",
    "6.6.21-gentoo-x86_64",
    "6.1.62-1.ph5",
)
MACHINE = "0123456789abcdef0123456789abcdef"
NETPLAN = {
    "/etc/netplan/50-cloud-init.yaml": "network: {ethernets: {all: {match: {name: 'e*'}, dhcp4: true}}}\n"
}
NM = {"/usr/sbin/NetworkManager": ELF_X86_64}
NETWORKD = {
    "/etc/systemd/network/20-wired.network": "[Match]\nName=en*\nName=eth*\n[Network]\nDHCP=yes\n",
    "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service": Link("/x"),
}


def bls(
    version: str, options: str, *, folder: str = "/boot/loader/entries", kernel_at: str = "/boot"
) -> dict[str, Any]:
    text = (f"title Linux ({version})\nversion {version}\nlinux {kernel_at}/vmlinuz-{version}\n"
            f"initrd {kernel_at}/initramfs-{version}.img $tuned_initrd\noptions {options}\n"
            "grub_users $grub_users\ngrub_arg --unrestricted\ngrub_class fedora\n")  # fmt: skip
    return {f"{folder}/{MACHINE}-{version}.conf": text}


EL_GRUB = f"""set pager=1
if [ -f ${{config_directory}}/grubenv ]; then
  load_env -f ${{config_directory}}/grubenv
elif [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${{saved_entry}}"
fi
insmod part_msdos
insmod xfs
set root='hd0,msdos1'
search --no-floppy --fs-uuid --set=root {UUID}
insmod part_msdos
set boot='hd0,msdos1'
search --no-floppy --fs-uuid --set=boot {UUID}
if [ -z "${{kernelopts}}" ]; then
  set kernelopts="root=UUID={UUID} ro console=ttyS0,115200n8 "
fi
insmod increment
if [ -n "${{boot_counter}}" -a "${{boot_success}}" = "0" ]; then
  if [ "${{boot_counter}}" = "0" -o "${{boot_counter}}" = "-1" ]; then
    set default=1
    set boot_counter=-1
  else
    decrement boot_counter
  fi
fi
insmod blscfg
blscfg
if [ "${{boot_success}}" = "1" -o "${{boot_indeterminate}}" = "1" ]; then
  set menu_hide_ok=1
else
  set menu_hide_ok=0
fi
"""


def grubenv(**values: str) -> str:
    text = "# GRUB Environment Block\n" + "".join(f"{k}={v}\n" for k, v in values.items())
    return text.ljust(1024, "#")


def el(version: str, options: str = "$kernelopts $tuned_params", **env: str) -> dict[str, Any]:
    return {
        **BASE, **NM, **bls(version, options),
        "/boot/grub2/grub.cfg": EL_GRUB,
        "/boot/grub2/grubenv": grubenv(saved_entry=f"{MACHINE}-{version}", **env),
        **kernel(version, f"/boot/vmlinuz-{version}", f"/boot/initramfs-{version}.img"),
        f"/boot/vmlinuz-0-rescue-{MACHINE}": b"MZ",
    }  # fmt: skip


PHOTON_GRUB = f"""set default=0
set timeout=5
search -n -u {UUID} -s
loadfont ascii
set gfxmode="1024x768"
load_env -f /boot/photon.cfg
if [ -f  /boot/systemd.cfg ]; then
    load_env -f /boot/systemd.cfg
else
    set systemd_cmdline=net.ifnames=0
fi
set rootpartition=PARTUUID={PARTUUID}
menuentry "Photon" {{
    linux /boot/$photon_linux root=$rootpartition $photon_cmdline $systemd_cmdline console=ttyS0
    if [ -f /boot/$photon_initrd ]; then
        initrd /boot/$photon_initrd
    fi
}}
"""

LAYOUTS: dict[str, Layout] = {
    "Ubuntu 22.04, GRUB as update-grub writes it": Layout({
        **BASE, **NETPLAN, **release("ubuntu", "22.04"), "/boot/grub/grub.cfg": debian_grub(UBUNTU, old=OLD),
        **kernel(UBUNTU, f"/boot/vmlinuz-{UBUNTU}", f"/boot/initrd.img-{UBUNTU}"),
        **kernel(OLD, f"/boot/vmlinuz-{OLD}", f"/boot/initrd.img-{OLD}", names=()),
    }),
    "Ubuntu on UEFI with shim's stub": Layout({
        **BASE, **NETPLAN, **release("ubuntu", "22.04"), "/boot/grub/grub.cfg": debian_grub(UBUNTU),
        **kernel(UBUNTU, f"/boot/vmlinuz-{UBUNTU}", f"/boot/initrd.img-{UBUNTU}"),
        "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\nUUID={ESP_UUID} /boot/efi vfat umask=0077 0 1\n",
        "/boot/efi/EFI/BOOT/BOOTX64.EFI": b"MZ", "/boot/efi/EFI/ubuntu/grubx64.efi": b"MZ",
        "/boot/efi/EFI/ubuntu/grub.cfg": f"search.fs_uuid {UUID} root hd0,gpt2\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n",
    }, ON_UEFI),
    "Debian with a default saved by name": Layout({
        **BASE, **NETPLAN, **release("debian", "10"),
        "/boot/grub/grub.cfg": debian_grub(UBUNTU, old=OLD, default="${saved_entry}"),
        "/boot/grub/grubenv": grubenv(saved_entry=f"gnulinux-advanced-{UUID}>gnulinux-{OLD}-{UUID}"),
        **kernel(OLD, f"/boot/vmlinuz-{OLD}", f"/boot/initrd.img-{OLD}"),
        **kernel(UBUNTU, f"/boot/vmlinuz-{UBUNTU}", f"/boot/initrd.img-{UBUNTU}", names=()),
    }),
    "Kali": Layout({
        **BASE, **NM, **release("kali", "2024.3"), "/boot/grub/grub.cfg": debian_grub("6.8.11-amd64"),
        **kernel("6.8.11-amd64", "/boot/vmlinuz-6.8.11-amd64", "/boot/initrd.img-6.8.11-amd64"),
    }),
    "Rocky 9, BLS with kernelopts": Layout({**el(ROCKY), **release("rocky", "9.4")}),
    "Alma 9 on LVM": Layout({
        **el(ROCKY, "root=/dev/mapper/rl-root ro rd.lvm.lv=rl/root rd.lvm.lv=rl/swap resume=/dev/mapper/rl-swap console=ttyS0"),
        **release("almalinux", "9.4"),
        "/etc/fstab": "/dev/mapper/rl-root / xfs defaults 0 0\n/dev/mapper/rl-swap none swap defaults 0 0\n",
        "/etc/lvm/devices/system.devices": "VERSION=1.1.2\nIDTYPE=devname IDNAME=/dev/vda1 DEVNAME=/dev/vda1 PVID=x PART=1\n",
    }, LVM),
    "Amazon Linux 2023": Layout({**el(FEDORA, f"root=UUID={UUID} ro console=tty0 console=ttyS0,115200n8 net.ifnames=0 rd.blacklist=nouveau"),
                                 **release("amzn", "2023")}),
    "RHEL 8, kernelopts in grubenv": Layout({**el(ROCKY, kernelopts=f"root=UUID={UUID} ro console=ttyS0"), **release("rhel", "8.10")}),
    "Arch with systemd-boot": Layout({
        **BASE, **NETWORKD, **release("arch", ""),
        "/etc/fstab": f"UUID={UUID} / ext4 rw 0 1\nUUID={ESP_UUID} /efi vfat rw 0 2\n",
        "/efi/EFI/BOOT/BOOTX64.EFI": b"MZ", "/efi/loader/loader.conf": "default arch*\ntimeout 3\n",
        "/efi/loader/entries/arch.conf": f"title Arch\nlinux /vmlinuz-linux\ninitrd /initramfs-linux.img\noptions root=PARTUUID={PARTUUID} rw console=ttyS0\n",
        "/efi/loader/entries/arch-fallback.conf": "title Fallback\nlinux /vmlinuz-linux\ninitrd /initramfs-linux.img\noptions root=/dev/sda2 rw\n",
        "/efi/vmlinuz-linux": b"MZ", "/efi/initramfs-linux.img": cpio(drivers(ARCH)), **modules(ARCH),
    }, ON_UEFI),
    "NixOS with systemd-boot": Layout({
        **BASE, **NETWORKD, **release("nixos", "24.11"), "/etc/fstab": "/dev/disk/by-label/root / ext4 x-initrd.mount 0 1\n/dev/disk/by-label/EFI /boot/efi vfat - 0 2\n",
        "/boot/efi/EFI/BOOT/BOOTX64.EFI": b"MZ", "/boot/efi/loader/loader.conf": "timeout 5\ndefault nixos-generation-2.conf\n",
        "/boot/efi/loader/entries/nixos-generation-1.conf": "title NixOS 1\nlinux /EFI/nixos/gone-bzImage.efi\ninitrd /EFI/nixos/gone-initrd.efi\noptions init=/nix/store/x/init\n",
        "/boot/efi/loader/entries/nixos-generation-2.conf": "title NixOS 2\nlinux /EFI/nixos/a-bzImage.efi\ninitrd /EFI/nixos/a-initrd.efi\noptions init=/nix/store/y/init console=ttyS0\n",
        "/boot/efi/EFI/nixos/a-bzImage.efi": b"MZ", "/boot/efi/EFI/nixos/a-initrd.efi": cpio(drivers("6.6.52")),
    }, ON_UEFI),
    "openSUSE on a snapshot of btrfs": Layout({
        **BASE, **release("opensuse-leap", "15.6"), "/etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n",
        "/etc/fstab": f"UUID={UUID} / btrfs defaults 0 0\nUUID={UUID} /var btrfs subvol=/@/var 0 0\nUUID={UUID} /.snapshots btrfs subvol=/@/.snapshots 0 0\n",
        "/etc/sysconfig/network/dhcp": 'DHCLIENT_USE_LAST_LEASE="no"\nDHCLIENT_SET_HOSTNAME="no"\n',
        "/boot/grub2/grub.cfg": ('set btrfs_relative_path="y"\nexport btrfs_relative_path\n' + DEBIAN_HEAD % {"uuid": UUID, "default": "0"}
            + "if [ -n \"$extra_cmdline\" ]; then\n  submenu \"Bootable snapshot #$snapshot_num\" {\n    menuentry \"If OK\" { true; }\n  }\nfi\n"
            + f"menuentry 'openSUSE' --class opensuse $menuentry_id_option 'x' {{\n  load_video\n  set gfxpayload=keep\n  search --no-floppy --fs-uuid --set=root {UUID}\n"
            + f"  linux /boot/vmlinuz-{SUSE} root=UUID={UUID}  ${{extra_cmdline}} splash=silent quiet console=ttyS0\n  initrd /boot/initrd-{SUSE}\n}}\n"),
        **kernel(SUSE, f"/boot/vmlinuz-{SUSE}", f"/boot/initrd-{SUSE}"),
    }, {**ON_BIOS, "volumes": (part(1, "btrfs", UUID, devices=1),)}),
    "Void with dhcpcd by runit": Layout({
        **{k: v for k, v in BASE.items() if "systemd" not in k}, **release("void", ""), "/etc/runit/runsvdir/default/dhcpcd": Link("/etc/sv/dhcpcd"),
        "/etc/runit/runsvdir/default/cloud-init": Link("/etc/sv/cloud-init"),
        "/boot/grub/grub.cfg": f"menuentry 'Void' {{\n linux /boot/vmlinuz-{VOID} root=UUID={UUID} ro console=ttyS0\n initrd /boot/initramfs-{VOID}.img\n}}\n",
        **kernel(VOID, f"/boot/vmlinuz-{VOID}", f"/boot/initramfs-{VOID}.img"),
    }),
    "Gentoo with OpenRC and netifrc": Layout({
        **{k: v for k, v in BASE.items() if "systemd" not in k}, **release("gentoo", "2.15"), "/etc/runlevels/default/net.eth0": Link("/etc/init.d/net.eth0"),
        "/etc/runlevels/default/cloud-init": Link("/etc/init.d/cloud-init"), "/etc/fstab": f"UUID={UUID} / ext4 noatime 0 1\n/dev/cdrom /mnt/cdrom auto noauto,ro 0 0\n",
        "/boot/grub/grub.cfg": f"menuentry 'Gentoo' {{\n linux /boot/kernel-{GENTOO} root=UUID={UUID} ro console=ttyS0\n initrd /boot/initramfs-{GENTOO}.img\n}}\n",
        **kernel(GENTOO, f"/boot/kernel-{GENTOO}", f"/boot/initramfs-{GENTOO}.img"),
    }),
    "Photon OS": Layout({
        **BASE, **NETWORKD, **release("photon", "5.0"), "/boot/grub2/grub.cfg": PHOTON_GRUB, "/boot/photon.cfg": Link(f"linux-{PHOTON}.cfg"),
        "/etc/fstab": f"PARTUUID={PARTUUID} / ext4 defaults 1 1\n",
        f"/boot/linux-{PHOTON}.cfg": f"# GRUB Environment Block\nphoton_cmdline=init=/lib/systemd/systemd ro loglevel=3 quiet\nphoton_linux=vmlinuz-{PHOTON}\nphoton_initrd=initrd.img-{PHOTON}\n",
        **kernel(PHOTON, f"/boot/vmlinuz-{PHOTON}", f"/boot/initrd.img-{PHOTON}"),
    }, {**ON_BIOS, "volumes": (part(1, "ext4", UUID, part_uuid=PARTUUID),)}),
    "a kernel with its own drivers and no initramfs": Layout({
        **BASE, **NETWORKD, **release("clear-linux-os", "42000"), "/lib/modules/6.8.1/modules.builtin": "".join(f"kernel/{n}.ko\n" for n in VIRTIO),
        "/boot/vmlinuz-6.8.1": b"MZ", "/boot/grub/grub.cfg": f"linux /boot/vmlinuz-6.8.1 root=UUID={UUID} console=ttyS0\n", **modules("6.8.1", []),
    }),
    "two systems of an A/B update": Layout({
        **BASE, **NETWORKD, **release("poky", "5.0"), "/etc/fstab": "/dev/root / auto defaults 1 1\nproc /proc proc defaults 0 0\ntmpfs /run tmpfs mode=0755 0 0\n",
        "/boot/efi/EFI/BOOT/BOOTX64.EFI": b"MZ", "/boot/efi/EFI/BOOT/grub.cfg": f"set default=0\nmenuentry 'a' {{\n linux /bzImage root=PARTUUID={PARTUUID} rootwait console=ttyS0\n}}\nmenuentry 'b' {{\n linux /bzImage root=PARTUUID=44444444-0000-4333-8444-555555555555\n}}\n",
        "/boot/efi/bzImage": b"MZ",
    }, {**ON_UEFI, "volumes": (EFI, ROOT, part(3, "ext4", UUID, part_uuid="44444444-0000-4333-8444-555555555555"))}),
    "swap with a random key, zram and a share": Layout({
        **BASE, **NETPLAN, **release("ubuntu", "22.04"), "/boot/grub/grub.cfg": debian_grub(UBUNTU),
        **kernel(UBUNTU, f"/boot/vmlinuz-{UBUNTU}", f"/boot/initrd.img-{UBUNTU}"),
        "/etc/crypttab": "cryptswap1 /swap.img /dev/urandom swap,offset=1024,cipher=aes-xts-plain64\n",
        "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n/dev/mapper/cryptswap1 none swap sw 0 0\n/dev/zram1 none swap pri=5 0 0\n//nas/x /mnt cifs _netdev,guest 0 0\ntmpfs /tmp tmpfs mode=1777 0 0\n/srv/a /srv/b none bind 0 0\noverlay /x overlay lowerdir=/a 0 0\n",
    }),
    "a bond below a bridge in NetworkManager": Layout({
        **el(ROCKY), **release("rocky", "9.4"), "/usr/sbin/NetworkManager": None,
        "/etc/NetworkManager/system-connections/br0.nmconnection": "[connection]\nid=br0\ntype=bridge\ninterface-name=br0\n[ipv4]\nmethod=auto\n",
        "/etc/NetworkManager/system-connections/port.nmconnection": "[connection]\nid=port\ntype=ethernet\ninterface-name=eth0\nmaster=br0\nslave-type=bridge\n[ipv4]\nmethod=disabled\n",
    }),
    "ifupdown with a bridge": Layout({
        **BASE, **release("debian", "12"), "/boot/grub/grub.cfg": debian_grub(UBUNTU), **kernel(UBUNTU, f"/boot/vmlinuz-{UBUNTU}", f"/boot/initrd.img-{UBUNTU}"),
        "/etc/cloud/cloud.cfg.d/99.cfg": "network: {config: disabled}\n", "/etc/network/interfaces": "auto lo br0\niface lo inet loopback\niface eth0 inet manual\niface br0 inet dhcp\n  bridge_ports eth0\n",
    }),
}  # fmt: skip


def guest(layout: Layout) -> Guest:
    files = {path: content for path, content in layout.files.items() if content is not None}
    return linux_guest(files, **layout.disk)


def bad(found: Guest) -> dict[str, str]:
    findings, _ = check_guest(found, os_version=None)
    return {f.rule: f.message for f in findings if f.severity > Severity.NOTE}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_that_boots_raises_neither_error_nor_warning(name: str) -> None:
    found = guest(LAYOUTS[name])
    assert found.boot.routes, "its loader was found"
    assert found.boot.routes[0].entry is not None, found.boot
    assert bad(found) == {}


# What is changed in which layout (old and new text of a file), and the one rule that must speak.
FAULTS: dict[str, tuple[str, str, str, str, str]] = {
    "the stub of shim searches a file system that is gone": (
        "Ubuntu on UEFI with shim's stub", "/boot/efi/EFI/ubuntu/grub.cfg", UUID, HOME_UUID, "IMS807"),
    "the root of a clone": (
        "Ubuntu 22.04, GRUB as update-grub writes it", "/boot/grub/grub.cfg", f"root=UUID={UUID}",
        f"root=UUID={HOME_UUID}", "IMS813"),
    "the saved entry is the one without a driver": (
        "Debian with a default saved by name", "/boot/grub/grubenv", OLD, UBUNTU, "IMS814"),
    "an argument of a volume that moved": (
        "Alma 9 on LVM", f"/boot/loader/entries/{MACHINE}-{ROCKY}.conf", "rd.lvm.lv=rl/swap",
        "rd.lvm.lv=old/swap", "IMS818"),
    "a devices file of another machine": (
        "Alma 9 on LVM", "/etc/lvm/devices/system.devices", "IDTYPE=devname IDNAME=/dev/vda1",
        "IDTYPE=sys_wwid IDNAME=naa.6000c29a0b1c2d3e", "IMS842"),
    "kernelopts of another disk": (
        "RHEL 8, kernelopts in grubenv", "/boot/grub2/grubenv", UUID, HOME_UUID, "IMS813"),
    "loader.conf names the old generation": (
        "NixOS with systemd-boot", "/boot/efi/loader/loader.conf", "generation-2", "generation-1",
        "IMS807"),
    "a partition of another disk": (
        "Photon OS", "/boot/grub2/grub.cfg", PARTUUID, HOME_UUID, "IMS813"),
    "a bond below a bridge of another card": (
        "ifupdown with a bridge", "/etc/network/interfaces", "eth0", "ens224", "IMS844"),
    "a crypttab without its disk": (
        "swap with a random key, zram and a share", "/etc/crypttab", "/swap.img",
        f"UUID={HOME_UUID}", "IMS846"),
    "a label that is not there": (
        "NixOS with systemd-boot", "/etc/fstab", "by-label/root", "by-label/nixos", "IMS811"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_a_layout_is_found_where_it_is(name: str) -> None:
    layout, path, old, new, rule = FAULTS[name]
    files = dict(LAYOUTS[layout].files)
    assert old in files[path]
    files[path] = files[path].replace(old, new)
    found = bad(guest(Layout(files, LAYOUTS[layout].disk)))
    assert list(found) == [rule]
    assert path in found[rule] or rule == "IMS814" or path.endswith(("grubenv", "loader.conf"))


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/vmlinuz", True),
        ("/boot/kernel", True),
        ("/sbin/init", True),
        ("/srv/vmlinuz", False),
        ("/data", False),
    ],
)
def test_a_disk_with_a_kernel_is_not_said_to_hold_no_system(path: str, known: bool) -> None:
    found, skipped = check_guest(inspected((part(1, "ext4", UUID),), {"partition 1": {path: b"x"}}))
    assert ("IMS808" in {s.rule for s in skipped}) is known
    assert ("IMS808" in {f.rule for f in found}) is not known
