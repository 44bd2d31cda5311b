"""Experiments: one question each, answered by one command with n, intervals and a seed.

An experiment is one file with one frozen dataclass: calling it with a `Bench` does the work and
answers frames by name, of which ``results`` is the answer in numbers; ``draw`` puts them into a
figure, ``answer`` into a sentence. Its ``measure`` makes the results of the other frames alone:
without a model every number comes again. A ``revision`` is raised when other numbers are made or
told, or when `measure` asks for other frames. To add one, copy the nearest file beside this one;
``workbench experiment NAME`` finds it by its file.
"""

from __future__ import annotations

import json
import platform
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench import catalogue, pipeline, runners
from workbench.attributors.regeneration import Regeneration
from workbench.catalogue import presets
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import Setting, settle
from workbench.evaluation import benchmark, reckoning
from workbench.evaluation.reckoning import Reckoning
from workbench.evaluation.statistics import Interval
from workbench.experiments._latex import NUMBERS as NUMBERS
from workbench.experiments._latex import latex as latex
from workbench.frames import without_folders
from workbench.paths import data_folder, names_only
from workbench.pipeline.progress import Progress, under
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

OPTIONS = ("data", "layout", "encoder", "models", "attacks")
"""Fields of experiments that `workbench experiment` has options for, beside `alike`."""
LIBRARIES = ("torch", "diffusers", "transformers", "open_clip_torch", "numpy", "scikit-learn")


class Experiment(Protocol):
    """Return one question; the fields are its whole configuration.

    One that works with candidate models beside those of the bench names them in a field ``more``;
    one that uses other plug-ins than the bench's names them all in a method ``plugins(bench)``.
    """

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return the frames by name; ``results`` is made by `results`."""
        ...

    def measure(self, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return ``results`` from the other frames, as they are kept."""
        ...

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the frames into a matplotlib Figure."""
        ...

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Return what was found, in one or two sentences."""
        ...


@dataclass(frozen=True)
class Bench:
    """The bench of an experiment: a preset's setting, fresh pictures, a store.

    ``n`` counts prompts; every candidate model makes one test image of each. ``runner`` runs the
    jobs of every stage, `Local` when left out. ``release`` opens the prompts that are frozen for
    the figures of a release, in the place of those of development; ``independent`` lets the model
    enter the seeds of test images (`pipeline.make_queries`).
    """

    setting: Setting
    n: int = 100
    seed: int = 0
    store: Store = field(default_factory=Store, repr=False)
    progress: Progress | None = field(default=None, repr=False)
    runner: runners.Runner | None = None
    release: bool = False
    independent: bool = False

    def __post_init__(self) -> None:
        """Settle a preset that is given in the place of a setting."""
        object.__setattr__(self, "setting", settle(self.setting, seed=self.seed))

    @property
    def preset(self) -> Preset:
        """The row of the setting."""
        return self.setting.preset

    @property
    def zoo(self) -> dict[str, Any]:
        """The candidate models by name."""
        return self.setting.zoo

    @property
    def inverter(self) -> Any:
        """The setting's inverter."""
        return self.setting.inverter

    @property
    def similarity(self) -> Any:
        """The setting's similarity."""
        return self.setting.similarity

    def among(self, models: Mapping[str, Any]) -> Bench:
        """Return the same bench with other candidate models."""
        return replace(self, setting=replace(self.setting, zoo=dict(models)))

    @cached_property
    def encoder(self) -> Any:
        """The encoder of the preset's similarity; ValueError where it has none."""
        encoder = getattr(self.similarity, "encoder", None)
        if encoder is None:
            raise ValueError(
                f"the experiment needs a preset with an encoder; {self.preset.name!r} compares "
                f"by {self.preset.similarity}"
            )
        return encoder

    def pictures(
        self, portion: str = "evaluation", n: int | None = None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Make fresh test images of every model, and their truth (`pipeline.make_queries`)."""
        portion = "release" if self.release and portion == "evaluation" else portion
        texts = presets.draw(self.setting.prompts(portion), n or self.n, self.seed)
        progress = self.under("pictures")
        return pipeline.make_queries(
            texts, self.zoo, self.store, self.seed, progress, self.independent
        )

    def reckoning(self) -> Reckoning:
        """Return what the test images and their candidates, by the preset's γ, will take."""
        portion = "release" if self.release else "evaluation"
        texts = presets.draw(self.setting.prompts(portion), self.n, self.seed)
        return reckoning.evaluation(
            self.setting,
            texts,
            natural=False,
            seed=self.seed,
            store=self.store,
            independent=self.independent,
        )

    def regeneration(self, **changes: Any) -> Regeneration:
        """Return the preset's own attributor, with fields changed."""
        attributor: Regeneration = self.setting.regeneration(**changes)
        return attributor

    def run(
        self,
        attributors: Mapping[str, Any],
        images: pd.DataFrame,
        truth: pd.DataFrame,
        **options: Any,
    ) -> dict[str, pd.DataFrame]:
        """Let attributors (by short name) attribute the same images: `benchmark.evaluate`."""
        return benchmark.evaluate(
            attributors,
            images,
            self.zoo,
            truth=truth,
            store=self.store,
            seed=self.seed,
            progress=self.progress,
            **options,
        )

    def under(self, name: str) -> Progress | None:
        """Put a name before every stage that is told."""
        return under(name, self.progress)


@dataclass(frozen=True)
class Findings:
    """The findings of an experiment: frames, sentence, and provenance."""

    name: str
    made_by: Any = field(repr=False)
    frames: dict[str, pd.DataFrame] = field(repr=False)
    provenance: dict[str, Any] = field(repr=False)

    @property
    def answer(self) -> str:
        """The answer in words; of frames of an earlier revision, what was told when it was made."""
        if self.provenance.get("revision", 1) != getattr(self.made_by, "revision", 1):
            return str(self.provenance["answer"])
        return str(self.made_by.answer(self.frames))

    def figure(self) -> Any:
        """Draw the figure anew; a matplotlib Figure."""
        from matplotlib.figure import Figure

        from workbench import figures

        figure = Figure(layout="constrained")
        figures.resize(figure, 6.8, 4.4)
        self.made_by.draw(self.frames, figure)
        figures.settle(figure)
        return figure

    def table(self, figure: Any) -> str:
        """Write the results as a LaTeX table, the rows in the order of a figure of them."""
        from workbench.figures.save import drawn

        return latex(self.frames["results"], self.answer, self.name, drawn(figure))

    def save(self, folder: str | Path) -> Path:
        """Write results.csv, every other frame as Parquet, the figure, table and provenance.

        The figure is there as PDF, PNG and CSV, see `figures.save`. Of an archive named by a path
        in full, its name alone is told.

        Raises OSError where it cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        frames = {name: without_folders(each) for name, each in self.frames.items()}
        replace(self, frames=frames, provenance=names_only(self.provenance))._write(folder)
        return folder

    def _write(self, folder: Path) -> None:
        from workbench import figures

        for name, frame in self.frames.items():
            if name != "results":
                frame.to_parquet(folder / f"{name}.parquet", index=False)
        results = self.frames["results"]
        results.to_csv(folder / "results.csv", index=False, float_format="%.6g")
        figure = self.figure()
        figures.save(figure, folder / self.name)
        (folder / "table.tex").write_text(self.table(figure), encoding="utf-8")
        provenance = self.provenance | {"answer": self.answer}
        text = json.dumps(provenance, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "provenance.json").write_text(text + "\n", encoding="utf-8")


def run(name: str | Experiment, bench: Bench, **fields: Any) -> Findings:
    """Run an experiment; what a killed run made, the same call takes from the store.

    Args:
        name: a file of `workbench.experiments`, or an Experiment, such as a notebook's own.
        bench: setting, n, seed and store.
        **fields: of an experiment named, where they differ from the default.

    Raises:
        LookupError: there is no such experiment, or weights or prompts are missing.
        ValueError: a field or n makes no sense.
    """
    if isinstance(name, str):
        made_by = catalogue.load(name, "experiment", **fields)
        command = (
            f"workbench experiment {name} --preset {bench.preset.name} --n {bench.n} "
            f"--seed {bench.seed}{' --release' * bench.release}"
            f"{' --independent' * bench.independent}{_options(fields)}"
        )
    else:
        name, made_by, command = type(name).__name__.lower(), name, "none: a notebook's own"
    started = time.perf_counter()
    with runners.using(bench.runner):
        frames = made_by(bench)
    more = [catalogue.load(each, "generator") for each in getattr(made_by, "more", ())]
    used = [bench.inverter, bench.similarity, *bench.zoo.values(), *more]
    if hasattr(made_by, "plugins"):
        used = made_by.plugins(bench)
    provenance = {
        "command": command,
        "experiment": repr(made_by),
        "revision": getattr(type(made_by), "revision", 1),
        "preset": bench.preset.name,
        "n": bench.n,
        "seed": bench.seed,
        "release": bench.release,
        "independent": bench.independent,
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.perf_counter() - started),
        "python": platform.python_version(),
        "versions": {library: version(library) for library in LIBRARIES},
        "weights": catalogue.weights(*used),
    }
    return Findings(name, made_by, frames, provenance)


def _options(fields: Mapping[str, Any]) -> str:
    """Write the fields of an experiment that the command has options for.

    A path in full stands in quotes, by which `names_only` knows one.
    """
    given = {key: value for key, value in fields.items() if key in OPTIONS and value}
    texts = {key: v if isinstance(v, str) else ",".join(v) for key, v in given.items()}
    quoted = {
        key: f'"{text}"' if text.startswith(("/", "~")) else shlex.quote(text)
        for key, text in texts.items()
    }
    alike = " --treat-alike" if fields.get("alike") else ""
    return "".join(f" --{key} {text}" for key, text in quoted.items()) + alike


def reference(name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the reference of an experiment in data/reference: its results and provenance.

    Raises:
        LookupError: there is none; the sentence lists what there is.
    """
    folder = data_folder() / "reference"
    known = sorted(path.parent.name for path in folder.glob("*/results.csv"))
    if name not in known:
        raise LookupError(
            f"no reference of an experiment named {name!r}; there are: {', '.join(known) or 'none'}"
        )
    return _read(folder / name)


def read(folder: str | Path) -> Findings:
    """Read what `Findings.save` wrote, to draw or tell it again.

    Raises:
        OSError: there is no such file.
        LookupError: it is of an experiment that is not among these, such as a notebook's own.
        ValueError: it cannot be read.
    """
    import pandas as pd

    folder = Path(folder)
    results, kept = _read(folder)
    frames = {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    made_by = catalogue.load(kept["experiment"], "experiment")
    return Findings(folder.name, made_by, {"results": results, **frames}, kept)


def _read(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    import pandas as pd

    text = (folder / "provenance.json").read_text(encoding="utf-8")
    return pd.read_csv(folder / "results.csv", keep_default_na=True), json.loads(text)


def results(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a results frame: key columns of text or numbers, then value, low, high, n.

    Raises:
        ValueError: a number is missing from a row, or two rows have the same key.
    """
    import pandas as pd

    frame = pd.DataFrame(list(rows))
    absent = [name for name in NUMBERS if name not in frame.columns]
    if absent:
        raise ValueError(f"every result has {', '.join(NUMBERS)}; missing: {', '.join(absent)}")
    keys = [name for name in frame.columns if name not in NUMBERS]
    twice = frame[frame.duplicated(keys)]
    if len(twice):
        raise ValueError(f"two results have the same key: {twice.iloc[0][keys].to_dict()}")
    return frame[[*keys, *NUMBERS]]


def cells(interval: Interval) -> dict[str, Any]:
    """Return an interval as the cells of a results frame."""
    return {"value": interval.value, "low": interval.low, "high": interval.high, "n": interval.n}


def by_accuracy(
    outcomes: pd.DataFrame, names: Mapping[str, str], keys: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return a row of accuracy for every attributor (by its short name) and group of ``keys``."""
    from workbench.experiments._family import share

    rows = []
    for short, name in names.items():
        own = outcomes[outcomes["attributor"] == name]
        for key, part in own.groupby(list(keys), sort=False) if keys else [((), own)]:
            interval = share(part)
            at = dict(zip(keys, key, strict=True))
            rows.append({"attributor": short, **at, "metric": "accuracy", **cells(interval)})
    return rows
