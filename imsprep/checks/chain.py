"""The boot chain as a value: each step from the firmware to cloud-init, and how far it is known.

A *step* is known, unknown because of something, broken because of an error, doubtful because of a
warning, or waived where the user accepted what was found. What breaks a step is what its rules
find, as the policy judges it, so that chain and report cannot differ: an image with a broken step
has an error, and one of which a step is doubtful a warning. The HTML page
and `imsprep info` draw it; `imsprep check --json` has it as `facts.guest.chain`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from imsprep.checks.facts import Facts
from imsprep.checks.policy import EVERYTHING, Policy
from imsprep.checks.rule import Rule, UnknownError
from imsprep.checks.subject.boot_entry import firmware, place, route_of, started, value
from imsprep.checks.subject.guest import any_guest, linux
from imsprep.errors import show_path
from imsprep.guest.linux import cloud_init
from imsprep.guest.linux.fstab import named_subvolume, read_fstab
from imsprep.guest.linux.kernels import VIRTIO
from imsprep.guest.linux.locate import locate
from imsprep.guest.linux.network import brings_up_any, interfaces
from imsprep.guest.model import WINDOWS
from imsprep.report import Finding, Severity, StepValues
from imsprep.units import counted

KNOWN, UNKNOWN, WAIVED, DOUBTFUL, BROKEN = "known", "unknown", "waived", "doubtful", "broken"
_STATES = {Severity.WARNING: DOUBTFUL, Severity.ERROR: BROKEN}


class Step(NamedTuple):
    """One step; `text` is what is known, `why` the reason for any state but KNOWN."""

    name: str
    state: str  # KNOWN, UNKNOWN, WAIVED, DOUBTFUL or BROKEN
    text: str
    short: str  # for one line of the whole chain
    why: str | None = None
    rule: str | None = None  # that found it broken, doubtful or waived

    def as_dict(self) -> StepValues:
        """Return plain values for JSON."""
        return {
            "name": self.name, "state": self.state, "text": self.text, "short": self.short,
            "why": self.why, "rule": self.rule,
        }  # fmt: skip


StepText = tuple[str, str]  # text and its short form


class _Outline(NamedTuple):
    """What is asked for one step."""

    name: str
    text_of: Callable[[Facts], StepText]
    rules: tuple[str, ...]  # that say whether it is broken
    least: Severity  # of a finding that says something of it


def chain(facts: Facts, judging: Iterable[Rule], policy: Policy = EVERYTHING) -> tuple[Step, ...]:
    """Return the steps of an image whose inside was looked at; () for no Linux and no loader.

    `judging` are all rules; those of a step say whether it is broken, if the policy applies them.
    """
    guest = facts.guest
    if guest is None or guest.system == WINDOWS:
        return ()
    if guest.system is None and not guest.boot.routes:
        return ()
    rules = {rule.id: rule for rule in judging if policy.selects(rule.id)}
    return tuple(_step(facts, rules, policy, outline) for outline in _STEPS)


# What the root has to hold for what the initramfs hands over to.
_HANDED_OVER = ("IMS851", "IMS853", "IMS856", "IMS857")
# Rules whose silence leaves the step known all the same.
_LESS = ("IMS804", "IMS810", "IMS819", "IMS840", "IMS842", "IMS852", "IMS854", "IMS861",
         *_HANDED_OVER)  # fmt: skip


def screen(steps: tuple[Step, ...]) -> str:
    """Write the chain with a line or two for each step."""
    lines, before = [], None
    for step in steps:
        said = step.why is not None and step.why == before
        lines.append(f"  {step.name:11} {step.text or step.state}{', as above' if said else ''}")
        if step.why is not None and not said:
            lines.append(f"  {'':11} {step.state}: {step.why}")
        before = step.why
    return "\n".join(lines)


def _step(facts: Facts, rules: dict[str, Rule], policy: Policy, outline: _Outline) -> Step:
    name, text_of, ids, least = outline
    text, short, why, state = "", "", None, KNOWN
    try:
        text, short = text_of(facts)
    except UnknownError as error:
        state, why = UNKNOWN, str(error)
    bad: list[Finding] = []
    asked = [rules[id_] for id_ in ids if id_ in rules and _is_of(name, id_, facts)]
    for found, skipped in (rule.run(facts) for rule in asked):
        judged = [policy.judge(finding, facts.name) for finding in found]
        bad += [finding for finding in judged if finding.severity >= least]
        if skipped is not None and state == KNOWN and skipped.rule not in _LESS:
            state, why = UNKNOWN, skipped.reason
    if bad:
        worst = min(bad, key=lambda finding: finding.order)
        state = _STATES[worst.severity] if worst.waived is None else WAIVED
        return Step(name, state, show_path(text), show_path(short), worst.message, worst.rule)
    return Step(name, state, show_path(text), show_path(short), why and show_path(why))


def _is_of(name: str, rule: str, facts: Facts) -> bool:
    """Return whether a rule speaks of a step here: IMS807 may mean the loader or its kernel."""
    if rule != "IMS807":
        return True
    try:
        _, route = route_of(facts)
    except UnknownError:
        return name == "loader"
    kernel_is_gone = route.broken is None and route.entry is not None
    return name == ("kernel" if kernel_is_gone else "loader")


def _firmware(facts: Facts) -> StepText:
    guest = any_guest(facts)
    name = firmware(facts, guest).upper()
    asked = "as requested" if facts.request.hw_firmware_type else "as the image is set up"
    return f"{name}, {asked}", name


def _loader(facts: Facts) -> StepText:
    _, route = route_of(facts)
    steps = f": {' > '.join(route.steps)}" if route.steps else ""
    return f"{route.loader}{steps}", route.loader


def _entry(facts: Facts) -> StepText:
    found = started(facts)
    others = len(found.route.entries) - 1
    more = f"; {others} more do not start by default" if others else ""
    return f"{found.entry.title} ({place(found.entry)}){more}", ""


def _kernel(facts: Facts) -> StepText:
    found = started(facts)
    version = found.entry.version or (found.kernel.version if found.kernel else None)
    shown = f", version {version}" if version and version not in found.entry.kernel else ""
    name = found.entry.kernel.rpartition("/")[2]
    return f"{found.entry.kernel}{shown}", name


def _initramfs(facts: Facts) -> StepText:
    found = started(facts)
    if not found.entry.initrds:
        return "none; the kernel starts with its own drivers", "no initramfs"
    image = found.image
    if image is None:
        raise UnknownError("it was not examined")
    drivers = [name for name in VIRTIO if name in image.drivers and name not in VIRTIO[:3]]
    maker = f", made by {image.maker}" if image.maker else ""
    listed = ", ".join(drivers) or "no virtio driver"
    return f"{image.path}{maker}: {listed}", f"initramfs ({listed})"


def _root(facts: Facts) -> StepText:
    found = started(facts)
    root = value(found, "root")
    if not root:
        guest = found.guest
        if guest.root is not None:
            return f"{guest.root}; the command line names none", guest.root
        raise UnknownError("the command line names no root")
    where = locate(root, found.guest)
    volume = where.volume
    flags = named_subvolume(value(found, "rootflags") or "")
    kind = f" ({volume.kind}, {volume.name})" if volume is not None else ""
    inside = f", subvolume {flags}" if flags else ""
    short = root if len(root) <= 16 else f"{root[:13]}…"
    return f"{root}{kind}{inside}", f"{short} ({volume.kind})" if volume else short


def _fstab(facts: Facts) -> StepText:
    guest = linux(facts)
    text = guest.text("/etc/fstab")
    if text is None:
        raise UnknownError("there is no /etc/fstab")
    mounts = [mount for mount in read_fstab(text) if mount.on_disk]
    paths = ", ".join(mount.path for mount in mounts[:6])
    return f"{counted(len(mounts), 'disk')}: {paths}" if mounts else "no line names a disk", ""


def _network(facts: Facts) -> StepText:
    guest = linux(facts)
    try:
        cards = [i for i in interfaces(guest) if i.starts]
    except ImportError:
        raise UnknownError("netplan's YAML needs imsprep[guest]") from None
    names = [f"{i.name} by {'DHCP' if i.dhcp else 'a fixed address'}" for i in cards[:4]]
    if brings_up_any(guest):
        names.append("any card by DHCP")
    return ", ".join(names) or "what cloud-init sets up", ""


def _cloud_init(facts: Facts) -> StepText:
    guest = linux(facts)
    if not cloud_init.installed(guest):
        return "not installed", ""
    try:
        names = cloud_init.settings(guest).get("datasource_list")
    except ImportError:
        raise UnknownError("cloud-init's YAML needs imsprep[guest]") from None
    plain = [n for n in names if isinstance(n, str)] if isinstance(names, list) else []
    forced = cloud_init.forced_source(guest)
    if forced is not None:
        return f"{forced.text} ({forced.where})", f"cloud-init ({', '.join(forced.names)})"
    if not plain:
        return "it probes every source", "cloud-init"
    where = cloud_init.where(guest, "datasource_list")
    first = "OpenStack" if "OpenStack" in plain else plain[0]
    return f"{', '.join(plain)} ({where})", f"cloud-init ({first})"


_E, _W = Severity.ERROR, Severity.WARNING
_STEPS = tuple(_Outline(*one) for one in (
    ("firmware", _firmware, ("IMS804",), _E),
    ("loader", _loader, ("IMS807", "IMS840"), _W),
    ("entry", _entry, ("IMS848",), _E),
    ("kernel", _kernel, ("IMS807", "IMS849"), _W),
    ("initramfs", _initramfs, ("IMS814", "IMS816", "IMS818", "IMS855", "IMS861"), _E),
    ("root", _root, ("IMS812", "IMS813", "IMS819", "IMS841", "IMS842", *_HANDED_OVER), _E),
    ("fstab", _fstab, ("IMS810", "IMS811", "IMS846", "IMS847", "IMS852", "IMS854", "IMS858"), _E),
    ("network", _network, ("IMS822", "IMS823", "IMS824", "IMS843", "IMS844"), _W),
    ("cloud-init", _cloud_init, ("IMS825", "IMS826", "IMS827"), _W),
))  # fmt: skip
