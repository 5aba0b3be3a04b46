"""Error codes: every status and code by which the import service refuses, and what to do.

Sources: the table "Returned Values" of "Importing an Image File Quickly" (API reference,
2024-08-09), and the error codes of the OTC edition (2025-12-17) and of Huawei Cloud's Chinese
edition (2022-12-07), which do not agree on all of them. Meanings are the documents' words, advice
is ours. A code that is not here is shown as the service wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imsprep.errors import show_words


class Refusal(NamedTuple):
    """One documented code: what the service means and what helps."""

    meaning: str
    advice: str = ""


STATUSES = {
    200: Refusal("Normal."),
    400: Refusal("Request error."),
    401: Refusal(
        "Authentication failed.",
        "check the access key, the secret key and the region, whether a security token has expired"
        " (with another one the same command goes on), and this machine's clock: the service allows"
        " 15 minutes",
    ),
    403: Refusal(
        "You do not have the rights to perform the operation.",
        "the account needs ims:serverImages:create (system disk) or ims:dataImages:create (data"
        " disk) and read access to the bucket; OBS Tenant Administrator is commonly needed",
    ),
    301: Refusal("The service is at another address.", "check the endpoint and the region"),
    302: Refusal("The service is at another address.", "check the endpoint and the region"),
    303: Refusal("The service is at another address.", "check the endpoint and the region"),
    307: Refusal("The service is at another address.", "check the endpoint and the region"),
    308: Refusal("The service is at another address.", "check the endpoint and the region"),
    404: Refusal(
        "The requested resource was not found.",
        "check the endpoint and the region; not every site serves every version of the API",
    ),
    407: Refusal("The proxy refused the request.", "it wants a user and a password"),
    408: Refusal("The service did not get the request in time.", "it is tried again"),
    425: Refusal("The service wants the request later.", "it is tried again after a pause"),
    429: Refusal("Too many requests.", "it is tried again after a pause"),
    500: Refusal("Internal service error.", "try again later"),
    501: Refusal("The service does not offer this.", "check the version of the API"),
    503: Refusal("The service is unavailable.", "try again later"),
    507: Refusal("The service has no room.", "remove what is not needed or ask for a larger quota"),
}

_QUOTA = "remove images that are not needed or ask for a larger quota"
_KMS = "the object is encrypted with a key that IMS cannot use: check the key and its grants"
_PAY = "settle it in the console's billing centre"
_FILE = (
    "check that the object exists, that its bucket is of storage class Standard and that IMS may"
)
_FILE += " read it; then check the image with `imsprep check`"

CODES = {
    "IMG.0001": Refusal(
        "The request message format is invalid.",
        "check the request that a dry run prints, and the version of the API",
    ),
    "IMG.0002": Refusal(
        "The image name contains more than 128 characters.", "choose a shorter name"
    ),
    "IMG.0003": Refusal(
        "The image name format is invalid.",
        "use letters, digits, spaces and - . _, and no space at either end",
    ),
    "IMG.0004": Refusal(
        "The description contains more than 1024 characters.", "shorten the description"
    ),
    "IMG.0007": Refusal(
        "The request body is empty.", "check what lies between: a proxy may have dropped the body"
    ),
    "IMG.0009": Refusal("The image name already exists.", "choose another name"),
    "IMG.0013": Refusal("The image name is not specified.", "give a name"),
    "IMG.0015": Refusal("The number of private images has reached the maximum allowed.", _QUOTA),
    "IMG.0017": Refusal("The URL format is incorrect.", "it has to be bucket:key"),
    "IMG.0018": Refusal("An error occurred when the job was submitted.", "try again later"),
    "IMG.0023": Refusal("An exception occurred during task query.", "check the job id"),
    "IMG.0024": Refusal("The image type in the request is incorrect.", "use ECS or BMS"),
    "IMG.0026": Refusal(
        "The role is invalid. You need to apply for the required permissions or pass the"
        " real-name authentication.",
        STATUSES[403].advice,
    ),
    "IMG.0030": Refusal(
        "The project ID and token in the request are invalid.",
        "check that the project is one of this account and region",
    ),
    "IMG.0054": Refusal(
        "The image description format is invalid.", "leave out line breaks and < >"
    ),
    "IMG.0055": Refusal("The memory or disk size is invalid.", "check min_disk"),
    "IMG.0056": Refusal("Invalid OS version.", "use a value of the site's list, as it is written"),
    "IMG.0057": Refusal(
        "The image file is empty, not found, or in incorrect format, or you do not have enough"
        " permission to access the file.",
        _FILE,
    ),
    "IMG.0058": Refusal(
        "The region of the bucket where the image file is stored is inconsistent with that of the"
        " user.",
        "upload to a bucket in the region of the import",
    ),
    "IMG.0059": Refusal(
        "The size of the image file exceeds the maximum allowed.",
        "quick import takes up to 1 TB; send it as ZVHD2, or make the disk smaller",
    ),
    "IMG.0060": Refusal("The number of tasks exceeds the flow control limit.", "try again later"),
    "IMG.0061": Refusal("Unknown system error.", "try again later"),
    "IMG.0062": Refusal(
        "The image name is incorrect.",
        "use letters, digits, spaces and - . _, and no space at either end",
    ),
    "IMG.0067": Refusal(
        "The project ID is incorrect.", "check that the project is one of this account and region"
    ),
    "IMG.0068": Refusal("The specified bucket name is empty.", "image_url has to be bucket:key"),
    "IMG.0069": Refusal("The specified bucket cannot be accessed.", _FILE),
    "IMG.0072": Refusal(
        "The specified image format is not supported.",
        "send a RAW image with its bitmap, or ZVHD2; `imsprep convert` makes it",
    ),
    "IMG.0074": Refusal("The file name length exceeds the limit.", "choose a shorter key"),
    "IMG.0075": Refusal(
        "The file name contains invalid characters.", "use letters, digits and - . _ / in the key"
    ),
    "IMG.0087": Refusal("The token is incorrect.", "get another token and run again"),
    "IMG.0095": Refusal("The KMS key does not exist.", _KMS),
    "IMG.0097": Refusal("The KMS key is not enabled.", _KMS),
    "IMG.0099": Refusal("There is no permission for the KMS key.", _KMS),
    "IMG.0100": Refusal("There is no permission for the open beta test of KMS.", _KMS),
    "IMG.0109": Refusal(
        "The bucket name contains invalid characters.",
        "use a bucket whose name has lower-case letters, digits, hyphens and dots only",
    ),
    "IMG.0111": Refusal(
        "The size of the system disk exceeds the maximum allowed.",
        "give a min_disk of up to 1024 GB",
    ),
    "IMG.0115": Refusal(
        "The image tag is invalid.",
        "use letters, digits, - and _ in a key of up to 36 characters, and a value of up to 43",
    ),
    "IMG.0116": Refusal("The number of image tags exceeds the quota.", "use at most 10 tags"),
    "IMG.0117": Refusal("The image source can only be BMS or ECS.", "use ECS or BMS"),
    "IMG.0118": Refusal(
        "The BMS image does not support KMS encryption.",
        "use a bucket and an object without KMS encryption",
    ),
    "IMG.0121": Refusal("The object cannot be found.", _FILE),
    "IMG.0122": Refusal("The OS type is invalid.", "use Linux or Windows"),
    "IMG.0123": Refusal(
        "The image file address in the request is duplicate.",
        "another import of this object may be running: wait for it",
    ),
    "IMG.0141": Refusal("The value of hw_firmware_type is not uefi or bios.", "use bios or uefi"),
    "IMG.0144": Refusal(
        "The image does not exist.", "look whether someone deleted it, and run again"
    ),
    "IMG.0154": Refusal("The enterprise project service did not answer.", "try again later"),
    "IMG.0155": Refusal(
        "The enterprise project ID is invalid.",
        "give the id of an enterprise project of this account, or none for the default one",
    ),
    "IMG.0156": Refusal(
        "The image could not be put into the enterprise project.",
        "give the id of an enterprise project that the key may use, or none for the default one",
    ),
    "IMG.0157": Refusal("Incorrect image type.", "use ECS, BMS or DataImage"),
    "IMG.0158": Refusal(
        "Only image files in raw OR ZVHD2 format support the Fast Create function. For raw image"
        " files, bitmaps must be uploaded to the OBS bucket together with image files.",
        "make the bitmap with `imsprep bitmap` and upload it next to the image, or import as ZVHD2:"
        " `imsprep import --via zvhd2`",
    ),
    "IMG.0159": Refusal(
        "The OS version is required when image files are used to create ECSs through the Fast"
        " Create function.",
        "give os_version",
    ),
    "IMG.0175": Refusal(
        "The folder name and image file name cannot contain spaces.", "choose a key without spaces"
    ),
    "IMG.0187": Refusal("The flow control limit of KMS is reached.", "try again later"),
    "IMG.0194": Refusal(
        "The maximum number of images that can be imported at one time has been reached.",
        "try again when another import has ended",
    ),
    "IMG.0212": Refusal("The value of architecture is not x86 or arm.", "use x86 or arm"),
    "IMG.0238": Refusal("Not real-name authentication.", _PAY),
    "IMG.0239": Refusal("Insufficient balance.", _PAY),
    "IMG.0241": Refusal("Incomplete payment information.", _PAY),
    "IMG.0242": Refusal("Insufficient budget of enterprise department.", _PAY),
    "IMG.1075": Refusal(
        "Failed to register the image file.",
        "try again; if it stays so, ask the support of the cloud with the id of the job",
    ),
    "APIGW.0301": Refusal("Incorrect IAM authentication information.", STATUSES[401].advice),
}

_CODE_SHOWN = 60  # characters; the longest that is documented has 10

# Refusals that another attempt may overcome; nothing was started, so asking again is safe.
PASSING = frozenset({"IMG.0060", "IMG.0187", "IMG.0194"})


def read_error(body: object) -> tuple[str | None, str | None]:
    """Return code and message of an error answer, in any of the shapes that are documented.

    IMS: `{"error": {"code", "message"}}`; the API gateway and most other services:
    `{"error_code", "error_msg"}`.
    """
    if not isinstance(body, Mapping):
        return None, None
    inner = body.get("error")
    if isinstance(inner, Mapping):
        return _text(inner, "code"), _text(inner, "message")
    if isinstance(inner, str) and inner.strip():
        return _text(body, "error_code", "code"), inner
    return _text(body, "error_code", "code"), _text(body, "error_msg", "message")


def is_error(body: object) -> bool:
    """Return whether a body has an error's shape, whatever status it came with.

    The `error_code` of a job is none: its reason stands in `fail_reason`.
    """
    if not isinstance(body, Mapping):
        return False
    return isinstance(body.get("error"), Mapping) or "error_msg" in body


def explain(status: int, code: str | None, message: str | None, right: str = "") -> str:
    """Write one sentence for a refusal: the service's own words, then what helps.

    `right` is the one that the request needs, where it is not that of an import.
    """
    by_code = CODES.get(code or "")
    by_status = STATUSES.get(status)
    known = by_code or by_status
    words = message or (known.meaning if known else "no explanation")
    head = f"{status} {show_words(code, _CODE_SHOWN)}" if code else str(status)
    if right and (status == 403 or code == "IMG.0026"):
        return f"{head}: {show_words(words)} (the account needs {right})"
    advice = (by_code and by_code.advice) or (by_status.advice if by_status else "")
    return f"{head}: {show_words(words)}" + (f" ({advice})" if advice else "")


def explain_job(reasons: Sequence[str]) -> str:
    """Write why a job failed: its reasons in the service's words, each with what helps.

    A reason is a code, a sentence, or both with a blank between them. A code without a sentence is
    explained.
    """
    said = []
    for reason in reasons:
        code, _, words = reason.partition(" ")
        known = CODES.get(code)
        text = f"{code}: {known.meaning}" if known and not words else reason
        said.append(f"{text} ({known.advice})" if known and known.advice else text)
    return "; ".join(said) or "the service gave no reason"


def _text(body: Mapping[str, object], *names: str) -> str | None:
    for name in names:
        value = body.get(name)
        if isinstance(value, str | int) and value != "":
            return str(value)
    return None
