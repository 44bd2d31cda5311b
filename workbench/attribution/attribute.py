"""The main job in one call: pictures in, a ranking of the candidate models and a verdict out."""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any, cast

from workbench import evidence, images, quiet
from workbench.attribution.deciding import decide
from workbench.attribution.fitting import fit
from workbench.attribution.result import Attribution
from workbench.catalogue.presets import Preset
from workbench.catalogue.setting import Setting, settle
from workbench.pipeline.progress import Progress, under
from workbench.store.store import Store
from workbench.weights import device

log = logging.getLogger(__name__)


@quiet.warnings_logged()
def attribute(
    paths: Any,
    preset: str | Preset | Setting = "pocket",
    *,
    attributor: Any = None,
    zoo: Any = None,
    inverter: Any = None,
    prompt: str | None = None,
    similarity: Any = None,
    aggregate: str | None = None,
    gamma: int | None = None,
    calibration: Any = None,
    seed: int = 0,
    treat_alike: bool = False,
    store: Store | None = None,
    progress: Progress | None = None,
    without_missing: bool = False,
) -> Attribution:
    """Attribute pictures to candidate models: invert, generate, encode, compare, rank, decide.

    Args:
        paths: a picture, a folder of pictures, or several of either. A picture is given as a path,
            a PIL picture, an (H, W, 3) uint8 array, bytes or a file object; what is no path is
            named "picture 1", "picture 2", … by its place.
        preset: a name, a `Preset`, or a `Setting`; whatever else is given overrides a field of it,
            and what is really changed (all but the seed) is no longer calibrated: the threshold
            falls away, and so do attribution sets and "none of these".
        attributor: ``regeneration``, ``adaptive``, ``knn`` or any other file of that
            folder, which takes the preset's parts by name (``fusion``: regeneration and DE-FAKE),
            or a whole Attributor (or its repr), which then decides inverter, similarity,
            aggregation and γ itself.
        zoo: candidate models, at least two: a name, ``"A,B"``, a list, or name → Generator.
        inverter: a name (``pez`` and ``interrogator`` take the similarity's encoder), a repr, or an
            Inverter.
        similarity: a name (an encoder's is the cosine over it), a repr, or a Similarity.
        prompt: the known prompt of every picture, instead of an inverter.
        aggregate: ``mean``, ``max``, ``softmax`` or ``knn``.
        gamma: candidate images per model, at least 1.
        calibration: of the scores: a name, a repr, or a Calibration. What is unfitted in it, or in
            another part of the attributor, is first fitted on fresh pictures of all models, by the
            preset's calibration prompts (`fitting.fit`); a second time the store has them.
        seed: the run's seed.
        treat_alike: estimate what was done to each picture last (JPEG, a resize) and do the same to
            its candidates before they are compared, in the aspect of one that is not square where
            all models draw it; not calibrated.
        store: where everything made is kept; the user's own when left out.
        progress: called with (stage, done, total).
        without_missing: where a candidate model made no picture that could be compared, rank the
            others by forced choice, instead of making no call.

    Raises:
        TypeError: something given is no picture, and no path of one.
        LookupError: a name is unknown, or weights are missing.
        ValueError: an option makes no sense, or a folder holds no picture.
        StoreError: the store cannot be used.

    A picture that cannot be opened raises nothing: its row tells why. What lies in a folder and is
    no picture is counted in a logged warning.
    """
    given = images.given(paths)
    setting = settle(
        preset,
        attributor=attributor,
        zoo=zoo,
        inverter=inverter,
        prompt=prompt,
        similarity=similarity,
        aggregate=aggregate,
        gamma=gamma,
        calibration=calibration,
        seed=seed,
        treat_alike=treat_alike,
    )
    images.find(given)  # an empty folder is told before a store is opened
    device.kind()  # imports torch: the time of a run is told beyond the imports
    started = time.perf_counter()
    store = Store() if store is None else store
    entries = images.index(given, keep=store.put_picture)
    file_evidence = evidence.frame((cast("Any", entry.path) for entry in entries), progress)
    frame = images.frame(entries)
    method = fit(setting.attributor, setting, seed, store, progress)
    setting = dataclasses.replace(setting, attributor=method)
    if without_missing:
        setting = dataclasses.replace(setting, call={**setting.call, "without_missing": True})
    stages = setting.attributor(frame, setting.zoo, store=store, seed=seed, progress=progress)
    decided = decide(
        setting,
        frame,
        stages,
        store,
        under("confidence", progress),
        without_missing=without_missing,
    )
    if omitted := images.left_out(given):
        log.warning("%s", omitted)
    return Attribution(
        images=frame,
        prompts=stages.prompts,
        candidates=stages.candidates,
        similarities=stages.similarities,
        scores=stages.scores,
        **vars(decided),
        paths=tuple((images.written(entry.path), entry.image_id) for entry in entries),
        evidence=file_evidence,
        setting=setting,
        store=store,
        seconds=time.perf_counter() - started,
        made=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        treatments=stages.treatments,
    )
