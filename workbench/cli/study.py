"""Commands that measure: evaluate, experiment, reproduce, calibrate, figures."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench import catalogue
from workbench.catalogue import presets
from workbench.catalogue.setting import settle
from workbench.cli import terminal
from workbench.cli.options import AsJson, Gamma, PresetName, Seed
from workbench.paths import data_folder


def evaluate(
    preset: PresetName = "pocket",
    n: Annotated[int, typer.Option(help="Prompts; every model draws one picture of each.")] = 100,
    gamma: Gamma = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the frames (Parquet) and a figure.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a preset on fresh pictures of known source, beside its controls.

    Accuracies are of the forced choice, a failed picture is a miss; 95 % intervals reckon
    with the prompts, each drawn by every model.
    """
    with terminal.answering():
        presets.preset(preset)
        if out is not None and out.exists() and not out.is_dir():
            raise ValueError(f"{str(out)!r} is not a folder")
        from workbench.evaluation import benchmark

        with terminal.progress_bars() as progress:
            found = benchmark.evaluate_preset(preset, n, gamma, seed, progress=progress)
        if as_json:
            print(json.dumps(found.summary, allow_nan=False))
        else:
            terminal.print_evaluation(found.summary)
            if found.sentence:
                print(found.sentence)
        if out is not None:
            from matplotlib.figure import Figure

            from workbench import figures

            figure = Figure(layout="constrained")
            figures.evaluation(found, figure=figure)
            figures.save(figure, found.save(out) / "evaluation")
            terminal.tell(f"Frames and figure: {out}")


def run_experiment(
    name: Annotated[str, typer.Argument(help="One of the experiments; a wrong name lists them.")],
    preset: PresetName = "pocket",
    n: Annotated[int, typer.Option(help="Prompts; every model draws one picture of each.")] = 100,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder; out/experiments/NAME when left out.")
    ] = None,
    runner: Annotated[
        str, typer.Option(help='local, ray, or a repr, such as "Ray(actors=4, gpus=1)".')
    ] = "local",
) -> None:
    """Run an experiment: frames, a figure, a LaTeX table, and the answer in a sentence.

    Stopped, the same command goes on from what was made.
    """
    with terminal.answering():
        row, name = presets.preset(preset), name.replace("-", "_")
        catalogue.plugin_class(name, "experiment")
        by = catalogue.load(runner, "runner")
        folder = Path("out/experiments") / name if out is None else out
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{str(folder)!r} is not a folder")
        from workbench import experiments

        with terminal.progress_bars() as progress:
            bench = experiments.Bench(settle(row), n, seed, progress=progress, runner=by)
            found = experiments.run(name, bench)
        terminal.print_results(found.frames["results"])
        print(found.answer)
        terminal.tell(f"Frames, figure and table: {found.save(folder)}")


def reproduce(
    name: Annotated[str, typer.Argument(help="An experiment with a reference.")],
) -> None:
    """Run an experiment as its reference was made, and compare cell by cell.

    Exit 1 where a value lies outside the reference's interval.
    """
    with terminal.answering():
        name = name.replace("-", "_")
        from workbench import experiments

        reference, kept = experiments.reference(name)
        with terminal.progress_bars() as progress:
            bench = experiments.Bench(
                settle(kept["preset"]), kept["n"], kept["seed"], progress=progress
            )
            found = experiments.run(name, bench)
        table = experiments.compare(reference, found.frames["results"])
        terminal.print_results(table)
        inside = int(table["within"].sum())
        print(f"{inside} of {len(table)} values lie within the reference's intervals.")
        if found.provenance["weights"] != kept["weights"]:
            terminal.tell("The weights are not those of the reference.")
        if inside < len(table):
            raise typer.Exit(1)


def calibrate(
    preset: PresetName = "pocket",
    n: Annotated[int, typer.Option(help="Calibration prompts.")] = 100,
    seed: Seed = 0,
    select: Annotated[
        bool, typer.Option("--select", help="Find similarity and aggregation, not the threshold.")
    ] = False,
    grid: Annotated[
        Path | None, typer.Option(help="With --select: write the table of settings as CSV.")
    ] = None,
) -> None:
    """Fit a preset on calibration pictures; print its lines for presets.toml.

    The threshold of the margin, the quantile of attribution sets, and every model's own scores.
    """
    with terminal.answering():
        presets.preset(preset)
        if grid is not None and not select:
            raise ValueError("--grid needs --select")
        from workbench.evaluation import calibration

        with terminal.progress_bars() as progress:
            run: Any = calibration.select if select else calibration.threshold
            found = run(preset, n, seed, progress=progress)
        if grid is not None:
            found.grid.to_csv(grid, index=False)
        print(found.toml(), end="")


def make_figures(
    venue: Annotated[
        str | None,
        typer.Option(help="acm, cvpr, ieee, neurips or thesis; as on the screen when left out."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("out/figures"),
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Folder with what `experiment` and `evaluate --out` wrote; the reference of a "
            "checkout when left out.",
        ),
    ] = None,
) -> None:
    """Draw every figure of what was found, exactly as wide as a venue's column or text.

    Each as PDF (letters inside), PNG, the CSV it was drawn from, and a LaTeX table.
    """
    with terminal.answering(), contextlib.ExitStack() as stack:
        from workbench import figures

        if venue is not None:
            stack.enter_context(figures.venue(venue))
        folder = data_folder() / "reference" if source is None else source
        if out.exists() and not out.is_dir():
            raise ValueError(f"{str(out)!r} is not a folder")
        from workbench.cli import sheets

        found, told, failed = sheets.find(folder), [], False
        with terminal.progress_bars() as progress:
            for place, (name, made) in enumerate(found.items()):
                progress("figures", place, len(found))
                try:
                    files, sentence = sheets.write(name, made, out)
                except (LookupError, ValueError) as error:
                    failed = True
                    terminal.tell(f"{name}: {error}")
                    continue
                told.append((name, sentence))
                for file in files:
                    print(terminal.shown(file))
        if told:
            page = sheets.index(out, told, venue or "the screen")
            terminal.tell(f"{len(told)} figures for {venue or 'the screen'}: look at {page}")
        if source is None:
            terminal.tell(
                "For the sheet of an evaluation: `workbench evaluate --out DIR`, then --from DIR."
            )
        if failed:
            raise typer.Exit(1)
