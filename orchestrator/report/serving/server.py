"""Answers a browser on this machine that knows the token; nobody else, and nothing but the pages.

A page of another origin can reach loopback, too: it neither knows the token, nor may it post, nor
does a name that leads here (DNS rebinding) pass the check of the header `Host`.
"""

import hmac
import re
import secrets
import socket
import socketserver
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from orchestrator.errors import UserError
from orchestrator.report.html import filled, source, style
from orchestrator.report.serving.site import LAUNCH, RETRY, STOP, Page, Site

LOOPBACK = "127.0.0.1"
MAX_BODY = 4096
TIMEOUT_S = 20
"""For a request to arrive, and for an answer to be taken."""
HTML = "text/html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # `no-referrer` would hide the origin of our own posts
    "X-Content-Type-Options": "nosniff",
}
_LOG = re.compile(r"log/([0-9a-f]{16}(?:\.[0-9a-f]{16})?)")
_ACTION = re.compile(rf"({STOP}|{LAUNCH})|({RETRY})/([0-9a-f]{{16}})")


class Server(ThreadingHTTPServer):
    """Listens on loopback, with a token that is new for every server.

    Attributes:
        site: The pages.
        token: Who knows it may read and act.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, site: Site, port: int = 0) -> None:
        self.site, self.token = site, secrets.token_urlsafe(24)
        self._arriving: dict[socket.socket, float] = {}
        try:
            super().__init__((LOOPBACK, port), Handler)
        except OSError as error:
            reason = f"port {port} of {LOOPBACK} cannot be used ({error.strerror})"
            raise UserError(reason, "choose another with --port, or none") from None

    def server_bind(self) -> None:
        """Bind; unlike the parent class, ask no server for the name of this machine."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; until `arrived` the request is one that may be cut off."""
        self._arriving[request] = time.monotonic()
        super().process_request(request, client_address)

    def arrived(self, request: socket.socket) -> None:
        """Note that all of a request is here."""
        self._arriving.pop(request, None)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and forget it."""
        self.arrived(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off who sends a request byte by byte: a limit of each read would never end it."""
        late = time.monotonic() - TIMEOUT_S
        for request, since in list(self._arriving.items()):
            if since < late:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away; anything else is a fault of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = TIMEOUT_S
    server_version, sys_version = "rho-sweep", ""

    def do_GET(self) -> None:
        """A page, a log, the report, a style sheet or a script."""
        self.server.arrived(self.connection)
        if (path := self._path()) is None:
            return
        site = self.server.site
        try:
            if path == "page.css":
                self._send(style(), "text/css")
            elif path in ("live.js", "page.js"):
                self._send(source(path), "text/javascript")
            elif path == "report.html":
                self._page(site.report(), policy="frame-ancestors 'none'")  # it has its own
            elif found := _ACTION.fullmatch(path):
                self._page(site.question(found[1] or found[2], found[3]))
            elif found := _LOG.fullmatch(path):
                self._page(site.log(found[1]))
            else:
                self._page(site.home() if path == "" else None)
        except UserError as error:
            page = Page(title="rho-sweep", heading=site.folder.name, state=str(error))
            self._page(filled("live.html.j2", page=page, base=""))

    def do_POST(self) -> None:
        """Stop, launch or retry, asked from a page of this server."""
        if (path := self._path()) is None:
            return
        length = self.headers.get("Content-Length", "")
        if self.headers.get_all("Origin") != [f"http://{self.headers['Host']}"]:
            self._refuse(HTTPStatus.FORBIDDEN)
        elif not re.fullmatch("[0-9]{1,6}", length) or int(length) > MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif not (found := _ACTION.fullmatch(path)):
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            form = parse_qs(self.rfile.read(int(length)).decode("ascii", "replace"))
            self.server.arrived(self.connection)
            self.server.site.act(found[1] or found[2], found[3], form.get("pid", [""])[0])
            self.send_response(HTTPStatus.SEE_OTHER)
            self.send_header("Location", f"/{self.server.token}/")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _path(self) -> str | None:
        """What is asked for, without the token; None after a refusal."""
        hosts = {f"{name}:{self.server.server_port}" for name in (LOOPBACK, "localhost")}
        named = self.headers.get_all("Host", [])
        if len(named) != 1 or named[0] not in hosts:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return None
        token, _, rest = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.NOT_FOUND)
            return None
        return rest

    def _page(self, text: str | None, policy: str = POLICY) -> None:
        if text is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            self._send(text, HTML, policy)

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(status.phrase, "text/plain", status=status)

    def _send(
        self, text: str, kind: str, policy: str = POLICY, status: HTTPStatus = HTTPStatus.OK
    ) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: a request's first line has the token."""
