"""A small hub server on loopback, without faults or with one."""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from huggingface_hub import constants

COMMIT = "a" * 40
ANSWERS = {
    "no token": (401, {"X-Error-Message": "Invalid username or password."}),
    "gated": (403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "restricted"}),
    "gated, no token": (401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "restricted"}),
    "no such repository": (404, {"X-Error-Code": "RepoNotFound"}),
    "no such revision": (404, {"X-Error-Code": "RevisionNotFound"}),
    "disabled": (403, {"X-Error-Message": "Access to this resource is disabled."}),
    "busy": (429, {}),
    "down": (500, {}),
}
BODIES = {
    "a page of a hotel": b"<html>log in</html>",
    "half an answer": b"{",
    "a list": b"[]",
    "nothing known": b"{}",
}


class Hub:
    """Files and fault of the server.

    Attributes:
        files: Name -> content of its one model, `o/m`.
        fault: A key of ANSWERS or BODIES; `silent`: ends the connection without an answer; `cut`:
            ends it in the middle of each large file; `no file`: lacks what it lists; "": none.
        made: Requests for a repository, as the library sends them.
        taken: Name -> content of files that were committed.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.fault = files, ""
        self.made: list[dict[str, object]] = []
        self.taken: dict[str, bytes] = {}


@contextlib.contextmanager
def serving(folder: Path, monkeypatch) -> Iterator[Hub]:
    """Serve the files of a folder as `o/m` to this process's hub library, which caches nothing."""
    hub = Hub({p.name: p.read_bytes() for p in folder.iterdir()})
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        fault = self.hub.fault
        if fault == "silent":
            self._hang_up()
        elif fault in ANSWERS:
            status, headers = ANSWERS[fault]
            self._say(status, b"{}", **headers)
        elif fault in BODIES:
            self._say(200, BODIES[fault])
        elif not self.path.startswith("/api/"):
            self._file(self.path.partition("?")[0].rpartition("/")[2])
        elif "/tree/" in self.path:
            listed = [
                {"type": "file", "path": n, "size": len(b), "oid": hashlib.sha1(b).hexdigest()}
                for n, b in self.hub.files.items()
            ]
            self._say(200, json.dumps(listed).encode())
        else:
            siblings = [{"rfilename": name} for name in self.hub.files]
            self._say(200, json.dumps({"id": "o/m", "sha": COMMIT, "siblings": siblings}).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.hub.fault in ANSWERS:
            status, headers = ANSWERS[self.hub.fault]
            self._say(status, b"{}", **headers)
        elif self.path.endswith("/repos/create"):
            self.hub.made.append(json.loads(body))
            kind = "datasets/" if self.hub.made[-1].get("type") == "dataset" else ""
            self._say(200, json.dumps({"url": f"{constants.ENDPOINT}/{kind}o/m"}).encode())
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            files = [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]
            self._say(200, json.dumps({"files": files}).encode())
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.hub.taken[line["value"]["path"]] = content
            done = {"commitUrl": f"{constants.ENDPOINT}/o/m/commit/{COMMIT}", "commitOid": COMMIT}
            self._say(200, json.dumps(done | {"success": True}).encode())
        else:
            self._say(200, b"{}")

    def _file(self, name: str) -> None:
        if name not in self.hub.files or self.hub.fault == "no file":
            self._say(404, **{"X-Error-Code": "EntryNotFound"})
            return
        body = self.hub.files[name]
        marks = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
        self._say(200, body, cut=self.hub.fault == "cut" and len(body) > 1 << 20, **marks)

    def _say(self, status: int, body: bytes = b"", *, cut: bool = False, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(2)
        self.close_connection = True
