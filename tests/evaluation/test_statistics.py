from __future__ import annotations

import pytest
from scipy.stats import beta

from workbench.evaluation.statistics import (
    clopper_pearson,
    holm,
    mcnemar,
    paired_difference,
    paired_tests,
    sign_flip,
)


def test_clopper_pearson_is_the_beta_quantile():
    found = clopper_pearson(93, 100)
    assert found.low == pytest.approx(beta.ppf(0.025, 93, 8))
    assert found.high == pytest.approx(beta.ppf(0.975, 94, 7))
    with pytest.raises(ValueError, match=r"seen 3 of 2$"):
        clopper_pearson(3, 2)


def outcomes(correct, prompts="aabbcc"):
    import pandas as pd

    return pd.DataFrame(
        {
            "image_id": [str(i) for i in range(len(correct))],
            "truth": "m",
            "prompt": list(prompts),
            "correct": [letter == "1" for letter in correct],
        }
    )


def test_a_paired_difference_is_the_gain_and_mcnemars_p():
    from scipy.stats import binomtest

    gain, p = paired_difference(outcomes("111101"), outcomes("100011"))
    assert gain.value == pytest.approx(2 / 6)
    assert gain.n == 6
    assert gain.low <= gain.value <= gain.high
    assert p == pytest.approx(binomtest(3, 4).pvalue)  # 3 gained, 1 lost


def test_two_methods_are_compared_over_scenes_and_over_pictures():
    one, two = outcomes("111101"), outcomes("100011")
    found = paired_tests(one, two)
    assert (found.difference, found.mcnemar) == paired_difference(one, two)
    differences = [0, 1, 1, 1, -1, 0]
    assert found.sign_flip == sign_flip(differences, list("aabbcc"))
    assert found.mcnemar == mcnemar([0, 1, 1, 1, 0, 1], [0, 0, 0, 0, 1, 1])
    assert found.scenes == 3


def test_a_scene_drawn_in_two_media_is_one_cluster():
    prompts = ["a red star on grass", "an ink drawing of a red star on grass"]
    one, two = outcomes("11", prompts), outcomes("00", prompts)
    assert paired_tests(one, two).scenes == 1
    assert paired_tests(one, two).sign_flip == 1
    assert paired_tests(outcomes("11", "ab"), outcomes("00", "ab")).sign_flip == 0.5


def test_equal_methods_differ_by_nothing():
    gain, p = paired_difference(outcomes("110011"), outcomes("110011"))
    assert (gain.value, p) == (0, 1)
    assert gain.low == -gain.high < 0  # three prompts do not show that none differs


def test_other_pictures_are_refused():
    with pytest.raises(ValueError, match=r"^a paired comparison needs the same pictures"):
        paired_difference(outcomes("110011"), outcomes("11001", "aabbc"))


def test_holm_of_no_test_is_nothing():
    assert holm([]) == []
