"""The shapes of the emulator's answers, as the documents show them."""

from __future__ import annotations

from typing import Any

from imsprep.cloud.sites import Site
from imsprep.emulator.faults import Faults
from imsprep.emulator.jobs import Image, Job, job_type
from imsprep.emulator.validate import is_data_disk, os_type_of
from imsprep.units import GIB, ceil_div


def refusal(code: str, message: str) -> dict[str, object]:
    """Return the image service's own form of an error."""
    return {"error": {"code": code, "message": message}}


def gateway(code: str, message: str) -> dict[str, object]:
    """Return the API gateway's form of an error."""
    return {"error_code": code, "error_msg": message, "request_id": "0" * 32}


def job(job: Job, faults: Faults) -> dict[str, object]:
    """Answer "Querying the Status of an Asynchronous Job"."""
    entities: dict[str, object] = {}
    if job.status == "SUCCESS" or (faults.early_image_id and job.status == "RUNNING"):
        entities = {"image_name": job.body["name"], "image_id": job.image_id}
    return _frame(job, faults, entities)


def progress(job: Job, faults: Faults) -> dict[str, object]:
    """Answer "Querying the Progress of an Asynchronous Job"."""
    entities: dict[str, object] = {
        "image_name": job.body["name"],
        "process_percent": job.progress,
        "current_task": "ImportImageTask",
        "subJobId": job.job_id[::-1],
    }
    if job.status == "SUCCESS" or (faults.early_image_id and job.status == "RUNNING"):
        entities["image_id"] = job.image_id
    return _frame(job, faults, entities)


def image(image: Image, site: Site, owner: str) -> dict[str, object]:
    """Return one image of the list, with the attributes that an import sets."""
    body = image.body
    tags = list(body.get("tags") or ())
    tags += [f"{t['key']}.{t['value']}" for t in body.get("image_tags") or ()]
    arm = body.get("architecture") == "arm"
    return {
        "id": image.image_id,
        "name": body["name"],
        "status": image.status,
        "created_at": image.created_at,
        "updated_at": image.created_at,
        "owner": owner,
        "self": f"/v2/images/{image.image_id}",
        "file": f"/v2/images/{image.image_id}/file",
        "schema": "/v2/schemas/image",
        "protected": False,
        "min_disk": body["min_disk"],
        "min_ram": 0,
        "tags": tags,
        "visibility": "private",
        "container_format": "bare",
        "disk_format": "zvhd2",
        "virtual_env_type": _KINDS.get(body.get("type") or "", "FusionCompute"),
        "hw_firmware_type": "uefi" if arm else body.get("hw_firmware_type") or "bios",
        **_attributes(image, site),
        **_made(image.disk),
    }


_KINDS = {"BMS": "Ironic", "DataImage": "DataImage"}  # virtual_env_type by the request's type


def _attributes(image: Image, site: Site) -> dict[str, str]:
    """Return what the image service adds to those of OpenStack: strings, all of them."""
    body = image.body
    version = body.get("os_version") or ""
    return {
        "__imagetype": "private",
        "__image_source_type": "uds",
        "__data_origin": f"file,{body['image_url']}",
        "__root_origin": "file",
        "__os_type": os_type_of(body),
        "__os_version": version,
        "__os_bit": "32" if "32" in version else "64",
        "__platform": next((p for p, all_ in site.by_platform.items() if version in all_), "Other"),
        "__image_size": str(image.disk.get("size", 0)),
        "__isregistered": "true",
        "__lazyloading": "true",
        "__description": body.get("description") or "",
        "__support_arm": "true" if body.get("architecture") == "arm" else "false",
        "__sequence_num": "0" if not is_data_disk(body) else "1",
    }


def _made(disk: dict[str, Any]) -> dict[str, object]:
    """Return what the real service does not tell: what was made, so that a test can compare."""
    return {
        "imsprep_digest": disk.get("digest", ""),
        "imsprep_original_digest": disk.get("original_digest", ""),
        "imsprep_original_size": str(disk.get("original_size", "")),
        "imsprep_path": disk.get("path", ""),
        "imsprep_size_gib": ceil_div(disk.get("size", 0), GIB),
    }


def os_versions(site: Site) -> list[dict[str, object]]:
    """Answer "Querying the OSs Supported by Images": a list of platforms."""
    return [
        {
            "platform": platform,
            "version_list": [
                {
                    "platform": platform,
                    "os_version_key": version,
                    "os_version": version,
                    "os_bit": 32 if "32" in version else 64,
                    "os_type": "Windows" if platform == "Windows" else "Linux",
                }
                for version in versions
            ],
        }
        for platform, versions in site.by_platform.items()
        # The international site's page says that it lists Windows no more.
        if not (platform == "Windows" and site.windows_stopped)
    ]


def quota(used: int, limit: int) -> dict[str, object]:
    """Answer "Querying the Image Quota"."""
    resource = {"type": "image", "used": used, "quota": limit, "min": 0, "max": limit}
    return {"quotas": {"resources": [resource]}}


def _frame(job: Job, faults: Faults, entities: dict[str, object]) -> dict[str, object]:
    """Return what both shapes share, with the faults that were asked for."""
    failed = job.status == "FAIL"
    reason = {"error_code": job.error_code, "fail_reason": job.fail_reason}
    if failed and faults.nested_reason:
        entities = {"sub_jobs_result": [{"status": "FAIL", **reason}]}
    elif failed:
        entities = {}
    if faults.null_reasons or faults.nested_reason:
        reason = {"error_code": None, "fail_reason": None}
    odd = faults.odd_status and job.status == "RUNNING"
    return {
        "job_id": job.job_id,
        "job_type": job_type(job.body),
        "begin_time": job.begin_time,
        "end_time": job.end_time,
        "status": "WAITING_FOR_SOMETHING" if odd else job.status,
        "entities": entities,
        **reason,
    }
