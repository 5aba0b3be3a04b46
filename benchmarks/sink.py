"""A bucket that keeps nothing, at the end of a line that is as slow as is asked for.

A bucket is another machine, whose work takes nothing from the one that packs. A real store on this
machine would: its hashing and writing was taken for time of the line. This one speaks as much of S3
as an upload takes, receives bodies and drops them, and knows of each part its length and the MD5
that the client sent; of clients that send none it makes one up. That real stores get the right
bytes is what the tests are for.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.store.gateway import Line

_PIECE = 1 << 20  # bytes received at once
_META = "x-amz-meta-"


class Sink(Line, ThreadingHTTPServer):
    """The bucket, and the line to it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, bytes_per_s: float | None = None) -> None:
        Line.__init__(self, bytes_per_s)
        ThreadingHTTPServer.__init__(self, ("127.0.0.1", 0), _Handler)
        self.forget()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def forget(self) -> None:
        """Be empty again."""
        self.uploads: dict[str, dict[int, tuple[int, str]]] = {}  # part: length and MD5
        self.begun: dict[str, dict[str, str]] = {}  # metadata of an upload
        self.objects: dict[str, tuple[int, str, dict[str, str]]] = {}  # length, ETag, metadata

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Sink
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._piece = memoryview(bytearray(_PIECE))
        self._key, self._query = "", dict[str, str]()

    def parse_request(self) -> bool:
        sound = super().parse_request()
        if sound:
            url = urlsplit(self.path)
            self._key = unquote(url.path).lstrip("/").partition("/")[2]
            query = parse_qs(url.query, keep_blank_values=True)
            self._query = {name: values[0] for name, values in query.items()}
        return sound

    def do_PUT(self) -> None:
        length, made_up = self._drop(), f"{len(self.server.objects):032x}"
        sent = self.headers.get("Content-MD5")
        md5 = base64.b64decode(sent).hex() if sent else made_up
        upload = self._query.get("uploadId")
        if upload is None:
            self.server.objects[self._key] = (length, md5, self._metadata())
        else:
            self.server.uploads[upload][int(self._query["partNumber"])] = (length, md5)
        self._answer(headers={"ETag": f'"{md5}"'})

    def do_POST(self) -> None:
        self._drop()
        if "uploads" in self._query:
            upload = f"{len(self.server.begun):032x}"
            self.server.uploads[upload], self.server.begun[upload] = {}, self._metadata()
            self._answer(
                "<InitiateMultipartUploadResult>"
                f"<UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            )
            return
        parts = self.server.uploads.pop(self._query["uploadId"])
        whole = hashlib.md5(b"".join(bytes.fromhex(parts[n][1]) for n in sorted(parts)))
        etag = f"{whole.hexdigest()}-{len(parts)}"
        metadata = self.server.begun[self._query["uploadId"]]
        size = sum(length for length, _ in parts.values())
        self.server.objects[self._key] = (size, etag, metadata)
        self._answer(f"<CompleteMultipartUploadResult><Key>{self._key}</Key>"
                     f'<ETag>"{etag}"</ETag></CompleteMultipartUploadResult>')  # fmt: skip

    def do_GET(self) -> None:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><Size>{length}</Size>"
            f'<ETag>"{md5}"</ETag></Part>'
            for number, (length, md5) in sorted(
                self.server.uploads.get(self._query.get("uploadId", ""), {}).items()
            )
        )
        kind = "ListPartsResult" if "uploadId" in self._query else "ListBucketResult"
        kind = "ListMultipartUploadsResult" if "uploads" in self._query else kind
        self._answer(f"<{kind}><IsTruncated>false</IsTruncated>{parts}</{kind}>")

    def do_HEAD(self) -> None:
        if not self._key:
            self._answer()
        elif self._key not in self.server.objects:
            self._answer(status=404)
        else:
            size, etag, metadata = self.server.objects[self._key]
            headers = {_META + name: value for name, value in metadata.items()}
            self._answer(headers={"ETag": f'"{etag}"', **headers}, length=size)

    def do_DELETE(self) -> None:
        self.server.objects.pop(self._key, None)
        self._answer(status=204)

    def _metadata(self) -> dict[str, str]:
        return {name.lower()[len(_META) :]: value for name, value in self.headers.items()
                if name.lower().startswith(_META)}  # fmt: skip

    def _drop(self) -> int:
        """Receive a body at the speed of the line; return its length."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self._drop_some(int(self.headers.get("Content-Length") or 0))
        received = 0
        while count := int(self.rfile.readline().partition(b";")[0], 16):
            received += self._drop_some(count)
            self.rfile.readline()
        self.rfile.readline()
        return int(self.headers.get("X-Amz-Decoded-Content-Length") or received)

    def _drop_some(self, count: int) -> int:
        left = count
        while left:
            got = self.rfile.readinto1(self._piece[:left])  # type: ignore[attr-defined]  # of BufferedReader
            if not got:
                raise ConnectionError("the body was cut short")
            self.server.note(got)
            left -= got
        return count

    def _answer(
        self, xml: str = "", *, status: int = 200, headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:  # fmt: skip
        body = xml.encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""
