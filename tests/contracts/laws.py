"""Which laws a plug-in of each role is held to; each takes a plug-in and asserts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.contracts.laws_of_all import (
    has_a_revision,
    has_an_identity,
    is_a_frozen_value,
    its_repr_reads_back,
    shows_an_example,
    travels_to_another_process,
    what_it_holds_is_given_by_name,
)
from tests.contracts.laws_of_attacks import (
    answers_rgb_of_the_same_shape,
    draws_from_its_rng_alone,
    draws_the_same_at_every_intensity,
    goes_farther_at_higher_intensity,
    has_a_default_of_50,
    its_repr_reads_back_at_any_intensity,
    leaves_picture_and_torch_alone,
    leaves_the_picture_itself_at_intensity_0,
    refuses_what_is_no_intensity,
)
from tests.contracts.laws_of_methods import (
    answers_images_in_any_company,
    answers_nothing_before_it_is_fitted,
    answers_scores_in_any_company,
    answers_scores_row_for_row,
    fits_the_same_again,
    learns_from_pictures_of_the_zoo_alone,
    learns_the_same_from_the_same,
    leaves_missing_scores_missing,
    leaves_random_numbers_alone,
    refuses_a_model_it_was_not_fitted_on,
    refuses_to_be_called_before_it_is_fitted,
    says_whether_it_is_trained,
    scores_every_image_and_model,
)
from tests.contracts.laws_of_models import (
    answers_a_matrix_in_any_company,
    answers_all_layers_in_one_pass,
    answers_any_picture_size,
    answers_captions_in_the_projected_space,
    answers_pictures_in_any_company,
    answers_pictures_of_the_row,
    answers_prompts_in_any_company,
    answers_unit_rows_in_any_company,
    compares_features_as_it_compares_pictures,
    finds_a_picture_closest_to_itself,
    is_symmetric,
    leaves_pictures_alone,
    leaves_torch_alone,
    refuses_seeds_without_prompts,
)

Law = Callable[[Any], None]
OF_ALL: list[Law] = [
    is_a_frozen_value,
    its_repr_reads_back,
    what_it_holds_is_given_by_name,
    has_a_revision,
    has_an_identity,
    travels_to_another_process,
    shows_an_example,
]
LAWS: dict[str, list[Law]] = {
    "inverters": [
        *OF_ALL,
        answers_prompts_in_any_company,
        answers_any_picture_size,
        leaves_pictures_alone,
    ],
    "generators": [
        *OF_ALL,
        answers_pictures_in_any_company,
        answers_pictures_of_the_row,
        leaves_torch_alone,
        refuses_seeds_without_prompts,
    ],
    "encoders": [
        *OF_ALL,
        answers_unit_rows_in_any_company,
        answers_any_picture_size,
        answers_all_layers_in_one_pass,
        answers_captions_in_the_projected_space,
        leaves_pictures_alone,
    ],
    "similarities": [
        *OF_ALL,
        answers_a_matrix_in_any_company,
        finds_a_picture_closest_to_itself,
        is_symmetric,
        compares_features_as_it_compares_pictures,
    ],
    "attributors": [
        *OF_ALL,
        scores_every_image_and_model,
        answers_images_in_any_company,
        leaves_random_numbers_alone,
        refuses_to_be_called_before_it_is_fitted,
        fits_the_same_again,
        learns_from_pictures_of_the_zoo_alone,
        refuses_a_model_it_was_not_fitted_on,
    ],
    "calibrations": [
        *OF_ALL,
        answers_scores_row_for_row,
        answers_scores_in_any_company,
        leaves_missing_scores_missing,
        answers_nothing_before_it_is_fitted,
        learns_the_same_from_the_same,
        says_whether_it_is_trained,
    ],
    "attacks": [
        *OF_ALL,
        leaves_the_picture_itself_at_intensity_0,
        answers_rgb_of_the_same_shape,
        draws_from_its_rng_alone,
        draws_the_same_at_every_intensity,
        goes_farther_at_higher_intensity,
        leaves_picture_and_torch_alone,
        refuses_what_is_no_intensity,
        has_a_default_of_50,
        its_repr_reads_back_at_any_intensity,
    ],
}
