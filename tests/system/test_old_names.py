"""Modules answer under their names of before, with a warning that names the new place."""

from __future__ import annotations

import pytest

import workbench as wb

OLD = [
    *("calibration", "checkpoints", "containers", "data", "decision", "elimination", "experiment"),
    *("fitted", "frontends", "hub", "index", "intake", "ledger", "machine", "making", "memory"),
    *("presets", "report", "running", "shelf", "space", "statistics", "stock", "tables"),
    *("terminal", "wording"),
]
SAME = [
    *("attribution", "catalogue", "evaluation", "evidence", "frames", "images", "pipeline"),
    *("ranking", "store"),
]
HELD = {
    "calibration": "threshold",
    "checkpoints": "identity",
    "decision": "conformal_sets",
    "experiment": "evaluate_preset",
    "hub": "page_of",
    "report": "verdict",
    "running": "shape",
    "tables": "user_folder",
}


@pytest.mark.parametrize("name", OLD)
def test_an_old_name_answers_and_warns_of_the_new_one(name):
    with pytest.warns(DeprecationWarning, match=rf"^workbench\.{name} is now workbench\.\S+"):
        module = getattr(wb, name)
    assert [key for key in [HELD.get(name)] if key and not hasattr(module, key)] == []
    with pytest.raises(AttributeError, match=r"have no 'nonsense': it was renamed, or is gone$"):
        _ = module.nonsense


@pytest.mark.parametrize("name", SAME)
def test_a_name_that_stayed_warns_of_nothing(name, recwarn):
    assert getattr(wb, name).__name__ == f"workbench.{name}"
    assert not [each for each in recwarn if each.category is DeprecationWarning]


def test_the_map_of_old_names_is_the_list_of_this_test():
    assert sorted(wb._MOVED) == sorted(OLD)
