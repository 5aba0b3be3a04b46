"""IMS825–IMS838: a Linux guest's cloud-init, and what it should not carry along."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks import fixes
from imsprep.checks.facts import Facts
from imsprep.checks.rule import INFERRED, Evidence, UnknownError, rule
from imsprep.checks.subject.guest import (
    FILE_TABLE,
    LINUX_GUIDE,
    advice,
    linux,
    listed,
)
from imsprep.guest.linux import cloud_init
from imsprep.guest.linux.sshd import MAIN, sshd_settings
from imsprep.guest.model import DIRECTORY, FILE, Guest
from imsprep.report import Severity
from imsprep.units import counted, format_size

_METADATA = "http://169.254.169.254"

# Program or folder of a platform's tools: pattern, name, how to remove.
_TOOLS = (
    (("/usr/bin/vmtoolsd", "/usr/sbin/vmtoolsd", "/etc/vmware-tools/*"), "VMware tools",
     "open-vm-tools"),
    (("/usr/sbin/VBoxService", "/usr/bin/VBoxClient", "/opt/VBoxGuestAdditions-*"),
     "VirtualBox guest additions", "virtualbox-guest-utils"),
    (("/usr/sbin/hv_kvp_daemon", "/usr/sbin/hypervkvpd"), "Hyper-V daemons", "hyperv-daemons"),
    (("/usr/sbin/xe-daemon",), "Xen guest utilities", "xe-guest-utilities"),
    (("/usr/sbin/waagent", "/usr/bin/waagent"), "Azure agent", "waagent"),
    (("/usr/bin/google_guest_agent",), "Google guest agent", "google-guest-agent"),
    (("/usr/bin/amazon-ssm-agent",), "Amazon SSM agent", "amazon-ssm-agent"),
    (("/usr/bin/prltoolsd",), "Parallels tools", "parallels-tools"),
)  # fmt: skip


@rule(
    "IMS825",
    Severity.WARNING,
    "cloud-init is not installed",
    why="Without it a server gets no password, key or host name from the service.",
    fix=advice("install cloud-init", "--install cloud-init"),
    source=LINUX_GUIDE,
)
def no_cloud_init(facts: Facts) -> Iterator[Evidence]:
    """Look for the program and its configuration."""
    guest = linux(facts)
    if not cloud_init.installed(guest) and cloud_init.ignition_platform(guest) is None:
        yield Evidence("neither /usr/bin/cloud-init nor /etc/cloud/cloud.cfg is there")


def _with_cloud_init(facts: Facts) -> Guest:
    guest = linux(facts)
    if not cloud_init.installed(guest):
        raise UnknownError("cloud-init is not installed")
    return guest


@rule(
    "IMS826",
    Severity.WARNING,
    "cloud-init is installed but will not run",
    why="A disabled cloud-init does nothing at the server's first start.",
    fix=advice("remove what is named, and let systemd start cloud-init's four services"),
    source=LINUX_GUIDE,
)
def cloud_init_disabled(facts: Facts) -> Iterator[Evidence]:
    """Look for the switch file and for anything that starts it."""
    reason = cloud_init.stopped(_with_cloud_init(facts))
    if reason is not None:
        by_file = reason.startswith(cloud_init.DISABLED)
        fix = fixes.on_file("rm -f", "--delete", cloud_init.DISABLED) if by_file else None
        yield Evidence(reason, fix=fix)


def _settings(facts: Facts) -> tuple[Guest, dict[str, object]]:
    guest = _with_cloud_init(facts)
    try:
        return guest, cloud_init.settings(guest)
    except ImportError:
        raise UnknownError("cloud-init's YAML needs imsprep[guest]") from None


@rule(
    "IMS827",
    Severity.WARNING,
    "cloud-init does not look for the service's data source",
    why="The service offers OpenStack's metadata; cloud-init finds nothing elsewhere.",
    fix=advice("write the settings of docs/guest.md to /etc/cloud/cloud.cfg.d/99_openstack.cfg"),
    source=LINUX_GUIDE,
)
def datasource(facts: Facts) -> Iterator[Evidence]:
    """Read datasource_list; without one cloud-init probes all, which is slower but works."""
    yield from _other_ignition(linux(facts))
    guest, settings = _settings(facts)
    forced = cloud_init.forced_source(guest)
    if forced is not None and "openstack" not in forced.names:
        yield Evidence(
            f"{forced.where} says {forced.text}, and cloud-init asks that source only, whatever "
            "datasource_list says",
            expected="no source forced, or OpenStack",
            found=forced.text,
            fix=advice(
                "remove it from GRUB_CMDLINE_LINUX in /etc/default/grub, then `update-grub` or "
                "`grub2-mkconfig`; of ds-identify.cfg remove the line"
            ),
        )
    names = settings.get("datasource_list")
    yield from _other_address(guest, settings.get("datasource"))
    yield from _seed(guest, names, settings.get("datasource"))
    if names is None:
        yield Evidence(
            "no datasource_list is set, so cloud-init probes every cloud",
            expected="datasource_list: [ OpenStack ]",
            fix=fixes.cloud_settings(guest),
            severity=Severity.NOTE,
        )
    elif not isinstance(names, list) or "OpenStack" not in names:
        # Only plain names are shown: aliases can make a small YAML text endless.
        plain = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        shown = f"[ {', '.join(plain)} ]"[:120] if plain == names else "no list of names"
        path = cloud_init.where(guest, "datasource_list")
        by_line = advice(f"remove cc: and what follows from the command line, and {fixes.AGAIN}")
        yield Evidence(f"{path}: datasource_list is {shown}", expected="[ OpenStack ]", found=shown,
                       fix=by_line if "cc:" in path else fixes.cloud_settings(guest))  # fmt: skip


def _other_ignition(guest: Guest) -> Iterator[Evidence]:
    """Look for the platform that Ignition asks, which takes cloud-init's place."""
    ignition = cloud_init.ignition_platform(guest)
    if ignition is not None and "openstack" not in ignition.names:
        yield Evidence(
            f"{ignition.where} says {ignition.text}: Ignition asks that platform only",
            expected="openstack",
            found=ignition.text,
            fix=advice("take the image for OpenStack, or write openstack there"),
        )


def _other_address(guest: Guest, sources: object) -> Iterator[Evidence]:
    """Look for an address of the metadata that is another cloud's: no other is asked then."""
    openstack = sources.get("OpenStack") if isinstance(sources, dict) else None
    urls = openstack.get("metadata_urls") if isinstance(openstack, dict) else None
    plain = [url for url in urls if isinstance(url, str)] if isinstance(urls, list) else []
    if plain and not any(
        _METADATA.removeprefix("http://") in u or "fe80::a9fe" in u for u in plain
    ):
        yield Evidence(
            f"{cloud_init.where(guest, 'datasource')}: metadata_urls is {plain[0][:100]}, and "
            "cloud-init asks no other address",
            expected=_METADATA,
            found=plain[0][:100],
            fix=fixes.cloud_settings(guest),
        )


# What cloud-init looks for on the server's own disk: labels of volumes, as it compares them.
_SEED_LABELS = (
    ("cidata", "NoCloud"),
    ("CIDATA", "NoCloud"),
    ("config-2", "ConfigDrive"),
    ("CONFIG-2", "ConfigDrive"),
)


def _seed(guest: Guest, names: object, sources: object) -> Iterator[Evidence]:
    """Look for a seed that was left, on the disk or in a volume of its own, and is asked first."""
    # Only plain names: aliases can make a small YAML text endless.
    listed_ = (
        [n for n in names if isinstance(n, str)]
        if isinstance(names, list)
        else ["NoCloud", "ConfigDrive", "OVF", "OpenStack"]
    )
    before = listed_[: listed_.index("OpenStack")] if "OpenStack" in listed_ else []
    seeds = [
        p for p, e in guest.matching("/var/lib/cloud/seed/nocloud*/meta-data") if e.kind == FILE
    ]
    own = sources.get("NoCloud") if isinstance(sources, dict) else None
    own = own if isinstance(own, dict) else {}
    if "NoCloud" in before and {"seedfrom", "meta-data", "user-data"} & own.keys():
        yield Evidence(
            f"{cloud_init.where(guest, 'datasource')} configures NoCloud, which is asked before "
            "OpenStack",
            expected="datasource_list: [ OpenStack ]",
            fix=fixes.cloud_settings(guest),
        )
    yield from _other_seeds(guest, before)
    if seeds and "NoCloud" in before:
        yield Evidence(
            f"{seeds[0]} was left by an installer, and cloud-init takes it as its source",
            fix=advice(f"`rm -r {seeds[0].rpartition('/')[0]}`"),
        )


def _other_seeds(guest: Guest, before: list[str]) -> Iterator[Evidence]:
    """Look for volumes that are sources by their label, and for a seed of OVF."""
    for volume in guest.volumes:
        source = dict(_SEED_LABELS).get(volume.label or "")
        if source in before:
            yield Evidence(
                f"{volume.name} has the label {volume.label}, and cloud-init takes it for the "
                f"source {source}, which is asked before OpenStack",
                expected="no such volume, or datasource_list: [ OpenStack ]",
                found=volume.label,
                fix=fixes.cloud_settings(guest),
            )
    ovf = [p for p, e in guest.matching("/var/lib/cloud/seed/ovf/ovf-env.xml") if e.kind == FILE]
    if ovf and "OVF" in before:
        yield Evidence(
            f"{ovf[0]} was left, and cloud-init takes it as its source",
            fix=advice(f"`rm -r {ovf[0].rpartition('/')[0]}`"),
        )


@rule(
    "IMS828",
    Severity.NOTE,
    "cloud-init lacks settings that the guide asks for",
    why="With them cloud-init finds the metadata quickly and leaves the DHCP configuration alone.",
    fix=advice("write the settings of docs/guest.md to /etc/cloud/cloud.cfg.d/99_openstack.cfg"),
    source=LINUX_GUIDE,
)
def documented_settings(facts: Facts) -> Iterator[Evidence]:
    """Compare with the settings of the user guide."""
    guest, settings = _settings(facts)
    fix = fixes.cloud_settings(guest)
    sources = settings.get("datasource")
    openstack = sources.get("OpenStack") if isinstance(sources, dict) else None
    openstack = openstack if isinstance(openstack, dict) else {}
    wanted = (("metadata_urls", [_METADATA]), ("max_wait", 120), ("timeout", 5),
              ("apply_network_config", False))  # fmt: skip
    lacking = [f"{key}: {value}" for key, value in wanted if openstack.get(key) != value]
    if openstack.get("metadata_urls"):  # IMS827 speaks of another address
        lacking = [text for text in lacking if not text.startswith("metadata_urls")]
    if lacking:
        yield Evidence(f"datasource OpenStack does not set {', '.join(lacking)}", fix=fix)
    network = settings.get("network")
    if not isinstance(network, dict) or network.get("config") != "disabled":
        yield Evidence("network: {config: disabled} is not set", fix=fix)


@rule(
    "IMS829",
    Severity.WARNING,
    "cloud-init keeps the state of another server",
    why="If cloud-init takes the server for one that it has set up, it does not set it up again.",
    fix=advice("remove that state, as `cloud-init clean` does, before the disk is copied"),
    source=LINUX_GUIDE,
)
def stale_instance(facts: Facts) -> Iterator[Evidence]:
    """Look below /var/lib/cloud."""
    paths = [
        p for p, _ in linux(facts).matching("/var/lib/cloud/instance", "/var/lib/cloud/instances/*")
    ]
    if paths:
        state = "/var/lib/cloud/instance /var/lib/cloud/instances"
        yield Evidence(listed(paths), fix=fixes.command(f"rm -rf {state}"))


@rule(
    "IMS830",
    Severity.WARNING,
    "The image contains ssh keys of users",
    why="The holder of the private key can log in to every server made from the image.",
    fix=advice("`truncate -s 0 /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys`",
               "--truncate /root/.ssh/authorized_keys"),
    source=LINUX_GUIDE,
)  # fmt: skip
def authorized_keys(facts: Facts) -> Iterator[Evidence]:
    """Look for authorized_keys and private keys that are not empty."""
    yield from _leftovers(facts, "/root/.ssh/authorized_keys", "/home/*/.ssh/authorized_keys")
    for path, entry in linux(facts).matching("/root/.ssh/id_*", "/home/*/.ssh/id_*"):
        if entry.size and not path.endswith(".pub"):
            yield Evidence(f"{path} is a private key ({entry.size} bytes)",
                           fix=fixes.on_file("rm -f", "--delete", path))  # fmt: skip


def _leftovers(facts: Facts, *patterns: str) -> Iterator[Evidence]:
    for path, entry in linux(facts).matching(*patterns):
        if entry.kind == FILE and entry.size:
            fix = fixes.on_file("truncate -s 0", "--truncate", path)
            yield Evidence(f"{path} is not empty ({entry.size} bytes)", fix=fix)


@rule(
    "IMS831",
    Severity.WARNING,
    "The image contains ssh host keys",
    why="All servers from the image have the same identity, which anyone with the image can forge.",
    fix=advice("`rm -f /etc/ssh/ssh_host_*`", "--delete '/etc/ssh/ssh_host_*'"),
    source=INFERRED,
)
def host_keys(facts: Facts) -> Iterator[Evidence]:
    """Look for private host keys; cloud-init makes new ones unless it is configured not to."""
    guest = linux(facts)
    paths = [path for path, _ in guest.matching("/etc/ssh/ssh_host_*_key")]
    if paths:
        yield Evidence(f"{listed(paths)}", severity=Severity.NOTE if _renews_keys(guest) else None)


def _renews_keys(guest: Guest) -> bool:
    try:
        kept = cloud_init.settings(guest).get("ssh_deletekeys", True)
    except ImportError:
        return False
    runs = cloud_init.installed(guest) and cloud_init.enabled(guest)
    return runs and kept not in (False, 0, "false")


@rule(
    "IMS832",
    Severity.WARNING,
    "The image contains a machine-id",
    why="All servers have the same id, which DHCP servers and journals take for one machine.",
    fix=advice(
        "`truncate -s 0 /etc/machine-id; rm -f /var/lib/dbus/machine-id`",
        "--truncate /etc/machine-id --delete /var/lib/dbus/machine-id",
    ),
    source=INFERRED,
)
def machine_id(facts: Facts) -> Iterator[Evidence]:
    """Look for an id in /etc/machine-id."""
    text = (linux(facts).text("/etc/machine-id") or "").strip()
    if text and text != "uninitialized":
        yield Evidence("/etc/machine-id is set")


@rule(
    "IMS833",
    Severity.NOTE,
    "The image contains shell histories",
    why="Histories often hold host names and passwords.",
    fix=advice(
        "`history -c; rm -f /root/.bash_history /home/*/.bash_history`",
        "--delete /root/.bash_history",
    ),
    source=LINUX_GUIDE,
)
def histories(facts: Facts) -> Iterator[Evidence]:
    """Look for the histories of bash, zsh and ash."""
    yield from _leftovers(facts, "/root/.*_history", "/home/*/.*_history")


@rule(
    "IMS834",
    Severity.NOTE,
    "The image contains logs",
    why="They are another machine's, and take up space in every server.",
    fix=advice(
        "`find /var/log -type f -exec truncate -s 0 {} +`",
        "--run-command 'find /var/log -type f -exec truncate -s 0 {} +'",
    ),
    source=LINUX_GUIDE,
)
def logs(facts: Facts) -> Iterator[Evidence]:
    """Count the files below /var/log that are not empty."""
    patterns = ("/var/log/*", "/var/log/audit/*", "/var/log/journal/*/*")
    found = [(p, e.size) for p, e in linux(facts).matching(*patterns) if e.kind == FILE and e.size]
    if found:
        total = sum(size for _, size in found)
        files = f"{counted(len(found), 'log file')}, {format_size(total)}"
        yield Evidence(f"{files}: {listed([p for p, _ in found])}")


@rule(
    "IMS835",
    Severity.NOTE,
    "The image contains DHCP leases",
    why="A client may ask for its old address first, which is slow or wrong.",
    fix=advice("`rm -f /var/lib/dhcp/*.leases /var/lib/dhclient/* /var/lib/NetworkManager/*.lease`",
               "--delete '/var/lib/dhcp/*.leases'"),
    source=INFERRED,
)  # fmt: skip
def leases(facts: Facts) -> Iterator[Evidence]:
    """Look where dhclient, dhcpcd and NetworkManager keep leases."""
    yield from _leftovers(
        facts,
        "/var/lib/dhcp/*",
        "/var/lib/dhclient/*",
        "/var/lib/dhcpcd/*",
        "/var/lib/NetworkManager/*.lease",
    )


@rule(
    "IMS836",
    Severity.WARNING,
    "Tools of another platform are installed",
    why="They look for a hypervisor that is not there, and can hold up boot or set a wrong clock.",
    fix=advice("remove the package"),
    source=LINUX_GUIDE,
)
def foreign_tools(facts: Facts) -> Iterator[Evidence]:
    """Look for the programs of VMware, VirtualBox, Hyper-V, Xen, and of other clouds."""
    guest = linux(facts)
    for patterns, name, package in _TOOLS:
        paths = [
            path for path, entry in guest.matching(*patterns) if entry.kind in (FILE, DIRECTORY)
        ]
        if paths:
            yield Evidence(
                f"{name}: {paths[0]}", fix=advice(f"remove {package}", f"--uninstall {package}")
            )


@rule(
    "IMS837",
    Severity.WARNING,
    "Root's password is empty, or is locked without cloud-init",
    why="An empty password lets anyone in; a locked one leaves no way in if cloud-init fails.",
    fix=advice("`passwd root`", "--root-password file:FILE"),
    source=FILE_TABLE,
)
def root_password(facts: Facts) -> Iterator[Evidence]:
    """Read the state of root's password; the password itself is never kept."""
    guest = linux(facts)
    text = guest.text("/etc/shadow")
    if text is None:
        raise UnknownError("there is no root in /etc/shadow")
    state = text.partition(":")[2]
    if state == "empty":
        yield Evidence("/etc/shadow: root has an empty password", severity=Severity.ERROR)
    elif cloud_init.ignition_platform(guest) is not None:
        return
    elif state == "locked" and not (cloud_init.installed(guest) and cloud_init.enabled(guest)):
        yield Evidence("/etc/shadow: root's password is locked and no cloud-init would set one")


@rule(
    "IMS838",
    Severity.NOTE,
    "sshd allows what the guide advises against",
    why="Passwords of a server on the internet are guessed at from its first minute.",
    fix=advice("set PasswordAuthentication no and PermitRootLogin no in /etc/ssh/sshd_config"),
    source=LINUX_GUIDE,
)
def sshd(facts: Facts) -> Iterator[Evidence]:
    """Read sshd_config with what it includes; the first value of a keyword counts."""
    settings = sshd_settings(linux(facts))
    if settings is None:
        raise UnknownError("there is no /etc/ssh/sshd_config")
    for key, default in (
        ("PasswordAuthentication", "yes"),
        ("PermitRootLogin", "prohibit-password"),
    ):
        value, path = settings.get(key.lower(), (default, "the default"))
        if value.lower() == "yes":
            # The first value counts, so one at the very beginning does.
            fix = fixes.command(f"sed -i '1i{key} no' {MAIN}")
            yield Evidence(f"{key} is {value} ({path})", expected="no", found=value, fix=fix)
