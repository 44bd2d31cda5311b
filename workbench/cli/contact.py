"""``workbench contact-sheet``: what every model of a zoo draws of the same prompts, unpicked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.catalogue import presets
from workbench.catalogue.setting import settle
from workbench.cli import terminal
from workbench.cli.options import ZOOS, PresetName, Seed


def contact_sheet(
    preset: PresetName = "pocket",
    zoo: Annotated[
        str | None,
        typer.Option(help="Candidate models: a zoo, or A,B,C.", autocompletion=ZOOS),
    ] = None,
    n: Annotated[int, typer.Option(min=1, help="Prompts, the first ones of evaluation.")] = 12,
    seed: Seed = 0,
    out: Annotated[
        Path, typer.Option(help="The sheet's files: this name as PDF, PNG and CSV.")
    ] = Path("contact-sheet"),
) -> None:
    """Draw a sheet of pictures: a prompt a row, a candidate model a column.

    Nothing is picked: the prompts are the preset's first ones of evaluation, and every model's
    picture is the one of the seed.
    """
    with terminal.answering():
        row = presets.preset(preset)
        texts = presets.prompts(row, "evaluation")[:n]
        setting = settle(preset, zoo=zoo, seed=seed)
        import pandas as pd

        from workbench import figures, pipeline
        from workbench.keys import prompt_id
        from workbench.store.store import Store

        prompts = pd.DataFrame({"prompt_id": map(prompt_id, texts), "prompt": texts})
        store = Store()
        with terminal.progress_bars() as progress:
            candidates = pipeline.generate(prompts, setting.zoo, 1, seed, store, progress)
        table = prompts.merge(candidates, on="prompt_id", how="left")
        failed = table[table["candidate_id"].isna()]
        for cell in failed.itertuples():
            terminal.tell(f"{cell.generator}, {cell.prompt}: {cell.failure}")
        table = table[["prompt", "generator", "seed", "candidate_id"]]
        ax = figures.contact(table, store)
        for file in figures.save(figures.source(ax, table), out):
            print(terminal.shown(file))
        if len(failed):
            raise typer.Exit(1)
