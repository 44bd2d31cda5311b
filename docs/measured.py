"""Write what was measured into the README and the pages of `docs`, out of data/reference.

    python docs/measured.py

A part stands between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``; a test asks for the same
text (`tests/system/test_readme.py`). No number in a part is typed.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from workbench import catalogue
from workbench.catalogue import presets
from workbench.experiments.verification import Verification

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "data" / "reference"
ANSWERED = {
    "**Which inverter** for which model? (the paper's first open question)": "inverters",
    "Does PEZ favour the model whose text encoder it searches with?": "bias",
    "**How many candidate images**, γ? (its second)": "gamma",
    "**A similarity** for the models at hand? (its third)": "similarities",
    "What does a better prompt bring?": "prompt_quality",
    "Who stands beside it, on equal pictures?": "rivals",
    "What does it bring as a plug-in of a trained attributor?": "plugin",
    "What survives an attack?": "robustness",
    "And a source outside the zoo?": "openset",
    "What does one more candidate model cost?": "scalability",
    "Which references, layer, number, aggregation, as RefPrint asks?": "reference_selection",
    "The same on the gallery of real pictures?": "gallery/reference_selection",
}
"""Question → the experiment whose sentence answers it."""
CONTROLS = {
    "natural prompt, known beforehand": "natural",
    "matched bank, nothing regenerated": "matched_bank",
    "arbitrary bank, nothing regenerated": "arbitrary_bank",
    "colour alone, of the same candidate images": "colour_alone",
    "size alone": "size_alone",
    "chance": "chance",
}
LEARNED = {"method": "learned metric"}
ALIKE = LEARNED | {"candidates": "same prompt, treated alike"}
GUESSED = LEARNED | {"candidates": "same prompt, treated as estimated"}
REAL = {
    "**similarity, nothing trained**": {"method": "similarity"},
    "**metric learned on the pictures of other prompts**": LEARNED,
    "control: colour alone": {"method": "colour alone"},
    "control: colour alone, metric learned": {"method": "colour alone, learned metric"},
    "control: size and format alone": {"method": "size and format alone"},
    "control: candidates of the nearest captions": {
        "method": "similarity",
        "candidates": "caption",
    },
    "control: candidates of other prompts": {
        "method": "similarity",
        "candidates": "other prompts",
    },
    "rival: prototype": {"method": "prototype", "candidates": "none"},
    "rival: family, then model": {"method": "family", "candidates": "none"},
    "rival: linear probe": {"method": "linear probe", "candidates": "none"},
    "rival: neighbours": {"method": "neighbours", "candidates": "none"},
    "rival: noise spectrum": {"method": "spectrum", "candidates": "none"},
    "similarity, a mix of layers learned": {"method": "layers, mixed"},
    "chance": {"method": "chance"},
    "metric learned: the family is right": LEARNED | {"metric": "family accuracy"},
    "metric learned, JPEG 70, candidates treated alike": ALIKE | {"attack": "JPEG(intensity=30)"},
    "metric learned, JPEG 70, candidates treated as estimated": GUESSED
    | {"attack": "JPEG(intensity=30)"},
    "metric learned, JPEG 70, clean candidates": LEARNED | {"attack": "JPEG(intensity=30)"},
    "metric learned, resized by half, treated alike": ALIKE | {"attack": "Resize(intensity=50)"},
    "metric learned, resized by half, treated as estimated": GUESSED
    | {"attack": "Resize(intensity=50)"},
}
"""Row of the table → its row in the results."""
SCOPES = ("one of each family", "all models")


def reference() -> dict[str, Any]:
    """Read the summaries of `workbench evaluate --json`, by preset."""
    return json.loads((REFERENCE / "accuracy.json").read_text(encoding="utf-8"))


def accuracy() -> str:
    """Write the table of the README: the presets and their controls."""
    return _accuracy(_presets())


def accuracy_by_model() -> str:
    """Write the table of the findings: each model, the first two, the decision, the confusion."""
    summaries = list(reference().values())
    rows = _presets()
    for name in summaries[0]["settings"]["zoo"]:
        rows[f"inverted prompt, {name} alone"] = [
            _interval(each["per_model"][name]) for each in summaries
        ]
    rows["inverted prompt, true model among the first two"] = [
        _percent(each["top2"]) for each in summaries
    ]
    rows["inverted prompt, decided instead of forced"] = [_decided(each) for each in summaries]
    rows["Cllr of the likelihood ratios (its minimum; 1 tells nothing)"] = [
        f"{each['cllr']['cllr']:.2f} ({each['cllr']['minimum']:.2f})" for each in summaries
    ]
    rows["taken for another most often"] = [_confused(each) for each in summaries]
    return _accuracy(rows, "../")


def _presets() -> dict[str, list[str]]:
    summaries = list(reference().values())
    rows = {"**inverted prompt**": [_interval(each["accuracy"], "**") for each in summaries]}
    for label, kind in CONTROLS.items():
        rows[label] = [_interval(each["controls"][kind]) for each in summaries]
    return rows


def _accuracy(rows: dict[str, list[str]], up: str = "") -> str:
    summaries = reference()
    first = next(iter(summaries.values()))
    settings = first["settings"]
    commands = [
        f"    workbench evaluate --preset {name} --n {settings['n']} "
        f"--gamma {settings['gamma']} --seed {settings['seed']} --controls all --json"
        for name in summaries
    ]
    note = (
        f"n = {first['accuracy']['n']} fresh pictures: {settings['n']} evaluation prompts, each "
        f"drawn by {len(settings['zoo'])} models; γ = {settings['gamma']}; forced choice, a failed "
        f"picture is a miss; in brackets the 95 % interval, {settings['intervals']}. "
        "Made by"
    )
    return "\n".join(
        [
            f"| accuracy | {' | '.join(f'preset `{name}`' for name in summaries)} |",
            "|---|" + "---|" * len(summaries),
            *(f"| {label} | {' | '.join(cells)} |" for label, cells in rows.items()),
            *("", *_warned(summaries), note, "", *commands, ""),
            "and kept, settings and digests of the weights included, in "
            f"[data/reference/accuracy.json]({up}data/reference/accuracy.json).",
            "",
        ]
    )


def _warned(summaries: dict[str, Any]) -> list[str]:
    """Return the paragraph of what the evaluations warned of, if anything."""
    told = [
        f"in `{name}` {warning}" for name, each in summaries.items() for warning in each["warnings"]
    ]
    return [f"**Read the controls first**: {'; '.join(told)}.", ""] if told else []


def gallery() -> str:
    """Write the table about real pictures."""
    rows, pictures, told = _gallery()
    lines = []
    for label, where in REAL.items():
        bold = "**" if label.startswith("**") else ""
        cells = " | ".join(_real(rows, scope, where, bold) for scope in SCOPES)
        lines.append(f"| {label} | {cells} |")
    counts = rows[rows["method"] == "chance"].set_index("scope")["n"]
    prompts, models = pictures["prompt"].nunique(), sorted(pictures["generator"].unique())
    head = " | ".join(
        f"{3 + (scope == 'all models')} models, n = {counts[scope]}" for scope in SCOPES
    )
    return "\n".join(
        [
            f"| accuracy on real pictures | {head} |",
            "|---|---|---|",
            *lines,
            "",
            f"Pictures of {prompts} prompts by {', '.join(models)}, and without glid-3-xl, a child "
            f"of latent-diffusion; γ = {rows['gamma'].max()} at most, equally many of each model; "
            "forced choice, leave-one-prompt-out; in brackets the 95 % interval over prompts. "
            f"Encoder: {', '.join(told['weights'])}. Made by",
            "",
            f"    {_command(told)}",
            "",
            f"and kept, with the digest {pictures['list'].iloc[0][:16]}… of the list of pictures, "
            "in [data/reference/gallery](../data/reference/gallery). `gallery` is the folder of "
            "these pictures, of which none is here: [the data card](../data/README.md) tells where "
            "they were published.",
            "",
        ]
    )


def real_pictures() -> str:
    """Write the figure of the gallery and what it shows, for the README."""
    rows, pictures, told = _gallery()
    prompts, models = pictures["prompt"].nunique(), sorted(pictures["generator"].unique())
    count = rows[(rows["method"] == "chance") & (rows["scope"] == "all models")]["n"].item()
    right = {
        label: _real(rows, "all models", REAL[row])
        for label, row in (
            ("similarity", "**similarity, nothing trained**"),
            ("learned", "**metric learned on the pictures of other prompts**"),
            ("colour", "control: colour alone"),
            ("chance", "chance"),
        )
    }
    return "\n".join(
        [
            "![Accuracy on real pictures beside the controls, with 95 % intervals]"
            "(data/reference/gallery/gallery.png)",
            "",
            f"Real pictures: {count} of {prompts} prompts by {', '.join(models)}; candidates are "
            f"other pictures of the same prompt, γ = {rows['gamma'].max()} at most. Right without "
            f"training: {right['similarity']}; with a metric learned on other prompts: "
            f"{right['learned']}; control, by colour alone: {right['colour']}; chance: "
            f"{right['chance']}. `{_command(told)}`, where `gallery` is the folder of these "
            "pictures, which are [not ours to hand on](data/README.md).",
            "",
        ]
    )


def treated() -> str:
    """Write what treating candidates alike brings back on the gallery, for the expert's page."""
    rows, pictures, told = _gallery()
    guesses = pd.read_parquet(REFERENCE / "gallery" / "treatments.parquet")
    rows = rows[rows["method"].isin(["similarity", "learned metric"])]
    rows = rows[rows["metric"].eq("accuracy") & rows["candidates"].str.startswith("same prompt")]
    keys = ["scope", "method"]
    clean = rows[rows["attack"] == "none"].set_index(keys)["value"]
    lines = ["| after | commonest estimate | clean candidates | as given | as estimated |"]
    lines.append("|---|---|---|---|---|")
    for attack, part in guesses.groupby("attack", sort=False):
        common = part["treatment"].value_counts()
        cells = [f"`{attack}`", f"`{common.index[0]}`, {common.iloc[0]} of {len(part)}"]
        for candidates in ("same prompt", *(f"same prompt, treated {x}" for x in WAYS)):
            own = rows[(rows["attack"] == attack) & (rows["candidates"] == candidates)]
            lost = 100 * (clean - own.set_index(keys)["value"])
            cells.append(f"{lost.min():.1f} to {lost.max():.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(
        [
            f"Measured on [the gallery of real pictures](../findings.md) "
            f"({pictures['prompt'].nunique()} prompts, γ = {rows['gamma'].max()}, every picture "
            "brought to one size, then attacked): points lost against untouched pictures, the "
            f"least and the most of {clean.index.get_level_values(1).nunique()} methods and "
            f"{clean.index.get_level_values(0).nunique()} sets of models, with clean candidates "
            "and with candidates treated alike. With so few prompts an accuracy has an interval of "
            "about twenty points. Of a blur nothing is estimated.",
            "",
            *lines,
            "",
            f"    {_command(told)}",
            "",
            *_treated_in_the_zoo(),
        ]
    )


def _treated_in_the_zoo() -> list[str]:
    folder = REFERENCE / "robustness" / "treat_alike"
    told = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    table = pd.read_csv(folder / "results.csv")
    table = table[table["metric"] == "accuracy"]
    alike = table["attributor"].str.contains("alike")
    ways = {"clean candidates": table[~alike], "as estimated": table[alike]}
    untouched = ways["clean candidates"].query("attack == 'none'").iloc[0]
    lines = []
    for row in ways["clean candidates"].itertuples():
        level = f"{row.attack[:-2]}(intensity={row.intensity})"
        at = f"attack == {row.attack!r} and intensity == {row.intensity}"
        cells = [_interval(part.query(at).iloc[0].to_dict()) for part in ways.values()]
        lines.append(f"| {'untouched' if row.attack == 'none' else f'`{level}`'} |")
        lines[-1] += f" {' | '.join(cells)} |"
    return [
        f"The same on the pocket zoo, right of n = {untouched['n']} pictures of {told['n']} "
        "prompts, γ = 4, by clean candidates and by candidates treated as estimated:",
        "",
        f"| after | {' | '.join(ways)} |",
        "|---|---|---|",
        *lines,
        "",
        f"    {_command(told)}",
        "",
    ]


WAYS = ("alike", "as estimated")
"""How candidates are treated: by the attack as made, or as each picture seems to have been."""


def verified() -> str:
    """Write what `verify` reaches on the zoo and on the gallery, for the expert's page."""
    places = {
        "pocket zoo": REFERENCE / "verification",
        "gallery": REFERENCE / "gallery" / "verification",
    }
    lines, commands = [], []
    for place, folder in places.items():
        told = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        commands.append(f"    {_command(told)}")
        table = pd.read_csv(folder / "results.csv").set_index(["model", "metric", "score"])
        for model, rows in table.groupby("model", sort=False):
            for metric, own in rows.loc[model].groupby("metric", sort=False):
                if metric == "AUROC" or (model == "all" and metric.startswith(RATES)):
                    found = own.loc[metric]
                    cells = [_plain(found.loc[score], metric) for score in VERIFIED]
                    name = metric if model == "all" else f"{metric} of {model}"
                    n = f"{found['n'].iloc[0]:.0f}"
                    lines.append(f"| {place} | {name} | {' | '.join(cells)} | {n} |")
    strict = table.loc["all", f"recognised at {min(Verification().alphas):.0%}", "nearest"]["value"]
    mute = "" if strict else " The gallery has too few prompts to call any at the stricter level."
    return "\n".join(
        [
            "Measured on the pocket zoo and on [the gallery of real pictures](../findings.md), "
            "other prompts calibrating. Intervals are over the scenes of the test pictures; that "
            "other calibration pictures would have given other limits is not in them, so the rates "
            f"beside a level scatter about it by more than they say.{mute}",
            "",
            f"| pictures | | {' | '.join(VERIFIED)} | n |",
            f"|---|---|{'---|' * len(VERIFIED)}---|",
            *lines,
            "",
            *commands,
            "",
        ]
    )


VERIFIED = ("nearest", "mahalanobis")
"""Scores of `verify`, in the order of the table's columns."""
RATES = ("false alarms", "false rejections", "recognised")


def _plain(row: pd.Series, metric: str) -> str:
    return (
        f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        if metric == "AUROC"
        else _interval(row.to_dict())
    )


def _gallery() -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    folder = REFERENCE / "gallery"
    rows = pd.read_csv(folder / "results.csv")
    rows = rows[rows["gamma"] == rows["gamma"].max()]
    told = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    return rows, pd.read_parquet(folder / "pictures.parquet"), told


def _command(told: dict[str, Any]) -> str:
    return command(told).replace(" --preset pocket --n 100 --seed 0", "")


def command(told: dict[str, Any]) -> str:
    """Return the command of a provenance, with the reader's folder of pictures in place of ours."""
    return re.sub(r"(?<= --data )\S+", "gallery", told["command"])


def _real(rows: pd.DataFrame, scope: str, where: dict[str, str], strong: str = "") -> str:
    part = rows[rows["scope"] == scope]
    plain = {"metric": "accuracy", "candidates": "same prompt", "attack": "none"}
    for key, value in (plain | where).items():
        part = part[part[key] == value]
    if part.empty:
        return "–"
    (row,) = part.to_dict("records")
    bare = {"value": row["value"]}
    return _interval(bare if row["low"] != row["low"] else row, strong)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _interval(row: dict[str, Any] | None, strong: str = "") -> str:
    if row is None:
        return "–"
    text = f"{strong}{_percent(row['value'])}{strong}"
    return f"{text} ({100 * row['low']:.1f} to {100 * row['high']:.1f})" if "low" in row else text


def _decided(summary: dict[str, Any]) -> str:
    settings = summary["settings"]
    preset = presets.preset(settings["preset"])
    if settings["threshold"] is None:
        return "not calibrated"
    if settings["threshold_from"] != preset.threshold_from and _accepted(preset)[0]:
        return "not measured since the preset was calibrated anew"
    if settings["threshold"] == "inf":
        return "always abstains"
    right = _percent(summary["accuracy_accepted"])
    return f"{_percent(summary['coverage'])} of the pictures, {right} of them right"


def _confused(summary: dict[str, Any]) -> str:
    """Name the largest cell beside the diagonal."""
    labels, counts = summary["confusion"]["labels"], summary["confusion"]["counts"]
    pairs = [(i, j) for i in range(len(labels)) for j in range(len(labels)) if i != j]
    i, j = max(pairs, key=lambda pair: counts[pair[0]][pair[1]])
    true, taken, n = labels[i], labels[j], summary["per_model"][labels[i]]["n"]
    return f"{true} for {taken}, {counts[i][j]} of {n}" if counts[i][j] else "none"


def decided() -> str:
    """Write what the presets called of their calibration pictures, each by fits without it."""
    parts = []
    for preset in map(presets.preset, reference()):
        accepted, n, wrong = _accepted(preset)
        command = preset.threshold_from.partition(": ")[0]
        calls = f"calls a model for {accepted or 'none'} of {n} calibration pictures"
        calls += f", {wrong} of these wrongly" * bool(accepted)
        parts.append(f"`{preset.name}` {calls} (`{command}`)")
    return (
        f"{'; '.join(parts)}. Each was judged by what was learned on other prompts; a call needs a "
        "confidence from which on at most 5 % of the calls are wrong, with one-sided 95 % "
        "confidence. Sets of kin alone are called as a family; a likelihood ratio is always told.\n"
    )


def _accepted(preset: presets.Preset) -> tuple[int, int, int]:
    """Return how many calibration pictures a preset called, of how many, and wrongly."""
    words = r"accepts (\d+) of (\d+) calibration pictures, (\d+) of them wrong"
    return tuple(map(int, re.search(words, preset.threshold_from).groups()))


def answers() -> str:
    """Write the table of questions, each with the sentence of its experiment."""
    lines = [
        "| question | answer of the pocket zoo, γ = 4 where nothing else is said |",
        "|---|---|",
    ]
    for question, name in ANSWERED.items():
        told = json.loads((REFERENCE / name / "provenance.json").read_text(encoding="utf-8"))
        title = f"{Path(name).name.replace('_', '-')}, seed {told['seed']}"
        link = f"[{title}](../data/reference/{name})"
        lines.append(f"| {question} | {told['answer']} {link} |")
    return "\n".join([*lines, ""])


def strangers() -> str:
    """Write what "none of these" finds, for the limits."""
    rows = pd.read_csv(REFERENCE / "openset" / "results.csv")
    rows = rows[rows["metric"] == "rejected"].set_index("unknown")
    shares = rows[rows.index.str.startswith("without ")]["value"]
    least, most = shares.idxmin(), shares.idxmax()
    drawn = rows.loc["real pictures"]

    def model(name: str) -> str:
        return f"{100 * shares[name]:.0f} % ({name.removeprefix('without ')})"

    return (
        f"In the pocket zoo, of {rows.loc[least, 'n']:.0f} pictures of a model left out of the zoo "
        f"{model(least)} to {model(most)} are found, of {drawn['n']:.0f} pictures that no model "
        f"made {100 * drawn['value']:.0f} % "
        "([data/reference/openset](../data/reference/openset)).\n"
    )


def attacked() -> str:
    """Write what attacks leave of the preset, for the limits."""
    rows = pd.read_csv(REFERENCE / "robustness" / "results.csv")
    rows = rows[(rows["attributor"] == "preset") & (rows["metric"] == "accuracy")]

    def left(attack: str, intensity: int) -> str:
        part = rows[rows["attack"].str.startswith(attack) & (rows["intensity"] == intensity)]
        return f"{100 * part['value'].item():.0f} %"

    def span(attack: str) -> str:
        shares = 100 * rows[rows["attack"].str.startswith(attack)]["value"]
        return f"{shares.min():.0f} to {shares.max():.0f} %"

    return (
        f"In the pocket zoo (n = {rows['n'].max()} pictures, {left('none', 0)} of them right "
        f"untouched) JPEG of quality 70 leaves {left('JPEG', 30)}, shrinking to 35 % and back "
        f"{left('Resize', 65)}, blur {span('Blur')}; a picture bent against the encoder (PGD) is "
        f"attributed rightly in {span('PGD')}, one painted anew by another model (`launder`) in "
        f"{span('Launder')} ([data/reference/robustness](../data/reference/robustness)).\n"
    )


def experiments() -> str:
    """Write the list of experiments, each with the question that the plan asks."""
    plan = tomllib.loads((REFERENCE / "plan.toml").read_text(encoding="utf-8"))
    rows = {
        name.replace("_", "-"): plan.get(name.replace("_", "-"), plan.get(name, {})).get("question")
        for name in sorted(catalogue.names("experiment"))
    }
    lines = [f"| `{name}` | {question or '–'} |" for name, question in rows.items()]
    return "\n".join(["| experiment | question |", "|---|---|", *lines, ""])


PARTS: dict[str, tuple[tuple[str, Callable[[], str]], ...]] = {
    "README.md": (("accuracy", accuracy), ("gallery", real_pictures)),
    "docs/findings.md": (
        ("accuracy", accuracy_by_model),
        ("decided", decided),
        ("gallery", gallery),
        ("answers", answers),
    ),
    "docs/howto/figure_by_midnight.md": (("experiments", experiments),),
    "docs/howto/expert_report.md": (("verified", verified), ("treated", treated)),
    "docs/limits.md": (("strangers", strangers), ("attacked", attacked)),
}
"""Page → its parts, each by name and what writes it."""


def written(page: str) -> str:
    """Return a page's text with its measured parts as they should be."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, write in PARTS[page]:
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        before, mark, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (mark and closed):
            raise ValueError(f"{page} lacks {begin.strip()} or {end}")
        text = before + begin + write() + end + after
    return text


if __name__ == "__main__":
    for each in PARTS:
        (ROOT / each).write_text(written(each), encoding="utf-8")
