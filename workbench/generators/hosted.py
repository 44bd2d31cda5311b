"""Models behind an images endpoint: asked over a network, one paid picture a call."""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from workbench import images
from workbench.generators import Failure, _budget, paired
from workbench.paths import user_folder
from workbench.plugin import Plugin, call_options
from workbench.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    from PIL.Image import Image

OPENAI = "https://api.openai.com/v1"
PACKAGE = "'attribution-workbench[hosted]'"
PAUSES = (2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds to wait before asking again, where the server names no time itself."""

LONGEST_PAUSE = 120.0
TIMEOUT = 300.0
MAX_BYTES = 64 * 2**20
FREE = (*range(400, 408), *range(409, 500), 503)
"""Answers that tell that no picture was made; any other, or none, leaves open what is billed."""

REFUSALS = ("moderation", "policy", "safety")


@dataclass(frozen=True, repr=False)
class Hosted(Plugin):
    """Ask a hosted model for pictures over the openai SDK; the row's `source` is the model's id.

    A field left None is the row's option of that name. `size` is the endpoint's word, such as
    1024x1024, by default the row's side; `price` is US dollars a picture at that size and quality,
    without which nothing is asked. The option base_url, else OPENAI_BASE_URL, else OpenAI's own,
    is the endpoint; the key is read from OPENAI_API_KEY, and stays there.

    No more is spent than WORKBENCH_BUDGET allows, in US dollars and in all: what was spent before
    counts, as the ledger spent.sqlite in the user's catalogue folder holds it (`catalogue.toml`). A
    request that may have been billed without an answer counts too.

    The models take no seed: a picture is known by its index, and never made twice.

    >>> Hosted(Checkpoint("painter", "generator", "", "gpt-image-2"), quality="low", price=0.01)
    Hosted("painter", quality="low", price=0.01)
    """

    checkpoint: Checkpoint
    size: str | None = None
    quality: str | None = None
    price: float | None = None
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

    def contents(self) -> dict[str, Any]:
        """Name what decides a picture: model, endpoint, and the settings of the call."""
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
        fields = {"size": self.size, "quality": self.quality, "price": self.price}
        return call_options(self.checkpoint, base_url=None, **fields)

    @property
    def _call(self) -> dict[str, Any]:
        """The settings that go into a call."""
        side = self.checkpoint.size
        found = {"size": f"{side}x{side}", **self._settings}
        return {name: found[name] for name in ("size", "quality") if name in found}

    @property
    def _price(self) -> int:
        """The price of a picture, in millionths of a dollar."""
        price = self._settings.get("price", 0)
        if not isinstance(price, (int, float)) or not 0 < price < math.inf:
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
        """Make the SDK's client, which holds the key."""
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
        return openai.OpenAI(api_key=key, base_url=address, max_retries=0, timeout=TIMEOUT)

    def _picture(self, client: Any, prompt: str) -> Image | Failure:
        """Ask for one picture until it comes, is refused, or the endpoint fails too often."""
        name, price = self.checkpoint.name, self._price
        for pause in (*PAUSES, None):
            _budget.pay(name, price)
            answer = _ask(client, model=self.checkpoint.source, prompt=prompt, n=1, **self._call)
            if not isinstance(answer, _Trouble):
                return _opened(answer, self.address(self.checkpoint))
            if answer.free:
                _budget.take_back(name, price)
            if answer.of_prompt:
                return Failure(f"{name} refused the prompt: {answer.reason}")
            if not answer.may_pass:
                break
            if pause is not None:
                time.sleep(pause if answer.pause is None else min(answer.pause, LONGEST_PAUSE))
        raise self._error(answer)

    def _error(self, trouble: _Trouble) -> Exception:
        """Say what is wrong and what would help."""
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
        words = f"{self.code} {self.reason}".lower()
        refused = self.about == "prompt" or any(word in words for word in REFUSALS)
        return self.status in (400, 422) and refused

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
    """Post one request; answer what came, or the `_Trouble`."""
    import openai

    try:
        answer = client.images.generate(**request)
        if getattr(answer, "data", None):
            return answer
        return _Trouble(200, "", "", "no picture in the answer; is it an images endpoint?")
    except openai.APIError as error:
        body = error.body if isinstance(error.body, dict) else {}
        words = str(body.get("message") or error.message).strip().splitlines() or ["?"]
        response = getattr(error, "response", None)
        return _Trouble(
            status=getattr(error, "status_code", 0),
            code=error.code or "",
            about=error.param or "",
            reason=words[0].replace(client.api_key, "…")[:300],
            pause=None if response is None else _seconds(response.headers.get("retry-after")),
            unsent=type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout"),
        )


def _seconds(text: str | None) -> float | None:
    """Read a Retry-After in seconds; None for a date or none.

    >>> _seconds("1.5"), _seconds("Wed, 21 Oct 2026 07:28:00 GMT")
    (1.5, None)
    """
    try:
        return max(float(text or ""), 0.0)
    except ValueError:
        return None


def _opened(answer: Any, address: str) -> Image | Failure:
    """Decode the picture of an answer, which holds it or says where it lies."""
    first = answer.data[0]
    try:
        if first.b64_json:
            return images.decode(base64.b64decode(first.b64_json))
        if first.url:
            return images.decode(_fetched(first.url, address))
    except (images.ImageError, binascii.Error) as error:
        return Failure(f"what came is no picture: {error}")
    return Failure("the answer held no picture")


def _fetched(url: str, address: str) -> bytes:
    """Fetch a picture from https or the endpoint itself, without the key and without redirects.

    It was paid for, so it is asked for again where that fails.

    Raises ImageError for any other place or too large a file, ConnectionError where it fails.
    """
    import httpx2 as httpx  # which the SDK brings

    there, here = urlsplit(url), urlsplit(address)
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
        except httpx.HTTPError as error:
            why = type(error).__name__
        if pause is not None:
            time.sleep(pause)
    raise ConnectionError(f"a picture could not be fetched from {there.netloc}: {why}")
