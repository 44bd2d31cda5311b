"""One training loop for every recipe: AdamW, cosine schedule, EMA, checkpoints that resume.

Every random number of a step derives from (seed, step), so that the position in the data and the
state of the generators are the step itself, and a resumed run goes on as if never stopped.
Checkpoints are safetensors, written aside and renamed.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from workbench.pocket.data import training_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """What a loss function gets: the step's own generators and batch indices."""

    number: int
    rng: np.random.Generator
    generator: torch.Generator

    def indices(self, size: int, batch: int) -> np.ndarray:
        """``batch`` positions in a data set of ``size`` pictures."""
        return self.rng.integers(0, size, batch)


Loss = Callable[[Step], Tensor]


@dataclass
class History:
    """What the manifest tells of a training: steps, seconds, and the loss along the way."""

    seed: int
    steps: int
    batch: int
    learning_rate: float
    parameters: int = 0
    done: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    numbers: str = "float32"


def fit(
    name: str,
    model: nn.Module,
    loss: Loss,
    *,
    steps: int,
    batch: int,
    learning_rate: float,
    seed: int,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.99),
    warmup: int = 100,
    ema: float = 0.999,
    clip: float = 1.0,
    every: float = 120.0,
    numbers: str | None = None,
) -> History:
    """Train ``model`` in place for ``steps`` steps and leave its averaged weights in it.

    The loss is computed in ``numbers`` ("float32", or "bfloat16" by autocast); left out, in those
    of the checkpoint, else in the quicker ones on this machine. ``every`` seconds a checkpoint is
    written to the training folder; a later call with the same name goes on from it. Returns the
    history that the manifest shows.
    """
    trained = [(key, p) for key, p in model.named_parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for _, p in trained if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for _, p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=learning_rate,
        betas=betas,
    )
    average = {key: p.detach().clone() for key, p in trained}
    history = History(seed, steps, batch, learning_rate, sum(p.numel() for _, p in trained))
    path = training_folder() / f"{name}.safetensors"
    if path.exists():
        history = _restore(path, trained, average, optimiser, history)
        log.info("%s: resumed at step %d of %d", name, history.done, steps)
    first = 0 if optimiser.state else history.done
    model.train()
    if history.done < steps and (numbers or not optimiser.state):
        history.numbers = numbers or quicker_numbers(model, loss, seed)
    log.info("%s: numbers of type %s", name, history.numbers)
    began, saved, window = time.perf_counter() - history.seconds, time.perf_counter(), []
    for number in range(history.done, steps):
        rate = min(1.0, (number - first + 1) / warmup) * (0.02 + 0.98 * _cosine(number / steps))
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * rate
        step = _step(seed, number)
        with _autocast(history.numbers):
            value = loss(step)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_([p for _, p in trained], clip)
        optimiser.step()
        decay = min(ema, (1 + number) / (10 + number))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.values()), [p for _, p in trained], 1 - decay)
        window.append(value.item())
        history.done, history.seconds = number + 1, time.perf_counter() - began
        if history.done % 100 == 0 or history.done == steps:
            history.losses.append((history.done, round(float(np.mean(window)), 5)))
            log.info(
                "%s: step %d/%d loss %.4f %.2f s/step",
                name,
                history.done,
                steps,
                history.losses[-1][1],
                history.seconds / history.done,
            )
            window = []
        if time.perf_counter() - saved > every or history.done == steps:
            moments = {key: optimiser.state[p] for key, p in trained if p in optimiser.state}
            write_checkpoint(path, dict(trained), average, moments, history)
            saved = time.perf_counter()
    with torch.no_grad():
        for key, p in trained:
            p.copy_(average[key])
    model.eval()
    return history


def quicker_numbers(model: nn.Module, loss: Loss, seed: int, rounds: int = 6) -> str:
    """Time a step in float32 and under bfloat16 autocast, and name the quicker type.

    After a first round, a type that took more than three times as long is tried no more: without
    instructions for it a processor needs tens of times as long.
    """
    seconds: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for number in range(rounds):
        firsts = [times[0] for times in seconds.values() if times]
        for numbers, times in seconds.items():
            if number and times[0] > 3 * min(firsts):
                continue
            began = time.perf_counter()
            with _autocast(numbers):
                value = loss(_step(seed, number))
            value.backward()
            times.append(time.perf_counter() - began)
            model.zero_grad(set_to_none=True)
    medians = {name: float(np.median(times[1:] or times)) for name, times in seconds.items()}
    log.info("seconds a step: %s", {key: round(value, 3) for key, value in medians.items()})
    return min(medians, key=lambda numbers: medians[numbers])


def _autocast(numbers: str) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=numbers == "bfloat16")


def _step(seed: int, number: int) -> Step:
    return Step(
        number,
        np.random.default_rng([seed, number]),
        torch.Generator().manual_seed(seed * 10**7 + number),
    )


def _cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share))


def write_checkpoint(
    path: Path,
    weights: Mapping[str, Tensor],
    average: Mapping[str, Tensor],
    moments: Mapping[str, Mapping[str, Tensor]],
    history: History,
) -> None:
    """Write aside and rename; ``moments`` are the optimiser's, by weight (none in a fresh one)."""
    tensors = {f"model/{key}": value.detach().contiguous() for key, value in weights.items()}
    tensors |= {f"average/{key}": average[key].clone().contiguous() for key in weights}
    for key, state in moments.items():
        tensors |= {f"{name}/{key}": state[name].contiguous() for name in ("exp_avg", "exp_avg_sq")}
    aside = path.with_suffix(".part")
    save_file(tensors, aside, metadata={"history": json.dumps(vars(history))})
    aside.replace(path)


def _restore(
    path: Path,
    trained: list[tuple[str, nn.Parameter]],
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    wanted: History,
) -> History:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        history = History(**json.loads(file.metadata()["history"]))
    tensors = load_file(path)
    with torch.no_grad():
        for key, p in trained:
            if f"model/{key}" not in tensors:  # a head is not shipped
                log.warning("%s: the checkpoint has no %s, which starts anew", path.stem, key)
                continue
            p.copy_(tensors[f"model/{key}"])
            average[key].copy_(tensors[f"average/{key}"])
            if f"exp_avg/{key}" in tensors:
                optimiser.state[p] = {
                    "step": torch.tensor(float(history.done)),
                    "exp_avg": tensors[f"exp_avg/{key}"],
                    "exp_avg_sq": tensors[f"exp_avg_sq/{key}"],
                }
    history.losses = [(step, loss) for step, loss in history.losses]
    history.steps, history.learning_rate = wanted.steps, wanted.learning_rate
    return history
