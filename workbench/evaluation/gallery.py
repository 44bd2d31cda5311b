"""Galleries: pictures of several models for the same prompts, each a test image to the others.

Other pictures of a prompt are candidate images drawn from the natural prompt, so that the method
is measured on pictures that somebody made, without a model, a hub or a GPU.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import images
from workbench.generators import Failure
from workbench.generators.archive import Archive
from workbench.keys import digest
from workbench.pipeline.progress import Progress, ticker

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

COLUMNS = ("image_id", "prompt", "generator", "index", "width", "height", "format")
REFERENCES = ("same prompt", "caption", "other prompts")
"""Where candidates come from: the prompt itself, those of the nearest captions, or any other."""


@dataclass(frozen=True)
class Gallery:
    """Distinct pictures, a row each, and how to open one.

    `pictures` has the columns `COLUMNS`; `load` opens a picture by its image_id; `left_out` says
    what was not taken.
    """

    pictures: pd.DataFrame
    load: Callable[[str], Image] = field(repr=False)
    left_out: tuple[str, ...] = ()

    @property
    def models(self) -> list[str]:
        """The models, sorted."""
        return sorted(set(self.pictures["generator"]))

    def of(self, models: Sequence[str], n: int | None = None, seed: int = 0) -> Gallery:
        """Keep some models, and at most `n` of the prompts that each drew twice at least.

        Raises ValueError where there are fewer than two models, or three such prompts.
        """
        table = self.pictures[self.pictures["generator"].isin(models)]
        counts = table.groupby(["prompt", "generator"]).size().unstack(fill_value=0)
        whole = sorted(counts.index[(counts.reindex(columns=list(models)) >= 2).all(axis=1)])
        if len(models) < 2 or len(whole) < 3:
            raise ValueError(
                "a gallery needs two models or more, and three prompts of which each drew two "
                f"pictures at least; there are {len(models)} models ({', '.join(models)}) and "
                f"{len(whole)} such prompts"
            )
        if n is not None and n < len(whole):
            whole = sorted(np.random.default_rng(seed).choice(whole, max(n, 3), replace=False))
        kept = table[table["prompt"].isin(whole)].reset_index(drop=True)
        return Gallery(kept, self.load, self.left_out)

    def digest(self) -> str:
        """Identify the list of pictures: sha256 over their image_id, model and prompt, sorted."""
        rows = self.pictures[["prompt", "generator", "image_id"]]
        return digest(sorted(map(list, rows.itertuples(index=False, name=None))))


def read(source: str, layout: str = "", progress: Progress | None = None) -> Gallery:
    """Open every picture of an archive once: a folder PROMPT/MODEL-N.png, or any `Archive`.

    Equal pixels are one picture, of the first prompt and model that have them; what cannot be
    opened is left out, and told.

    Args:
        source: folder, zip or table.
        layout: as of `Archive`; that of the archive, else `folders`, when left out.
        progress: called with ("read", done, total).

    Raises:
        LookupError: there is no archive. ValueError: its pictures name no model.
    """
    import pandas as pd

    layout = layout or _own_layout(source)
    parts = {name: Archive(source, name, layout=layout) for name in _models(source, layout)}
    jobs = [
        (model, prompt, index, name)
        for model, archive in parts.items()
        for prompt, names in archive.prompts().items()
        for index, name in enumerate(names)
    ]
    rows: dict[str, tuple[Any, ...]] = {}
    failed, twice = [], 0
    tick = ticker("read", len(jobs), progress)
    for place, (model, prompt, index, name) in enumerate(jobs):
        (image,) = parts[model]([prompt], [index])
        if isinstance(image, Failure):
            failed.append(image.reason)
        else:
            key, kind = images.digest(image), PurePosixPath(name).suffix.lower()
            twice += key in rows
            rows.setdefault(key, (prompt, model, index, *image.size, kind))
        tick(place + 1)
    table = pd.DataFrame([(key, *row) for key, row in rows.items()], columns=list(COLUMNS))

    def load(image_id: str) -> Image:
        prompt, model, index = rows[image_id][:3]
        (image,) = parts[model]([prompt], [index])
        if isinstance(image, Failure):
            raise LookupError(f"a picture of the gallery is gone: {image.reason}")
        return image

    notes = [f"{twice} pictures are there twice"] * bool(twice)
    notes += [f"{len(failed)} cannot be opened, the first: {failed[0]}"] if failed else []
    return Gallery(table, load, tuple(notes))


def _own_layout(source: str) -> str:
    """Return "" for an archive that tells its layout, or holds a table, else "folders"."""
    try:
        Archive(source).prompts()
    except LookupError:
        return "folders"
    return ""


def _models(source: str, layout: str) -> list[str]:
    models = Archive(source, layout=layout).models()
    if not models:
        raise ValueError(
            f"no picture of {source} names its model; expected PROMPT/MODEL-N.png, a table with "
            "the column generator, or an archive.toml that tells the layout"
        )
    return models


def choose(
    pictures: pd.DataFrame,
    models: Sequence[str],
    gamma: int,
    seed: int = 0,
    among: str = "same prompt",
) -> np.ndarray:
    """Draw γ candidates of each model for every picture, never the picture itself.

    Each picture draws by a seed of its own, so that γ = 4 begins with γ = 2. All models have
    equally many for one picture: as many as the one that has fewest left, γ at most.

    Args:
        pictures: frame of a `Gallery`.
        models: K candidate models.
        gamma: candidates of each, at least 1.
        seed: of the draw.
        among: one of `REFERENCES`. Those of "caption" are of the other prompts whose words are
            nearest (cosine of TF-IDF; Salton & Buckley 1988), one picture a prompt.

    Returns:
        (N, K, γ) places in the table, -1 where there is none.
    """
    if among not in REFERENCES:
        raise ValueError(f"no references {among!r}; there are: {', '.join(REFERENCES)}")
    prompt, own = (pictures[name].to_numpy(dtype=str) for name in ("prompt", "generator"))
    makers = [np.flatnonzero(own == name) for name in models]
    near = _nearness(prompt) if among == "caption" else {}
    chosen = np.full((len(pictures), len(models), gamma), -1)
    for i, name in enumerate(pictures["image_id"]):
        rng = np.random.default_rng(int(digest(["gallery", int(seed), name]), 16))
        drawn = []
        for places in makers:
            same = prompt[places] == prompt[i]
            pool = rng.permutation(places[same if among == "same prompt" else ~same])
            pool = pool[pool != i]
            if among == "caption":
                pool = _one_a_prompt(pool, prompt, near[prompt[i]])
            drawn.append(pool[:gamma])
        count = min(map(len, drawn))
        chosen[i, :, :count] = [each[:count] for each in drawn]
    return chosen


def _nearness(prompts: np.ndarray) -> dict[str, dict[str, int]]:
    """Rank for each prompt the others by how near their words are: prompt → prompt → rank."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = sorted(set(prompts))
    rows = TfidfVectorizer(analyzer=_words).fit_transform(texts)
    alike = (rows @ rows.T).toarray()
    order = np.argsort(-alike, axis=1, kind="stable")
    return {
        text: {texts[j]: rank for rank, j in enumerate(row)}
        for text, row in zip(texts, order, strict=True)
    }


def _words(text: str) -> list[str]:
    """Return the words of a prompt or of its slug; itself where it has none.

    >>> _words("A panda, riding-a_bicycle"), _words("?")
    (['a', 'panda', 'riding', 'a', 'bicycle'], ['?'])
    """
    return re.findall(r"[^\W_]+", text.lower()) or [text]


def _one_a_prompt(pool: np.ndarray, prompts: np.ndarray, ranks: Mapping[str, int]) -> np.ndarray:
    """Order a drawn pool: the first picture of each prompt by rank, then the second of each …"""
    seen: dict[str, int] = {}
    turns = []
    for place in pool:
        seen[prompts[place]] = seen.get(prompts[place], -1) + 1
        turns.append((seen[prompts[place]], ranks[prompts[place]]))
    return pool[sorted(range(len(pool)), key=lambda i: turns[i])]


def cube(tests: np.ndarray, pool: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Compare every test image with its candidates: the cosine of unit rows.

    Args:
        tests: (N, D) features.
        pool: (P, D) features.
        chosen: (N, K, γ) rows of the pool, -1 for none.

    Returns:
        (N, K, γ) similarities, NaN for none.
    """
    cosines = np.full(chosen.shape, np.nan)
    for i, places in enumerate(chosen):
        there = places >= 0
        cosines[i][there] = pool[places[there]].astype(float) @ tests[i].astype(float)
    return cosines


def shapes(pictures: pd.DataFrame) -> np.ndarray:
    """Describe size and format alone: unit rows, equal for equal ones, else at right angles."""
    kinds = pictures[["width", "height", "format"]].astype(str).agg("×".join, axis=1)
    _, place = np.unique(kinds.to_numpy(dtype=str), return_inverse=True)
    return np.eye(place.max() + 1)[place]
