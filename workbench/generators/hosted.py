"""Models behind an images endpoint: asked over a network, one paid picture a call."""

from __future__ import annotations

import base64
import json
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from workbench import images
from workbench.generators import ANSWER, Failure, _budget, _usage, paired
from workbench.paths import user_folder
from workbench.plugin import Plugin, call_options
from workbench.text import brief, first_line
from workbench.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    from PIL.Image import Image

OPENAI = "https://api.openai.com/v1"
PACKAGE = "'attribution-workbench[hosted]'"
PAUSES = (2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds to wait before asking again, where the server names no time itself."""

CONCURRENT, MOST = 4, 32
"""Pictures asked for at a time, and how many a row may say."""

LONGEST_PAUSE = 120.0
TIMEOUT = 300.0
MAX_BYTES = 64 * 2**20
MAX_ANSWER = 2 * MAX_BYTES
"""Bytes of a picture, and of an answer that holds one as text."""
MAX_PRICE = 1_000_000
"""US dollars that no picture costs."""
FREE = (*range(400, 408), *range(409, 500), 503)
"""Answers that tell that no picture was made; any other, or none, leaves open what is billed."""

OF_PROMPT = (400, 403, 409, 422, 451)
"""Answers that may refuse a prompt; 403 by its code alone, for its words may be of the account."""

REFUSALS = ("moderation", "policy", "safety", "content_filter")
"""Words of a refusal by policy, which another try would meet again."""


@dataclass(frozen=True, repr=False)
class Hosted(Plugin):
    """Ask a hosted model for pictures over the openai SDK; the row's `source` is the model's id.

    A field left None is the row's option of that name. `size` is the endpoint's word, such as
    1024x1024, by default the row's side; `quality` and `moderation` are its words too; `price` is
    US dollars a picture at that size and quality, at most, without which nothing is asked. Where
    the answer tells its cost, or its tokens while the row's options input_price and output_price
    tell what a million of them cost, the ledger is corrected. The option base_url, else
    OPENAI_BASE_URL, else OpenAI's own, is the endpoint; the key is read from OPENAI_API_KEY, and
    stays there.

    No more is spent than WORKBENCH_BUDGET allows, in US dollars and in all: what was spent before
    counts, as the ledger spent.sqlite in the user's catalogue folder holds it (`catalogue.toml`). A
    request that may have been billed without an answer counts too.

    The models take no seed: a picture is known by its index, and never made twice. What the answer
    tells of it, such as a revised prompt, stands under `ANSWER` in its ``info``, and is kept.

    >>> Hosted(Checkpoint("painter", "generator", "", "gpt-image-2"), quality="low", price=0.01)
    Hosted("painter", quality="low", price=0.01)
    """

    checkpoint: Checkpoint
    size: str | None = None
    quality: str | None = None
    price: float | None = None
    moderation: str | None = None
    revision: ClassVar[int] = 1
    hosted: ClassVar[bool] = True
    seedable: ClassVar[bool] = False
    paid: ClassVar[bool] = True

    @staticmethod
    def packages(row: Checkpoint) -> dict[str, str]:
        """Return the module that is needed besides, and what pip calls it."""
        return {"openai": PACKAGE}

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image | Failure]:
        """Return a new RGB image, or the Failure of a refused prompt, for each (prompt, index).

        Raises ValueError for lengths that differ, a row without a price, or a request that the
        endpoint does not understand; PermissionError for a budget too small or a wrong key;
        LookupError without the SDK, the key or the model; ConnectionError where the endpoint does
        not answer, or is too busy, time after time.
        """
        if not (pairs := paired(prompts, seeds)):
            return []
        self.afford(len(pairs))
        with self._client() as client:
            return [self._picture(client, prompt) for prompt, _ in pairs]

    def afford(self, count: int) -> None:
        """Raise PermissionError, with the price, unless the budget has room for `count` pictures.

        ValueError: the row has no price, or WORKBENCH_BUDGET is no number.
        """
        if count:
            _budget.afford(self.checkpoint.name, count, self._price)

    @property
    def concurrent(self) -> int:
        """How many pictures are asked for at a time: the row's option of that name, else 4.

        ValueError for what is no such number.
        """
        count = self._settings.get("concurrent", CONCURRENT)
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST:
            raise ValueError(
                f"the option concurrent of {self.checkpoint.name!r} is a number from 1 to {MOST}; "
                f"seen {count!r}"
            )
        return count

    @property
    def dollars(self) -> float | None:
        """The price of a picture in US dollars; None where the row has none."""
        try:
            return self._price / _budget.MICRO
        except ValueError:
            return None

    def contents(self) -> dict[str, Any]:
        """Return what identifies a picture: model, endpoint, and the settings of the call."""
        return {"model": self.checkpoint.source, "at": self.address(self.checkpoint), **self._call}

    @staticmethod
    def address(checkpoint: Checkpoint) -> str:
        """Return the endpoint of a row; ValueError for what is none, or holds a password."""
        address = checkpoint.option("base_url") or os.environ.get("OPENAI_BASE_URL") or OPENAI
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError(
                f"the base_url of {checkpoint.name!r} should be like {OPENAI}, without user and "
                "password (the key is read from OPENAI_API_KEY)"
            )
        return str(address).rstrip("/")

    @property
    def _host(self) -> str:
        return str(urlsplit(self.address(self.checkpoint)).hostname)

    @property
    def _settings(self) -> dict[str, Any]:
        names = ("size", "quality", "price", "moderation")
        others = dict.fromkeys(("base_url", "input_price", "output_price", "concurrent"))
        return call_options(self.checkpoint, **others, **{n: getattr(self, n) for n in names})

    @property
    def _call(self) -> dict[str, Any]:
        """The settings that go into a call."""
        side = self.checkpoint.size
        settings = {"size": f"{side}x{side}", **self._settings}
        return {
            name: settings[name] for name in ("size", "quality", "moderation") if name in settings
        }

    @property
    def _price(self) -> int:
        """The price of a picture, in millionths of a dollar."""
        price = self._settings.get("price", 0)
        if not isinstance(price, (int, float)) or not 0 < price <= MAX_PRICE:
            name = self.checkpoint.name
            others = [f"{k} = {json.dumps(v)}" for k, v in self.checkpoint.options if k != "price"]
            raise ValueError(
                f"{name!r} has no price, so nothing is asked of it: look up what a picture of your "
                f"size and quality costs in the price list of {self._host}, and write it, in US "
                f"dollars, into {user_folder() / 'generators.toml'}: under [{name}] "
                f"options = {{ {', '.join([*others, 'price = …'])} }}"
            )
        return max(round(price * _budget.MICRO), 1)

    def _client(self) -> Any:
        """Return the SDK's client, which holds the key."""
        try:
            import openai
        except ImportError as error:
            raise LookupError(
                f"hosted models are asked over the openai SDK: pip install {PACKAGE}"
            ) from error
        key = os.environ.get("OPENAI_API_KEY")
        if not key:
            raise LookupError(
                f"{self.checkpoint.name!r} is asked with a key of yours: set OPENAI_API_KEY (to "
                "any word, for a server of your own that wants none)"
            )
        address = self.address(self.checkpoint)
        http = openai.DefaultHttpxClient(
            event_hooks={"response": [_bound]}, headers={"accept-encoding": "identity"}
        )
        options: dict[str, Any] = {"max_retries": 0, "timeout": TIMEOUT, "http_client": http}
        return openai.OpenAI(api_key=key, base_url=address, **options)

    def _picture(self, client: Any, prompt: str) -> Image | Failure:
        """Ask for one picture until it comes, is refused, or the endpoint fails too often."""
        name, price = self.checkpoint.name, self._price
        gate = _gates.setdefault(self.address(self.checkpoint), _Gate())
        gate.wait()
        for pause in (*PAUSES, None):
            _budget.pay(name, price)
            answer = _ask(client, model=self.checkpoint.source, prompt=prompt, n=1, **self._call)
            if not isinstance(answer, _Trouble):
                usage = _usage.told(answer, client.api_key) | self._paid(answer, price)
                picture = _opened(answer, self.address(self.checkpoint))
                if not isinstance(picture, Failure):
                    picture.info[ANSWER] = {**self._call, **usage}
                return picture
            if answer.free:
                _budget.take_back(name, price)
            if answer.of_prompt:
                return Failure(f"{name} refused the prompt: {answer.reason}")
            if not answer.may_pass:
                break
            if pause is not None:
                seconds = pause if answer.pause is None else min(answer.pause, LONGEST_PAUSE)
                gate.shut(seconds)
                time.sleep(seconds)
        raise self._error(answer)

    def _paid(self, answer: Any, booked: int) -> dict[str, float]:
        """Correct the ledger by what the answer tells of its cost; return that, if anything."""
        rates = (self._settings.get(name) for name in ("input_price", "output_price"))
        cost = _usage.dollars(answer, *rates)
        if cost is None or cost > MAX_PRICE:
            return {}
        _budget.correct(self.checkpoint.name, booked, round(cost * _budget.MICRO))
        return {"dollars": cost}

    def _error(self, trouble: _Trouble) -> Exception:
        """Return a sentence on what is wrong and what would help."""
        name, host = self.checkpoint.name, self._host
        if trouble.status == 401:
            return PermissionError(f"{host} refused the key in OPENAI_API_KEY (401): check it")
        if trouble.status == 403:
            return PermissionError(
                f"the key in OPENAI_API_KEY may not use {name} at {host} (403): {trouble.reason}"
            )
        if trouble.status == 404:
            return LookupError(
                f"{host} has no model {self.checkpoint.source!r} (404): {trouble.reason}"
            )
        if trouble.may_pass:
            return ConnectionError(
                f"{host} gave no picture of {name} in {len(PAUSES) + 1} tries "
                f"({trouble.status or 'no answer'}): {trouble.reason}; what was paid is stored, "
                "and the same call goes on from there"
            )
        return ValueError(
            f"{host} refused to make {name} work ({trouble.status}): {trouble.reason}"
        )


class _Gate:
    """The time before which nobody asks an endpoint anew, since it told somebody to wait."""

    def __init__(self) -> None:
        self._until, self._lock = 0.0, threading.Lock()

    def shut(self, seconds: float) -> None:
        with self._lock:
            self._until = max(self._until, time.monotonic() + seconds)

    def wait(self) -> None:
        with self._lock:
            left = self._until - time.monotonic()
        if left > 0:
            time.sleep(left)


_gates: dict[str, _Gate] = {}


def _bound(answer: Any) -> None:
    """Limit the size of a response to that of one with a picture (a hook of httpx).

    Raises ValueError: at once for one that is packed, else from what reads it.
    """
    import httpx2 as httpx  # which the SDK brings

    read = answer.stream

    class Bounded(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            left = MAX_ANSWER
            for part in read:
                left -= len(part)
                if left < 0:
                    raise ValueError(f"it has more than {MAX_ANSWER // 2**20} MiB")
                yield part

        def close(self) -> None:
            read.close()

    if answer.headers.get("content-encoding", "identity") != "identity":
        raise ValueError("it is packed, and may have any size")
    answer.stream = Bounded()


@dataclass(frozen=True)
class _Malformed:
    """An answer that came, and was paid for, but cannot be read."""

    reason: str


@dataclass(frozen=True)
class _Trouble:
    """An answer that is no picture, without anything of the request: that holds the key."""

    status: int
    code: str
    about: str
    reason: str
    pause: float | None = None
    unsent: bool = False

    @property
    def of_prompt(self) -> bool:
        """Whether another prompt would do."""
        words = self.code.lower() if self.status == 403 else f"{self.code} {self.reason}".lower()
        refused = self.about == "prompt" or any(word in words for word in REFUSALS)
        return self.status in OF_PROMPT and refused

    @property
    def may_pass(self) -> bool:
        """Whether asking again may help."""
        busy = self.status in (0, 408, 409, 429) or self.status >= 500
        return busy and self.code != "insufficient_quota"

    @property
    def free(self) -> bool:
        """Whether nothing is billed for it."""
        return self.unsent or self.status in FREE


def _ask(client: Any, **request: Any) -> Any:
    """Post one request; answer what came, the `_Trouble`, or that it was `_Malformed`."""
    import openai

    try:
        answer = client.images.generate(**request)
        if getattr(answer, "data", None):
            return answer
        return _Trouble(200, "", "", "no picture in the answer; is it an images endpoint?")
    except openai.APIResponseValidationError as error:
        return _Malformed(str(error))
    except openai.APIError as error:
        body = error.body if isinstance(error.body, dict) else {}
        words = str(body.get("message") or error.message).strip().splitlines() or ["?"]
        response = getattr(error, "response", None)
        return _Trouble(
            status=getattr(error, "status_code", 0),
            code=error.code or "",
            about=error.param or "",
            reason=brief(words[0].replace(client.api_key, "…"), 300),
            pause=None if response is None else _seconds(response.headers.get("retry-after")),
            unsent=type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout"),
        )
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        return _Malformed(first_line(error))  # the SDK could not read what came


def _seconds(text: str | None) -> float | None:
    """Read a Retry-After in seconds; None for a date or none.

    >>> _seconds("1.5"), _seconds("Wed, 21 Oct 2026 07:28:00 GMT")
    (1.5, None)
    """
    try:
        seconds = max(float(text or ""), 0.0)
    except ValueError:
        return None
    return None if math.isnan(seconds) else seconds


def _opened(answer: Any, address: str) -> Image | Failure:
    """Decode the picture of an answer, which holds it or says where it lies.

    It was paid for, whatever came: what is no picture is a Failure, never an error.
    """
    if isinstance(answer, _Malformed):
        return Failure(
            f"what came is no picture: the answer cannot be read ({brief(answer.reason, 200)})"
        )
    first = answer.data[0] if isinstance(answer.data, (list, tuple)) else None
    held, url = getattr(first, "b64_json", None), getattr(first, "url", None)
    try:
        if isinstance(held, str) and held:
            return images.decode(base64.b64decode(held))
        if isinstance(url, str) and url:
            return images.decode(_fetched(url, address))
    except ValueError as error:  # an ImageError, or no base64
        return Failure(f"what came is no picture: {brief(error, 200)}")
    if held or url or first is None:
        return Failure("what came is no picture: the answer is not as an images endpoint writes it")
    return Failure("the answer held no picture")


def _fetched(url: str, address: str) -> bytes:
    """Fetch a picture from https or the endpoint itself, without the key and without redirects.

    It was paid for, so it is asked for again where that fails.

    Raises ImageError for any other place or too large a file, ConnectionError where it fails.
    """
    import httpx2 as httpx  # which the SDK brings

    try:
        there, here = urlsplit(url), urlsplit(address)
        _ = there.port  # which is read only here
    except ValueError as error:
        raise images.ImageError(f"it lies at no address ({error})") from None
    if there.scheme != "https" and (there.scheme, there.netloc) != (here.scheme, here.netloc):
        raise images.ImageError(f"it lies at {there.scheme}://{there.netloc}, which is not https")
    for pause in (*PAUSES, None):
        data = b""
        try:
            with httpx.stream("GET", url, timeout=TIMEOUT, follow_redirects=False) as answer:
                answer.raise_for_status()
                for part in answer.iter_bytes():
                    data += part
                    if len(data) > MAX_BYTES:
                        raise images.ImageError(f"it has more than {MAX_BYTES // 2**20} MiB")
            return data
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise images.ImageError(f"it lies at no address ({error})") from None
        except httpx.HTTPError as error:
            why = type(error).__name__
        if pause is not None:
            time.sleep(pause)
    raise ConnectionError(f"a picture could not be fetched from {there.netloc}: {why}")
