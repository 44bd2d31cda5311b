"""Likelihood ratios and their words: Bayes in closed form, and the bounds of the guideline."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.ranking.likelihood import log10_ratios, verbal


def test_ratios_are_the_posterior_odds_over_the_prior_odds():
    posteriors, priors = np.array([[0.7, 0.2, 0.1]]), np.array([0.5, 0.3, 0.2])
    expected = posteriors / (1 - posteriors) / (priors / (1 - priors))
    assert log10_ratios(posteriors, priors) == pytest.approx(np.log10(expected), abs=1e-9)


def test_priors_do_not_change_the_ratio_of_two_models():
    """Bayes: whatever the priors that made the posteriors, the likelihoods are the same."""
    likelihoods = np.array([0.3, 0.06])
    for prior in (0.5, 0.9, 0.01):
        priors = np.array([prior, 1 - prior])
        posterior = likelihoods * priors / (likelihoods * priors).sum()
        assert log10_ratios(posterior, priors)[0, 0] == pytest.approx(math.log10(5), abs=1e-9)


def test_the_others_are_weighed_by_their_priors():
    likelihoods, priors = np.array([0.4, 0.1, 0.02]), np.array([0.2, 0.5, 0.3])
    posterior = likelihoods * priors / (likelihoods * priors).sum()
    others = (0.5 * 0.1 + 0.3 * 0.02) / 0.8
    found = log10_ratios(posterior, priors)
    assert found[0, 0] == pytest.approx(math.log10(0.4 / others), abs=1e-9)


def test_posteriors_near_one_keep_their_digits():
    found = log10_ratios([[1 - 3e-17, 2e-17, 1e-17]])
    assert found[0, 0] == pytest.approx(math.log10(2 / 3e-17), abs=1e-9)
    assert log10_ratios([[1.0, 0.0]]).tolist() == [[math.inf, -math.inf]]


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match=r"sum to 1; some do not$"):
        log10_ratios([[0.5, 0.6]])
    with pytest.raises(
        ValueError, match=r"^priors lie between 0 and 1 and sum to 1; seen \[0\.5, "
    ):
        log10_ratios([[0.5, 0.5]], [0.5, 0.6])
    with pytest.raises(ValueError, match=r"a prior for each; seen 2 models and 3 priors$"):
        log10_ratios([[0.5, 0.5]], [0.2, 0.3, 0.5])


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1, "no support for either"),
        (1.9, "no support for either"),
        (2, "weak support for this model rather than the others"),
        (9.9, "weak support for this model rather than the others"),
        (10, "moderate support for this model rather than the others"),
        (100, "moderately strong support for this model rather than the others"),
        (1000, "strong support for this model rather than the others"),
        (10_000, "very strong support for this model rather than the others"),
        (999_999, "very strong support for this model rather than the others"),
        (1_000_000, "extremely strong support for this model rather than the others"),
        (math.inf, "extremely strong support for this model rather than the others"),
        (1 / 50, "moderate support for the others rather than this model"),
    ],
)
def test_words_follow_the_guideline(ratio, words):
    assert verbal(math.log10(ratio) if ratio < math.inf else ratio) == words


def test_a_ratio_that_is_no_number_has_no_words():
    with pytest.raises(ValueError, match=r"^only a number can be put in words; seen nan$"):
        verbal(math.nan)
