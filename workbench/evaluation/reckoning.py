"""What a run will draw, how long that takes and what it costs, before anything starts."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench import pipeline
from workbench.catalogue import presets, registry
from workbench.catalogue.presets import Preset
from workbench.catalogue.rows import rows_of
from workbench.catalogue.setting import Setting, make_inverter
from workbench.inverters.natural import Natural
from workbench.keys import check_gamma
from workbench.store.store import Store
from workbench.weights.checkpoint import Checkpoint, resolve_class


@dataclass(frozen=True)
class Share:
    """What one candidate model is to draw.

    ``pictures`` counts what is to be made at most, ``expected`` what where captions repeat as often
    as they did in the store; ``stored`` what the store has of what is known already. ``seconds`` a
    picture are the median of the ``timed`` pictures of the store, or, where that is 0, the row's;
    None: neither tells. ``bytes`` a picture are the mean of the store, else those of its pixels.
    ``dollars`` a picture are None for a model that runs here.
    """

    generator: str
    pictures: int
    expected: float
    stored: int
    seconds: float | None
    timed: int
    bytes: int
    dollars: float | None
    hosted: bool


@dataclass(frozen=True)
class Reckoning:
    """What a run will draw: a share for each model.

    ``captions`` counts the pictures whose caption is not known yet, ``sharing`` the share of
    distinct ones among those of the store, 1 where it holds none of this inverter.
    """

    shares: tuple[Share, ...]
    captions: int
    sharing: float

    @property
    def pictures(self) -> int:
        """Pictures to make at most."""
        return sum(share.pictures for share in self.shares)

    @property
    def stored(self) -> int:
        """Pictures that the store has."""
        return sum(share.stored for share in self.shares)

    @property
    def untimed(self) -> list[str]:
        """Models that are to draw, and of which nobody told how long they take."""
        return [s.generator for s in self.shares if s.pictures and s.seconds is None]

    @property
    def seconds(self) -> float:
        """Seconds of drawing expected, of the models here whose time is known."""
        return sum(s.expected * (s.seconds or 0) for s in self.shares if not s.hosted)

    @property
    def bytes(self) -> int:
        """Bytes of the pictures to make, at most."""
        return sum(share.pictures * share.bytes for share in self.shares)

    @property
    def dollars(self) -> float:
        """US dollars that the pictures of hosted models cost at most, where a price is told."""
        return sum(share.pictures * (share.dollars or 0) for share in self.shares)

    @property
    def line(self) -> str:
        """One sentence on the run."""
        if not self.pictures:
            return f"Nothing is to be drawn: the store has all {self.stored:,} pictures."
        words = [f"Will make up to {self.pictures:,} pictures"]
        if self.seconds:
            words.append(f"about {duration(self.seconds)} of drawing")
        if self.dollars:
            words.append(f"at most ${self.dollars:,.2f}")
        text = ", ".join(words)
        if self.untimed:
            text += f", in a time not known of {', '.join(self.untimed)}"
        return f"{text}; the store has {self.stored:,}."


def duration(seconds: float) -> str:
    """Write a time as one number.

    >>> duration(8.3), duration(600), duration(7200)
    ('8 s', '10 min', '2.0 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def attribution(
    preset: str | Preset = "pocket",
    n: int | None = None,
    images: Iterable[str] | None = None,
    *,
    zoo: Any = None,
    gamma: int | None = None,
    prompt: str | None = None,
    seed: int = 0,
    store: Store | None = None,
) -> Reckoning:
    """Reckon what `attribute` will draw; no weights are needed, and none are loaded.

    Args:
        preset: a name or a `Preset`.
        n: pictures to attribute, where they are not given.
        images: digests of the pictures. The candidates of captions that the store holds are looked
            up one by one; the rest are expected.
        zoo: candidate models: a name, ``"A,B"`` or a list of names.
        gamma: candidate images per model.
        prompt: the known prompt of every picture.
        seed: the run's seed.
        store: where made pictures are looked up; None: nowhere.

    Raises LookupError for an unknown name, ValueError for an n or γ that makes no sense.
    """
    row = presets.preset(preset)
    gamma = row.gamma if gamma is None else gamma
    check_gamma(gamma)
    seen = None if images is None else list(dict.fromkeys(images))
    count = len(seen) if seen is not None else n
    if count is None or count < 1:
        raise ValueError(f"at least one picture is to be attributed; seen {count}")
    models = _models(row.zoo if zoo is None else zoo)
    if prompt is not None:
        return _reckoned(models, gamma, seed, store, [prompt], 0, 1.0)
    inverter = _inverter(row)
    known, unknown = _captions(seen or [], inverter, store)
    return _reckoned(
        models,
        gamma,
        seed,
        store,
        known,
        count - len(seen or []) + unknown,
        _sharing(inverter, store),
    )


def evaluation(
    preset: str | Preset | Setting,
    texts: Sequence[str],
    *,
    gamma: int | None = None,
    natural: bool = True,
    bank: Sequence[str] = (),
    seed: int = 0,
    store: Store | None = None,
    independent: bool = False,
) -> Reckoning:
    """Reckon what an evaluation will draw: a test image a text and model, and their candidates.

    Args:
        preset: a name, a `Preset`, or a `Setting`.
        texts: the natural prompts of the test images.
        gamma: candidate images per model.
        natural: whether candidates of the natural prompts are drawn too, as a control.
        bank: captions of reference banks, of which every model draws one picture, at most.
        seed: the run's seed.
        store: where made pictures are looked up; None: nowhere.
        independent: whether the model enters the seeds of test images.

    The fit of what learns, and attacks, are not reckoned.
    """
    row: Preset = preset.preset if isinstance(preset, Setting) else presets.preset(preset)
    models = preset.zoo if isinstance(preset, Setting) else _models(row.zoo)
    gamma = row.gamma if gamma is None else gamma
    check_gamma(gamma)
    drawn: dict[str, list[Any]] = {name: [None] * len(texts) for name in models}
    banked = dict.fromkeys(models, 0)
    if store is not None:
        named = _named(models)
        drawn |= pipeline.stored_queries(texts, named, store, seed, independent)
        for name, model in named.items():
            banked[name] = len(bank) - pipeline.stored(bank, model, 1, 0, store).count(None)
    there = [one.picture for some in drawn.values() for one in some if one and one.picture]
    inverter = preset.inverter if isinstance(preset, Setting) else _inverter(row)
    known, unknown = _captions(list(dict.fromkeys(there)), inverter, store)
    more = {}
    for name, some in drawn.items():
        lacking = sum(one is None for one in some)
        unknown += lacking
        had = len(texts) - lacking + banked[name]
        more[name] = (len(texts) + len(bank) - had, had)
    if isinstance(inverter, Natural):
        known, unknown = list(texts) if inverter.text is None else [inverter.text], 0
    if natural:
        known = [*known, *texts]
    return _reckoned(models, gamma, seed, store, known, unknown, _sharing(inverter, store), more)


def _reckoned(
    models: Mapping[str, Any],
    gamma: int,
    seed: int,
    store: Store | None,
    known: Sequence[str],
    unknown: int,
    sharing: float,
    queries: Mapping[str, tuple[int, int]] | None = None,
) -> Reckoning:
    """Count the candidates of known captions one by one, and expect those of unknown ones."""
    texts, shares = list(dict.fromkeys(known)), []
    for name, model in models.items():
        there = 0
        if texts and store is not None and _named({name: model}):
            generations = pipeline.stored(texts, model, gamma, seed, store)
            there = len(generations) - generations.count(None)
        lacking, had = (queries or {}).get(name, (0, 0))
        lacking += len(texts) * gamma - there
        times, sizes = store.drawn(repr(model)) if store is not None else ([], [])
        row = getattr(model, "checkpoint", None)
        stated = row.seconds if isinstance(row, Checkpoint) and row.seconds > 0 else None
        shares.append(
            Share(
                name,
                lacking + unknown * gamma,
                lacking + unknown * sharing * gamma,
                had + there,
                statistics.median(times) if times else stated,
                len(times),
                round(statistics.mean(sizes)) if sizes else 3 * getattr(row, "size", 0) ** 2,
                getattr(model, "dollars", None),
                bool(getattr(model, "hosted", False)),
            )
        )
    return Reckoning(tuple(shares), unknown, sharing)


def _models(zoo: Any) -> dict[str, Any]:
    """Return candidate models by name; those of the catalogue need no weights."""
    rows, known = rows_of("generator"), registry.zoos()
    texts = registry.commas(zoo) if isinstance(zoo, str) else list(zoo)
    if len(texts) == 1 and texts[0] in known and texts[0] not in rows:
        texts = known[texts[0]]
    models: dict[str, Any] = {}
    for text in texts:
        row = rows.get(text) if isinstance(text, str) else None
        kind: Any = None if row is None else resolve_class(row.plugin)
        plugin = registry.load(text, "generator") if kind is None else kind(row)
        models[text if row is not None else repr(plugin)] = plugin
    return models


def _named(models: Mapping[str, Any]) -> dict[str, Any]:
    """Return those models whose weights are named, so that the store may know what they drew."""
    named = {}
    for name, model in models.items():
        with contextlib.suppress(LookupError):
            registry.weights(model)
            named[name] = model
    return named


def _inverter(row: Preset) -> Any:
    """Return the inverter of a preset; None where its weights are not here."""
    try:
        return make_inverter(row.inverter, row)
    except LookupError:
        return None


def _captions(images: list[str], inverter: Any, store: Store | None) -> tuple[list[str], int]:
    """Return the captions that the store holds, and how many pictures it holds none of."""
    if store is None or inverter is None or not images or isinstance(inverter, Natural):
        return [], len(images)
    try:
        known = pipeline.inverted(images, inverter, store)
    except LookupError:
        return [], len(images)
    return [text for text in known.values() if text is not None], len(images) - len(known)


def _sharing(inverter: Any, store: Store | None) -> float:
    """Return the share of distinct captions among those of the store by an inverter."""
    if store is None or inverter is None:
        return 1.0
    distinct, whole = store.captions(repr(inverter))
    return distinct / whole if whole else 1.0
