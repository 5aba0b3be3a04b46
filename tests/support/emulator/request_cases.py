"""Requests that the check and the emulator have to judge alike: what is changed, where, and if taken."""

from __future__ import annotations

from typing import Any

SYSTEM: dict[str, Any] = {
    "name": "web01",
    "image_url": "images:disk.raw",
    "min_disk": 40,
    "os_version": "CentOS 7.6 64bit",
}
DATA: dict[str, Any] = {
    "name": "data01",
    "image_url": "images:disk.raw",
    "min_disk": 40,
    "type": "DataImage",
}
ALL = ("huawei", "huawei-intl", "otc", "otc-swiss")
HUAWEI, OTC = ALL[:2], ALL[2:]
HAN = "\u7f51\u7ad9"

# Sites, variant, what is changed (None: left out), and whether it is taken.
CASES: list[tuple[tuple[str, ...], dict[str, Any], dict[str, Any], bool]] = [
    (ALL, SYSTEM, {}, True),
    (ALL, DATA, {}, True),
    # alphabets, by site
    (("huawei",), SYSTEM, {"name": HAN}, True),
    (ALL[1:], SYSTEM, {"name": HAN}, False),
    (("huawei",), SYSTEM, {"tags": [f"{HAN}.{HAN}"]}, True),
    (ALL[1:], SYSTEM, {"tags": [f"{HAN}.x"]}, False),
    (ALL[1:], SYSTEM, {"tags": [f"x.{HAN}"]}, False),
    (ALL, SYSTEM, {"name": "a" * 128}, True),
    (ALL, SYSTEM, {"name": "a" * 129}, False),
    (ALL, SYSTEM, {"name": ""}, False),
    (ALL, SYSTEM, {"name": " a"}, False),
    (ALL, SYSTEM, {"name": "a "}, False),
    (ALL, SYSTEM, {"name": "a b-c.d_e"}, True),
    (ALL, SYSTEM, {"name": "a\n"}, False),
    (ALL, SYSTEM, {"name": "a\tb"}, False),
    (ALL, SYSTEM, {"name": "a:b"}, False),
    (ALL, SYSTEM, {"name": "\u00fc"}, False),
    (ALL, SYSTEM, {"name": "\u0661"}, False),
    (ALL, SYSTEM, {"description": ""}, True),
    (ALL, SYSTEM, {"description": "d" * 1024}, True),
    (ALL, SYSTEM, {"description": "d" * 1025}, False),
    (ALL, SYSTEM, {"description": "a\nb"}, False),
    (ALL, SYSTEM, {"description": "a<b"}, False),
    (ALL, SYSTEM, {"description": "made of an object, and more."}, True),
    # the two variants
    (ALL, DATA, {"os_version": "CentOS 7.6 64bit"}, False),
    (ALL, DATA, {"os_version": ""}, True),
    (ALL, DATA, {"architecture": "x86"}, False),
    (ALL, DATA, {"hw_firmware_type": "bios"}, False),
    (ALL, DATA, {"os_type": "Linux"}, True),
    (ALL, DATA, {"os_type": "Windows"}, True),
    (ALL, DATA, {"os_type": "linux"}, False),
    (ALL, DATA, {"os_type": ""}, False),
    (ALL, SYSTEM, {"os_type": "Linux"}, False),
    (ALL, SYSTEM, {"os_type": "Windows"}, False),
    (ALL, SYSTEM, {"os_type": ""}, False),
    (ALL, SYSTEM, {"os_version": None}, False),
    (ALL, SYSTEM, {"os_version": ""}, False),
    (ALL, SYSTEM, {"os_version": "centos 7.6 64bit"}, True),  # in no list: a warning of the check
    (ALL, SYSTEM, {"type": "ECS"}, True),
    (ALL, SYSTEM, {"type": "BMS"}, True),
    (ALL, SYSTEM, {"type": ""}, False),
    (ALL, SYSTEM, {"type": "ecs"}, False),
    (ALL, SYSTEM, {"type": "FusionCompute"}, False),
    (ALL, SYSTEM, {"architecture": "arm"}, True),
    (ALL, SYSTEM, {"architecture": "ARM"}, False),
    (ALL, SYSTEM, {"architecture": ""}, False),
    (ALL, SYSTEM, {"hw_firmware_type": "uefi"}, True),
    (ALL, SYSTEM, {"hw_firmware_type": "UEFI"}, False),
    (ALL, SYSTEM, {"architecture": "arm", "hw_firmware_type": "bios"}, False),
    (ALL, SYSTEM, {"architecture": "arm", "hw_firmware_type": "uefi"}, True),
    (HUAWEI, SYSTEM, {"license_type": "byol"}, False),
    (HUAWEI, SYSTEM, {"license_type": "none"}, False),
    (OTC, SYSTEM, {"license_type": "byol"}, True),  # no parameter there
    (ALL, SYSTEM, {"enterprise_project_id": ""}, True),
    (ALL, SYSTEM, {"enterprise_project_id": "0"}, True),
    (ALL, SYSTEM, {"enterprise_project_id": "1"}, False),
    (ALL, SYSTEM, {"enterprise_project_id": "2f1f1a3e-0000-4000-8000-00000000000A"}, True),
    (ALL, SYSTEM, {"enterprise_project_id": "2f1f1a3e00004000800000000000000a"}, False),
    # sizes
    (ALL, SYSTEM, {"min_disk": 1024}, True),
    (ALL, SYSTEM, {"min_disk": 1025}, False),
    (ALL, SYSTEM, {"min_disk": 0}, False),
    (ALL, SYSTEM, {"min_disk": -1}, False),
    (HUAWEI, SYSTEM, {"min_disk": 9}, False),
    (HUAWEI, SYSTEM, {"min_disk": 10}, True),
    (OTC, SYSTEM, {"min_disk": 1}, True),
    (("huawei-intl",), DATA, {"min_disk": 9}, False),
    (("huawei", *OTC), DATA, {"min_disk": 1}, True),
    (("huawei-intl",), DATA, {"min_disk": 19, "os_type": "Windows"}, False),
    # the object
    (ALL, SYSTEM, {"image_url": "images:/disk.raw"}, True),
    (ALL, SYSTEM, {"image_url": "images:a/b/disk.raw"}, True),
    (ALL, SYSTEM, {"image_url": "images:a b.raw"}, False),
    (ALL, SYSTEM, {"image_url": "images:a\tb.raw"}, False),
    (ALL, SYSTEM, {"image_url": "images:a\u00a0b.raw"}, False),
    (ALL, SYSTEM, {"image_url": "images:" + "k" * 1024}, True),
    (ALL, SYSTEM, {"image_url": "images:" + "k" * 1025}, False),
    (ALL, SYSTEM, {"image_url": "images:"}, False),
    (ALL, SYSTEM, {"image_url": "images"}, False),
    (ALL, SYSTEM, {"image_url": ":disk.raw"}, False),
    (ALL, SYSTEM, {"image_url": "https://images/disk.raw"}, False),
    (ALL, SYSTEM, {"image_url": "ab:disk.raw"}, False),
    (ALL, SYSTEM, {"image_url": "b" * 63 + ":disk.raw"}, True),
    (ALL, SYSTEM, {"image_url": "b" * 64 + ":disk.raw"}, False),
    (ALL, SYSTEM, {"image_url": "Images:disk.raw"}, False),
    (ALL, SYSTEM, {"image_url": "images-:disk.raw"}, False),
    (ALL, SYSTEM, {"image_url": "images.:disk.raw"}, False),
    (ALL, SYSTEM, {"image_url": "-images:disk.raw"}, False),
    (ALL, SYSTEM, {"image_url": "a..b:disk.raw"}, False),
    (ALL, SYSTEM, {"image_url": "a.-b:disk.raw"}, False),
    (ALL, SYSTEM, {"image_url": "a--b:disk.raw"}, True),
    (ALL, SYSTEM, {"image_url": "10.0.0.1:disk.raw"}, False),
    (ALL, SYSTEM, {"image_url": "999.1.1.1:disk.raw"}, False),
    # tags
    (ALL, SYSTEM, {"tags": []}, True),
    (ALL, SYSTEM, {"tags": ["a.b"]}, True),
    (ALL, SYSTEM, {"tags": ["a"]}, True),
    (ALL, SYSTEM, {"tags": ["a."]}, True),
    (ALL, SYSTEM, {"tags": [".b"]}, False),
    (ALL, SYSTEM, {"tags": [""]}, False),
    (ALL, SYSTEM, {"tags": [" a.b"]}, False),
    (ALL, SYSTEM, {"tags": ["a.b c"]}, False),
    (ALL, SYSTEM, {"tags": ["a.1", "a.2"]}, False),
    (ALL, SYSTEM, {"tags": ["k" * 36 + "." + "v" * 43]}, True),
    (ALL, SYSTEM, {"tags": ["k" * 37 + ".v"]}, False),
    (ALL, SYSTEM, {"tags": ["k." + "v" * 44]}, False),
    (ALL, SYSTEM, {"tags": [f"k{n}.v" for n in range(10)]}, True),
    (ALL, SYSTEM, {"tags": [f"k{n}.v" for n in range(11)]}, False),
    (ALL, SYSTEM, {"image_tags": [{"key": " a ", "value": " b "}]}, True),
    (ALL, SYSTEM, {"image_tags": [{"key": "a", "value": ""}]}, True),
    (ALL, SYSTEM, {"image_tags": [{"key": "", "value": "b"}]}, False),
    (ALL, SYSTEM, {"image_tags": [{"key": "a.b", "value": "c"}]}, False),
    (ALL, SYSTEM, {"tags": ["a.b"], "image_tags": [{"key": "c", "value": "d"}]}, False),
]


def bodies() -> list[tuple[str, dict[str, Any], bool]]:
    """Every case as a site, a body and whether it is taken."""
    found = []
    for sites, base, change, taken in CASES:
        body = {k: v for k, v in {**base, **change}.items() if v is not None}
        found += [(site, body, taken) for site in sites]
    return found
