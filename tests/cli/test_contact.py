"""The contact sheet: the first prompts, every model, nothing picked."""

from __future__ import annotations

import pandas as pd

from workbench import catalogue
from workbench.catalogue import presets


def test_a_contact_sheet_shows_the_first_prompts_by_every_model(run, tmp_path):
    first = presets.prompts(presets.preset("pocket"), "evaluation")[:2]
    done = run("contact-sheet", "--n", 2, "--out", tmp_path / "sheet")
    assert done.exit_code == 0, done.stderr
    names = [f"sheet.{kind}" for kind in ("csv", "pdf", "png")]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    table = pd.read_csv(tmp_path / "sheet.csv")
    models = list(dict.fromkeys(table["generator"]))
    assert sorted(models) == sorted(catalogue.zoo(presets.preset("pocket").zoo))
    assert list(dict.fromkeys(table["prompt"])) == first
    assert table["candidate_id"].nunique() == len(table) == 2 * len(models)
