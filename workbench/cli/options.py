"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Paths = Annotated[
    list[str], typer.Argument(metavar="PATH", help="Pictures, or folders of pictures.")
]
PresetName = Annotated[str, typer.Option("--preset", help="Setting to start from.")]
Gamma = Annotated[int | None, typer.Option("--gamma", help="Candidate images per model.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
InverterName = Annotated[
    str | None,
    typer.Option("--inverter", help="Prompt inverter: a name, such as pez, or a repr."),
]
