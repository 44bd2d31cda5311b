"""The command that asks of one model alone: verify."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from workbench.cli import terminal
from workbench.cli.options import MODELS, AsJson, Gamma, Paths, PresetName, Seed


def verify(
    paths: Paths,
    model: Annotated[
        str, typer.Option("--model", help="The model in question.", autocompletion=MODELS)
    ],
    preset: PresetName = "pocket",
    reference: Annotated[
        list[str] | None,
        typer.Option(help="Pictures known to be of the model, or a folder: nothing is drawn then."),
    ] = None,
    others: Annotated[
        list[str] | None, typer.Option(help="With --reference: pictures of other models.")
    ] = None,
    score: Annotated[str, typer.Option(help="nearest or mahalanobis.")] = "nearest",
    gamma: Gamma = None,
    n: Annotated[int, typer.Option(help="Calibration prompts; every model draws one each.")] = 40,
    alpha: Annotated[float, typer.Option(help="Level of the two p-values.")] = 0.05,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Did this model make it? Two p-values and a likelihood ratio for each picture.

    p of "NAME made it" is small where a picture is unlike NAME's own, p of "another did" where it
    is unlike those of others; the ratio weighs both. The first run draws what it calibrates with.
    """
    with terminal.answering():
        from workbench.attribution.verification import verify as ask

        with terminal.progress_bars() as progress:
            verified = ask(
                paths,
                model,
                preset,
                reference=reference or None,
                others=others or None,
                score=score,
                gamma=gamma,
                n=n,
                alpha=alpha,
                seed=seed,
                progress=progress,
            )
        records = verified.records()
        for record in records:
            if as_json:
                print(json.dumps(record, allow_nan=False))
            elif record["error"]:
                terminal.tell(f"{record['image']}: {record['error']}")
            else:
                _print(record)
        if not as_json:
            terminal.say(verified.caveat)
        if any(record["error"] for record in records):
            raise typer.Exit(1)


def _print(record: dict[str, Any]) -> None:
    """Print the outcome of one picture."""
    from rich.text import Text

    out = terminal.results()
    out.print(Text(terminal.shown(record["image"]), "bold"))
    out.print(Text(record["verdict"], "bold"))
    out.print(
        f"{record['compared_by']} {record['score']:.4f}; p of "
        f'"{record["model"]} made it" {record["p_made"]:.3f}'
        + (f', of "another did" {record["p_other"]:.3f}' if record["p_other"] is not None else "")
    )
    if record["words"] is not None:
        ratio = 10 ** record["log10_lr"]
        ratio_text = f"{ratio:.3g}" if ratio >= 1 else f"1/{1 / ratio:.3g}"
        out.print(f"likelihood ratio {ratio_text}: {record['words']}")
    out.print()
