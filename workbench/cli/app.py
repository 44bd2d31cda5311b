"""The ``workbench`` command: results on stdout, progress and errors on stderr.

Exit codes: 0 all done, 1 something failed, 2 usage, 130 stopped, 143 told to end. Nothing heavy is
imported before the names in a command are known to be right.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench import __version__, catalogue, runners
from workbench.catalogue import presets
from workbench.catalogue.setting import make_inverter
from workbench.cli import contact, doctor, plan, serve, store, study, terminal, verify, zoo
from workbench.cli.options import (
    MODELS,
    ZOOS,
    AsJson,
    Gamma,
    InverterName,
    Paths,
    PresetName,
    RunnerName,
    Seed,
    TreatAlike,
    one_of,
)
from workbench.keys import check_prompt
from workbench.store.store import Store
from workbench.text import brief

if TYPE_CHECKING:
    from workbench.attribution.result import Attribution


app = typer.Typer(
    help="Which model made this picture? Training-free source attribution (arXiv:2403.01489).",
    epilog="Everything made is kept in the store ($WORKBENCH_STORE, else ~/workbench-store): "
    "an interrupted command goes on where it stopped. --quiet and --verbose may stand anywhere.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # a paragraph flows in any width
    pretty_exceptions_enable=False,
)
MAX_SEEDS = 100_000
"""Pictures that one `generate` makes."""
COLUMNS = ["file", "generator", "prompt", "seed", "digest"]
"""Of generations.csv."""


def attribute(
    paths: Paths,
    preset: PresetName = "pocket",
    attributor: Annotated[
        str | None,
        typer.Option(
            help="regeneration (the paper's), adaptive, knn, aedr, …",
            autocompletion=one_of(lambda: catalogue.names("attributor")),
        ),
    ] = None,
    zoo: Annotated[
        str | None,
        typer.Option(help="Candidate models: a zoo, or A,B,C.", autocompletion=ZOOS),
    ] = None,
    inverter: InverterName = None,
    prompt: Annotated[
        str | None, typer.Option(help="The known prompt of every picture; excludes --inverter.")
    ] = None,
    similarity: Annotated[
        str | None,
        typer.Option(
            help="An encoder, ssim, mse, or with settings: 'Cosine(\"pocket-clip\", layer=1)'.",
            autocompletion=one_of(lambda: catalogue.names("similarity")),
        ),
    ] = None,
    aggregate: Annotated[str | None, typer.Option(help="mean, max, softmax or knn.")] = None,
    gamma: Gamma = None,
    calibration: Annotated[
        str | None,
        typer.Option(help="Calibration of the scores: standardised or learned."),
    ] = None,
    seed: Seed = 0,
    treat_alike: TreatAlike = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report there.")] = None,
    full_paths: Annotated[
        bool, typer.Option("--full-paths", help="Tell whole paths in the report, not names.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Redo the run of a report, and say what matches."),
    ] = None,
    without_missing: Annotated[
        bool,
        typer.Option(
            "--without-missing",
            help="Rank the others where a model could not draw: a forced choice.",
        ),
    ] = False,
    runner: RunnerName = "local",
    as_json: AsJson = False,
) -> None:
    """Rank the candidate models of each picture, and decide or abstain.

    A calibrated preset first tells the set of models that may have made it, or "none of these".
    An option that changes the preset leaves its calibration: the decision is then forced.

    What learns (--calibration, a hybrid similarity) is first fitted on fresh pictures of all
    models, once: they stay in the store.

    Where a candidate model could not draw, no model is called and the exit status is 1.
    With --json, `seconds` is a picture's share of the run's time.
    """
    options: dict[str, Any] = {
        "attributor": attributor,
        "zoo": zoo,
        "inverter": inverter,
        "prompt": prompt,
        "similarity": similarity,
        "aggregate": aggregate,
        "gamma": gamma,
        "calibration": calibration,
        "treat_alike": treat_alike,
    }
    with terminal.answering():
        by = catalogue.load(runner, "runner")
        if report is not None:
            _check_report(report)
        if source is None:
            given = {"preset": preset, "seed": seed, **options}
            with runners.using(by):
                result = _attribute(paths, given, without_missing)
            matches = None
        else:
            others = any(value not in (None, False) for value in options.values())
            if preset != "pocket" or seed or without_missing or others:
                raise ValueError("--from takes every setting from the report: give no other")
            with runners.using(by):
                result, matches = _again(source, paths)
        terminal.print_records(result, as_json)
        if matches is not None:
            terminal.print_matches(matches, as_json)
        if report is not None:
            terminal.note(f"Report: {result.report(report, full_paths)}")
        _tell_left_out(paths)
        failed = any(case.error is not None or case.not_drawn for case in result.cases.values())
        if failed or not all(match.matches for match in matches or ()):
            raise typer.Exit(1)


def inspect(
    paths: Paths,
    as_json: AsJson = False,
    redraw: Annotated[
        bool,
        typer.Option("--redraw", help="Give the command that would draw again what is told."),
    ] = False,
) -> None:
    """Show what each file itself says of its origin: signed manifest, parameters, watermark, XMP.

    Also traces of past compression and enlarging, and what was done to its colours.

    - signed: unchanged since it was signed, by whomever.
    - verified: so signed, by a signer whom you trust ($WORKBENCH_SIGNERS, a file of PEM).
    - broken: changed since it was signed.
    - claimed: written there by whomever.
    - observed: measured in the pixels, at the error rate that is told.
    - done: to the colours, when the picture was opened here.
    - contradicted: written there, and denied by the picture.
    - absent: nothing found, which says nothing.
    - unchecked: could not be looked for.
    """
    with terminal.answering():
        from workbench import evidence, images

        failed = False
        for path in dict.fromkeys(images.find(paths)):
            table = evidence.frame([path])
            terminal.print_evidence(table, as_json, redraw)
            failed |= bool((table["kind"] == "file").any())
        _tell_left_out(paths)
        if failed:
            raise typer.Exit(1)


def invert(
    paths: Paths,
    inverter: InverterName = None,
    preset: PresetName = "pocket",
    as_json: AsJson = False,
) -> None:
    """Show the prompt that each picture may have been made from."""
    with terminal.answering():
        row = presets.preset(preset)
        tool = make_inverter(inverter or row.inverter, row)
        from workbench import images
        from workbench.inverters import RowInverter

        images.find(paths)
        store = Store()
        entries = images.index(paths, keep=store.put_picture)
        # files of the same pixels are one picture, but each may hold a prompt of its own
        parts = [[entry] for entry in entries] if isinstance(tool, RowInverter) else [entries]
        rows: dict[Any, Any] = {}
        with terminal.progress_bars() as progress:
            from workbench import pipeline

            for some in parts:
                prompts = pipeline.invert(images.frame(some), tool, store, progress=progress)
                by_image = {row.image_id: row for row in prompts.itertuples()}
                rows |= {entry.path: by_image[entry.image_id] for entry in some}
        failed = False
        for entry in entries:
            prompt_row = rows[entry.path]
            error = entry.failure or (
                prompt_row.failure if isinstance(prompt_row.failure, str) else None
            )
            failed |= error is not None
            text = None if error else prompt_row.prompt
            if as_json:
                record = {"image": str(entry.path), "prompt": text, "error": error}
                print(json.dumps(record))
            elif error:
                terminal.tell(f"{entry.path}: {error}")
            else:
                print(f"{terminal.shown(entry.path)}\t{terminal.shown(text)}")
        _tell_left_out(paths)
        if failed:
            raise typer.Exit(1)


def generate(
    generator: Annotated[str, typer.Option(help="Candidate model.", autocompletion=MODELS)],
    prompt: Annotated[str, typer.Option(help="What the pictures should show.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures and generations.csv.")],
    seeds: Annotated[str, typer.Option(help="0:4 is 0, 1, 2, 3; also 7 or 1,5,9.")] = "0:4",
) -> None:
    """Make pictures: PNG files named by their seed, and generations.csv beside them.

    A model that takes no seed (hosted, an archive) gives its picture of that number.
    """
    with terminal.answering():
        check_prompt(prompt)
        model = catalogue.load(generator, "generator")
        numbers = parse_seeds(seeds)
        table = out / "generations.csv"
        rows = _read_generations(table, generator, prompt)
        import pandas as pd

        from workbench import images, pipeline
        from workbench.keys import prompt_id

        def draw(_run_seed: int, _prompt: str, index: int) -> int:
            return index

        store = Store()
        prompts = pd.DataFrame({"prompt_id": [prompt_id(prompt)], "prompt": [prompt]})
        with terminal.progress_bars() as progress:
            candidates = pipeline.generate(
                prompts, {generator: model}, len(numbers), 0, store, progress, draw, numbers
            )
        out.mkdir(parents=True, exist_ok=True)
        failed = False
        for row in candidates.itertuples():
            if not isinstance(row.candidate_id, str):
                failed = True
                terminal.tell(f"seed {row.seed}: {row.failure}")
                continue
            file = f"{row.seed}.png"
            (out / file).write_bytes(images.png_bytes(store.picture(row.candidate_id)))
            rows[row.seed] = [file, generator, prompt, str(row.seed), row.candidate_id]
            print(terminal.shown(out / file))
        with table.open("w", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerows([COLUMNS, *(rows[seed] for seed in sorted(rows))])
        if failed:
            raise typer.Exit(1)


def parse_seeds(text: str) -> list[int]:
    """Return seeds: ``0:4`` is 0, 1, 2, 3; also ``7`` or ``1,5,9``.

    Raises:
        ValueError: it is none of these, or names no seed.

    >>> parse_seeds("0:3,7")
    [0, 1, 2, 7]
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        ends = part.strip().split(":")
        if not all(re.fullmatch("[0-9]{1,19}", end) and int(end) < 2**63 for end in ends):
            ends = []
        if len(ends) == 1:
            seeds[int(ends[0])] = None
        elif len(ends) == 2 and int(ends[0]) < int(ends[1]) <= int(ends[0]) + MAX_SEEDS:
            seeds |= dict.fromkeys(range(int(ends[0]), int(ends[1])))
        else:
            seen = brief(repr(text), 100)
            raise ValueError(f"seeds are written 0:4 (that is 0, 1, 2, 3), 7 or 1,5,9; seen {seen}")
        if len(seeds) > MAX_SEEDS:
            raise ValueError(f"a command makes at most {MAX_SEEDS:,} pictures; name fewer seeds")
    return list(seeds)


def _read_generations(table: Path, generator: str, prompt: str) -> dict[int, list[str]]:
    """Return the rows that an earlier call left in a folder, so that more seeds extend it."""
    if table.parent.exists() and not table.parent.is_dir():
        raise ValueError(f"{str(table.parent)!r} is not a folder")
    if not table.exists():
        return {}
    try:
        with table.open(newline="", encoding="utf-8") as handle:
            header, *rows = csv.reader(handle)
        if header != COLUMNS or any(row[1:3] != [generator, prompt] for row in rows):
            raise ValueError
        return {int(row[3]): row for row in rows}
    except (ValueError, IndexError):
        raise ValueError(
            f"{str(table.parent)!r} holds pictures of another generator or prompt: "
            "choose another folder for --out"
        ) from None


def _tell_left_out(paths: list[str]) -> None:
    """Print how many files in folders were left out, by reason."""
    from workbench import images

    if omitted := images.left_out(paths):
        terminal.tell(omitted)


def _version(wanted: bool) -> None:
    """Print the version, and end."""
    if wanted:
        print(f"workbench {__version__}")
        raise typer.Exit


def _attribute(paths: list[str], options: dict[str, Any], without_missing: bool) -> Attribution:
    from workbench import images
    from workbench.attribution.attribute import attribute
    from workbench.catalogue.setting import settle

    settle(**options)
    with terminal.progress_bars() as progress:
        return attribute(
            images.find(paths), **options, progress=progress, without_missing=without_missing
        )


def _again(source: Path, paths: list[str]) -> tuple[Attribution, list[Any]]:
    """Redo a report's run in a store of its own, so that everything is really made again."""
    from workbench import images
    from workbench.attribution import replay
    from workbench.attribution.attribute import attribute
    from workbench.catalogue.setting import settle

    payload = replay.read(source)
    settle(**{name: value for name, value in payload["call"].items() if name != "without_missing"})
    with terminal.progress_bars() as progress:
        store = Store.temporary()
        pictures = images.find(paths)
        result = attribute(pictures, **payload["call"], store=store, progress=progress)
    return result, replay.compare(payload, result)


def _check_report(path: Path) -> None:
    """Raise an error for a report's path that cannot be written, before hours are spent."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a report's name ends with .html; seen {str(path)!r}")
    if path.is_dir():
        raise ValueError(f"the report {str(path)!r} would replace a folder")
    path.parent.mkdir(parents=True, exist_ok=True)


@app.callback()
def voice(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Tell results and errors alone: no progress.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell also what each stage took, and warnings.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", is_eager=True, callback=_version, help="Show it.")
    ] = False,
) -> None:
    """Set how much is told."""
    if quiet and verbose:
        terminal.tell("workbench: give --quiet or --verbose, not both")
        raise typer.Exit(2)
    terminal.speak(verbose - quiet)


ROOMS: dict[str, list[Any]] = {
    "Pictures": [
        attribute,
        serve.serve,
        inspect,
        verify.verify,
        invert,
        generate,
        contact.contact_sheet,
    ],
    "Studies": [
        study.evaluate,
        study.run_experiment,
        study.reproduce,
        study.calibrate,
        study.make_figures,
        plan.plan,
    ],
    "Models, store and machine": [doctor.doctor],
}
"""The commands by what they are for, in the order in which they are listed."""
NAMES = {
    serve.serve: "app",
    study.run_experiment: "experiment",
    study.make_figures: "figures",
}

for panel, commands in ROOMS.items():
    for each in commands:
        app.command(NAMES.get(each), rich_help_panel=panel)(each)
app.add_typer(zoo.zoo, name="zoo", rich_help_panel=panel)
app.add_typer(store.store, name="store", rich_help_panel=panel)


def main() -> None:
    """Run the command; `entry.run` answers for its signals and streams."""
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
        os.environ.setdefault(name, "1")
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    app(terminal.arranged(sys.argv[1:]), prog_name="workbench")
