"""Signatures of an error: each rule, and what it leaves alone."""

from __future__ import annotations

import numpy as np

from tests.evaluation.conftest import MODELS, perfect, table
from workbench import evaluation


def signature(outcomes, natural=None) -> str:
    return evaluation.signature(outcomes, MODELS, outcomes if natural is None else natural)


def test_no_errors_no_signature():
    assert signature(table(perfect())) == ""


def test_failures_speak_first():
    pairs = [(a, None if i % 5 == 0 else b) for i, (a, b) in enumerate(perfect())]
    assert signature(table(pairs)) == (
        "Failures: 20% of the pictures could not be attributed at all."
    )


def test_chance_is_told():
    rng = np.random.default_rng(0)
    assert signature(table([(a, rng.choice(MODELS)) for a, _ in perfect()])).startswith(
        "At chance: "
    )


def test_poor_prompts_are_those_the_natural_prompt_mends():
    wrong = {"sd": "ld", "ld": "glide", "glide": "dalle", "dalle": "sd"}
    pairs = [(a, wrong[a] if i % 7 == 0 else b) for i, (a, b) in enumerate(perfect())]
    inverted, natural = table(pairs), table(perfect())
    assert signature(inverted, natural).startswith(
        "Poor prompts: with the natural prompt 14.5% more of the pictures are attributed rightly ("
    )
    assert signature(inverted, inverted) == ""


def test_twins_exchange_most_errors():
    twins = {"sd": "ld", "ld": "sd"}
    pairs = [(a, twins.get(a, a) if i % 11 == 0 else b) for i, (a, b) in enumerate(perfect())]
    wrong = [(a, b) for a, b in pairs if a != b]
    there = wrong.count(("sd", "ld"))
    assert signature(table(pairs)) == (
        f"Twin models: sd and ld exchange {len(wrong)} of the {len(wrong)} errors "
        f"({there} and {len(wrong) - there})."
    )


def test_one_weak_model_is_named():
    spread = ["ld", "glide", "dalle"]
    pairs = [
        (a, spread[(i // 4) % 3] if a == "sd" and (i // 4) % 3 != 2 else b)
        for i, (a, b) in enumerate(perfect())
    ]
    assert signature(table(pairs)).startswith("One weak model: pictures of sd are ")


def test_an_attractor_takes_most_errors():
    pairs = [(a, "sd" if i % 5 == 3 or i % 7 == 2 else b) for i, (a, b) in enumerate(perfect())]
    assert signature(table(pairs)).startswith("One attractor: ")
    assert signature(table(pairs)).endswith(" errors are attributed to sd.")


def test_signatures_are_named_together():
    twins = {"sd": "ld", "ld": "sd"}
    pairs = [(a, twins.get(a, a) if i % 5 == 0 else b) for i, (a, b) in enumerate(perfect())]
    said = signature(table(pairs), table(perfect()))
    assert said.startswith("Poor prompts: ")
    assert "; twin models: sd and ld exchange " in said
