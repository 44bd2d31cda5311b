"""Cache the output of plug-ins: the key, the call, and the row of the store.

What the store has is read; what it lacks goes to the plug-in in full batches, by the runner in use,
and each batch is written as it comes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.frames import Features
from workbench.generators import ANSWER, Failure
from workbench.keys import canonical, digest_fields
from workbench.plugin import identity
from workbench.runners import Away, Tick, Work, once
from workbench.store import StoreError
from workbench.store.rows import CARE, UNIT
from workbench.store.store import Generation, Store, versions
from workbench.text import first_line
from workbench.weights import inference, memory
from workbench.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    from PIL.Image import Image


VECTORS = 64
"""Feature vectors made between two writes to the store."""
BOUND = ("paid", "hosted", "local")
"""Marks of a plug-in's class that keep it on this machine: `local` is one that reads files here."""


class TransientFailure(Failure):
    """Failure that may pass, such as a lack of memory: nothing of its batch is stored."""


@dataclass(frozen=True)
class Answered:
    """What plug-ins answered to a batch, the seconds it took, and the meta of each of them."""

    answers: Any
    seconds: float
    metas: list[dict[str, Any]]


@dataclass(frozen=True)
class Call:
    """A call of plug-ins on a batch, here or on another machine; ``plugins`` come by their role."""

    plugins: tuple[tuple[str, Any], ...]
    run: Callable[[list[Any]], Any]

    def __call__(self, inputs: list[Any]) -> Answered:
        """Return what they answer."""
        started = time.perf_counter()
        answers = self.run(inputs)
        seconds = time.perf_counter() - started
        return Answered(answers, seconds, [meta_of(*one) for one in self.plugins])


def meta_of(role: str, plugin: Any) -> dict[str, Any]:
    """Return what is stored beside an output and enters no key: role, repr, versions, shape."""
    row = getattr(plugin, "checkpoint", None)
    shape = inference.shape(row) if isinstance(row, Checkpoint) else None
    return {"role": role, "repr": repr(plugin), "versions": versions(), "shape": shape}


def _away(makers: Sequence[CachedPlugin], *steps: Any) -> Away | None:
    """Return how another machine makes what some plug-ins make; None where it cannot.

    It can where the plug-ins can be named, cost nothing, run here and read no files of this
    machine. The steps are those of `Away`, from ``take`` on.
    """
    for maker in makers:
        kind = type(maker.plugin)
        if maker.stamp is None or any(getattr(kind, name, False) for name in BOUND):
            return None
    return Away([(maker.plugin, maker.stamp) for maker in makers], *steps)


class CachedPlugin:
    """A plug-in with its role, whose output is cached in the store.

    ``stamp`` is its identity; what has none is used, and never known again. Raises LookupError
    where weights are missing.
    """

    def __init__(self, role: str, plugin: Any, store: Store) -> None:
        self.role, self.plugin, self.store = role, plugin, store
        self.stamp = identity(plugin)
        self._role, self._plugin = canonical(role), canonical(self.stamp)
        row = getattr(plugin, "checkpoint", None)
        self.row = row if isinstance(row, Checkpoint) else None

    def key(self, **inputs: Any) -> str:
        """Return the key of the output for some inputs: a digest of all that can change it."""
        plugin = self._plugin if self.stamp is not None else canonical(uuid.uuid4().hex)
        own = {name: canonical(value) for name, value in inputs.items()}
        return digest_fields({"role": self._role, "plugin": plugin, **own})

    def batch(self) -> int:
        """Return the number of inputs of one call; of paid models, how many are asked at a time."""
        if getattr(self.plugin, "paid", False):
            return max(int(getattr(self.plugin, "concurrent", 1)), 1)
        return 4 if self.row is None else inference.call_size(self.row)

    def prompts(
        self, jobs: Mapping[str, Any], take: Callable[[Any], Any], call: Any, tick: Tick
    ) -> dict[str, dict[str, Any]]:
        """Return the prompt of every key as a row of the store; arguments as of `generations`."""

        def row(answer: Any, seconds: float) -> dict[str, Any]:
            if isinstance(answer, Failure):
                return {"text": None, "failure": answer.reason, "seconds": seconds}
            fields = {name: getattr(answer, name) for name in ("text", "score", "truncated")}
            return fields | {"seconds": seconds}

        look, put = self.store.prompts, self.store.put_prompts
        return self._rows(jobs, take, call, row, look, put, tick)

    def generations(
        self,
        jobs: Mapping[str, Any],
        take: Callable[[Any], Any],
        call: Callable[[list[Any]], Sequence[Image | Failure]],
        tick: Tick,
    ) -> dict[str, Generation]:
        """Return the generation of every key.

        ``take`` makes of a job what ``call`` takes, in time that does not count; ``call`` answers a
        batch.
        """
        paid = bool(getattr(self.plugin, "paid", False))

        def row(answer: Image | Failure, seconds: float) -> Generation:
            if isinstance(answer, Failure):
                return Generation(failure=answer.reason, seconds=seconds, paid=paid)
            usage = getattr(answer, "info", {}).get(ANSWER)
            return Generation(image=answer, seconds=seconds, paid=paid, told=usage)

        look, put = self.store.generations, self.store.put_generations
        return self._rows(jobs, take, call, row, look, put, tick)

    def _rows(
        self, jobs: Any, take: Any, call: Any, row: Any, look: Any, put: Any, tick: Tick
    ) -> dict[str, Any]:
        def receive(todo: dict[str, Any], answered: Answered) -> tuple[dict[str, Any], Any]:
            pairs = paired(self.plugin, todo, answered.answers)
            rows = {key: row(one, answered.seconds / len(pairs)) for key, one in pairs.items()}
            passing = any(isinstance(answer, TransientFailure) for answer in answered.answers)
            named = self.stamp is not None and not passing
            return rows, answered.metas[0] if named else None

        def make(todo: dict[str, Any]) -> tuple[dict[str, Any], Any]:
            return receive(todo, measured([take(job) for job in todo.values()]))

        def lose(todo: dict[str, Any], why: str) -> tuple[dict[str, Any], Any]:
            return receive(todo, Answered([TransientFailure(why)] * len(todo), 0.0, [{}]))

        def keep(kept: tuple[dict[str, Any], Any]) -> dict[str, Any]:
            rows, meta = kept
            if meta is None:
                return {key: self._unnamed(one) for key, one in rows.items()}
            return put(rows, meta)

        measured = Call(((self.role, self.plugin),), call)
        if getattr(self.plugin, "paid", False):
            each = partial(_at_once, lambda one: keep(make(one)))
            return once(Work(jobs, look, each, self.store, self.batch()), tick)
        away = _away([self], take, measured, receive, lose)
        return once(Work(jobs, look, make, self.store, self.batch(), keep, away), tick)

    def _unnamed(self, row: Any) -> Any:
        """Store the picture of a generation whose plug-in cannot be cached."""
        if getattr(row, "image", None) is None:
            return row
        return Generation(picture=self.store.put_picture(row.image), seconds=row.seconds)


def _at_once(make: Callable[[dict[str, Any]], Any], todo: dict[str, Any]) -> dict[str, Any]:
    """Make jobs side by side, each stored when it comes; raise the first error when all are done.

    They are paid for: what was begun is waited for, after an interrupt too.
    """
    rows: dict[str, Any] = {}
    with ThreadPoolExecutor(len(todo), "asking") as pool:
        futures = [pool.submit(make, {key: job}) for key, job in todo.items()]
        wait(futures)
    for one in futures:
        rows |= one.result()
    return rows


def paired(plugin: Any, keys: Iterable[str], answers: Any) -> dict[str, Any]:
    """Return key → output; raise ValueError where a plug-in returned too few or too many."""
    ordered = list(keys)
    if len(answers) != len(ordered):
        raise ValueError(f"{plugin!r} gave {len(answers)} answers to {len(ordered)} inputs")
    return dict(zip(ordered, answers, strict=True))


def cached_features(
    role: str,
    encoders: Sequence[Any],
    inputs: Mapping[str, Mapping[str, Any]],
    take: Callable[[str], Any],
    encode: Callable[[list[Any]], Sequence[np.ndarray]],
    store: Store,
    tick: Tick,
) -> list[Features]:
    """Encode items in one pass for all encoders; an item that one of them lacks is encoded for all.

    ``inputs`` tells what names a thing in its keys, ``take`` makes of it what ``encode`` takes: a
    batch → (n, D) vectors for each of the encoders.
    """
    makers = [CachedPlugin(role, encoder, store) for encoder in encoders]
    keys = {name: [maker.key(**named) for maker in makers] for name, named in inputs.items()}
    owner = {row[0]: name for name, row in keys.items()}

    def look(some: Iterable[str]) -> dict[str, list[np.ndarray]]:
        keys_of = {first: keys[owner[first]] for first in some}
        stored = store.features([key for row in keys_of.values() for key in row], unit=True)
        return {
            first: [stored[key] for key in row]
            for first, row in keys_of.items()
            if all(key in stored for key in row)
        }

    def receive(todo: dict[str, str], answered: Answered) -> Any:
        for maker, matrix in zip(makers, answered.answers, strict=True):
            _check_unit(maker.plugin, matrix)
            paired(maker.plugin, todo, matrix)
        return list(todo), answered

    def make(todo: dict[str, str]) -> Any:
        return receive(todo, measured([take(name) for name in todo.values()]))

    def lose(todo: dict[str, str], why: str) -> Any:
        raise OSError(f"{len(todo)} of {len(owner)} could not be encoded: {why}")

    def keep(kept: tuple[list[str], Answered]) -> dict[str, list[np.ndarray]]:
        todo, answered = kept
        for place, maker in enumerate(makers):
            if maker.stamp is not None:
                named = [keys[owner[first]][place] for first in todo]
                rows = dict(zip(named, answered.answers[place], strict=True))
                store.put_features(rows, answered.seconds / len(makers), answered.metas[place])
        if all(maker.stamp is not None for maker in makers):
            return look(todo)
        return {first: [matrix[i] for matrix in answered.answers] for i, first in enumerate(todo)}

    measured = Call(tuple((role, encoder) for encoder in encoders), encode)
    away = _away(makers, take, measured, receive, lose)
    batch = makers[0].batch()
    batch *= max(VECTORS // batch, 1)
    vectors = once(Work(owner, look, make, store, batch, keep, away), tick)
    answer = []
    for place, encoder in enumerate(encoders):
        rows = [vectors[first][place] for first in owner]
        if len(sizes := {len(row) for row in rows}) > 1:
            raise StoreError(
                f"the store holds vectors of {encoder!r} of several lengths "
                f"({', '.join(map(str, sorted(sizes)))}); {CARE}"
            )
        matrix = np.stack(rows) if rows else np.zeros((0, 0), np.float32)
        answer.append(Features(tuple(inputs), matrix, repr(encoder)))
    return answer


def _check_unit(encoder: Any, matrix: Any) -> None:
    """Raise ValueError for rows that are no unit vectors: no cosine could be made of them."""
    lengths = np.linalg.norm(np.asarray(matrix, dtype=np.float64), axis=-1)
    wrong = lengths[(lengths != 0) & ~(np.abs(lengths - 1) <= UNIT)]
    if wrong.size:
        raise ValueError(
            f"{encoder!r} answers a vector of length {wrong[0]:.4g}; an encoder answers rows of "
            "length 1"
        )


def call_each_on_failure(plugin: Any, some: list[Any]) -> list[Any]:
    """Call on a batch, or one by one where that fails; return a Failure for what fails again."""
    try:
        return list(plugin(some))
    except (ValueError, IndexError, ArithmeticError, RuntimeError, MemoryError) as error:
        if len(some) == 1 or memory.is_transient(error):
            return [failure_of(error)] * len(some)
    return [call_each_on_failure(plugin, [one])[0] for one in some]


def failure_of(error: BaseException) -> Failure:
    """Return a Failure, or a TransientFailure, with the first line of an error."""
    kind = TransientFailure if memory.is_transient(error) else Failure
    return kind(first_line(error))
