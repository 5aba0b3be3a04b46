"""An exported machine with two disks, as an OVA."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import numpy as np

from imsprep.units import MIB

OVF = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:vmw="http://www.vmware.com/schema/ovf"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
 <References>
  <File ovf:id="file1" ovf:href="web-disk1.vmdk" ovf:size="{size1}"/>
  <File ovf:id="file2" ovf:href="web-disk2.vmdk" ovf:size="{size2}"/>
 </References>
 <DiskSection><Info>disks</Info>
  <Disk ovf:diskId="data" ovf:fileRef="file2" ovf:capacity="8" ovf:capacityAllocationUnits="byte * 2^20"/>
  <Disk ovf:diskId="system" ovf:fileRef="file1" ovf:capacity="{capacity}"/>
 </DiskSection>
 <VirtualSystem ovf:id="vm"><Info>machine</Info><Name>web server 01</Name>
  <OperatingSystemSection ovf:id="96" vmw:osType="debian10_64Guest"><Info>system</Info>
   <Description>Debian GNU/Linux 10 (64-bit)</Description></OperatingSystemSection>
  <VirtualHardwareSection><Info>hardware</Info>
   <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
   <Item><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:VirtualQuantity>2048</rasd:VirtualQuantity></Item>
   <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>
   <Item><rasd:AddressOnParent>1</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/data</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
   <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/system</rasd:HostResource><rasd:InstanceID>5</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
   <vmw:Config vmw:key="firmware" vmw:value="efi"/>
  </VirtualHardwareSection>
 </VirtualSystem>
</Envelope>
"""
SIZE = 16 * MIB


def disk() -> bytes:
    data = bytearray(SIZE)
    data[:4096] = np.random.default_rng(2).bytes(4096)
    data[9 * MIB : 10 * MIB] = np.random.default_rng(3).bytes(MIB)
    return bytes(data)


def vmdk(folder: Path, content: bytes, subformat: str = "streamOptimized") -> bytes:
    raw, made = folder / "made.raw", folder / "made.vmdk"
    raw.write_bytes(content)
    words = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={subformat}"]
    subprocess.run([*words, raw, made], check=True)
    data = made.read_bytes()
    raw.unlink()
    made.unlink()
    return data


def members(folder: Path) -> dict[str, bytes]:
    """Return the members of a good archive; `folder` is for what is made on the way."""
    one, two = vmdk(folder, disk()), vmdk(folder, bytes(8 * MIB), "monolithicSparse")
    text = OVF.format(size1=len(one), size2=len(two), capacity=SIZE).encode()
    found = {"web.ovf": text, "web-disk1.vmdk": one, "web-disk2.vmdk": two}
    lines = [
        f"SHA256({name})= {hashlib.sha256(data).hexdigest()}\n" for name, data in found.items()
    ]
    return {"web.ovf": text, "web.mf": "".join(lines).encode(), **found}


def archive(path: Path, files: dict[str, bytes], extra: tarfile.TarInfo | None = None) -> Path:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        if extra is not None:
            tar.addfile(extra)
    return path
