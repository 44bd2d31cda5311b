"""What the command shows: results on stdout, sentences and progress on stderr."""

from __future__ import annotations

import contextlib
import errno
import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from workbench import quiet
from workbench.cli import process
from workbench.store import StoreError
from workbench.text import brief
from workbench.text import shown as shown

if TYPE_CHECKING:
    from workbench.attribution.replay import Match
    from workbench.attribution.result import Attribution


Progress = Callable[[str, int, int], None]


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Turn what a user can cause into one sentence and an exit code; bugs keep their traceback.

    Warnings of libraries stay off the screen.
    """
    try:
        with quiet.warnings_logged():
            yield
    except KeyboardInterrupt as stop:
        _stop(process.status_of(stop), process.STOPPED)
    except (KeyError, IndexError):
        raise
    except BrokenPipeError as error:
        raise typer.Exit(process.say_closed(error)) from error
    except (LookupError, ValueError) as error:
        _stop(2, f"workbench: {error}")
    except OSError as error:
        where = f" of {error.filename!r}" if error.filename else ""
        full = f"the disk{where} is full; free some space" if error.errno in process.FULL else ""
        _stop(1, f"workbench: {full or error}")
    except StoreError as error:
        _stop(1, f"workbench: {error}")
    except MemoryError as error:
        why = str(error) or "there is not enough memory; give fewer or smaller pictures"
        _stop(1, f"workbench: {why}")


@contextlib.contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show a bar for each stage on stderr, gone when all is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    console = Console(stderr=True)
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {"": bars.add_task("load libraries", total=None)}

        def progress(stage: str, done: int, total: int) -> None:
            if "" in tasks:
                bars.remove_task(tasks.pop(""))
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress


def _stop(code: int, sentence: str) -> NoReturn:
    tell(sentence)
    raise typer.Exit(code)


def print_records(result: Attribution, as_json: bool) -> None:
    """Print the answer of every path."""
    for (_, image_id), record in zip(result.paths, result.records(), strict=True):
        if as_json:
            print(json.dumps(record))
        elif record["error"]:
            tell(f"{record['image']}: {record['error']}")
        else:
            _print_ranking(result, image_id, record)


def _print_ranking(result: Attribution, image_id: str, record: dict[str, Any]) -> None:
    from rich.bar import Bar
    from rich.table import Table
    from rich.text import Text

    from workbench.attribution.verdict import among, bar, verdict

    case = result.cases[image_id]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, score, rank in case.ranking:
        strong = "bold" if rank == 1 else ""
        figure = "–" if score is None else f"{score:.4f}"
        length = bar(case, score)
        colour = "cyan" if rank == 1 else "bright_black"
        table.add_row(
            str(rank), Text(name, strong), figure, Bar(1, 0, length, width=30, color=colour)
        )
    words = verdict(case, result.setting.threshold)
    out = results()
    out.print(Text(shown(record["image"]), "bold"))
    out.print(Text(f"prompt: {brief(case.prompt)}", "italic"))
    out.print(table)
    margin = "unknown" if case.margin is None else f"{case.margin:.4f}"
    out.print(f"margin {margin}, {record['seconds']:.2f} s")
    out.print(Text.assemble((words.headline, "bold"), " ", words.text))
    if models := among(case):
        out.print(Text(models))
    for each in record["evidence"]:
        out.print(Text(f"In the file, beside the ranking: {shown(each['text'])}"))
    out.print()


def print_evidence(found: Any, as_json: bool, redraw: bool = False) -> None:
    """Print what files say of their origin (`evidence.frame`), a paragraph a picture.

    With ``redraw`` the command that would draw a picture again from its parameters, too.
    """
    from rich.text import Text

    out = results()
    for path, rows in found.groupby("path", sort=False):
        again = _redrawn(rows) if redraw else None
        if as_json:
            plain = rows.drop(columns="path").astype(object).where(rows.notna(), None)
            record = {"image": path, "evidence": plain.to_dict("records")}
            more = {"redraw": dict(zip(("command", "note"), again, strict=True))} if again else {}
            print(json.dumps(record | more, allow_nan=False))
            continue
        out.print(Text(shown(path), "bold"))
        for row in rows.itertuples():
            strong = "dim" if row.state in ("absent", "unchecked") else "bold"
            prompt = f" Prompt there: {brief(row.prompt)}" if isinstance(row.prompt, str) else ""
            text = f"  {row.kind}, {row.state}: {shown(row.text)}{prompt}"
            out.print(Text(f"{text}{_settings(row.settings)}", strong))
        if again:
            command, note = again
            out.print(
                Text(f"  To draw it again ({shown(note)}):" if command else f"  {shown(note)}.")
            )
            if command:  # in one line, however long, so that it can be copied
                out.print(Text(command), soft_wrap=True)


def _settings(told: Any) -> str:
    """Tell the settings of a drawing in a sentence; "" for none."""
    if not isinstance(told, dict) or not told:
        return ""
    words = []
    for name, value in told.items():
        if name == "size":
            value = "×".join(map(str, value))
        elif name == "loras":
            pairs = ((x["name"], x["weight"]) for x in value)
            value = ", ".join(f"{a} ({b})" if b is not None else str(a) for a, b in pairs)
        words.append(f"{name.replace('_', ' ')} {brief(value, 200)}")
    return f" Settings there: {'; '.join(words)}."


def _redrawn(rows: Any) -> tuple[str | None, str]:
    """Return the command that would draw a picture again, or None, and a remark."""
    from workbench.cli import redraw
    from workbench.evidence import Evidence

    told = rows[(rows["kind"] == "parameters") & rows["settings"].notna()]
    if told.empty:
        return None, "No parameters are told, so nothing can be drawn again"
    return redraw.command(Evidence(**told.drop(columns="path").iloc[0].to_dict()))


def print_matches(matches: list[Match], as_json: bool) -> None:
    """Print what a second run made alike, and the sum of it."""
    alike = sum(match.matches for match in matches)
    for match in matches:
        if as_json:
            print(json.dumps({"what": match.what, "matches": match.matches, "note": match.note}))
        else:
            sign = "same " if match.matches else "OTHER"
            print(f"{sign}  {shown(match.what)}: {shown(match.note)}")
    if not as_json:
        whole = "Everything matches the report" if alike == len(matches) else "Not all matches"
        print(f"{whole}: {alike} of {len(matches)}.")


def print_results(frame: Any) -> None:
    """Print an experiment's results, or their comparison with a reference."""
    from rich.table import Table

    table = Table(*frame.columns, box=None)
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{x:.4g}" if isinstance(x, float) else shown(str(x)) for x in row))
    results().print(table)


def print_evaluation(summary: dict[str, Any]) -> None:
    """Print an evaluation's numbers: overall, controls, models, confusion."""
    from rich.table import Table

    out = results()
    rows = {"inverted prompt": summary["accuracy"]}
    rows |= {name.replace("_", " "): value for name, value in summary["controls"].items()}
    rows |= {f"only {name}": value for name, value in summary["per_model"].items()}
    table = Table("forced choice", "accuracy", "95 % interval", "pictures", box=None)
    for name, value in rows.items():
        if value is not None:
            ends = [_percent(value[end]) for end in ("low", "high") if end in value]
            table.add_row(name, _percent(value["value"]), " – ".join(ends), str(value.get("n", "")))
    out.print(table)
    print(
        f"accepted {_percent(summary['coverage'])} of the pictures; "
        f"of these right {_percent(summary['accuracy_accepted'])}\n"
        f"true model among the first two {_percent(summary['top2'])}; "
        f"mean reciprocal rank {summary['mrr']:.3f}"
    )
    labels = summary["confusion"]["labels"]
    counts = summary["confusion"]["counts"]
    table = Table("true model", *(f"→ {name}" for name in labels), box=None)
    for name, row in zip(labels, counts, strict=True):
        table.add_row(name, *map(str, row[: len(labels)]))
    out.print(table)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


@contextlib.contextmanager
def bytes_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of bytes on stderr, with speed and time left; gone when all is done."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    silent = not (total and console.is_terminal)
    with Bars(*columns, console=console, transient=True, disable=silent) as bars:
        task = bars.add_task("fetch", total=total)
        yield lambda count: bars.advance(task, count)


def tell(sentence: str) -> None:
    """Say something that is no result."""
    print(shown(sentence), file=sys.stderr)


def results(width: int | None = None) -> Any:
    """Open a rich Console on stdout; what is piped is wide, so that no name is cut.

    No text, in a table neither, acts on the terminal (see `shown`): names may be anybody's.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Plain(Console):
        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for each in super().render(renderable, options):
                lines = map(shown, each.text.split("\n"))
                yield each if each.control else each._replace(text="\n".join(lines))

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError(errno.EPIPE, "the output was closed")

    width = width or (None if sys.stdout.isatty() else 160)
    return Plain(highlight=False, markup=False, emoji=False, width=width)
