"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from workbench import catalogue
from workbench.catalogue import presets


def one_of(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return what a shell completes a word by: the names that begin as it does."""

    def complete(incomplete: str) -> list[str]:
        try:
            return [name for name in names() if name.startswith(incomplete)]
        except (LookupError, ValueError):  # of a catalogue that cannot be read
            return []

    return complete


PRESETS = one_of(presets.read)
ZOOS = one_of(catalogue.zoos)
MODELS = one_of(lambda: catalogue.rows_of("generator"))
CHECKPOINTS = one_of(catalogue.all_rows)
SHELVES = one_of(lambda: [*presets.read(), *catalogue.zoos(), *catalogue.all_rows()])
EXPERIMENTS = one_of(lambda: catalogue.names("experiment"))

Paths = Annotated[
    list[str], typer.Argument(metavar="PATH", help="Pictures, or folders of pictures.")
]
PresetName = Annotated[
    str, typer.Option("--preset", help="Setting to start from.", autocompletion=PRESETS)
]
Gamma = Annotated[int | None, typer.Option("--gamma", help="Candidate images per model.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the run.")]
TreatAlike = Annotated[
    bool,
    typer.Option(
        "--treat-alike",
        help="Do to the candidates what was done to the picture: JPEG, a resize. Not calibrated.",
    ),
]
Release = Annotated[
    bool, typer.Option("--release", help="Open the frozen prompts: once, for a release's figures.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
InverterName = Annotated[
    str | None,
    typer.Option(
        "--inverter",
        help="Prompt inverter: a name, such as pez, or with settings: 'Pez(\"pocket-clip\")'.",
        autocompletion=one_of(lambda: catalogue.names("inverter")),
    ),
]
RunnerName = Annotated[
    str,
    typer.Option(
        "--runner", help='Who makes what is missing: local, ray, or with settings: "Ray(actors=4)".'
    ),
]
