"""Families of paired tests: the rows an experiment prints of them, and the words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.evaluation.statistics import (
    holm,
    mcnemar,
    mean_interval,
    minimal_detectable_difference,
    sign_flip,
)
from workbench.experiments import results
from workbench.experiments._family import (
    chosen,
    compared,
    detectable,
    family,
    less,
    named,
    paired,
    percent,
    share,
    told,
)


def outcomes(correct: str, scenes: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [str(i) for i in range(len(correct))],
            "attributor": "m",
            "truth": "a",
            "prompt": list(scenes),
            "correct": [letter == "1" for letter in correct],
        }
    )


def two_tests() -> pd.DataFrame:
    base = outcomes("0000000000", "aabbccddee")
    pairs = {
        "much": outcomes("1111111101", "aabbccddee"),
        "little": outcomes("0000000001", "aabbccddee"),
    }
    return results(family(({"what": name}, *paired(one, base)) for name, one in pairs.items()))


def test_a_family_is_tested_over_scenes_and_corrected_together():
    table = two_tests()
    much = np.array([1] * 8 + [0, 1]), list("aabbccddee")
    little = np.array([0] * 9 + [1]), list("aabbccddee")
    gain = chosen(table, "difference", what="much")
    expected = mean_interval(*much, (-1, 1))
    assert (gain["value"], gain["low"], gain["high"], gain["n"]) == pytest.approx(
        (0.9, expected.low, expected.high, 10)
    )
    flips = holm([sign_flip(*much), sign_flip(*little)])
    exact = holm([mcnemar(each[0] > 0, each[0] < 0) for each in (much, little)])
    for place, name in enumerate(("much", "little")):
        assert chosen(table, "p of the difference, Holm", what=name)["value"] == flips[place]
        found = chosen(table, "McNemar's p of the difference, Holm", what=name)["value"]
        assert found == pytest.approx(exact[place], abs=1e-9)
    least = chosen(table, "detectable difference", what="much")
    assert (least["value"], least["n"]) == (minimal_detectable_difference(5), 5)


def test_pairs_of_attributors_are_a_family_named_by_both():
    table = pd.concat(
        [
            outcomes("1111111101", "abcdefghij").assign(attributor="one"),
            outcomes("0000000000", "abcdefghij").assign(attributor="two"),
            outcomes("1111111000", "abcdefghij").assign(attributor="three"),
        ],
        ignore_index=True,
    )
    found = results(less(table, [("one", "two"), ("one", "three")]))
    gain = chosen(found, "difference", attributor="one less two")
    assert gain["value"] == pytest.approx(0.9)
    corrected = holm([sign_flip([1] * 9, range(9)), sign_flip([1, 1], range(2))])
    for other, p in zip(("two", "three"), corrected, strict=True):
        row = chosen(found, "p of the difference, Holm", attributor=f"one less {other}")
        assert row["value"] == pytest.approx(p)
    text = compared(found)
    assert text.startswith("In pairs, sign-flips over 10 scenes, in which a difference of ")
    assert "Holm over 2: one less two +90.0 points (" in text
    assert text.endswith(", not told apart.")
    assert text.count("not told apart") == 1
    assert compared(found[:0]) == "Nothing was compared."
    with pytest.raises(ValueError, match=r"^a paired comparison needs the same pictures; "):
        less(table[1:], [("one", "two")])


def test_a_difference_is_said_with_its_interval_and_its_p():
    table = two_tests()
    assert told(table, what="much") == "+90.0 points (+62.2 to +100.0, p = 0.12)"
    table.loc[table["metric"] == "p of the difference, Holm", "value"] = 0.0  # rounded, never so
    assert told(table, what="much") == "+90.0 points (+62.2 to +100.0, p < 1e-09)"
    assert detectable(table) == "5 scenes, in which a difference of 42 points is detectable"


def test_frames_of_an_earlier_revision_are_refused_in_a_sentence():
    with pytest.raises(LookupError, match=r"0 rows 'gain' of \{'what': 'much'\}: .* run anew$"):
        chosen(two_tests(), "gain", what="much")


def test_what_is_no_difference_of_outcomes_has_no_test_of_mcnemar():
    rows = family([({"what": "x"}, np.array([0.5, -1.5, 1.0]), list("abc"))], "shift", (-2, 2))
    assert [row["metric"] for row in rows] == ["shift", "p of the shift, Holm", "detectable shift"]
    assert family([]) == []


def test_other_pictures_are_refused():
    with pytest.raises(ValueError, match=r"^a paired comparison needs the same pictures; "):
        paired(outcomes("11", "ab"), outcomes("111", "abc"))


def test_a_share_is_exact_where_all_are_right_or_wrong_and_a_mean_where_ties_count_half():
    table = outcomes("1111", "abcd").assign(tied=[1.0, 0.5, 1.0, 0.0])
    assert share(table).low == pytest.approx(0.025 ** (1 / 4))
    assert share(table, "tied").value == 0.625
    assert percent(vars(share(table))) == "100.0% (39.8% to 100.0%)"
    assert percent(vars(share(outcomes("11", "aa")))) == "100.0% (interval –)"


def test_two_names_of_one_attributor_both_have_its_outcomes():
    class Named:
        def __repr__(self):
            return "m"

    table = named(outcomes("10", "ab"), {"one": Named(), "two": Named()}, "setting")
    assert table.groupby("setting")["correct"].sum().to_dict() == {"one": 1, "two": 1}
