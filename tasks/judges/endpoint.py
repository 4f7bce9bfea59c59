"""A judge behind an address that speaks the chat completions of OpenAI's interface."""

import http.client
import ipaddress
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tasks.contract.cell import NodeError
from tasks.judges import prompted as verdict
from tasks.judges.contract import Judgement, Label

KEY_VARIABLE = "RHO_SWEEP_JUDGE_KEY"
"""Environment variable that holds the key, where the server wants one."""
DEFAULT_MODEL = "default_model"
"""What mlx-lm's server calls the model it was started with."""
PATH = "/chat/completions"
TIMEOUT_S = 120.0
RETRIES = 3
LARGEST_ANSWER = 1 << 20
"""Bytes of a reply that are read."""
_MISCONFIGURED = {
    401: f"the server wants a key; set {KEY_VARIABLE}",
    403: f"the server refuses this key; check {KEY_VARIABLE}",
    404: "there is no such address or no such model; endpoint:URL#MODEL names both, "
    "and URL usually ends in /v1",
    405: "the server takes no questions there; URL usually ends in /v1",
}


class _SingleError(Exception):
    """One answer could not be judged; others may be."""


class _PassingError(_SingleError):
    """As `_SingleError`, and trying again may help."""


class EndpointJudge:
    """Asks a server with `verdict.question` at temperature 0; one answer at a time."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take down where to ask; nothing is sent yet.

        Args:
            url: e.g. `http://127.0.0.1:8080/v1`.
            model: As the server calls it; None for the one it was started with, where it knows
                that name.
            timeout_s: Seconds to wait for each reply.
            retries: How often a question is sent again when the server is busy or silent.
            sleep: Waits that many seconds between two tries.

        Raises:
            NodeError: `url` is no address of a server.
        """
        self._url = _address(url)
        self._model = model
        self._timeout_s = timeout_s
        self._retries = retries
        self._sleep = sleep
        self._opener = urllib.request.build_opener(_StayHere, *_direct(self._url))

    @property
    def name(self) -> str:
        """The model, or the server that has only one, and the wording of the question."""
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
            said = _spoken(self._ask(asked))
        except _SingleError as error:
            return Judgement(label=Label.UNJUDGED, reason=str(error))
        return verdict.parse(said.text, said.finish_reason)

    def _ask(self, text: str) -> bytes:
        body = {
            "model": self._model or DEFAULT_MODEL,
            "messages": [{"role": "user", "content": text}],
            "temperature": 0,
            "max_tokens": verdict.MAX_TOKENS,
            "stream": False,
        }
        request = urllib.request.Request(
            self._url, json.dumps(body).encode(), _headers(), method="POST"
        )
        for attempt in range(self._retries):
            try:
                return self._send(request)
            except _PassingError:
                self._sleep(2.0**attempt)
        return self._send(request)

    def _send(self, request: urllib.request.Request) -> bytes:
        try:
            with self._opener.open(request, timeout=self._timeout_s) as reply:
                return bytes(reply.read(LARGEST_ANSWER))
        except urllib.error.HTTPError as error:
            with error:
                raise _of_status(self._url, error.code, error.headers.get("Location")) from None
        except TimeoutError:
            raise _PassingError(f"no reply within {self._timeout_s:g} s") from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise _PassingError(f"no reply within {self._timeout_s:g} s") from None
            raise NodeError(
                f"judge {self._url}: cannot be reached ({error.reason}); is the server running?"
            ) from None
        except (ConnectionError, http.client.HTTPException) as error:
            raise _PassingError(f"the connection broke ({type(error).__name__})") from None


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: a question would become a GET, and the key might go elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No second request; the reply comes back as an error."""


@dataclass(frozen=True, slots=True)
class _Said:
    text: str
    finish_reason: str | None


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise NodeError(f"judge {url}: expected a URL such as http://127.0.0.1:8080/v1")
    if parts.username is not None or parts.password is not None:
        raise NodeError(f"judge on {parts.hostname}: put no key in the URL; set {KEY_VARIABLE}")
    bare = url.partition("#")[0].rstrip("/")
    return bare if bare.endswith(PATH) else bare + PATH


def _direct(url: str) -> list[urllib.request.BaseHandler]:
    """No proxy between this machine and itself."""
    host = urlsplit(url).hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    return [urllib.request.ProxyHandler({})] if local else []


def _headers() -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get(KEY_VARIABLE):
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _of_status(url: str, code: int, location: str | None) -> Exception:
    """What a reply other than success means."""
    if 300 <= code < 400:
        return NodeError(f"judge {url}: has moved to {location or 'another address'}; name that")
    if code in _MISCONFIGURED:
        return NodeError(f"judge {url}: HTTP {code}, {_MISCONFIGURED[code]}")
    if code == 429 or code >= 500:
        return _PassingError(f"the server answered HTTP {code}")
    return _SingleError(f"the server answered HTTP {code}")


def _spoken(reply: bytes) -> _Said:
    """Text and end of the first choice of a chat completion."""
    try:
        choice: Any = json.loads(reply)["choices"][0]
        text, finish_reason = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise _SingleError("the server's reply is no chat completion") from None
    if text is not None and not isinstance(text, str):
        raise _SingleError("the server's reply has no text")
    return _Said(text or "", finish_reason if isinstance(finish_reason, str) else None)
