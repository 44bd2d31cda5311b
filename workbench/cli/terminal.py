"""Output of the command: results on stdout, sentences and progress on stderr."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

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


@dataclass
class Voice:
    """How much is told on stderr: -1 errors alone, 0 notes and progress, 1 details too."""

    level: int = 0


VOICE = Voice()
VOICES = {"--quiet": -1, "-q": -1, "--verbose": 1, "-v": 1}
"""Options that may stand anywhere in a command, and how much is told then."""


class _Plain(logging.Formatter):
    """Write a log's record in one line that does not act on the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


def speak(level: int) -> None:
    """Set how much is told; with details, what the library logs comes on stderr too."""
    VOICE.level = level
    log = logging.getLogger("workbench")
    for handler in [x for x in log.handlers if isinstance(x.formatter, _Plain)]:
        log.removeHandler(handler)
    log.setLevel(logging.DEBUG if level > 0 else logging.NOTSET)
    if level > 0:
        handler = logging.StreamHandler()
        handler.setFormatter(_Plain("%(name)s: %(message)s"))
        log.addHandler(handler)


def arranged(words: list[str]) -> list[str]:
    """Return the words of a command with --quiet and --verbose first, wherever they stood.

    >>> arranged(["attribute", "a.png", "-q", "--", "-v"])
    ['-q', 'attribute', 'a.png', '--', '-v']
    """
    end = words.index("--") if "--" in words else len(words)
    front = [word for word in words[:end] if word in VOICES]
    return [*front, *(word for word in words[:end] if word not in VOICES), *words[end:]]


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Report errors a user can cause in one sentence and an exit code; bugs raise.

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
def working(what: str) -> Iterator[None]:
    """Show on stderr that something is being done, while it takes; gone when it is done."""
    from rich.console import Console

    console = Console(stderr=True)
    if VOICE.level < 0 or not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


@contextlib.contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show a bar for each stage on stderr, gone when all is done; with details, what each took."""
    import time

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
    silent = VOICE.level < 0 or not console.is_terminal
    spans: dict[str, tuple[float, float, int]] = {}  # a stage's start, its last sign, how many
    with Bars(*columns, console=console, transient=True, disable=silent) as bars:
        tasks = {"": bars.add_task("load libraries", total=None)}

        def progress(stage: str, done: int, total: int) -> None:
            if "" in tasks:
                bars.remove_task(tasks.pop(""))
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage)
            bars.update(tasks[stage], completed=done, total=total)
            now = time.perf_counter()
            spans[stage] = (spans.get(stage, (now,))[0], now, total)

        yield progress
    if VOICE.level > 0:
        for stage, (start, end, total) in spans.items():
            tell(f"{stage}: {total} in {end - start:.1f} s")


def _stop(code: int, sentence: str) -> NoReturn:
    tell(sentence)
    raise typer.Exit(code)


def print_records(result: Attribution, as_json: bool) -> None:
    """Print the outcome of every path."""
    for (_, image_id), record in zip(result.paths, result.records(), strict=True):
        if as_json:
            print(json.dumps(record))
        elif record["error"]:
            tell(f"{record['image']}: {record['error']}")
        else:
            _print_ranking(result, image_id, record)
    if not as_json:
        from workbench.attribution.verdict import notes

        for note in notes(result.cases.values(), result.setting.threshold, result.redrawn):
            results().print(note)


def _print_ranking(result: Attribution, image_id: str, record: dict[str, Any]) -> None:
    from rich.bar import Bar
    from rich.table import Table
    from rich.text import Text

    from workbench.attribution.verdict import bar, verdict

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
    if words.narrowed:
        out.print(words.narrowed)
    out.print(Text.assemble((words.headline, "bold"), " ", words.text))
    if record.get("treated"):
        out.print(Text(record["treated"]))
    for item in record["evidence"]:
        out.print(Text(f"In the file, beside the ranking: {shown(item['text'])}"))
    out.print()


def print_evidence(table: Any, as_json: bool, redraw: bool = False) -> None:
    """Print what files say of their origin (`evidence.frame`), a paragraph a picture.

    With ``redraw`` the command that would draw a picture again from its parameters, too.
    """
    from rich.text import Text

    out = results()
    for path, rows in table.groupby("path", sort=False):
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


def _settings(settings: Any) -> str:
    """Return the settings of a drawing as a sentence; "" for none."""
    if not isinstance(settings, dict) or not settings:
        return ""
    words = []
    for name, value in settings.items():
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

    parameters = rows[(rows["kind"] == "parameters") & rows["settings"].notna()]
    if parameters.empty:
        return None, "No parameters are told, so nothing can be drawn again"
    return redraw.command(Evidence(**parameters.drop(columns="path").iloc[0].to_dict()))


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
    """Print an experiment's results, or where another run differs."""
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
            table.add_row(name, _percent(value["value"]), _ends(value), str(value.get("n", "")))
    out.print(table)
    print(
        f"accepted {_percent(summary['coverage'])} of the pictures; "
        f"of these right {_percent(summary['accuracy_accepted'])}\n"
        f"true model among the first two {_percent(summary['top2'])}; "
        f"mean reciprocal rank {summary['mrr']:.3f}"
    )
    if summary["cllr"]:
        print(
            "cost of the likelihood ratios: Cllr {cllr:.3f}, at best {minimum:.3f}".format(
                **summary["cllr"]
            )
        )
    labels = summary["confusion"]["labels"]
    counts = summary["confusion"]["counts"]
    table = Table("true model", *(f"→ {name}" for name in labels), box=None)
    for name, row in zip(labels, counts, strict=True):
        table.add_row(name, *map(str, row[: len(labels)]))
    out.print(table)
    for text in summary["warnings"]:
        print(f"Beware: {text}")


def _ends(value: dict[str, Any]) -> str:
    """Spell an interval; "–" where it excludes nothing, as with one prompt alone."""
    if "low" not in value:
        return ""
    low, high = value["low"], value["high"]
    if low is None or (low <= 0 and high >= 1):
        return "–"
    return f"{_percent(low)} – {_percent(high)}"


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
    silent = VOICE.level < 0 or not (total and console.is_terminal)
    with Bars(*columns, console=console, transient=True, disable=silent) as bars:
        task = bars.add_task("fetch", total=total)
        yield lambda count: bars.advance(task, count)


def tell(sentence: str) -> None:
    """Print a sentence on stderr, which is no result; on a terminal it wraps at words."""
    print(wrapped(shown(sentence), sys.stderr), file=sys.stderr)


def note(sentence: str) -> None:
    """Print on stderr what is good to know, unless the user wants it quiet."""
    if VOICE.level >= 0:
        tell(sentence)


def say(sentence: str) -> None:
    """Print a sentence of a result on stdout; on a terminal it wraps at words."""
    print(wrapped(shown(sentence), sys.stdout))


def wrapped(text: str, stream: TextIO, width: int = 0) -> str:
    """Return a text with its lines broken at words, where a stream is a terminal.

    A word that is longer than a line stays whole, so that a path can be copied.

    Args:
        text: in one line.
        stream: where it will be written.
        width: of the terminal in columns, as it is when 0.
    """
    if not stream.isatty():
        return text
    width = width or shutil.get_terminal_size().columns
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(text, max(width, 20), **options)


def results(width: int | None = None) -> Any:
    """Open a rich Console on stdout; what is piped is wide, so that no name is cut.

    No text, in a table neither, acts on the terminal (see `shown`): names may be anybody's.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Plain(Console):
        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                lines = map(shown, segment.text.split("\n"))
                yield segment if segment.control else segment._replace(text="\n".join(lines))

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError(errno.EPIPE, "the output was closed")

    width = width or (None if sys.stdout.isatty() else 160)
    return Plain(highlight=False, markup=False, emoji=False, width=width)
