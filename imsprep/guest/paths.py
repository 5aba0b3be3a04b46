"""Which paths of a guest are looked at: the whole list, so that it can be read and reviewed.

TEXT files are read (up to TEXT_LIMIT bytes), of the others only existence, kind and size are
taken. No private data is read: of keys, histories and logs nothing but the size.
"""

from __future__ import annotations

from imsprep.units import KIB

TEXT_LIMIT = 256 * KIB  # of one text file; a grub.cfg with many kernels has some 50 KiB
PATTERN_LIMIT = 400  # paths that one pattern may give

# The programs of an EFI system partition that is mounted on /boot/efi, /efi or /boot.
LOADERS = ("/boot/efi/EFI/*/*.[eE][fF][iI]", "/efi/EFI/*/*.[eE][fF][iI]",
           "/boot/EFI/*/*.[eE][fF][iI]", "/efi/EFI/Microsoft/Boot/bootmgfw.efi")  # fmt: skip

# What names network cards: systemd's udev, its rules (the second of older versions) and its .link
# files, those in front first; and the rules by which older ones kept names by address.
UDEVD = ("/lib/systemd/systemd-udevd", "/usr/lib/systemd/systemd-udevd")
UDEV_RULES = "/etc/udev/rules.d/*.rules"
NET_RULES = ("/lib/udev/rules.d/80-net-setup-link.rules",
             "/lib/udev/rules.d/80-net-name-slot.rules")  # fmt: skip
LINKS = ("/etc/systemd/network/*.link", "/usr/local/lib/systemd/network/*.link",
         "/lib/systemd/network/*.link", "/usr/lib/systemd/network/*.link")  # fmt: skip
# Of these only those are kept that name cards, without their text; a desktop has 1 MiB of them.
VENDOR_RULES = ("/usr/local/lib/udev/rules.d/*.rules", "/lib/udev/rules.d/*.rules",
                "/usr/lib/udev/rules.d/*.rules")  # fmt: skip
NET_GENERATORS = tuple(
    f"{folder}/udev/rules.d/75-persistent-net-generator.rules" for folder in ("/lib", "/usr/lib")
)

# A text of any length is cut; these are only good whole and small.
LINUX_TEXT = (
    # which system
    "/etc/os-release", "/etc/redhat-release", "/etc/centos-release", "/etc/oracle-release",
    "/etc/euleros-release", "/etc/openEuler-release", "/etc/SuSE-release", "/etc/debian_version",
    "/etc/lsb-release", "/etc/alpine-release", "/etc/system-release", "/usr/lib/os-release",
    # mounts
    "/etc/systemd/system/local-fs.target.requires/*.mount",
    "/etc/fstab", "/etc/crypttab", "/etc/lvm/devices/system.devices", "/etc/lvm/lvm.conf",
    "/etc/lvm/lvmlocal.conf",
    # boot loaders
    "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub/menu.lst", "/boot/grub/grub.conf",
    "/boot/grub2/grubenv", "/boot/grub/grubenv", "/boot/efi/EFI/*/grub.cfg",
    "/efi/EFI/*/grub.cfg", "/boot/efi/EFI/*/grubenv", "/efi/EFI/*/grubenv",
    "/boot/loader/entries/*.conf", "/boot/efi/loader/entries/*.conf",
    "/efi/loader/entries/*.conf", "/boot/extlinux.conf", "/boot/extlinux/extlinux.conf",
    "/boot/syslinux/syslinux.cfg", "/boot/extlinux/*.cfg", "/etc/default/grub",
    "/etc/kernel/cmdline", "/etc/inittab",
    # what the initramfs is made from
    "/etc/dracut.conf", "/etc/dracut.conf.d/*.conf", "/etc/initramfs-tools/modules",
    "/etc/initramfs-tools/initramfs.conf", "/etc/initramfs-tools/conf.d/*",
    "/etc/sysconfig/kernel",
    "/etc/selinux/config", "/etc/modprobe.d/*.conf", "/etc/modules", "/etc/modules-load.d/*.conf",
    # network
    UDEV_RULES, *NET_RULES, "/etc/network/interfaces", "/etc/network/interfaces.d/*",
    "/etc/netplan/*.yaml", "/lib/netplan/*.yaml", "/etc/sysconfig/network-scripts/ifcfg-*",
    "/etc/sysconfig/network/ifcfg-*", "/etc/sysconfig/network/dhcp", "/etc/sysconfig/network",
    "/etc/NetworkManager/NetworkManager.conf", "/etc/NetworkManager/conf.d/*.conf",
    "/usr/lib/NetworkManager/conf.d/*.conf",
    "/etc/systemd/network/*.network", "/usr/lib/systemd/network/*.network",
    *LINKS, "/etc/dhcpcd.conf",
    # cloud-init and ssh
    "/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg", "/etc/cloud/ds-identify.cfg",
    "/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf", "/etc/machine-id",
    "/var/lib/dbus/machine-id",
)  # fmt: skip

# What may be the first program of a system; and ordinary programs, each in the places that it has:
# a system with these is whole enough to miss an init in it.
INITS = ("/sbin/init", "/etc/init", "/bin/init", "/bin/sh", "/usr/lib/systemd/systemd",
         "/lib/systemd/systemd")  # fmt: skip
ORDINARY = (("/bin/ls", "/usr/bin/ls"), ("/bin/mount", "/usr/bin/mount"), ("/usr/bin/env",))

# What reads /etc/network/interfaces, and what reads netplan's files: a system has one of each.
IFUPDOWN = ("/sbin/ifup", "/usr/sbin/ifup", "/bin/ifup", "/usr/bin/ifup")
NETPLANS = ("/usr/sbin/netplan", "/sbin/netplan", "/usr/bin/netplan",
            "/lib/systemd/system-generators/netplan")  # fmt: skip
NIX_GENERATIONS = "/nix/var/nix/profiles/system*"
DRACUT = "/usr/lib/dracut/dracut-init.sh"  # a system with this has dracut
# What the boot mounts on before anything could make folders on the root.
MOUNT_POINTS = ("/dev", "/proc", "/run", "/sys")

LINUX_NAMES = (
    # boot
    *MOUNT_POINTS, *(place for places in ORDINARY for place in places),
    "/etc/mkinitcpio.conf", "/boot/vmlinuz*", "/boot/initr*", *LOADERS, "/boot/grub/i386-pc/*.img",
    "/boot/grub2/i386-pc/*.img", "/boot/grub/stage2", "/boot/extlinux/ldlinux.sys",
    "/boot/ldlinux.sys", "/lib/modules/*",
    # what names network cards
    *NET_GENERATORS, *UDEVD, *(f"{pattern}.d/*" for pattern in LINKS),
    "/etc/udev/rules.d/*", "/etc/mactab", "/etc/iftab",
    # services that start at boot
    "/etc/systemd/system/*.wants/*", "/etc/systemd/system/cloud-*",
    "/etc/systemd/system/default.target", "/etc/systemd/system/*.target",
    "/lib/systemd/system/*.target", "/usr/local/lib/systemd/system/*.target",
    "/usr/lib/systemd/system/default.target",
    "/lib/systemd/system/*.wants/cloud-*", "/lib/systemd/system/cloud-init.service",
    "/etc/network/cloud-ifupdown-helper", "/etc/netplan/*.yml",
    "/etc/systemd/system-generators/cloud-init-generator",
    "/etc/rc3.d/S*", "/etc/rc.d/rc3.d/S*",
    "/etc/runlevels/*/*", "/etc/runit/runsvdir/*/*", "/var/service/*",
    "/etc/systemd/system/dbus-org.freedesktop.network1.service",
    "/etc/systemd/system/systemd-networkd.service", "/etc/systemd/system/NetworkManager.service",
    "/usr/lib/systemd/system/*.wants/systemd-networkd*", "/usr/bin/NetworkManager",
    "/usr/sbin/NetworkManager", *IFUPDOWN, *NETPLANS, NIX_GENERATIONS, DRACUT,
    "/etc/selinux/*/policy/policy.*",
    # cloud-init
    "/usr/bin/cloud-init", "/usr/local/bin/cloud-init", "/etc/cloud/cloud-init.disabled",
    "/var/lib/cloud/seed/*/meta-data", "/var/lib/cloud/seed/ovf/ovf-env.xml",
    "/var/lib/cloud/instance", "/var/lib/cloud/instances/*",
    # leftovers
    "/etc/ssh/ssh_host_*_key", "/root/.ssh/authorized_keys", "/home/*/.ssh/authorized_keys",
    "/root/.bash_history", "/home/*/.bash_history", "/root/.zsh_history", "/home/*/.zsh_history",
    "/root/.ash_history", "/root/.ssh/id_*", "/home/*/.ssh/id_*", "/root/.aws/credentials",
    "/var/log/*", "/var/log/audit/*", "/var/log/journal/*/*", "/var/lib/dhcp/*",
    "/var/lib/dhclient/*", "/var/lib/dhcpcd/*", "/var/lib/NetworkManager/*.lease",
    "/run/systemd/netif/leases/*",
    # tools of other platforms
    "/usr/bin/vmtoolsd", "/usr/sbin/vmtoolsd", "/usr/sbin/VBoxService", "/usr/bin/VBoxClient",
    "/opt/VBoxGuestAdditions-*", "/usr/sbin/hv_kvp_daemon", "/usr/sbin/hypervkvpd",
    "/usr/sbin/xe-daemon", "/usr/sbin/xenstore", "/usr/sbin/waagent", "/usr/bin/waagent",
    "/usr/bin/google_guest_agent", "/usr/bin/amazon-ssm-agent", "/usr/bin/prltoolsd",
    "/etc/vmware-tools/*", "/usr/bin/qemu-ga", "/usr/sbin/qemu-ga",
)  # fmt: skip

# Names whose text holds secrets; a parser in the child keeps only what a rule needs.
PASSWORDS = "/etc/shadow"
CONNECTIONS = ("/etc/NetworkManager/system-connections/*",
               "/usr/lib/NetworkManager/system-connections/*")  # fmt: skip
LINUX_SECRETS = (PASSWORDS, *CONNECTIONS)

# One of these is a program of the guest's own architecture.
PROGRAMS = ("/lib/systemd/systemd", "/sbin/init", "/bin/busybox", "/bin/sh", "/usr/bin/env")

WINDOWS_NAMES = (
    *LOADERS, "/Windows/System32/ntoskrnl.exe", "/Windows/System32/drivers/viostor.sys",
    "/Windows/System32/drivers/vioscsi.sys", "/Windows/System32/drivers/netkvm.sys",
    "/Windows/System32/winload.efi", "/Windows/System32/winload.exe", "/bootmgr", "/Boot/BCD",
    "/hiberfil.sys", "/Windows/WinSxS/pending.xml", "/Windows/SysWOW64",
    "/Program Files/Cloudbase Solutions/Cloudbase-Init/Python*/Scripts/cloudbase-init.exe",
    "/Windows/System32/winevt/Logs/*.evtx",
)  # fmt: skip
WINDOWS_TEXT = ("/Program Files/Cloudbase Solutions/Cloudbase-Init/conf/*.conf",)
HIVES = {"SOFTWARE": "/Windows/System32/config/SOFTWARE",
         "SYSTEM": "/Windows/System32/config/SYSTEM"}  # fmt: skip
