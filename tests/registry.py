"""A registry that holds one image, read-only (OCI distribution-spec), with a password if it is given one."""

from __future__ import annotations

import base64
import hashlib
import http.server
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def content_of(archive: Path) -> dict[str, bytes]:
    """Digest -> bytes of everything in an OCI archive."""
    with tarfile.open(archive) as opened:
        blobs = [
            (entry.name, opened.extractfile(entry)) for entry in opened if entry.isfile() and entry.name.startswith("blobs/")
        ]
        return {f"sha256:{Path(name).name}": stream.read() for name, stream in blobs if stream is not None}


@contextmanager
def registry(content: dict[str, bytes], manifest: str, *, host: str = "127.0.0.1", password: str = "") -> Iterator[int]:
    """Serve `content`, whose image's manifest has the digest `manifest`; yields the port. With `password`, user:password."""
    wanted = f"Basic {base64.b64encode(f'user:{password}'.encode()).decode()}" if password else ""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if wanted and self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="registry"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            kind, _, name = self.path.rpartition("/")
            is_manifest = kind.endswith("/manifests")
            body = content[manifest] if is_manifest else content.get(name, b"")
            self.send_response(200)
            self.send_header("Content-Type", MANIFEST_TYPE if is_manifest else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(body).hexdigest()}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer((host, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
