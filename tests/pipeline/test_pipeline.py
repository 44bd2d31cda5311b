"""The stages from a picture to its similarities, as a whole."""

from __future__ import annotations

import pandas as pd

from tests.pipeline.conftest import queries
from tests.support import toys
from workbench import frames, pipeline
from workbench.inverters.natural import Natural
from workbench.similarities.cosine import Cosine
from workbench.similarities.mse import NegativeMSE


def test_the_stages_lead_from_picture_to_similarities(store):
    table = queries(store)
    prompts = pipeline.invert(table, Natural(), store)
    candidates = pipeline.generate(prompts, toys.zoo(), 3, 0, store)
    assert len(candidates) == 2 * 4 * 3  # distinct prompts, not pictures
    values = pipeline.similarity(table, prompts, candidates, Cosine(toys.Mean()), store, 16)
    assert len(values) == 8 * 4 * 3
    mean = values.groupby(["image_id", "generator"])["value"].mean().unstack()
    assert list(mean.loc[table["image_id"]].idxmax(axis=1)) == list(table["source"])


def test_a_failed_image_and_a_failed_candidate_stay_as_rows(store):
    table = queries(store, texts=("one", "forbidden"))
    lost = frames.build("images", [{"image_id": "file:0", "failure": "it is damaged"}])
    table = pd.concat([table, lost], ignore_index=True)
    prompts = pipeline.invert(table, Natural(), store)
    assert prompts.set_index("image_id").loc["file:0", "failure"] == "it is damaged"
    candidates = pipeline.generate(prompts, toys.zoo(), 2, 0, store)
    failed = candidates[candidates["failure"].notna()]
    assert set(failed["failure"]) == {"this toy refuses the prompt"}
    assert len(failed) == 8
    values = pipeline.similarity(table, prompts, candidates, NegativeMSE(), store, 16)
    assert int(values["value"].isna().sum()) == int((table["prompt"] == "forbidden").sum()) * 8
    assert "file:0" not in set(values["image_id"])


def test_progress_counts_to_the_end(store):
    seen: list[tuple[str, int, int]] = []
    table = queries(store)
    tell = lambda *step: seen.append(step)  # noqa: E731
    prompts = pipeline.invert(table, toys.Teller(), store, tell)
    candidates = pipeline.generate(prompts, toys.zoo(), 2, 0, store, tell)
    pipeline.similarity(table, prompts, candidates, Cosine(toys.Mean()), store, 16, tell)
    last = {stage: (done, total) for stage, done, total in seen}
    assert list(last) == ["invert", "generate", "encode", "similarity"]
    assert all(done == total for done, total in last.values())
    made = [done for stage, done, _ in seen if stage == "generate"]
    assert made == sorted(made)


def test_no_images_give_empty_frames(store):
    table = frames.empty("images")
    prompts = pipeline.invert(table, toys.Teller(), store)
    candidates = pipeline.generate(prompts, toys.zoo(), 2, 0, store)
    values = pipeline.similarity(table, prompts, candidates, Cosine(toys.Mean()), store, 16)
    assert len(prompts) == len(candidates) == len(values) == 0
