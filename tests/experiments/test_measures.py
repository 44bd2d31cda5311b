"""What each experiment makes of its frames: closed forms, on outcomes written down here."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from workbench import catalogue, ranking
from workbench.experiments._family import chosen
from workbench.experiments.gallery import CONTROLS
from workbench.experiments.prompt_quality import GAIN, PARTS, TREND
from workbench.experiments.reference_selection import NAMES
from workbench.experiments.robustness import TREATED
from workbench.experiments.scalability import EACH

MODELS = ("pocket-sd", "pocket-ld", "pocket-glide", "pocket-dalle")


def pictures(scenes: int, models=MODELS) -> pd.DataFrame:
    """Make a picture of each scene by each model."""
    rows = [
        {"image_id": f"{model}-{place}", "truth": model, "prompt": f"scene {place}"}
        for place in range(scenes)
        for model in models
    ]
    return pd.DataFrame(rows)


def outcomes(table: pd.DataFrame, predicted) -> pd.DataFrame:
    table = table.assign(predicted=list(predicted), margin=0.5, accepted=True, attack="none")
    return table.assign(intensity=0.0, correct=table["predicted"] == table["truth"])


def measured(name: str, **frames: pd.DataFrame):
    """Return the results of an experiment's frames, and its sentence."""
    made_by = catalogue.load(name, "experiment")
    found = made_by.measure(frames)
    return found, made_by.answer(frames | {"results": found})


def test_an_inverter_that_sends_all_to_one_model_is_an_interaction_and_no_cause():
    table = pictures(10)
    kept = [outcomes(table, table["truth"]).assign(inverter="preset")]
    for kind in ("PEZ", "empty prompt"):
        taken = np.where(table["truth"] == "pocket-glide", "pocket-sd", table["truth"])
        taken = taken if kind == "PEZ" else table["truth"]
        kept.append(outcomes(table, taken).assign(inverter=kind))
    found, told = measured("bias", outcomes=pd.concat(kept, ignore_index=True))
    change = chosen(found, "change", model="pocket-sd", inverter="PEZ")
    assert (change["value"], change["n"]) == (pytest.approx(1 / 3), 30)
    assert chosen(found, "change", model="pocket-ld", inverter="PEZ")["value"] == 0
    both = chosen(found, "interaction", inverter="PEZ")
    assert both["model"] == "pocket-sd less pocket-ld"
    assert (both["value"], both["n"]) == (pytest.approx(1 / 3), 40)
    assert chosen(found, "interaction", inverter="empty prompt")["value"] == 0
    flips = chosen(found, "p of the interaction, Holm", inverter="PEZ")["value"]
    assert flips == pytest.approx(2 * 2 / 2**10)  # all ten scenes alike; Holm over two
    assert told.endswith("The difference says nothing of its cause.")
    assert "PEZ in another text tower was not measured" in told


def test_a_change_that_both_models_share_is_no_interaction():
    table = pictures(8)
    ours = ["pocket-sd" if model == "pocket-glide" else model for model in table["truth"]]
    both = ["pocket-ld" if model == "pocket-dalle" else model for model in ours]
    kept = [
        outcomes(table, table["truth"]).assign(inverter="preset"),
        outcomes(table, both).assign(inverter="PEZ"),
    ]
    found, _ = measured("bias", outcomes=pd.concat(kept, ignore_index=True))
    assert chosen(found, "interaction", inverter="PEZ")["value"] == pytest.approx(0, abs=1e-12)
    assert chosen(found, "p of the interaction, Holm", inverter="PEZ")["value"] == 1


def scored(table: pd.DataFrame, lead: dict[str, str]) -> pd.DataFrame:
    """Score each picture's own model 1 and the model that leads over it 2, others 0."""
    rows = [
        {"image_id": row.image_id, "attributor": "m", "generator": model}
        | {"score": 2.0 if model == lead.get(row.truth) else float(model == row.truth)}
        for row in table.itertuples()
        for model in MODELS
    ]
    return pd.DataFrame(rows)


def test_the_pair_that_was_named_before_is_held_against_the_others():
    table = pictures(6)
    scores = scored(table, {"pocket-sd": "pocket-ld"})  # every sd picture goes to ld
    taken = table["truth"].replace({"pocket-sd": "pocket-ld"})
    found, told = measured("confusion", outcomes=outcomes(table, taken), scores=scores)
    pair = chosen(found, "pair accuracy", pair="pocket-sd ↔ pocket-ld")
    assert (pair["value"], pair["n"]) == (0.5, 12)
    assert chosen(found, "errors", pair="pocket-sd ↔ pocket-ld")["value"] == 0.5
    others = found[(found["metric"] == "pair accuracy") & (found["pair"] != pair["pair"])]
    assert (others["value"] == 1).all()
    assert (others["low"] < 1).all()
    less = chosen(found, "less the mean of the other pairs")
    assert (less["pair"], less["value"], less["n"]) == (pair["pair"], -0.5, 6)
    p = chosen(found, "p of the less the mean of the other pairs, Holm")["value"]
    assert p == pytest.approx(2 / 2**6)
    assert "hardest" not in told


def test_without_a_pair_named_before_none_is_tested():
    table = pictures(4, ("a", "b", "c"))
    scores = pd.DataFrame(
        [
            {"image_id": row.image_id, "attributor": "m", "generator": model}
            | {"score": float(model == row.truth)}
            for row in table.itertuples()
            for model in ("a", "b", "c")
        ]
    )
    found, told = measured("confusion", outcomes=outcomes(table, table["truth"]), scores=scores)
    assert set(found["metric"]) == {"pair accuracy", "errors"}
    assert told.startswith("No pair was named before; ")


def test_the_accuracy_of_k_models_is_the_mean_over_all_subsets_of_k():
    """sd is always taken for ld where both are there: by hand 11/12, 5/6 and 3/4."""
    table, kept = pictures(5), []
    for size in (2, 3, 4):
        for some in itertools.combinations(MODELS, size):
            own = table[table["truth"].isin(some)]
            taken = (
                own["truth"].replace({"pocket-sd": "pocket-ld"}) if "pocket-ld" in some else None
            )
            taken = own["truth"] if taken is None else taken
            kept.append(outcomes(own, taken).assign(models=size, subset=" + ".join(some)))
    costs = {"models": 3, "added": "pocket-glide", "value": 8, "low": None, "high": None, "n": 20}
    costs = [costs | {"metric": f"{whose} candidates"} for whose in ("its", "others'")]
    found, told = measured(
        "scalability", outcomes=pd.concat(kept, ignore_index=True), costs=pd.DataFrame(costs)
    )
    mean = found[found["metric"] == "accuracy"].set_index("models")["value"]
    assert mean.to_dict() == pytest.approx({2: 11 / 12, 3: 5 / 6, 4: 3 / 4})
    assert (found["metric"] == EACH).sum() == 6 + 4 + 1
    by_subset = found[(found["metric"] == EACH) & (found["models"] == 2)]["value"].mean()
    assert by_subset == pytest.approx(11 / 12)
    assert "2 91.7% (" in told


def qualities() -> pd.DataFrame:
    """Simpson: glide has the worst prompts and is always right; within a model prompts matter."""
    rows = []
    for model, base, always in (("pocket-glide", 0.0, True), ("pocket-sd", 0.5, False)):
        for place in range(12):
            good = place >= 8 if not always else True
            rows.append(
                {"image_id": f"{model}{place}", "truth": model, "prompt": f"scene {place}"}
                | {"token F1": base + place / 30, "inverted": good, "natural": True}
            )
    return pd.DataFrame(rows)


def test_prompts_are_ranked_within_each_model():
    from workbench.experiments.prompt_quality import _thirds

    table = qualities()
    table["third"] = _thirds(table)
    counts = table.groupby(["truth", "third"]).size()
    assert (counts == 4).all()
    found, told = measured("prompt_quality", pictures=table)
    worst, best = (chosen(found, "accuracy, inverted prompt", slice=PARTS[i]) for i in (0, 2))
    assert (worst["value"], best["value"]) == (0.5, 1.0)
    pooled = table.sort_values("token F1").head(8)["inverted"].mean()
    assert pooled == 1.0  # over all pictures the worst prompts would have looked harmless
    trend = chosen(found, TREND)
    assert trend["value"] == pytest.approx((1.0 + 0.0) / 2)
    gain = chosen(found, GAIN, slice=PARTS[0])
    assert (gain["value"], gain["n"]) == (0.5, 8)
    assert "+50.0 points" in told


def test_the_layer_and_the_aggregation_add_up_to_both():
    table, kept = pictures(10), []
    right = {("paper", "mean"): 0.5, ("paper", "max"): 0.5, ("layer", "mean"): 0.8}
    for (similarity, aggregate), part in (right | {("layer", "max"): 0.9}).items():
        keep = table["prompt"].str[6:].astype(int) < 10 * part
        made = outcomes(table, table["truth"].where(keep, "none of them"))
        kept.append(made.assign(similarity=similarity, aggregate=aggregate))
    first = {"similarity": "layer", "aggregate": "max", "accuracy": 0.95, "low": 0.8, "high": 1.0}
    selection = pd.DataFrame([first | {"mrr": 0.97, "n": 100}])
    found, told = measured(
        "similarities", outcomes=pd.concat(kept, ignore_index=True), selection=selection
    )
    steps = {step: chosen(found, "difference", step=step)["value"] for step in ("layer", "both")}
    added = chosen(found, "difference", step="aggregation")["value"]
    assert (steps["layer"], added, steps["both"]) == pytest.approx((0.3, 0.1, 0.4))
    assert chosen(found, "accuracy at selection")["value"] == 0.95
    assert "the layer +30.0 points" in told
    assert "the aggregation +10.0 points" in told


def test_constant_sides_have_no_accuracy():
    table = pictures(5).assign(width=64, height=64, png=900, jpeg=500)
    guess = table["truth"].where(table.index % 2 == 0, "pocket-sd")
    frames = {"pictures": table.assign(**{"PNG bytes": guess, "all of these": guess})}
    found, told = measured("leakage", **frames)
    assert chosen(found, "different sides")["value"] == 1
    assert "sides" not in set(found.loc[found["metric"] == "accuracy", "features"])
    assert "all have the same sides, from which nothing could be learned" in told
    other = frames["pictures"].assign(width=range(20), sides=table["truth"])
    found, told = measured("leakage", pictures=other)
    assert chosen(found, "accuracy", features="sides")["value"] == 1
    assert "by the sides alone a forest is right in 100.0% (" in told


def test_a_loss_is_that_of_each_picture_and_tells_whether_anything_changed():
    table = pictures(10)
    clean = outcomes(table, table["truth"])
    lost = table["prompt"].isin([f"scene {place}" for place in range(6)])
    changed = table.assign(image_id=table["image_id"].where(table.index >= 10, "new"))
    changed["image_id"] += [f" {place}" if place < 10 else "" for place in range(len(table))]
    under = outcomes(changed, table["truth"].where(~lost, "none of them"))
    under = under.assign(attack="JPEG()", intensity=30.0)
    both = pd.concat([clean, under], ignore_index=True).assign(setting="preset")
    found, told = measured("robustness", outcomes=both)
    loss = chosen(found, "loss", attack="JPEG()")
    assert (loss["value"], loss["n"]) == (-0.6, 40)
    assert chosen(found, "p of the loss, Holm")["value"] == pytest.approx(2 / 2**6)
    assert chosen(found, "pictures changed")["value"] == 10 / 40
    assert ", 25% of the pictures changed" in told


def test_a_gain_is_of_treated_candidates_over_clean_ones_on_the_same_pictures():
    table = pictures(10)
    right = outcomes(table, table["truth"])
    lost = table["prompt"].isin([f"scene {place}" for place in range(5)])
    under = outcomes(table, table["truth"].where(~lost, "none of them"))
    under = under.assign(attack="JPEG()", intensity=30.0)
    back = table["prompt"].isin(["scene 0", "scene 1"])
    treated = under.assign(correct=(~lost | back).to_numpy(), setting=TREATED)
    clean = pd.concat([right, under], ignore_index=True).assign(setting="preset")
    whole = pd.concat([clean, right.assign(setting=TREATED), treated], ignore_index=True)
    found, told = measured("robustness", outcomes=whole)
    gain = chosen(found, "gain of treating alike", attack="JPEG()")
    assert (gain["attributor"], gain["value"], gain["n"]) == (TREATED, 0.2, 40)
    assert gain["low"] < 0.2 < gain["high"]
    assert "Treated alike, JPEG() at 30: +20.0 points (" in told
    assert "Treated alike" not in measured("robustness", outcomes=clean)[1]


def test_every_inverter_is_held_against_the_presets_own():
    table, kept = pictures(8), []
    for name, part in {"natural prompt": 1.0, "Blip()": 0.75, "PEZ": 0.25}.items():
        keep = table["prompt"].str[6:].astype(int) < 8 * part
        made = outcomes(table, table["truth"].where(keep, "none of them"))
        kept.append(made.assign(inverter=name))
    outcome = pd.concat(kept, ignore_index=True)
    prompts = outcome[["image_id", "prompt", "inverter"]].assign(seconds=1.0)
    found, told = measured("inverters", outcomes=outcome, prompts=prompts)
    less = "less the preset's inverter"
    assert chosen(found, less, attributor="PEZ")["value"] == -0.5
    assert chosen(found, less, attributor="natural prompt")["value"] == 0.25
    assert set(found.loc[found["metric"] == less, "attributor"]) == {"natural prompt", "PEZ"}
    assert told.startswith("Untouched, Blip() leads to 75.0%")


def test_unknown_pictures_are_told_with_both_levels():
    known = pictures(10).assign(known=True, p=0.5, correct=True, unknown="real pictures")
    known["p pooled"] = 0.5
    real = pd.DataFrame({"image_id": [f"r{i}" for i in range(10)], "truth": "real"})
    real = real.assign(prompt=real["image_id"], known=False, correct=False, unknown="real pictures")
    real["p"], real["p pooled"] = np.where(np.arange(10) < 1, 0.04, 0.2), 0.01
    sets = known[["image_id", "truth", "prompt"]].assign(attributor="m", included=True)
    sets["generator"] = sets["truth"]
    frames = {"pictures": pd.concat([known, real], ignore_index=True), "sets": sets}
    found, told = measured("openset", **frames)
    at = {"unknown": "real pictures"}
    assert chosen(found, "AUROC", **at)["value"] == 1
    assert chosen(found, "AUROC", **at)["low"] < 1
    assert chosen(found, "rejected", **at)["value"] == 0.1
    assert chosen(found, "rejected at the pooled level", **at)["value"] == 1
    assert chosen(found, "known rejected", **at)["value"] == 0
    assert "rejected 10.0% (" in told
    assert "hold the true model in 100.0% (" in told


def test_the_adaptive_rule_is_the_one_that_the_command_makes():
    from workbench.catalogue.setting import settle
    from workbench.experiments.gamma import ADAPTIVE

    made_by, bench = catalogue.load("gamma", "experiment"), settle("pocket")
    rules = made_by.plain(bench.regeneration(gamma=16))
    asked = settle("pocket", attributor="adaptive", gamma=16).attributor
    assert repr(rules) == repr(asked)
    assert ADAPTIVE == "adaptive"


def test_every_gamma_is_held_against_the_largest():
    table, costs, scores = pictures(6), [], []
    for name, models in {"1": 2, "4": 4, "adaptive": 4, "adaptive, fitted": 4}.items():
        for row in table.itertuples():
            own = MODELS.index(row.truth) < models
            costs.append({"gamma": name, "image_id": row.image_id, "prompt": row.prompt})
            scores += [
                {"image_id": row.image_id, "attributor": name, "generator": model}
                | {"score": float((model == row.truth) == own)}
                for model in MODELS
            ]
    table = table.assign(failure=None)
    frame = pd.DataFrame(scores)
    ranked = ranking.rank(frame)
    from workbench import evaluation

    found = evaluation.outcomes(ranking.decide(ranked), ranked, table).assign(objects=0)
    spent = pd.DataFrame(costs).assign(seconds=1.0)
    spent["candidates a model"] = spent["gamma"].map({"1": 1, "4": 4}).fillna(2.0)
    made_by = catalogue.load("gamma", "experiment", gammas=(1, 4))
    frames = {"outcomes": found, "scores": frame, "costs": spent}
    results = made_by.measure(frames)
    less = "difference from the largest γ"
    assert chosen(results, less, gamma="1")["value"] == -0.5
    assert chosen(results, less, gamma="adaptive")["value"] == 0
    assert (results["metric"] == f"p of the {less}, Holm").sum() == 3
    told = made_by.answer(frames | {"results": results})
    assert "the adaptive rule +0.0 points" in told
    assert "with 50% of the candidates" in told


def test_a_gallery_s_numbers_are_those_of_its_calls_and_ratios():
    """The child is always taken for its parent: 2/3, and the families are told apart."""
    table = pictures(4, ("glid-3-xl", "latent-diffusion", "midjourney"))
    taken = table["truth"].replace({"glid-3-xl": "latent-diffusion"})
    kept = [("similarity", "caption", table["truth"]), ("similarity", "other prompts", taken)]
    kept += [(name, "same prompt", taken) for name in (*CONTROLS, "similarity", "learned metric")]
    at = {"gamma": 4, "attack": "none", "scope": "all models"}
    calls = [
        outcomes(table, called).assign(method=method, candidates=candidates, **at)
        for method, candidates, called in kept
    ]
    own = [calls[-2], calls[-1]]
    ratios = pd.DataFrame(
        [
            {"prompt": row.prompt, "method": method, "scope": "all models"}
            | {"log10_lr": 0.0, "same": model == row.truth}
            for method in ("similarity", "learned metric")
            for row in table.itertuples()
            for model in set(table["truth"])
        ]
    )
    frames = {"calls": pd.concat(calls), "outcomes": pd.concat(own), "ratios": ratios}
    found, told = measured("gallery", pictures=table, **frames)
    same = {"method": "similarity", "candidates": "same prompt"}
    assert chosen(found, "accuracy", **same)["value"] == pytest.approx(2 / 3)
    assert chosen(found, "accuracy", method="similarity", candidates="caption")["value"] == 1
    assert chosen(found, "accuracy", method="chance")["value"] == pytest.approx(1 / 3)
    assert chosen(found, "accuracy, glid-3-xl", **same)["value"] == 0
    assert chosen(found, "family accuracy", **same)["value"] == 1
    for name in ("Cllr", "minimum Cllr"):
        assert chosen(found, name, **same)["value"] == pytest.approx(1)
    assert found["n"].tolist()[:2] == [12, 12]
    assert "without training 66.7% (" in told


def test_tables_of_references_stand_at_the_middle_layer_the_largest_number_and_max():
    table, kept = pictures(5, ("a", "b")), []
    cells = itertools.product(NAMES.values(), ("1", "2", "3", "embedding"), (1, 4), ("max", "mean"))
    for references, layer, count, aggregate in cells:
        right = (layer, aggregate) == ("2", "max")
        at = {"references": references, "layer": layer, "aggregate": aggregate}
        at["references a model"] = count
        part = outcomes(table, table["truth"] if right else ["none of them"] * len(table))
        kept.append(part.assign(**at))
        if right and count == 4:
            kept.append(kept[-1].assign(attack="JPEG()", correct=False))
    found, told = measured("reference_selection", calls=pd.concat(kept, ignore_index=True))
    counts = {"layer": 3 * 4, "references a model": 3 * 2, "aggregate": 3 * 2, "attack": 3 * 2}
    assert found["table"].value_counts().to_dict() == counts
    clean = found[(found["table"] == "attack") & (found["attack"] == "none")]
    assert (clean["value"].tolist(), clean["n"].tolist()) == ([1.0] * 3, [10] * 3)
    assert (found.loc[found["attack"] == "JPEG()", "value"] == 0).all()
    layers = found[(found["table"] == "layer") & (found["references"] == "own prompt")]
    assert layers.set_index("layer")["value"].to_dict() == {"1": 0, "2": 1, "3": 0, "embedding": 0}
    assert told.startswith("At layer 2 with max and 4 references a model (n = 10): own prompt 100")


def test_ratios_in_smaller_zoos_cost_their_mean():
    table = pictures(6, ("a", "b"))
    right = table["image_id"].str.startswith("a")
    shown = outcomes(table, table["truth"].where(right, "a")).assign(part="untouched", model="a")
    shown = shown.assign(medium="ink", objects=2, held=True, size=1.5)
    trials = pd.DataFrame(
        [
            {"part": part, "zoo": zoo, "image_id": row.image_id, "prompt": row.prompt}
            | {"log10_lr": size if same else -size, "same": same}
            for part, zoo, size in (("K = 2", "a + b", 0.0), ("K = 2", "a + c", 1.0))
            for row in table.itertuples()
            for same in (True, False)
        ]
    )
    ratios = trials[trials["zoo"] == "a + b"].assign(part="untouched")
    found, told = measured("calibration", pictures=shown, ratios=ratios, fewer=trials)
    cost = (1 + np.log2(1.1)) / 2  # a ratio of one costs a bit, one of ten log2(1 + 1 / 10)
    assert chosen(found, "Cllr", part="K = 2")["value"] == pytest.approx(cost)
    assert chosen(found, "Cllr", part="untouched")["value"] == pytest.approx(1)
    for part in ("untouched", "model a", "medium ink", "objects 2"):
        assert chosen(found, "error rate", part=part)["value"] == 0.5
    assert chosen(found, "set size", part="untouched")["value"] == 1.5
    assert "Cllr 1.00 (" in told
