"""``workbench plan``: what a run will draw, how long it takes and what it costs."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.catalogue import presets
from workbench.cli import terminal
from workbench.cli.options import AsJson, Gamma, PresetName, Release, Seed

if TYPE_CHECKING:
    from workbench.evaluation.reckoning import Reckoning, Share
    from workbench.store.store import Store

GIB = 2**30


def plan(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Pictures or folders to attribute.")
    ] = None,
    preset: PresetName = "pocket",
    n: Annotated[
        int | None, typer.Option(help="Pictures to attribute, where none are given.")
    ] = None,
    prompts: Annotated[
        int | None,
        typer.Option(help="In their place: prompts of an evaluation, drawn by every model."),
    ] = None,
    zoo: Annotated[str | None, typer.Option(help="Candidate models: a zoo, or A,B,C.")] = None,
    prompt: Annotated[
        str | None, typer.Option(help="The known prompt of every picture to attribute.")
    ] = None,
    gamma: Gamma = None,
    seed: Seed = 0,
    release: Release = False,
    as_json: AsJson = False,
) -> None:
    """Tell what a run will draw, less what the store has: pictures, hours, bytes, money.

    Nothing is made, and no weights are needed. Of pictures that are given, captions known to the
    store count as they are; of others, at most one each.
    """
    with terminal.answering():
        row = presets.preset(preset)
        if sum(bool(given) for given in (paths, n is not None, prompts is not None)) != 1:
            raise ValueError("give pictures, --n or --prompts: one of the three")
        if prompts is not None and prompt is not None:
            raise ValueError("--prompt is of pictures to attribute; leave it out with --prompts")
        from workbench.evaluation import reckoning

        store = opened()
        if prompts is not None:
            texts = presets.draw(
                presets.prompts(row, "release" if release else "evaluation"), prompts, seed
            )
            row = row.override(zoo=zoo)
            reckoned = reckoning.evaluation(row, texts, gamma=gamma, seed=seed, store=store)
        else:
            digests = _digests(paths) if paths else None
            options: dict[str, Any] = {"zoo": zoo, "gamma": gamma, "prompt": prompt, "seed": seed}
            reckoned = reckoning.attribution(row, n, digests, store=store, **options)
        if as_json:
            print(json.dumps(record(reckoned), allow_nan=False))
        else:
            _print(reckoned)


def opened() -> Store | None:
    """Return the user's store; None where there is none yet, and none is made."""
    import os

    from workbench.paths import expanded
    from workbench.store.store import Store

    place = expanded(os.environ.get("WORKBENCH_STORE") or Store.DEFAULT)
    return Store(place) if place.is_dir() else None


def _digests(paths: list[str]) -> list[str]:
    """Return the digests of pictures that can be opened."""
    from workbench import images

    entries = images.index(images.given(paths))
    frame = images.frame(entries)
    return list(frame.loc[frame["failure"].isna(), "image_id"])


def record(reckoned: Reckoning) -> dict[str, Any]:
    """Return a reckoning as plain values."""
    names = ("pictures", "stored", "captions", "sharing", "seconds", "untimed", "bytes", "dollars")
    whole = {name: getattr(reckoned, name) for name in names}
    return whole | {"models": [dataclasses.asdict(share) for share in reckoned.shares]}


def _print(reckoned: Reckoning) -> None:
    """Print a row a model, the sum, and what the numbers are of."""
    from rich.table import Table

    columns = ("model", "to draw, up to", "in the store", "s a picture", "hours", "GiB", "US $")
    table = Table(box=None)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for share in reckoned.shares:
        table.add_row(share.generator, f"{share.pictures:,}", f"{share.stored:,}", *_cells(share))
    hours = f"{reckoned.seconds / 3600:,.2f}" if reckoned.seconds or not reckoned.untimed else ""
    hours = " + ".join(filter(None, [hours, "?" if reckoned.untimed else ""]))
    table.add_row(
        "all",
        f"{reckoned.pictures:,}",
        f"{reckoned.stored:,}",
        "",
        hours,
        f"{reckoned.bytes / GIB:,.2f}",
        f"{reckoned.dollars:,.2f}" if any(share.hosted for share in reckoned.shares) else "–",
    )
    terminal.results().print(table)
    if reckoned.captions:
        sentence = f"{reckoned.captions:,} captions are not known yet"
        if reckoned.sharing < 1:
            sentence += (
                f"; {reckoned.sharing:.0%} of the store's differ, and the hours reckon with that"
            )
        terminal.say(f"{sentence}.")
    terminal.say("Hours are of drawing alone, on one such device; GiB are of the pictures at most.")
    if reckoned.untimed:
        terminal.say(
            f"Nobody told how long {', '.join(reckoned.untimed)} take: a picture drawn here by "
            "`workbench generate`, or seconds in the row, will."
        )


def _cells(share: Share) -> list[str]:
    """Return the seconds, hours, bytes and money of a model as text."""
    each = "–" if share.seconds is None else f"{share.seconds:.2f}"
    hours = "–"
    if share.hosted:
        each = hours = "elsewhere"
    elif share.seconds is not None:
        each += " (here)" if share.timed else " (row)"
        hours = f"{share.expected * share.seconds / 3600:,.2f}"
    money = "–"
    if share.hosted:
        money = "?" if share.dollars is None else f"{share.pictures * share.dollars:,.2f}"
    return [each, hours, f"{share.pictures * share.bytes / GIB:,.2f}", money]
