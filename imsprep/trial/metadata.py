"""What the metadata service answers: OpenStack's and EC2's form, for a server without user data.

Pure: a request's bytes in, a response's bytes out. Source: OpenStack Nova's documentation of the
metadata service (versions, meta_data.json, network_data.json), and the paths that cloud-init's
DataSourceOpenStack and DataSourceEc2 read.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from imsprep.trial.plan import MAC

NAME = "imsprep-boot"
INSTANCE = "00000000-0000-4000-8000-000000000001"
_VERSIONS = ("2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06",
             "2017-02-22", "2018-08-27", "latest")  # fmt: skip
_NETWORK = {
    "links": [{"id": "port0", "type": "ovs", "ethernet_mac_address": MAC, "mtu": 1500}],
    "networks": [{"id": "network0", "link": "port0", "type": "ipv4_dhcp", "network_id": INSTANCE}],
    "services": [],
}
_OPENSTACK = {
    "meta_data.json": {
        "uuid": INSTANCE, "name": NAME, "hostname": f"{NAME}.novalocal", "launch_index": 0,
        "availability_zone": "imsprep", "public_keys": {}, "meta": {},
    },
    "network_data.json": _NETWORK,
    "vendor_data.json": {},
    "vendor_data2.json": {},
}  # fmt: skip
_EC2 = {
    "ami-id": "ami-00000001", "hostname": f"{NAME}.novalocal", "instance-id": "i-00000001",
    "instance-type": "imsprep", "local-hostname": f"{NAME}.novalocal",
    "local-ipv4": "169.254.169.15", "placement/availability-zone": "imsprep",
}  # fmt: skip


def path_of(request: bytes) -> str | None:
    """Return the path that a request asks for; None if it is no whole request by GET or HEAD."""
    words = request.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or words[0] not in (b"GET", b"HEAD") or not words[2].startswith(b"HTTP/"):
        return None
    return words[1].decode("latin-1").split("?", 1)[0]


def answer(request: bytes) -> bytes:
    """Return the response to one request; the connection ends with it."""
    path = path_of(request)
    if path is None:
        return _response(HTTPStatus.BAD_REQUEST, b"")
    body = _body(path.strip("/"))
    if body is None:
        return _response(HTTPStatus.NOT_FOUND, b"")
    return _response(HTTPStatus.OK, body, head=request.startswith(b"HEAD"))


def _body(path: str) -> bytes | None:
    first, _, rest = path.partition("/")
    if first == "openstack":
        return _openstack(rest)
    second, _, name = rest.partition("/")
    if first in ("latest", "2009-04-04") and second in ("", "meta-data"):
        return _ec2(name) if second else b"meta-data/"
    return "\n".join(("2009-04-04", "latest")).encode() if not path else None


def _openstack(path: str) -> bytes | None:
    version, _, name = path.partition("/")
    if not version:
        return "\n".join(_VERSIONS).encode()
    if version not in _VERSIONS:
        return None
    if not name:
        return "\n".join(_OPENSTACK).encode()
    return json.dumps(_OPENSTACK[name]).encode() if name in _OPENSTACK else None


def _ec2(name: str) -> bytes | None:
    if name in _EC2:
        return _EC2[name].encode()
    below = {
        key[len(name) :].lstrip("/").split("/")[0] + "/" * ("/" in key[len(name) :].lstrip("/"))
        for key in _EC2
        if not name or key.startswith(f"{name}/")
    }
    return "\n".join(sorted(below)).encode() if below else None


def _response(status: HTTPStatus, body: bytes, *, head: bool = False) -> bytes:
    kind = "application/json" if body.startswith(b"{") else "text/plain"
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + (b"" if head else body)
