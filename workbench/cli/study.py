"""Commands that measure: evaluate, experiment, reproduce, calibrate, figures."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench import catalogue, runners
from workbench.catalogue import presets
from workbench.catalogue.registry import commas
from workbench.catalogue.setting import settle
from workbench.cli import terminal
from workbench.cli.options import (
    EXPERIMENTS,
    AsJson,
    Gamma,
    PresetName,
    Release,
    RunnerName,
    Seed,
    TreatAlike,
    one_of,
)
from workbench.paths import data_folder

SHOWN = 50
"""Differing values that `reproduce` prints, the first ones."""


def _venues() -> list[str]:
    from workbench.figures.venue import FACES

    return sorted(FACES)


def evaluate(
    preset: PresetName = "pocket",
    n: Annotated[int, typer.Option(help="Prompts; every model draws one picture of each.")] = 100,
    gamma: Gamma = None,
    seed: Seed = 0,
    treat_alike: TreatAlike = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the frames (Parquet) and a figure.")
    ] = None,
    controls: Annotated[
        str, typer.Option(help="none, natural (the known prompt), or all: reference banks, too.")
    ] = "natural",
    release: Release = False,
    runner: RunnerName = "local",
    as_json: AsJson = False,
) -> None:
    """Measure a preset on fresh pictures of known source, beside its controls.

    Accuracies are of the forced choice, a failed picture is a miss; 95 % intervals reckon
    with the prompts, each drawn by every model.
    """
    with terminal.answering():
        presets.preset(preset)
        by = catalogue.load(runner, "runner")
        if out is not None and out.exists() and not out.is_dir():
            raise ValueError(f"{str(out)!r} is not a folder")
        from workbench.evaluation import benchmark

        chosen, portion = benchmark.chosen(controls), "release" if release else "evaluation"
        texts = presets.draw(presets.prompts(presets.preset(preset), portion), n, seed)
        setting = settle(preset, gamma=gamma, seed=seed, treat_alike=treat_alike)
        _tell_plan(setting, texts, chosen, seed)
        with terminal.progress_bars() as progress, runners.using(by):
            evaluation = benchmark.evaluate_preset(
                setting, n, seed=seed, portion=portion, progress=progress, controls=controls
            )
        if as_json:
            print(json.dumps(evaluation.summary, allow_nan=False))
        else:
            terminal.print_evaluation(evaluation.summary)
            if evaluation.sentence:
                terminal.say(evaluation.sentence)
        if out is not None:
            from matplotlib.figure import Figure

            from workbench import figures

            figure = Figure(layout="constrained")
            figures.evaluation(evaluation, figure=figure)
            figures.save(figure, evaluation.save(out) / "evaluation")
            terminal.note(f"Frames and figure: {out}")


def _tell_plan(setting: Any, texts: list[str], controls: tuple[str, ...], seed: int) -> None:
    """Say on stderr what an evaluation will draw."""
    from workbench.evaluation import reckoning
    from workbench.store.store import Store

    bank = setting.prompts("bank") if "arbitrary_bank" in controls else ()
    natural = "natural" in controls
    reckoned = reckoning.evaluation(
        setting, texts, natural=natural, bank=bank[:500], seed=seed, store=Store()
    )
    terminal.note(reckoned.line)


def run_experiment(
    name: Annotated[
        str,
        typer.Argument(
            help=f"One of {', '.join(catalogue.names('experiment'))}.", autocompletion=EXPERIMENTS
        ),
    ],
    preset: PresetName = "pocket",
    n: Annotated[
        int | None,
        typer.Option(help="Prompts; every model draws one picture of each. As planned, else 100."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run. As planned, else 0.")] = None,
    release: Release = False,
    independent: Annotated[
        bool, typer.Option("--independent", help="Let every model draw its own noise.")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            help="gallery, reference-selection, verification: folder, zip or table of pictures."
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(help="How they lie: folders, imagen, bc-attr-6 … or a file archive.toml."),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Encoder of the pictures, such as clip-vit-l-14.")
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Models of the pictures to tell apart: A,B,…")
    ] = None,
    attacks: Annotated[
        str | None,
        typer.Option(help="robustness: jpeg,resize,…; gallery: 'JPEG(intensity=30),…'."),
    ] = None,
    treat_alike: Annotated[
        bool, typer.Option("--treat-alike", help="robustness: candidates treated alike or clean.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder; out/experiments/NAME when left out.")
    ] = None,
    runner: RunnerName = "local",
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
        from workbench.evaluation import plan

        planned = plan.of(name)
        n, seed = n or planned.n, planned.seeds[0] if seed is None else seed
        given = {"data": data, "layout": layout, "encoder": encoder}
        fields: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        lists = {"models": models, "attacks": attacks}
        fields |= {key: tuple(commas(text)) for key, text in lists.items() if text is not None}
        fields |= {"alike": True} if treat_alike else {}
        options: dict[str, Any] = {"runner": by, "release": release, "independent": independent}
        with terminal.progress_bars() as progress:
            bench = experiments.Bench(settle(row), n, seed, progress=progress, **options)
            if data is None:
                reckoned = bench.reckoning()
                terminal.note(
                    f"Test pictures and their candidates, not all it may draw: {reckoned.line}"
                )
            findings = experiments.run(name, bench, **fields)
        terminal.print_results(findings.frames["results"])
        terminal.say(findings.answer)
        terminal.note(f"Frames, figure and table: {findings.save(folder)}")


def reproduce(
    name: Annotated[
        str, typer.Argument(help="An experiment with a reference.", autocompletion=EXPERIMENTS)
    ],
    data: Annotated[
        str | None,
        typer.Option(help="Where its pictures lie here, of a reference that was given some."),
    ] = None,
) -> None:
    """Run an experiment as its reference was made, and compare its frames value by value.

    Exit 1 where a value is not the same. With other weights, or by another version, it may well be
    another: both are told first.
    """
    with terminal.answering():
        name = name.replace("-", "_")
        from workbench import experiments
        from workbench.evaluation import replication

        _, provenance = experiments.reference(name)
        made_by = catalogue.load(provenance["experiment"], "experiment")
        if data is not None and not getattr(made_by, "data", ""):
            raise ValueError(f"the reference of {name} was given no pictures; leave --data out")
        if data is not None:
            made_by = replace(made_by, data=data)
        if provenance.get("revision", 1) != made_by.revision:
            terminal.tell("The reference was made by an earlier revision of the experiment.")
        weights = {name: catalogue.checkpoint(name).digest() for name in provenance["weights"]}
        if weights != provenance["weights"]:
            terminal.tell("The weights are not those of the reference.")
        before = experiments.read(data_folder() / "reference" / name).frames
        options = {name: provenance.get(name, False) for name in ("release", "independent")}
        with terminal.progress_bars() as progress:
            bench = experiments.Bench(
                settle(provenance["preset"]),
                provenance["n"],
                provenance["seed"],
                progress=progress,
                **options,
            )
            findings = experiments.run(made_by, bench)
        table, compared = replication.differences(before, findings.frames)
        if len(table):
            terminal.print_results(table.head(SHOWN).astype(str))
        print(f"{compared - len(table)} of {compared} values are the same.")
        if len(table):
            raise typer.Exit(1)


def calibrate(
    preset: PresetName = "pocket",
    n: Annotated[int, typer.Option(help="Calibration prompts.")] = 100,
    seed: Seed = 0,
    select: Annotated[
        bool, typer.Option("--select", help="Find similarity and aggregation, not the threshold.")
    ] = False,
    attack: Annotated[
        str | None,
        typer.Option(
            help="With --select: done to the pictures first, such as 'JPEG(intensity=30)'.",
            autocompletion=one_of(lambda: catalogue.names("attack")),
        ),
    ] = None,
    grid: Annotated[
        Path | None, typer.Option(help="With --select: write the table of settings as CSV.")
    ] = None,
    runner: RunnerName = "local",
) -> None:
    """Fit a preset on calibration pictures; print its lines for presets.toml.

    The probability of each model and the threshold of it, the threshold of the margin, the quantile
    of attribution sets, and every model's own scores.
    """
    with terminal.answering():
        presets.preset(preset)
        by = catalogue.load(runner, "runner")
        for option, value in (("--grid", grid), ("--attack", attack)):
            if value is not None and not select:
                raise ValueError(f"{option} needs --select")
        chosen = {} if attack is None else {"attack": catalogue.load(attack, "attack")}
        from workbench.evaluation import calibration

        with terminal.progress_bars() as progress, runners.using(by):
            run: Any = calibration.select if select else calibration.threshold
            result = run(preset, n, seed, progress=progress, **chosen)
        if grid is not None:
            result.grid.to_csv(grid, index=False)
        print(result.toml(), end="")
        if not select and result.advice:
            terminal.note(result.advice)


def make_figures(
    venue: Annotated[
        str | None,
        typer.Option(
            help="acm, cvpr, ieee, neurips or thesis; as on the screen when left out.",
            autocompletion=one_of(_venues),
        ),
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

        folders, captions, failed = sheets.find(folder), [], False
        with terminal.progress_bars() as progress:
            for place, (name, results) in enumerate(folders.items()):
                progress("figures", place, len(folders))
                try:
                    files, sentence = sheets.write(name, results, out)
                except (LookupError, ValueError) as error:
                    failed = True
                    terminal.tell(f"{name}: {error}")
                    continue
                captions.append((name, sentence))
                for file in files:
                    print(terminal.shown(file))
        if captions:
            page = sheets.index(out, captions, venue or "the screen")
            terminal.note(f"{len(captions)} figures for {venue or 'the screen'}: look at {page}")
        if source is None:
            terminal.note(
                "For the sheet of an evaluation: `workbench evaluate --out DIR`, then --from DIR."
            )
        if failed:
            raise typer.Exit(1)
