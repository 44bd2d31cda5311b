"""Settle a preset: turn every name into its object, once.

A `Preset` is names; a `Setting` is what they stand for. `settle` is the one way from the one to the
other: `attribute`, evaluation, calibration, experiments and the doctor all take its answer, and
resolve nothing themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench import ranking
from workbench.catalogue import presets
from workbench.catalogue.presets import Preset
from workbench.catalogue.registry import load, nested, plugin_class, weights
from workbench.catalogue.registry import zoo as make_zoo
from workbench.inverters.natural import Natural
from workbench.keys import check_gamma, check_prompt, check_seed
from workbench.plugin import Fitted
from workbench.ranking import conformal
from workbench.ranking.confidence import Confidence
from workbench.text import brief

FUSED = ("regeneration", "defake")
"""What a fusion asked for by name fuses: the paper's attributor and a trained one."""
OPTIONS = {
    "inverter": {"inverter", "parts"},
    "prompt": {"inverter", "parts"},
    "similarity": {"similarity", "encoder", "parts"},
    "aggregate": {"aggregate", "parts"},
    "gamma": {"gamma", "parts"},
    "calibration": {"calibration"},
    "treat_alike": {"alike", "parts"},
}
"""Options of `settle` for the attributor, and the fields, any of which has a use for one."""


@dataclass(frozen=True)
class Setting:
    """Objects and numbers that decide an attribution, apart from the picture.

    ``preset`` is the row of names, with what was overridden in it; the objects stand beside it.
    ``threshold``, ``conformal``, ``known`` and ``confidence`` are its calibration, None where there
    is none or where what is calibrated was changed. ``call`` keeps the options as they were given,
    so that a report can be made again.
    """

    preset: Preset
    attributor: Any
    zoo: dict[str, Any]
    inverter: Any
    similarity: Any
    threshold: float | None = None
    threshold_from: str = ""
    conformal: float | None = None
    known: Fitted | None = None
    confidence: Confidence | None = None
    seed: int = 0
    treat_alike: bool = False
    call: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def gamma(self) -> int:
        """Candidate images per model."""
        return self.preset.gamma

    @property
    def size(self) -> int:
        """Side in pixels every picture goes to before it is compared."""
        return self.preset.size

    @property
    def weights(self) -> dict[str, str]:
        """Return name → digest of every checkpoint of the setting."""
        return weights(self.attributor, *self.zoo.values())

    @property
    def families(self) -> dict[str, str]:
        """Return the family of each candidate model whose row of the catalogue has one."""
        rows = {name: getattr(model, "checkpoint", None) for name, model in self.zoo.items()}
        families = {name: getattr(row, "family", "") for name, row in rows.items()}
        return {name: family for name, family in families.items() if family}

    def prompts(self, portion: str) -> list[str]:
        """Return a portion of the preset's prompts: see `presets.prompts`."""
        return presets.prompts(self.preset, portion)

    def regeneration(self, **changes: Any) -> Any:
        """Return the preset's own attributor, with fields changed."""
        return plugin_class("regeneration", "attributor")(**{**self.parts, **changes})

    @property
    def parts(self) -> dict[str, Any]:
        """Return the parts of an attributor of this setting, by the names of its fields."""
        alike = {"alike": True} if self.treat_alike else {}
        return {
            **alike,
            "inverter": self.inverter,
            "similarity": self.similarity,
            "aggregate": self.preset.aggregate,
            "gamma": self.gamma,
            "size": self.size,
        }


def settle(
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
) -> Setting:
    """Turn the names of a preset into objects, before any work; options override its fields.

    What an option really changes (all but the seed) is no longer calibrated. A `Setting` is
    answered as it is, under the seed given.

    Args:
        preset: a name, a `Preset`, or a `Setting`, which takes no other option than the seed.
        attributor: a name, a repr, or an Attributor, which then decides inverter, similarity,
            aggregation and γ itself.
        zoo: candidate models, at least two: a name, ``"A,B"``, a list, or name → Generator.
        inverter: a name, a repr, or an Inverter.
        prompt: the known prompt of every picture, instead of an inverter.
        similarity: a name (an encoder's is the cosine over it), a repr, or a Similarity.
        aggregate: ``mean``, ``max``, ``softmax`` or ``knn``.
        gamma: candidate images per model, at least 1.
        calibration: of the scores: a name, a repr, or a Calibration.
        seed: the run's seed.
        treat_alike: let candidate images go the way that the test picture went (`Regeneration`).

    Raises:
        LookupError: a name is unknown, or weights are missing.
        ValueError: an option makes no sense.

    >>> list(settle("pocket", zoo="pocket-sd,pocket-ld").zoo)
    ['pocket-sd', 'pocket-ld']
    """
    call = {name: plain_value(value) for name, value in locals().items() if value is not None}
    if not treat_alike:
        call.pop("treat_alike", None)  # so that a run without it is told as before
    if isinstance(preset, Setting):
        if call.keys() - {"preset", "seed"}:
            raise ValueError("a setting is settled: give its options to `settle` with a preset")
        check_seed(seed)
        return dataclasses.replace(preset, seed=seed, call={**preset.call, "seed": seed})
    _check_options(inverter, prompt, aggregate, gamma, seed)
    if not isinstance(preset, (str, Preset)):
        raise ValueError(f"a preset is a name, a Preset or a Setting; seen {brief(preset, 80)}")
    given = presets.preset(preset)
    call["preset"] = given.name
    if zoo is inverter is similarity is prompt is None:
        presets.check(given)
    row = given.override(
        zoo=plain_value(zoo),
        inverter=plain_value(inverter if prompt is None else Natural(text=prompt)),
        similarity=plain_value(similarity),
        aggregate=aggregate,
        gamma=gamma,
    )
    check_gamma(row.gamma)
    compare = load(similarity or row.similarity, "similarity")
    tool: Any = Natural(text=prompt)
    if prompt is None:
        tool = make_inverter(inverter or row.inverter, given, compare)
    models = make_zoo(row.zoo if zoo is None else zoo)
    settled = Setting(
        row, None, models, tool, compare, seed=seed, treat_alike=bool(treat_alike), call=call
    )
    own = settled.regeneration()
    method = _attributor(attributor or "regeneration", settled, given, calibration)
    settled = dataclasses.replace(settled, attributor=method)
    if treat_alike or row != given or repr(method) != repr(own):
        return settled
    if row.confidence is not None and set(row.confidence.models) != set(models):
        raise ValueError(
            f"the confidence of the preset {row.name!r} was learned for "
            f"{', '.join(row.confidence.models)}, not for {', '.join(models)}: take it out of "
            "presets.toml, and calibrate again"
        )
    return dataclasses.replace(
        settled,
        threshold=row.threshold,
        threshold_from=row.threshold_from,
        conformal=row.conformal,
        known=conformal.known(dict(row.known)) if row.known else None,
        confidence=row.confidence,
    )


def _check_options(inverter: Any, prompt: Any, aggregate: Any, gamma: Any, seed: Any) -> None:
    """Raise ValueError for options that no preset allows."""
    if prompt is not None and inverter is not None:
        raise ValueError("a known prompt leaves nothing to invert: give a prompt or an inverter")
    if prompt is not None:
        check_prompt(prompt)
    if gamma is not None:
        check_gamma(gamma)
    check_seed(seed)
    named = isinstance(aggregate, str) and aggregate in ranking.AGGREGATIONS
    if aggregate is not None and not named:
        known = ", ".join(ranking.AGGREGATIONS)
        raise ValueError(f"no aggregation named {brief(repr(aggregate), 80)}; there are: {known}")


def _attributor(attributor: Any, setting: Setting, preset: Preset, calibration: Any) -> Any:
    """Return the attributor, made of the setting's parts by its name, or given whole."""
    parts = dict(setting.parts)
    if calibration is not None:
        parts["calibration"] = load(calibration, "calibration")
    if isinstance(attributor, str) and "(" not in attributor:
        return _method(attributor, parts, preset, setting.call)
    if OPTIONS.keys() & setting.call.keys():
        raise ValueError(
            "an attributor given whole decides inverter, similarity, aggregation, gamma and "
            "calibration itself: give either it or these"
        )
    return load(attributor, "attributor")


def make_inverter(name: Any, preset: Preset, similarity: Any = None) -> Any:
    """Return an inverter, the plug-ins that it requires taken from the preset.

    ``pez`` and ``interrogator`` search with the encoder of the similarity, in the space that
    pictures and captions share; an ``interrogator`` starts from the preset's own inverter and takes
    the preset's label list.

    Args:
        name: a name, a repr, or an Inverter, which is answered as it is.
        preset: whose parts are lent.
        similarity: a Similarity in the place of the preset's.

    Raises:
        LookupError: there is no such name; the sentence lists what there is.
        ValueError: the similarity has no encoder.

    >>> from workbench.catalogue.presets import preset
    >>> make_inverter("pez", preset("pocket"))
    Pez("pocket-clip")
    """
    if not isinstance(name, str):
        return name
    if name not in nested("inverter"):
        return load(name, "inverter")
    if similarity is None:
        similarity = load(preset.similarity, "similarity")
    encoder = getattr(similarity, "encoder", None)
    if encoder is None:
        raise ValueError(f"{name} needs a similarity over an encoder; seen {similarity!r}")
    encoder = encoder.projected() if hasattr(encoder, "projected") else encoder
    lent = {"encoder": encoder, "caption": preset.inverter, "labels": preset.labels}
    known = {field.name for field in dataclasses.fields(plugin_class(name, "inverter"))}
    fields = {field: value for field, value in lent.items() if field in known and value}
    return load(name, "inverter", **fields)


def _method(
    name: str, shared: dict[str, Any], preset: Preset, requested: Iterable[str] = ()
) -> Any:
    """Return the attributor of a name, made of those parts of the preset it has fields for.

    Raises ValueError for an option asked for that it has no use for, or where it needs an encoder.
    """
    kind = plugin_class(name, "attributor")
    known = {field.name for field in dataclasses.fields(kind)}
    idle = [option for option in OPTIONS if option in requested and not OPTIONS[option] & known]
    if idle:
        raise ValueError(f"{name} has no use for {' and '.join(idle)}: leave it out")
    parts = dict(shared)
    if "encoder" in known:
        parts["encoder"] = getattr(shared["similarity"], "encoder", None)
        if parts["encoder"] is None:
            raise ValueError(
                f"{name} needs a similarity over an encoder; seen {shared['similarity']!r}"
            )
    if "parts" in known:
        parts["parts"] = tuple(_method(part, shared, preset) for part in FUSED)
    if "prompts" in known:
        parts["prompts"] = tuple(presets.prompts(preset, "bank"))
    return kind(**{field: value for field, value in parts.items() if field in known})


def plain_value(value: Any) -> Any:
    """Return an option as text or number, for the report."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return ",".join(value)
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else repr(value)
