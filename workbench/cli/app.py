"""The ``workbench`` command: results on stdout, progress and errors on stderr.

Exit codes: 0 all done, 1 something failed, 2 usage, 130 stopped, 143 told to end. Nothing heavy is
imported before the names in a command are known to be right.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench import catalogue
from workbench.catalogue import presets
from workbench.catalogue.setting import make_inverter
from workbench.cli import doctor, store, study, terminal, zoo
from workbench.cli.options import AsJson, Gamma, InverterName, Paths, PresetName, Seed
from workbench.keys import check_prompt
from workbench.store.store import Store
from workbench.text import brief

if TYPE_CHECKING:
    from workbench.attribution.result import Attribution


app = typer.Typer(
    help="Which model made this picture? Training-free source attribution (arXiv:2403.01489).",
    epilog="Everything made is kept in the store ($WORKBENCH_STORE, else ~/workbench-store): "
    "an interrupted command goes on where it stopped.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # a paragraph flows in any width
    add_completion=False,
    pretty_exceptions_enable=False,
)


app.command()(study.evaluate)
app.command("experiment")(study.run_experiment)
app.command()(study.reproduce)
app.command()(study.calibrate)
app.command("figures")(study.make_figures)
app.command()(doctor.doctor)
app.add_typer(zoo.zoo, name="zoo")


app.add_typer(store.store, name="store")


MAX_SEEDS = 100_000
"""Pictures that one `generate` makes."""
COLUMNS = ["file", "generator", "prompt", "seed", "digest"]
"""Of generations.csv."""


@app.command()
def attribute(
    paths: Paths,
    preset: PresetName = "pocket",
    attributor: Annotated[
        str | None, typer.Option(help="regeneration (the paper's), adaptive, knn, aedr, …")
    ] = None,
    zoo: Annotated[str | None, typer.Option(help="Candidate models: a zoo, or A,B,C.")] = None,
    inverter: InverterName = None,
    prompt: Annotated[
        str | None, typer.Option(help="The known prompt of every picture; excludes --inverter.")
    ] = None,
    similarity: Annotated[
        str | None, typer.Option(help="An encoder's name, ssim, mse, or a repr.")
    ] = None,
    aggregate: Annotated[str | None, typer.Option(help="mean, max, softmax or knn.")] = None,
    gamma: Gamma = None,
    calibration: Annotated[
        str | None,
        typer.Option(help="Calibration of the scores: standardised, learned, or a repr."),
    ] = None,
    seed: Seed = 0,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report there.")] = None,
    full_paths: Annotated[
        bool, typer.Option("--full-paths", help="Tell whole paths in the report, not names.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Redo the run of a report, and say what matches."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rank the candidate models of each picture, and decide or abstain.

    An option that changes the preset leaves its calibration: the decision is then forced.
    What learns (--calibration, a hybrid similarity) is first fitted on fresh pictures of all
    models, once: they stay in the store.
    A calibrated preset also tells the set of models that may have made it, or "none of these".
    `seconds` is a picture's share of the run's time.
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
    }
    with terminal.answering():
        if report is not None:
            _check_report(report)
        if source is None:
            result = _attribute(paths, {"preset": preset, "seed": seed, **options})
            matches = None
        else:
            if preset != "pocket" or seed or any(value is not None for value in options.values()):
                raise ValueError("--from takes every setting from the report: give no other")
            result, matches = _again(source, paths)
        terminal.print_records(result, as_json)
        if matches is not None:
            terminal.print_matches(matches, as_json)
        if report is not None:
            terminal.tell(f"Report: {result.report(report, full_paths)}")
        for path, _ in result.paths:
            _tell_notes(Path(path))
        _tell_left_out(paths)
        failed = any(case.error is not None for case in result.cases.values())
        if failed or not all(match.matches for match in matches or ()):
            raise typer.Exit(1)


@app.command()
def inspect(
    paths: Paths,
    as_json: AsJson = False,
    redraw: Annotated[
        bool,
        typer.Option("--redraw", help="Give the command that would draw again what is told."),
    ] = False,
) -> None:
    """Tell what each file itself says of its origin: signed manifest, parameters, watermark, XMP.

    signed: unchanged since it was signed, by whomever.
    verified: so signed, by a signer whom you trust ($WORKBENCH_SIGNERS, a file of PEM).
    broken: changed since it was signed.
    claimed: written there by whomever.
    observed: measured in the pixels, at the error rate that is told.
    contradicted: written there, and denied by the picture.
    absent: nothing found, which says nothing.
    unchecked: could not be looked for.
    """
    with terminal.answering():
        from workbench import evidence, images

        failed = False
        for path in dict.fromkeys(images.find(paths)):
            found = evidence.frame([path])
            terminal.print_evidence(found, as_json, redraw)
            failed |= bool((found["kind"] == "file").any())
            _tell_notes(path)
        _tell_left_out(paths)
        if failed:
            raise typer.Exit(1)


@app.command()
def invert(
    paths: Paths,
    inverter: InverterName = None,
    preset: PresetName = "pocket",
    as_json: AsJson = False,
) -> None:
    """Tell the prompt that each picture may have been made from."""
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
            made = rows[entry.path]
            error = entry.failure or (made.failure if isinstance(made.failure, str) else None)
            failed |= error is not None
            text = None if error else made.prompt
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


@app.command()
def generate(
    generator: Annotated[str, typer.Option(help="Candidate model.")],
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
        asked = pd.DataFrame({"prompt_id": [prompt_id(prompt)], "prompt": [prompt]})
        with terminal.progress_bars() as progress:
            made = pipeline.generate(
                asked, {generator: model}, len(numbers), 0, store, progress, draw, numbers
            )
        out.mkdir(parents=True, exist_ok=True)
        failed = False
        for row in made.itertuples():
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
    """Read seeds: ``0:4`` is 0, 1, 2, 3; also ``7`` or ``1,5,9``.

    Raises:
        ValueError: it is none of these, or names no seed.

    >>> parse_seeds("0:3,7")
    [0, 1, 2, 7]
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        ends = part.strip().split(":")
        if not all(re.fullmatch("[0-9]{1,19}", end) and int(end) < 2**63 for end in ends):
            ends = []
        if len(ends) == 1:
            found[int(ends[0])] = None
        elif len(ends) == 2 and int(ends[0]) < int(ends[1]) <= int(ends[0]) + MAX_SEEDS:
            found |= dict.fromkeys(range(int(ends[0]), int(ends[1])))
        else:
            seen = brief(repr(text), 100)
            raise ValueError(f"seeds are written 0:4 (that is 0, 1, 2, 3), 7 or 1,5,9; seen {seen}")
        if len(found) > MAX_SEEDS:
            raise ValueError(f"a command makes at most {MAX_SEEDS:,} pictures; name fewer seeds")
    return list(found)


def _read_generations(table: Path, generator: str, prompt: str) -> dict[int, list[str]]:
    """Read what an earlier call left in a folder, so that more seeds extend it."""
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


def _tell_notes(path: Path) -> None:
    """Say what was done to the colours of a picture that could be opened."""
    from workbench import images

    with contextlib.suppress(images.ImageError, MemoryError):
        for note in images.notes(path):
            terminal.tell(f"{path}: {note}")


def _tell_left_out(paths: list[str]) -> None:
    """Say how many files in folders were left out, by reason."""
    from workbench import images

    if omitted := images.left_out(paths):
        terminal.tell(omitted)


def _attribute(paths: list[str], options: dict[str, Any]) -> Attribution:
    from workbench import images
    from workbench.attribution.attribute import attribute
    from workbench.catalogue.setting import settle

    settle(**options)
    with terminal.progress_bars() as progress:
        return attribute(images.find(paths), **options, progress=progress)


def _again(source: Path, paths: list[str]) -> tuple[Attribution, list[Any]]:
    """Redo a report's run in a store of its own, so that everything is really made again."""
    from workbench import images
    from workbench.attribution import replay
    from workbench.attribution.attribute import attribute
    from workbench.catalogue.setting import settle

    kept = replay.read(source)
    settle(**kept["call"])
    with terminal.progress_bars() as progress:
        store = Store.temporary()
        found = images.find(paths)
        result = attribute(found, **kept["call"], store=store, progress=progress)
    return result, replay.compare(kept, result)


def _check_report(path: Path) -> None:
    """Refuse a report's path before hours are spent."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a report's name ends with .html; seen {str(path)!r}")
    if path.is_dir():
        raise ValueError(f"the report {str(path)!r} would replace a folder")
    path.parent.mkdir(parents=True, exist_ok=True)


def main() -> None:
    """Run the command; `entry.run` answers for its signals and streams."""
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
        os.environ.setdefault(name, "1")
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    app(prog_name="workbench")
