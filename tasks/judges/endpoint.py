"""A judge that asks a language model on a server with OpenAI's chat completions interface."""

import functools
import http.client
import ipaddress
import json
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

from tasks.contract.cell import NodeError
from tasks.judges import prompted as verdict
from tasks.judges.contract import Judgement, Label
from tasks.sources.jsonl import parse_json

KEY_VARIABLE = "RHO_SWEEP_JUDGE_KEY"
"""Environment variable that holds the key, where the server wants one."""
DEFAULT_MODEL = "default_model"
"""What mlx-lm's server calls the model it was started with."""
PATH = "/chat/completions"
TIMEOUT_S = 120.0
RETRIES = 3
LARGEST_ANSWER = 1 << 20
"""Bytes; the rest of a longer reply is not read."""
LONGEST_ADDRESS = 200
"""Characters of an address that a server names; the rest is not shown."""
_MISCONFIGURED = {
    401: f"the server wants a key; set {KEY_VARIABLE}",
    403: f"the server refuses this key; check {KEY_VARIABLE}",
    404: "there is no such address or no such model; endpoint:URL#MODEL names both, "
    "and URL usually ends in /v1",
    405: "the server takes no questions there; URL usually ends in /v1",
}


class _SingleError(Exception):
    """This answer could not be judged; the next one may succeed."""


class _PassingError(_SingleError):
    """This answer could not be judged now; the same question may succeed later."""


class EndpointJudge:
    """Sends `verdict.question` to a server at temperature 0, one answer at a time."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Check the address; nothing is sent yet.

        Args:
            url: e.g. `http://127.0.0.1:8080/v1`.
            model: The server's name for the model; None sends `DEFAULT_MODEL`, which mlx-lm's
                server reads as the model it was started with.
            timeout_s: Seconds from a question to the last byte of its reply.
            retries: How often a question is sent again when the server is busy or silent.
            sleep: Called with the seconds to wait between two tries.

        Raises:
            NodeError: `url` is not the address of a server, or contains a key.
        """
        self._url = _address(url)
        self._model = model
        self._timeout_s = timeout_s
        self._retries = retries
        self._sleep = sleep
        self._opener = urllib.request.build_opener(
            _StayHere, _TimedHandler, _TimedTlsHandler, *_direct(self._url)
        )

    @property
    def name(self) -> str:
        """`endpoint:MODEL@1a2b3c4d`: the model (or the server) and a digest of the question."""
        parts = urlsplit(self._url)
        where = self._model or f"{parts.netloc}{parts.path.removesuffix(PATH)}"
        return f"endpoint:{where}@{verdict.DIGEST}"

    def judge(self, prompt: str, response: str, finish_reason: str | None) -> Judgement:
        """The verdict on one answer; `unjudged` where the server fails on it.

        Raises:
            NodeError: The server cannot be reached, or would fail on every answer.
        """
        asked = verdict.question(prompt, response, finish_reason)
        try:
            text, finish_reason = _first_choice(self._ask(asked))
        except _SingleError as error:
            return Judgement(label=Label.UNJUDGED, reason=str(error))
        return verdict.parse(text, finish_reason)

    def _ask(self, text: str) -> bytes:
        """The server's reply to a question; asks again while the server is busy or silent."""
        body = {
            "model": self._model or DEFAULT_MODEL,
            "messages": [{"role": "user", "content": text}],
            "temperature": 0,
            "max_tokens": verdict.MAX_TOKENS,
            "stream": False,
        }
        headers, key = {"Content-Type": "application/json"}, _key()
        if key:
            headers["Authorization"] = f"Bearer {key}"
        data = json.dumps(body).encode()
        for attempt in range(self._retries + 1):
            try:
                with _Deadline(self._timeout_s) as deadline:
                    reply = self._send(_Question(self._url, data, headers, deadline), deadline)
                # A server may repeat the key it was given, and a verdict's reason is stored.
                return reply.replace(key.encode(), b"(the key)") if key else reply
            except _PassingError:
                if attempt == self._retries:
                    raise
                self._sleep(2.0**attempt)
        raise AssertionError("the last try returns or raises")

    def _send(self, request: "_Question", deadline: "_Deadline") -> bytes:
        late = _PassingError(f"no reply within {self._timeout_s:g} s")
        try:
            with self._opener.open(request, timeout=self._timeout_s) as reply:
                found = bytes(reply.read(LARGEST_ANSWER))
        except urllib.error.HTTPError as error:
            with error:
                raise _of_status(self._url, error.code, error.headers.get("Location")) from None
        except TimeoutError:
            raise late from None
        except UnicodeError as error:  # a part of the host's name is empty or too long
            raise NodeError(f"judge {self._url}: no name of a host ({error})") from None
        except urllib.error.URLError as error:
            if deadline.passed or isinstance(error.reason, TimeoutError):
                raise late from None
            raise NodeError(
                f"judge {self._url}: cannot be reached ({error.reason}); is the server running?"
            ) from None
        except (ConnectionError, http.client.HTTPException) as error:
            why = f"the connection broke ({type(error).__name__})"
            raise late if deadline.passed else _PassingError(why) from None
        if deadline.passed:
            raise late
        return found


class _Deadline:
    """Breaks a connection off when its time is up, however much the server still sends.

    A socket's own timeout counts from byte to byte: a server that sends one now and then never
    reaches it.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._line: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._break_off)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._line is not None:
            self._line.close()

    def watch(self, line: socket.socket) -> None:
        """Break this connection off; a copy, as TLS wraps the socket and closes the original."""
        self._line = line.dup()
        if self.passed:
            self._break_off()

    def _break_off(self) -> None:
        self.passed = True
        if self._line is not None:
            with suppress(OSError):  # the server hung up first
                self._line.shutdown(socket.SHUT_RDWR)


class _Question(urllib.request.Request):
    """A request with the time by which its reply must be there."""

    def __init__(self, url: str, data: bytes, headers: dict[str, str], deadline: _Deadline) -> None:
        super().__init__(url, data, headers, method="POST")
        self.deadline = deadline


class _Timed(http.client.HTTPConnection):
    """A connection that a deadline watches."""

    def __init__(self, host: str, *, deadline: _Deadline, **options: Any) -> None:
        super().__init__(host, **options)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()
        self._deadline.watch(self.sock)


class _TimedTls(http.client.HTTPSConnection, _Timed):
    """The same below TLS: its handshake is part of the time."""


class _TimedHandler(urllib.request.HTTPHandler):
    def http_open(self, request: Any) -> Any:
        return self.do_open(functools.partial(_Timed, deadline=request.deadline), request)


class _TimedTlsHandler(urllib.request.HTTPSHandler):
    def https_open(self, request: Any) -> Any:
        return self.do_open(functools.partial(_TimedTls, deadline=request.deadline), request)


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would turn the POST into a GET, and might send the key elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Make no second request, so that the reply becomes an HTTPError."""


def _address(url: str) -> str:
    """The address that questions are sent to: the URL with `/chat/completions` at its end."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        usable = False
    if not usable or not re.fullmatch(r"[!-~]+", url):
        raise NodeError(f"judge {url}: expected a URL such as http://127.0.0.1:8080/v1")
    if parts.username is not None or parts.password is not None:
        raise NodeError(f"judge on {parts.hostname}: put no key in the URL; set {KEY_VARIABLE}")
    if parts.query:  # many servers take a key there
        raise NodeError(f"judge on {parts.hostname}: put nothing after a ? in the URL")
    bare = url.partition("#")[0].rstrip("/")
    return bare if bare.endswith(PATH) else bare + PATH


def _key() -> str | None:
    """The key for the server, if one is set."""
    key = os.environ.get(KEY_VARIABLE)
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise NodeError(
            f"{KEY_VARIABLE}: holds a character that no key has, such as a line end, a space or a "
            "letter outside ASCII; set it again"
        )
    return key


def _direct(url: str) -> list[urllib.request.BaseHandler]:
    """A handler that ignores proxy settings for a server on this machine; else no handler."""
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
        local = (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
    return [urllib.request.ProxyHandler({})] if local else []


def _of_status(url: str, code: int, location: str | None) -> Exception:
    """The error to raise for a reply with another HTTP status than success."""
    if 300 <= code < 400:
        where = (location or "another address")[:LONGEST_ADDRESS]
        return NodeError(f"judge {url}: has moved to {where}; name that")
    if code in _MISCONFIGURED:
        return NodeError(f"judge {url}: HTTP {code}, {_MISCONFIGURED[code]}")
    if code == 429 or code >= 500:
        return _PassingError(f"the server answered HTTP {code}")
    return _SingleError(f"the server answered HTTP {code}")


def _first_choice(reply: bytes) -> tuple[str, str | None]:
    """Text and `finish_reason` of the first choice in a chat completion."""
    try:
        choice: Any = parse_json(reply)["choices"][0]
        text, finish_reason = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise _SingleError("the server's reply is no chat completion") from None
    if text is not None and not isinstance(text, str):
        raise _SingleError("the server's reply has no text")
    return text or "", finish_reason if isinstance(finish_reason, str) else None
