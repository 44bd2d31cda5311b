"""The cards of a report: one scale for all bars, the set marked, words for what is seen."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import workbench as wb
from tests.support import toys
from workbench.attribution.cards import Axis, axis, cards
from workbench.attribution.result import Candidate, Case

PROMPT = "a red star on snow"
TINTS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


@pytest.fixture(scope="module")
def result(tmp_path_factory, shared_store):
    folder = tmp_path_factory.mktemp("stars")
    paths = []
    for name, colour in (("first", "red"), ("second", "blue")):
        paths.append(folder / f"{name}.png")
        Image.new("RGB", (16, 16), colour).save(paths[-1])
    how = wb.Regeneration(
        wb.Natural(text=PROMPT), wb.Cosine(toys.Mean()), aggregate="max", gamma=3, size=16
    )
    zoo = {name: toys.Toy(tint, noise=0.4) for name, tint in TINTS.items()}
    return wb.attribute([*paths, folder / "none.png"], attributor=how, zoo=zoo, store=shared_store)


def case(scores, candidates=None, **fields):
    ranking = tuple((name, score, i) for i, (name, score) in enumerate(scores.items(), 1))
    made = {
        name: [Candidate(i, i, None, None, value) for i, value in enumerate(values)]
        for name, values in (candidates or {}).items()
    }
    return Case(error=None, prompt="p", ranking=ranking, best="a", candidates=made, **fields)


def test_a_scale_has_round_ends_around_every_score_and_similarity():
    one = case({"a": 0.93, "b": 0.81}, {"a": [0.93, 0.88], "b": [0.81, 0.47]})
    two = case({"a": 0.7}, {"a": [0.7, 0.69]})
    scale = axis([one, two])
    assert (scale.ends, scale.spread) == (("0.4", "1.0"), True)
    assert [scale.place(value) for value in (0.4, 0.7, 1.0)] == [0, 50, 100]
    low, high = axis([case({"a": -3.0, "b": -3.0}, {"a": [-3.0], "b": [-3.0]})]).ends
    assert float(low) <= -3.0 < float(high)


def test_scores_that_are_no_similarities_stand_on_a_scale_of_their_own():
    votes = case({"a": 3.0, "b": 1.0}, {"a": [0.9, 0.8], "b": [0.7, 0.6]})
    assert axis([votes]) == Axis(1.0, 3.0, 0, False)
    assert not axis([case({"a": 0.9, "b": None})]).spread  # nothing was drawn


def test_every_card_of_a_run_has_the_same_scale(result):
    known = list(cards(result))[:2]
    ends = {card["axis"]["ends"] for card in known}
    assert len(ends) == 1
    low, high = map(float, ends.pop())
    values = result.similarities["value"].dropna()
    assert low <= values.min() < values.max() <= high
    for card, one in zip(known, result.cases.values(), strict=False):
        assert card["axis"]["spread"]
        for model, (name, score, rank) in zip(card["models"], one.ranking, strict=True):
            assert (model["name"], model["rank"]) == (name, rank)
            drawn = [each.similarity for each in one.candidates[name]]
            place = np.interp([score, min(drawn), max(drawn)], [low, high], [0, 100])
            left, width = model["span"]
            assert [model["place"], left, left + width] == pytest.approx(place, abs=0.02)
            assert len(model["ticks"]) == len(drawn) == 3


def test_what_is_seen_is_said_in_words(result, tmp_path):
    page = result.report(tmp_path / "r.html").read_text(encoding="utf-8")
    said = re.findall(r'<img [^>]*alt="([^"]+)"', page)
    assert f"Test picture first.png; its inverted prompt: {PROMPT}" in said
    for one in list(result.cases.values())[:2]:
        for name, drawn in one.candidates.items():
            for each in drawn:
                words = f"Drawn by {name} of the prompt {PROMPT}: similarity {each.similarity:.3f}"
                assert words in said
    assert len(said) == len(re.findall("<img ", page)) == 2 * (2 + 3 * 3)


def test_the_contact_sheet_has_every_picture_its_outcome_and_a_link(result, tmp_path):
    page = result.report(tmp_path / "r.html").read_text(encoding="utf-8")
    sheet = page.partition('<ol class="sheet">')[2].partition("</ol>")[0]
    for number, name in enumerate(["first.png", "second.png", "none.png"], 1):
        assert f'href="#picture-{number}"' in sheet
        assert page.count(f'id="picture-{number}"') == 1
        assert name in sheet
    for one in list(result.cases.values())[:2]:
        assert f"margin {one.margin:.4f}" in sheet
    assert "Not attributed." in sheet
    targets = re.findall(r'href="#([^"]+)"', page)
    assert {name for name in targets if f'id="{name}"' not in page} == set()
    pressed = re.findall(r'popovertarget="([^"]+)"', page)
    assert {name for name in pressed if page.count(f'id="{name}"') != 1} == set()


def test_members_of_the_set_are_marked_and_not_the_first(result, tmp_path):
    page = result.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "in the set" not in page  # no set is calibrated here
    rows = [
        {"image_id": image_id, "generator": name, "included": rank < 3}
        for image_id, one in result.cases.items()
        for name, _, rank in one.ranking
    ]
    setting = dataclasses.replace(result.setting, threshold=10.0, conformal=0.5)
    narrowed = dataclasses.replace(result, sets=pd.DataFrame(rows), setting=setting)
    for card in list(cards(narrowed))[:2]:
        assert [model["inside"] for model in card["models"]] == [True, True, False]
        assert card["verdict"].narrowed.startswith("Narrowed to: ")
    page = narrowed.report(tmp_path / "s.html").read_text(encoding="utf-8")
    assert page.count('class="member"') == page.count('<tr class="inside">') == 4
    assert page.partition('<ol class="sheet">')[2].count("Narrowed to: ") >= 2


def test_probabilities_stand_in_the_card_where_the_preset_has_them(result):
    bare = next(iter(cards(result)))
    assert (bare["probable"], {model["probability"] for model in bare["models"]}) == (False, {""})
    image_id, first = next(iter(result.cases.items()))
    chances = {"red": 0.9, "green": 0.0996, "blue": 0.0004}
    weighed = dataclasses.replace(first, probabilities=chances, limit=0.8, log10_lr=1.25)
    other = dataclasses.replace(result)
    other.__dict__["cases"] = {**result.cases, image_id: weighed}
    card = next(iter(cards(other)))
    assert card["probable"]
    told = {model["name"]: model["probability"] for model in card["models"]}
    assert told == {"red": "90.0 %", "green": "10.0 %", "blue": "0.0 %"}
    assert "LR 17.8" in card["verdict"].text
