"""QuickImportRequest: the body of `POST /v2/cloudimages/quickimport/action`, as a value.

Source: "Importing an Image File Quickly", API reference, 2024-08-09; `hw_firmware_type` from the
OTC edition, 2025-12-17. One class serves both variants of the page: a system disk (`type` ECS or
BMS) and a data disk (`type` DataImage). What the fields may hold is checked by
`checks.rules.request`, which looks at RequestFields: the same fields, each of which may still be
missing.
"""

from __future__ import annotations

from dataclasses import dataclass

DATA_IMAGE = "DataImage"


@dataclass(frozen=True)
class RequestFields:
    """The fields of a request as far as they are known; None means not given.

    `final` says that nothing will be added: what is missing now will be missing when it is sent.
    """

    name: str | None = None
    image_url: str | None = None
    min_disk: int | None = None
    os_version: str | None = None
    os_type: str | None = None
    type: str | None = None
    description: str | None = None
    license_type: str | None = None
    tags: tuple[str, ...] | None = None
    image_tags: tuple[tuple[str, str], ...] | None = None
    enterprise_project_id: str | None = None
    architecture: str | None = None
    hw_firmware_type: str | None = None
    final: bool = False

    @property
    def is_data_disk(self) -> bool:
        """Return whether this asks for a data disk image."""
        return self.type == DATA_IMAGE

    @property
    def is_windows(self) -> bool:
        """Return whether the guest is Windows, by `os_type` or by the name of `os_version`."""
        if self.os_version is not None and not self.is_data_disk:
            return self.os_version.strip().lower().startswith("windows")
        return (self.os_type or "").lower() == "windows"

    @property
    def missing(self) -> tuple[str, ...]:
        """The fields that every import of this kind needs and that are not given."""
        needed = ("name", "min_disk") if self.is_data_disk else ("name", "min_disk", "os_version")
        return tuple(name for name in needed if getattr(self, name) is None)

    def complete(self) -> QuickImportRequest:
        """Return the request as it will be sent; KeyError names a mandatory field not given."""
        for required in ("name", "image_url", "min_disk"):
            if getattr(self, required) is None:
                raise KeyError(required)
        return QuickImportRequest(**{**vars(self), "final": True})


@dataclass(frozen=True)
class QuickImportRequest(RequestFields):
    """What the user asks IMS for; None means that the field is not sent.

    `image_url` is `bucket:key`; `min_disk` is in GiB; a tag is `key.value`.
    """

    name: str
    image_url: str
    min_disk: int
    final: bool = True

    def as_body(self) -> dict[str, object]:
        """Return the JSON body exactly as it is sent: fields that are None are left out."""
        body: dict[str, object] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if value is None or name == "final":
                continue
            if name == "tags":
                value = list(value)
            elif name == "image_tags":
                value = [{"key": key, "value": text} for key, text in value]
            body[name] = value
        return body
