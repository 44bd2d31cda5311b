"""How a plug-in's answers are made, each once: its key, the call, and its place in the store.

What the store has is read; what it lacks goes to the plug-in in full batches, by the runner in use,
and each batch is written as it comes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.frames import Features
from workbench.generators import Failure
from workbench.keys import digest
from workbench.plugin import identity
from workbench.runners import Tick, Work, once
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


class TransientFailure(Failure):
    """A failure that may pass, as when memory ran out: nothing of its batch is stored."""


class CachedPlugin:
    """A plug-in in its role, as the store knows it.

    ``stamp`` is its identity; what has none is used, and never known again. Raises LookupError
    where weights are missing.
    """

    def __init__(self, role: str, plugin: Any, store: Store) -> None:
        self.role, self.plugin, self.store = role, plugin, store
        self.stamp = identity(plugin)
        row = getattr(plugin, "checkpoint", None)
        self.row = row if isinstance(row, Checkpoint) else None

    def key(self, **inputs: Any) -> str:
        """Name the answer to some inputs, by all that can change it."""
        plugin = self.stamp if self.stamp is not None else uuid.uuid4().hex
        return digest({"role": self.role, "plugin": plugin, **inputs})

    def meta(self) -> dict[str, Any]:
        """Tell what is kept beside an answer and enters no key."""
        shape = None if self.row is None else inference.shape(self.row)
        told = {"role": self.role, "repr": repr(self.plugin)}
        return told | {"versions": versions(), "shape": shape}

    def batch(self) -> int:
        """Tell how many inputs fill one call; what was paid for is stored at once."""
        if getattr(self.plugin, "paid", False):
            return 1
        return 4 if self.row is None else inference.call_size(self.row)

    def prompts(
        self, jobs: Mapping[str, Any], take: Callable[[Any], Any], call: Any, tick: Tick
    ) -> dict[str, dict[str, Any]]:
        """Return the prompt of every key as a row of the store; arguments as of `generations`."""

        def row(answer: Any, seconds: float) -> dict[str, Any]:
            if isinstance(answer, Failure):
                return {"text": None, "failure": answer.reason, "seconds": seconds}
            told = {name: getattr(answer, name) for name in ("text", "score", "truncated")}
            return told | {"seconds": seconds}

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
            return Generation(image=answer, seconds=seconds, paid=paid)

        look, put = self.store.generations, self.store.put_generations
        return self._rows(jobs, take, call, row, look, put, tick)

    def _rows(
        self, jobs: Any, take: Any, call: Any, row: Any, look: Any, put: Any, tick: Tick
    ) -> dict[str, Any]:
        def make(todo: dict[str, Any]) -> dict[str, Any]:
            some = [take(job) for job in todo.values()]
            started = time.perf_counter()
            answers = call(some)
            seconds = (time.perf_counter() - started) / len(some)
            pairs = paired(self.plugin, todo, answers)
            rows = {key: row(answer, seconds) for key, answer in pairs.items()}
            if self.stamp is None or any(isinstance(it, TransientFailure) for it in answers):
                return {key: self._unnamed(one) for key, one in rows.items()}
            return put(rows, self.meta())

        return once(Work(jobs, look, make, self.store, self.batch()), tick)

    def _unnamed(self, row: Any) -> Any:
        """Keep the picture of a row that is not kept itself."""
        if getattr(row, "image", None) is None:
            return row
        return Generation(picture=self.store.put_picture(row.image), seconds=row.seconds)


def paired(plugin: Any, keys: Iterable[str], answers: Any) -> dict[str, Any]:
    """Give every key its answer; ValueError where a plug-in gave too few or too many."""
    wanted = list(keys)
    if len(answers) != len(wanted):
        raise ValueError(f"{plugin!r} gave {len(answers)} answers to {len(wanted)} inputs")
    return dict(zip(wanted, answers, strict=True))


def cached_features(
    role: str,
    encoders: Sequence[Any],
    inputs: Mapping[str, Mapping[str, Any]],
    take: Callable[[str], Any],
    encode: Callable[[list[Any]], Sequence[np.ndarray]],
    store: Store,
    tick: Tick,
) -> list[Features]:
    """Encode things in one pass for all encoders; what one of them lacks is encoded for all.

    ``inputs`` tells what names a thing in its keys, ``take`` makes of it what ``encode`` takes: a
    batch → (n, D) vectors for each of the encoders.
    """
    makers = [CachedPlugin(role, encoder, store) for encoder in encoders]
    keys = {name: [maker.key(**named) for maker in makers] for name, named in inputs.items()}
    owner = {row[0]: name for name, row in keys.items()}

    def look(some: Iterable[str]) -> dict[str, list[np.ndarray]]:
        wanted = {first: keys[owner[first]] for first in some}
        found = store.features([key for row in wanted.values() for key in row], unit=True)
        return {
            first: [found[key] for key in row]
            for first, row in wanted.items()
            if all(key in found for key in row)
        }

    def make(todo: dict[str, str]) -> dict[str, list[np.ndarray]]:
        some = [take(name) for name in todo.values()]
        started = time.perf_counter()
        made = encode(some)
        seconds = (time.perf_counter() - started) / len(makers)
        for place, (maker, matrix) in enumerate(zip(makers, made, strict=True)):
            _check_unit(maker.plugin, matrix)
            names = [keys[name][place] for name in todo.values()]
            rows = paired(maker.plugin, names, matrix)
            if maker.stamp is not None:
                store.put_features(rows, seconds, maker.meta())
        if all(maker.stamp is not None for maker in makers):
            return look(todo)
        return {first: [matrix[i] for matrix in made] for i, first in enumerate(todo)}

    batch = makers[0].batch()
    found = once(Work(owner, look, make, store, max(VECTORS // batch, 1) * batch), tick)
    answer = []
    for place, encoder in enumerate(encoders):
        rows = [found[first][place] for first in owner]
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
    """Call for a batch, one by one where it fails, and return a Failure for what does so again."""
    try:
        return list(plugin(some))
    except (ValueError, IndexError, ArithmeticError, RuntimeError, MemoryError) as error:
        if len(some) == 1 or memory.is_transient(error):
            return [failure_of(error)] * len(some)
    return [call_each_on_failure(plugin, [each])[0] for each in some]


def failure_of(error: BaseException) -> Failure:
    """Say the first line of an error."""
    kind = TransientFailure if memory.is_transient(error) else Failure
    return kind(first_line(error))
