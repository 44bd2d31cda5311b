"""Experiments: one question each, answered by one command with n, intervals and a seed.

An experiment is one file with one frozen dataclass: calling it with a `Bench` does the work and
answers frames by name, of which ``results`` is the answer in numbers; ``draw`` puts them into a
figure, ``answer`` into a sentence. To add one, copy the nearest file beside this one;
``workbench experiment NAME`` finds it by its file.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench import catalogue, pipeline, runners
from workbench.attributors.defake import DeFake
from workbench.attributors.knn import KNN
from workbench.attributors.probe import Probe
from workbench.attributors.regeneration import Regeneration
from workbench.catalogue import presets
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import Setting, settle
from workbench.evaluation import benchmark
from workbench.evaluation.statistics import Interval
from workbench.paths import data_folder
from workbench.pipeline.progress import Progress, under
from workbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = ("value", "low", "high", "n")
"""The columns of a results frame that are not its key."""
OF_THE_MACHINE = ("seconds", "peak memory")
"""Metrics that another machine, or another minute, answers otherwise."""
LIBRARIES = ("torch", "diffusers", "transformers", "open_clip_torch", "numpy", "scikit-learn")


class Experiment(Protocol):
    """Return one question; the fields are its whole configuration.

    One that works with candidate models beside those of the bench names them in a field ``more``.
    """

    def __call__(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return the frames by name; ``results`` is made by `results`."""
        ...

    def draw(self, frames: Mapping[str, pd.DataFrame], figure: Any) -> None:
        """Draw the frames into a matplotlib Figure."""
        ...

    def answer(self, frames: Mapping[str, pd.DataFrame]) -> str:
        """Say what was found, in one or two sentences."""
        ...


@dataclass(frozen=True)
class Bench:
    """What every experiment works on: a preset's setting, fresh pictures, a store.

    ``n`` counts prompts; every candidate model makes one test image of each. ``runner`` runs the
    jobs of every stage, `Local` when left out.
    """

    setting: Setting
    n: int = 100
    seed: int = 0
    store: Store = field(default_factory=Store, repr=False)
    progress: Progress | None = field(default=None, repr=False)
    runner: runners.Runner | None = None

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
        """Make the same bench with other candidate models."""
        return replace(self, setting=replace(self.setting, zoo=dict(models)))

    @cached_property
    def encoder(self) -> Any:
        """The encoder of the preset's similarity; ValueError where it has none."""
        found = getattr(self.similarity, "encoder", None)
        if found is None:
            raise ValueError(
                f"the experiment needs a preset with an encoder; {self.preset.name!r} compares "
                f"by {self.preset.similarity}"
            )
        return found

    def pictures(
        self, portion: str = "evaluation", n: int | None = None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Make fresh test images of every model, and their truth (`pipeline.make_queries`)."""
        texts = presets.draw(self.setting.prompts(portion), n or self.n, self.seed)
        return pipeline.make_queries(texts, self.zoo, self.store, self.seed, self.under("pictures"))

    def regeneration(self, **changes: Any) -> Regeneration:
        """Make the preset's own attributor, with fields changed."""
        made: Regeneration = self.setting.regeneration(**changes)
        return made

    def trained(self, n: int) -> tuple[dict[str, Any], int]:
        """Make every trained attributor, fitted on calibration pictures of ``n`` prompts.

        Returns:
            short name → attributor, and the number of training pictures.
        """
        projected, size = self.encoder.at(None), self.preset.size
        learned, _ = self.pictures("selection", n)
        unfitted = {
            "DE-FAKE": DeFake(self.inverter, projected, size=size),
            "linear probe": Probe(self.encoder, size=size),
            "neighbours": KNN(self.encoder, size=size),
        }
        fitted = {
            name: method.fit(
                learned, self.zoo, store=self.store, seed=self.seed, progress=self.under("fit")
            )
            for name, method in unfitted.items()
        }
        return fitted, len(learned)

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
    """What an experiment found: its frames, its sentence, and where they come from."""

    name: str
    made_by: Any = field(repr=False)
    frames: dict[str, pd.DataFrame] = field(repr=False)
    provenance: dict[str, Any] = field(repr=False)

    @property
    def answer(self) -> str:
        """The answer in words."""
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

    def save(self, folder: str | Path) -> Path:
        """Write results.csv, every other frame as Parquet, the figure, table and provenance.

        The figure is there as PDF, PNG and CSV, see `figures.save`.

        Raises OSError where it cannot be written.
        """
        from workbench import figures

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in self.frames.items():
            if name != "results":
                frame.to_parquet(folder / f"{name}.parquet", index=False)
        found = self.frames["results"]
        found.to_csv(folder / "results.csv", index=False, float_format="%.6g")
        figures.save(self.figure(), folder / self.name)
        (folder / "table.tex").write_text(latex(found, self.answer), encoding="utf-8")
        told = self.provenance | {"answer": self.answer}
        text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "provenance.json").write_text(text + "\n", encoding="utf-8")
        return folder


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
            f"--seed {bench.seed}"
        )
    else:
        name, made_by, command = type(name).__name__.lower(), name, "none: a notebook's own"
    started = time.perf_counter()
    with runners.using(bench.runner):
        frames = made_by(bench)
    more = [catalogue.load(each, "generator") for each in getattr(made_by, "more", ())]
    provenance = {
        "command": command,
        "experiment": repr(made_by),
        "preset": bench.preset.name,
        "n": bench.n,
        "seed": bench.seed,
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.perf_counter() - started),
        "python": platform.python_version(),
        "versions": {library: version(library) for library in LIBRARIES},
        "weights": catalogue.weights(bench.inverter, bench.similarity, *bench.zoo.values(), *more),
    }
    return Findings(name, made_by, frames, provenance)


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
    found, kept = _read(folder)
    frames = {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    made_by = catalogue.load(kept["experiment"], "experiment")
    provenance = {key: value for key, value in kept.items() if key != "answer"}
    return Findings(folder.name, made_by, {"results": found, **frames}, provenance)


def _read(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    import pandas as pd

    text = (folder / "provenance.json").read_text(encoding="utf-8")
    return pd.read_csv(folder / "results.csv", keep_default_na=True), json.loads(text)


def results(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a results frame: key columns of text or numbers, then value, low, high, n.

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


def cells(found: Interval) -> dict[str, Any]:
    """Spell an interval as the cells of a results frame."""
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n}


def latex(results: pd.DataFrame, caption: str) -> str:
    r"""Write a results frame as a booktabs table; needs ``\usepackage{booktabs}``.

    Metrics stand side by side where there is such a column; a cell is the value with its interval,
    and n a range where they were not measured on equally many.
    """
    import pandas as pd

    frame = results.copy()
    keys = [name for name in frame.columns if name not in NUMBERS]
    frame["cell"] = [_cell(row) for row in frame.itertuples()]
    if "metric" in keys and len(keys) > 1:
        index = [name for name in keys if name != "metric"]
        counts = frame.groupby(index, dropna=False)["n"]
        ends = zip(counts.transform("min"), counts.transform("max"), strict=True)
        frame["n"] = [least if least == most else f"{least:g}–{most:g}" for least, most in ends]
        wide = frame.pivot(index=[*index, "n"], columns="metric", values="cell")
        wide = wide.reindex(columns=pd.unique(frame["metric"])).reset_index()
    else:
        wide = frame[[*keys, "n", "cell"]]
    wide.columns.name = None
    head = [_escaped(str(name)) for name in wide.columns]
    lines = [" & ".join(map(_told, row)) + r" \\" for row in wide.itertuples(index=False)]
    body = "\n".join([rf"{' & '.join(head)} \\", r"\midrule", *lines])
    layout = "l" * (len(head) - 1) + "r"
    return (
        f"\\begin{{table}}\n\\centering\n\\caption{{{_escaped(caption)}}}\n"
        f"\\begin{{tabular}}{{{layout}}}\n\\toprule\n{body}\n\\bottomrule\n"
        "\\end{tabular}\n\\end{table}\n"
    )


def _cell(row: Any) -> str:
    if row.value != row.value:
        return "–"
    text = f"{row.value:.3g}"
    return text if row.low != row.low else f"{text} ({row.low:.3g} to {row.high:.3g})"


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}" if value == value else "–"
    return _escaped(str(value))


def _escaped(text: str) -> str:
    for letter in "\\&%$#_{}":
        text = text.replace(letter, r"\textbackslash " if letter == "\\" else f"\\{letter}")
    return text.replace("γ", r"$\gamma$").replace("≤", r"$\le$").replace("↔", r"$\leftrightarrow$")


def compare(reference: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """Hold results against a reference, cell by cell; what the machine decides is left out.

    Returns:
        the key columns, ``value`` of both, ``low`` and ``high`` of the reference, and ``within``:
        whether the new value lies in the reference's interval (for a number without one: within
        1e-6 of it). A key that only one of the two has is not within.
    """
    keys = [name for name in reference.columns if name not in NUMBERS]
    reference, again = (
        frame[~frame["metric"].str.startswith(OF_THE_MACHINE)] if "metric" in keys else frame
        for frame in (reference, again)
    )
    both = reference.merge(again, on=keys, how="outer", suffixes=("", "_again"))
    low, high = both["low"].fillna(both["value"]), both["high"].fillna(both["value"])
    close = both["value_again"].between(low - 1e-6, high + 1e-6)
    nothing = both["value"].isna() & both["value_again"].isna() & both["n"].notna()
    both["within"] = close | (nothing & both["n_again"].notna())
    return both[[*keys, "value", "low", "high", "value_again", "within"]]


def by_accuracy(
    outcomes: pd.DataFrame, names: Mapping[str, str], keys: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return a row of accuracy for every attributor (by its short name) and group of ``keys``."""
    from workbench.evaluation.statistics import bootstrap_interval

    rows = []
    for short, name in names.items():
        own = outcomes[outcomes["attributor"] == name]
        for key, part in own.groupby(list(keys), sort=False) if keys else [((), own)]:
            found = bootstrap_interval(part["correct"], part["prompt"])
            at = dict(zip(keys, key, strict=True))
            rows.append({"attributor": short, **at, "metric": "accuracy", **cells(found)})
    return rows
