"""The emulator's endpoints as a WSGI application.

    POST /v2/cloudimages/quickimport/action      start an import
    POST /v2.1/cloudimages/quickimport/action    the same
    GET  /v1/cloudimages/job/{job_id}            how far is a job?
    GET  /v1/{project_id}/jobs/{job_id}          the same, in its older shape
    GET  /v2/cloudimages                         the images, filtered, sorted and by pages
    DELETE /v2/images/{image_id}                 remove an image and its disk
    GET  /v1/cloudimages/os_version              values of os_version
    GET  /v1/cloudimages/quota                   how many images may there be
    GET  /v3/projects?name=                      the project of a region
    POST /v3/auth/tokens                         a token for a key

Everything but the last needs a signature or a token, as on the real service.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from imsprep.bitmap.layout import BitmapLayout
from imsprep.cloud.sites import SITES, Site
from imsprep.emulator import answers, listing, materialise, validate
from imsprep.emulator.faults import Faults
from imsprep.emulator.jobs import IMAGE_QUOTA, JobBoard
from imsprep.emulator.signature import SignedRequest, verify
from imsprep.emulator.validate import RefusedError
from imsprep.system import atomic

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NO_FAULTS = Faults()
MAX_BODY = 12 * 1024 * 1024  # bytes; the gateway's limit for signed requests

ROUTES = Map(
    [
        Rule("/v2/cloudimages/quickimport/action", endpoint="quick_import", methods=["POST"]),
        Rule("/v2.1/cloudimages/quickimport/action", endpoint="quick_import", methods=["POST"]),
        Rule("/v1/cloudimages/job/<job_id>", endpoint="progress", methods=["GET"]),
        Rule("/v1/<project_id>/jobs/<job_id>", endpoint="job", methods=["GET"]),
        Rule("/v2/cloudimages", endpoint="images", methods=["GET"]),
        Rule("/v2/images/<image_id>", endpoint="image", methods=["DELETE"]),
        Rule("/v1/cloudimages/os_version", endpoint="os_version", methods=["GET"]),
        Rule("/v1/cloudimages/quota", endpoint="quota", methods=["GET"]),
        Rule("/v3/projects", endpoint="projects", methods=["GET"]),
        Rule("/v3/auth/tokens", endpoint="tokens", methods=["POST"]),
    ]
)

# No document of Open Telekom Cloud has these; that they are not served there is inferred.
HUAWEI_ONLY = {"/v2.1/cloudimages/quickimport/action", "/v1/cloudimages/job/<job_id>"}
# What is refused with another status than 400.
STATUSES = {"IMG.0026": 403, "APIGW.0301": 401}


@dataclass(frozen=True)
class Settings:
    """What an emulator is started with."""

    access_key: str
    secret_key: str = field(repr=False)
    open_bucket: Callable[[str], materialise.Objects | None]  # None: no such bucket
    folder: Path  # where jobs, images and disks are kept
    site: Site = SITES["huawei-intl"]  # whose documents are followed
    any_os_version: bool = False  # take values that are not on the site's list
    faults: Faults = NO_FAULTS
    layout: BitmapLayout | None = None  # of the bitmaps; None: the default
    image_quota: int = IMAGE_QUOTA
    project_id: str = "0" * 32
    security_token: str | None = field(default=None, repr=False)  # of a temporary key


class DroppedError(Exception):
    """Raised to end a connection without an answer."""


class EmulatorApp:
    """The application and its state; `close` ends its jobs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.faults = settings.faults
        self.board = JobBoard(settings.folder, lambda: self.faults)
        self._lock = threading.Lock()
        self._tokens: set[str] = set()
        self.board.resume(self._source)

    def close(self) -> None:
        """Let the jobs end; those that have not are begun again by the next emulator."""
        self.board.stop()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer one request, as WSGI wants it; errors become the service's own answers."""
        request = Request(environ)
        request.max_content_length = MAX_BODY
        try:
            response = self._answer(request)
        except RefusedError as refused:
            response = _json(answers.refusal(refused.code, refused.message), refused.status)
        except HTTPException as error:
            status = error.code or 500
            response = _json(answers.gateway(f"APIGW.0{status}", error.name), status)
        except DroppedError:
            environ["imsprep.drop"]()
            # What werkzeug takes for a client that went away: it ends the connection silently.
            raise ConnectionResetError from None
        response.headers["X-Request-Id"] = secrets.token_hex(16)
        return response(environ, start)

    def _answer(self, request: Request) -> Response:
        rule, values = ROUTES.bind_to_environ(request.environ).match(return_rule=True)
        endpoint = rule.endpoint
        if rule.rule in HUAWEI_ONLY and not self.settings.site.key.startswith("huawei"):
            raise NotFound
        body = request.get_data()
        if endpoint == "tokens":
            return self._on_tokens(body)
        reason = self._unauthorised(request, body)
        if reason is not None:
            text = f"Incorrect IAM authentication information: {reason}"
            return _json(answers.gateway("APIGW.0301", text), 401)
        # Which code that has is inferred: the documents have one for a wrong project.
        if request.headers.get("X-Project-Id") not in (None, self.settings.project_id):
            raise RefusedError("IMG.0067")
        handler: Callable[..., Response] = getattr(self, f"_on_{endpoint}")
        return handler(request, body, **values)

    def _unauthorised(self, request: Request, body: bytes) -> str | None:
        token = request.headers.get("X-Auth-Token")
        if token is not None:
            return None if token in self._tokens else "the token is invalid or expired"
        signed = SignedRequest(
            method=request.method,
            path=request.environ.get("RAW_PATH") or request.environ["PATH_INFO"],
            query=request.query_string.decode("latin-1"),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
        )
        known = {self.settings.access_key: self.settings.secret_key}
        reason = verify(signed, known.get, datetime.now(UTC))
        given = request.headers.get("X-Security-Token")
        if reason is None and given != self.settings.security_token:
            reason = "the security token is invalid, missing or does not belong to the access key"
        return reason

    def _on_quick_import(self, request: Request, body: bytes) -> Response:
        self._fault("post_429", 429)
        self._fault("post_500", 500)
        self._fault("post_503", 503)
        if self._spend("post_lost"):
            raise DroppedError
        given, value = self.settings, _read_json(body)
        asked = validate.check_body(value, given.site, any_os_version=given.any_os_version)
        self._check_account(asked)
        job = self.board.start(asked, self._source(asked))
        if self._spend("post_drop"):
            raise DroppedError
        return _json({"job_id": job.job_id})

    def _check_account(self, body: validate.Body) -> None:
        """Refuse what the account or the service, but not the body, stands in the way of."""
        code, images = self.faults.refuse, self.board.images()
        if code:
            raise RefusedError(code, status=STATUSES.get(code, 400))
        if self.faults.no_windows and validate.os_type_of(body) == "Windows":
            raise RefusedError(
                "IMG.0122", "Windows images are not provided any more."
            )  # code inferred
        if self.faults.unique_names and body.get("name") in {
            image.body.get("name") for image in images
        }:
            raise RefusedError("IMG.0009")
        if len(images) >= self.settings.image_quota:
            raise RefusedError("IMG.0015")

    def _source(self, body: validate.Body) -> materialise.ObjectSource:
        bucket, key = validate.split_image_url(body.get("image_url"))
        return materialise.accept(self.settings.open_bucket(bucket), key, self.settings.layout)

    def _on_progress(self, request: Request, body: bytes, job_id: str) -> Response:
        return self._job_answer(job_id, answers.progress)

    def _on_job(self, request: Request, body: bytes, project_id: str, job_id: str) -> Response:
        if project_id != self.settings.project_id:
            raise RefusedError("IMG.0067")
        return self._job_answer(job_id, answers.job)

    def _job_answer(self, job_id: str, shape: Callable[..., dict[str, object]]) -> Response:
        if self._spend("query_drop"):
            raise DroppedError
        self._fault("query_429", 429)
        self._fault("query_503", 503)
        job = self.board.job(job_id)
        if job is None:
            raise RefusedError("IMG.0023")  # inferred: no document says what an unknown id gives
        return _json(shape(job, self.faults))

    def _on_images(self, request: Request, body: bytes) -> Response:
        site, owner = self.settings.site, self.settings.project_id
        images = [answers.image(image, site, owner) for image in self.board.images()]
        return _json({"images": listing.select(images, request.args.items(multi=True))})

    def _on_image(self, request: Request, body: bytes, image_id: str) -> Response:
        if not self.board.delete(image_id):
            raise RefusedError("IMG.0144", status=404)
        return Response(status=204)

    def _on_os_version(self, request: Request, body: bytes) -> Response:
        return _json(answers.os_versions(self.settings.site))

    def _on_quota(self, request: Request, body: bytes) -> Response:
        return _json(answers.quota(len(self.board.images()), self.settings.image_quota))

    def _on_projects(self, request: Request, body: bytes) -> Response:
        project = {"id": self.settings.project_id, "name": request.args.get("name", "")}
        return _json({"projects": [project | {"enabled": True}], "links": {}})

    def _on_tokens(self, body: bytes) -> Response:
        if not self._knows(_read_json(body)):
            error = {"error": {"code": 401, "message": "The username or password is wrong."}}
            return _json(error, 401)
        token = secrets.token_hex(32)
        self._tokens.add(token)
        response = _json({"token": {"methods": ["hw_ak_sk"]}}, 201)
        response.headers["X-Subject-Token"] = token
        return response

    def _knows(self, body: Any) -> bool:
        """Return whether an identity, by key or by password, is the emulator's own."""
        try:
            identity = body["auth"]["identity"]
            if "hw_ak_sk" in identity["methods"]:
                key = identity["hw_ak_sk"]
                given = (key["access"]["key"], key["secret"]["key"])
            else:
                user = identity["password"]["user"]
                given = (user["name"], user["password"])
        except (KeyError, TypeError):
            return False
        return given == (self.settings.access_key, self.settings.secret_key)

    def _spend(self, name: str) -> bool:
        """Use one of a counted fault; return whether there was one."""
        with self._lock:
            if getattr(self.faults, name) <= 0:
                return False
            self.faults = self.faults.spent(name)
            return True

    def _fault(self, name: str, status: int) -> None:
        if self._spend(name):
            raise RefusedError("IMG.0060" if status == 429 else "IMG.0061", status=status)


def _read_json(body: bytes) -> object:
    if not body:
        raise RefusedError("IMG.0007")
    try:
        value = json.loads(body)
        atomic.as_json(value)  # as it will be kept: what is nested too deeply cannot be
    except (ValueError, RecursionError):
        raise RefusedError("IMG.0001") from None
    return value


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(value), status, headers, mimetype="application/json")
