"""Hard prompts found by gradient: PEZ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.encoders import Encoder
from workbench.images import digest as picture_digest
from workbench.inverters import Prompt
from workbench.keys import digest
from workbench.plugin import Plugin, arguments, short
from workbench.weights import inference

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

ROWS = 4
"""Prompts searched in one call, at most: a lone picture should not pay for an encoder's 32."""
DECAY = 0.1


@dataclass(frozen=True, repr=False)
class Pez(Plugin):
    """Search for the hard prompt nearest to a picture: PEZ (Wen et al. 2023, arXiv:2302.03668).

    Algorithm 1: soft embeddings P start at `tokens` random words. A step projects each to the word
    nearest by cosine, P′ = Proj_E(P), and applies the gradient at P′ of 1 − cos(φ(x), ψ(P′)) to P,
    by AdamW with learning rate `rate` and weight decay 0.1; φ and ψ are the projected embeddings of
    picture and text. The best P′ of all steps is kept. A search ends after `steps`, or `patience`
    steps without a better one. Of `restarts` searches the best counts.

    The paper takes 16 tokens, 3000 steps, rate 0.1 (fewer, and restarts, ours: seconds on a CPU).
    Words are tokens that come back as themselves when decoded and encoded again. A search is seeded
    by the picture's pixels and `seed`, and runs in a fixed shape, so company and order do not
    matter. Where the encoder also ranks, its generators are favoured: a bias to measure.

    >>> from workbench.weights.checkpoint import Checkpoint
    >>> from workbench.encoders.open_clip import OpenClip
    >>> Pez(OpenClip(Checkpoint("pocket-clip", "encoder", "", "/weights")), tokens=4)
    Pez("pocket-clip", tokens=4)
    """

    encoder: Encoder
    tokens: int = 8
    steps: int = 200
    rate: float = 0.1
    patience: int = 100
    restarts: int = 4
    seed: int = 0
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("tokens", "steps", "patience", "restarts"):
            if getattr(self, name) < 1:
                raise ValueError(f"PEZ needs {name} of at least 1; seen {getattr(self, name)}")
        if not self.rate > 0:
            raise ValueError(f"PEZ needs a rate above 0; seen {self.rate}")
        if not hasattr(self.encoder, "loaded"):
            raise ValueError(f"PEZ needs an encoder of open_clip; seen {self.encoder!r}")

    def __repr__(self) -> str:
        """Write the encoder by its catalogue name where that says it all."""
        fields = arguments(self)[1:]
        return f"Pez({', '.join([short(self.encoder), *fields])})"

    def __call__(self, images: Sequence[Image]) -> list[Prompt]:
        """Return N Prompts for N RGB images of any size.

        The score is the cosine, in [−1, 1], of picture and text as the encoder sees them; the trace
        holds the cosine of P′ at every step of the best search.

        Raises ValueError for more tokens than the tower reads, LookupError for missing weights.
        """
        import numpy as np

        if not len(images):
            return []
        encoder: Any = self.encoder
        targets = encoder.layers(images, [None])[None]
        words = _Words(encoder)
        if self.tokens > words.room:
            raise ValueError(
                f"{encoder!r} reads prompts of at most {words.room} tokens; seen {self.tokens}"
            )
        jobs = [
            (target, int(digest(["pez", self.seed, picture_digest(image), restart])[:12], 16))
            for image, target in zip(images, targets, strict=True)
            for restart in range(self.restarts)
        ]
        batch = min(ROWS, encoder.checkpoint.batch)
        searches = inference.run_batched(
            lambda chunk: self._search(chunk, words), jobs, encoder.checkpoint, batch, True
        )
        texts = [words.text(ids) for ids, _ in searches]
        aims = np.repeat(targets, self.restarts, axis=0).astype(np.float64)
        cosines = (aims * encoder.text(texts)).sum(axis=1).reshape(len(images), self.restarts)
        best = cosines.argmax(axis=1) + np.arange(len(images)) * self.restarts
        return [
            Prompt(texts[i], float(cosines.flat[i]), trace=tuple(searches[i][1]))
            for i in map(int, best)
        ]

    def _search(
        self, jobs: list[tuple[np.ndarray, int]], words: _Words
    ) -> list[tuple[list[int], list[float]]]:
        """Run B searches, (target, seed) each, side by side: the best token ids, and the trace."""
        import numpy as np
        import torch

        targets = torch.from_numpy(np.stack([target for target, _ in jobs])).to(words.ids.device)
        start = [
            torch.randint(
                len(words.ids), (self.tokens,), generator=torch.Generator().manual_seed(seed)
            )
            for _, seed in jobs
        ]
        soft = torch.nn.Parameter(words.vectors[torch.stack(start)].clone())
        optimiser = torch.optim.AdamW([soft], lr=self.rate, weight_decay=DECAY)
        best = targets.new_full((len(jobs),), -torch.inf)
        prompts = words.nearest(soft)
        waited = torch.zeros_like(best)
        traces: list[list[float]] = [[] for _ in jobs]
        for _ in range(self.steps):
            running = waited < self.patience
            if not running.any():
                break
            hard = words.nearest(soft)
            cosines, soft.grad = words.pull(hard, targets)
            better = running & (cosines > best)
            best = torch.where(better, cosines, best)
            prompts = torch.where(better[:, None], hard, prompts)
            waited = torch.where(better, 0, waited + 1)
            for trace, cosine, alive in zip(traces, cosines.tolist(), running, strict=True):
                if alive:
                    trace.append(cosine)
            optimiser.step()
        return list(zip(prompts.tolist(), traces, strict=True))


class _Words:
    """The V words that a hard prompt may hold, and the text tower that reads them."""

    def __init__(self, encoder: Any) -> None:
        import torch

        self.model, _, self.tokenizer = encoder.loaded()
        self.embedding = _embedding(self.model)
        weight = self.embedding.weight.detach().float()
        ids, empty, self.first = _layout(encoder)
        self.ids, self.empty = ids.to(weight.device), empty.to(weight.device)  # (V,) and (L,)
        self.room = len(empty) - self.first - 1
        self.vectors = weight[self.ids]  # (V, W)
        self.directions = torch.nn.functional.normalize(self.vectors, dim=-1)

    def text(self, ids: list[int]) -> str:
        """Write token ids as a prompt."""
        return _text(self.tokenizer, ids)

    def nearest(self, soft: Tensor) -> Tensor:
        """Project soft embeddings (B, n, W) on words: their token ids (B, n)."""
        import torch

        soft = torch.nn.functional.normalize(soft.detach(), dim=-1)
        return self.ids[(soft @ self.directions.T).argmax(dim=-1)]

    def pull(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cosines (B,) of prompts (B, n) to targets (B, D), and the gradient (B, n, W).

        That is the one of 1 − cosine, taken where the words' embeddings enter the tower.
        """
        import torch

        entered = []

        def enter(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
            entered.append(output.detach().requires_grad_())
            return entered[-1]

        handle = self.embedding.register_forward_hook(enter)
        try:
            features = self.model.encode_text(_wrap(ids, self.empty, self.first)).float()
        finally:
            handle.remove()
        cosines = (torch.nn.functional.normalize(features, dim=-1) * targets).sum(dim=-1)
        (gradient,) = torch.autograd.grad((1 - cosines).sum(), entered)
        return cosines.detach(), gradient[:, self.first : self.first + ids.shape[1]].float()


@lru_cache(maxsize=4)
def _layout(encoder: Any) -> tuple[Tensor, Tensor, int]:
    """Return the tokens (V,) that survive decoding and encoding, and the position of a prompt.

    Returns them, the empty prompt (L,) as the tokenizer writes it, and the place in it where the
    tokens of a text begin. Special tokens are no words.
    """
    import torch

    model, _, tokenizer = encoder.loaded()
    inner = _inner(tokenizer)
    tokens = torch.arange(min(_embedding(model).num_embeddings, inner.vocab_size))
    encoded = tokenizer([_text(tokenizer, [token]) for token in tokens.tolist()])
    empty = tokenizer([""])[0]
    first = int((encoded != empty).any(dim=0).nonzero()[0])
    survives = (encoded == _wrap(tokens[:, None], empty, first)).all(dim=1)
    survives[[i for i in inner.all_special_ids if i < len(tokens)]] = False
    return tokens[survives], empty, first


def _wrap(ids: Tensor, empty: Tensor, first: int) -> Tensor:
    """Return token ids (B, n) within the tokenizer's own frame: (B, L)."""
    import torch

    rows = empty.expand(len(ids), -1)
    return torch.cat([rows[:, :first], ids, rows[:, first : len(empty) - ids.shape[1]]], dim=1)


def _embedding(model: Any) -> Any:
    """Return the token embedding module, in open_clip's towers and foreign ones."""
    tower = getattr(model, "text", model)
    own = hasattr(tower, "token_embedding")
    return tower.token_embedding if own else tower.transformer.get_input_embeddings()


def _inner(tokenizer: Any) -> Any:
    """Return the tokenizer itself where open_clip wraps one."""
    return getattr(tokenizer, "tokenizer", tokenizer)


def _text(tokenizer: Any, ids: list[int]) -> str:
    return str(_inner(tokenizer).decode(ids)).strip()
