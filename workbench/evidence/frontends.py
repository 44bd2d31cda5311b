"""The generation parameters that front ends leave in a picture's file.

Graphs of ComfyUI (`comfyui`) and parameters as a text (`infotext`) are read here, and so is JSON
under the names that most use; Fooocus, InvokeAI and NovelAI in their strict forms by sd-parsers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.evidence import comfyui, infotext
from workbench.evidence.settings import Parameters, compact, load_object, named, number

LONGEST = 50_000
"""Characters of a text that is parsed: patterns may take the square of it in time. What ComfyUI
writes is plain JSON, and may be longer."""
SIGNS = (
    ("Draw Things", ("c", "uc")),
    ("Easy Diffusion", ("usestablediffusionmodel", "prompt")),
    ("SwarmUI", ("suiimageparams",)),
    ("NovelAI", ("requesttype", "prompt")),
    ("InvokeAI", ("positiveprompt", "generationmode")),
    ("InvokeAI", ("appversion", "modelweights")),
    ("Fooocus", ("basemodel", "fooocusv2expansion")),
    ("Fooocus", ("basemodel", "metadatascheme")),
)
"""Names, without their marks, that nobody but a front end uses together in JSON."""
FRONTS = ("Fooocus", "SwarmUI", "InvokeAI", "NovelAI", "Draw Things", "SD.Next", "ComfyUI")
"""Front ends that name themselves in a value of "software", "version" or "source"."""
PROMPTS = ("prompt", "positiveprompt", "positive", "fullprompt", "rawprompt", "textprompts", "c")
NEGATIVES = ("negativeprompt", "negative", "uc", "fullnegativeprompt", "neg")
MODELS = (
    *("model", "basemodel", "basemodelname", "modelname", "checkpoint", "checkpointname", "ckpt"),
    *("sdmodel", "sdmodelname", "sdmodelcheckpoint", "usestablediffusionmodel", "modelid"),
    *("modelweights", "ckptname", "unetname", "basemodelhash", "modelhash"),
)
"""Names of a prompt, a negative one and a model in JSON, without their marks, the best first."""
MORE = {
    *("seed", "noiseseed", "steps", "numinferencesteps", "sampler", "samplername", "scheduler"),
    *("cfg", "cfgscale", "guidance", "guidancescale", "width", "resolution", "size", "loras"),
}
"""Names one of which makes JSON with a prompt the parameters of a picture."""
DEEPEST = 4
"""Objects within objects, and JSON within texts, that are looked into."""


def read(texts: Mapping[str, str]) -> Parameters | None:
    """Read the parameters among `texts`; None where no front end that is known wrote them.

    Any exception may be raised: the texts are anybody's.
    """
    nodes = comfyui.find(texts)
    parameters = comfyui.read(nodes) if nodes else None
    if parameters is not None and not parameters.lost:
        return parameters
    first = texts.get("parameters", texts.get("comment", ""))
    if len(first) > LONGEST:
        if parameters is not None:
            return parameters
        raise ValueError(f"more than {LONGEST:,} characters")
    short = _unfolded({name: text for name, text in texts.items() if len(text) <= LONGEST})
    return _as_text(short) or parameters or _parsed(short) or _plain(short) or _described(short)


def _as_text(texts: Mapping[str, str]) -> Parameters | None:
    """Read what Automatic1111 and its kin write, and InvokeAI's first form."""
    if "sd-metadata" not in texts and (parameters := infotext.dream(texts.get("Dream", ""))):
        return parameters
    named_first = sorted(texts.items(), key=lambda item: item[0] != "parameters")
    for _, text in named_first:
        if not text.lstrip().startswith(("{", "[")) and (parameters := infotext.automatic(text)):
            return parameters
    return None


def _unfolded(texts: dict[str, str]) -> dict[str, str]:
    """Lay out the texts that NovelAI folds into a comment, by the names they have in a PNG."""
    folded = load_object(texts.get("comment"))
    inside = load_object(folded.get("Comment"))
    if not inside:
        return texts
    unfolded = {str(name): text for name, text in folded.items() if isinstance(text, str)}
    prompt = inside.get("prompt")
    return {**({"Description": prompt} if isinstance(prompt, str) else {}), **texts, **unfolded}


def _described(texts: Mapping[str, str]) -> Parameters | None:
    """Read what Midjourney writes as a description."""
    return next(filter(None, map(infotext.midjourney, texts.values())), None)


def _parsed(texts: Mapping[str, str]) -> Parameters | None:
    """Let sd-parsers read; what it stumbles over is left to the plain reading."""
    from sd_parsers import parsers

    # a run of white space takes their patterns its square in time
    tidy = {
        name: " ".join(text.split()) if name in ("Dream", "Source") else text
        for name, text in texts.items()
    }
    if "parameters" not in tidy and tidy.get("comment", "").startswith("{"):
        tidy["parameters"] = tidy["comment"]
    kinds: list[Any] = [parsers.FooocusParser, parsers.InvokeAIParser, parsers.NovelAIParser]
    for parser in kinds:
        parsed = _tried(parser, tidy)
        if parsed is None:
            continue
        settings = _named(parsed.metadata)
        for each in parsed.samplers:
            settings = _named(each.parameters) | {"sampler": each.name} | settings
        models = [model.name or model.hash for each in parsed.samplers if (model := each.model)]
        if not models:  # InvokeAI 4 and later
            models = [named(load_object(texts.get("invokeai_metadata")).get("model"))]
        prompts = [x.value for each in parsed.samplers for x in each.prompts]
        against = [x.value for each in parsed.samplers for x in each.negative_prompts]
        return Parameters(
            str(parsed.generator.value),
            _names(models),
            ", ".join(_names(prompts)),
            settings,
            negative=", ".join(_names(against)) or None,
        )
    return None


def _tried(parser: Any, texts: dict[str, str]) -> Any:
    """Parse texts of anybody's; None where they are another front end's, or no parser's at all."""
    try:
        return parser().parse(texts)
    except Exception:
        return None


def _plain(texts: Mapping[str, str]) -> Parameters | None:
    """Read settings that are a JSON object, or a text each, by the names that most use."""
    for fields, outer in _objects(dict(texts), ()):
        flat = _flat(fields)
        keys = PROMPTS if "uc" in flat else PROMPTS[:-1]
        prompt = next((x for key in keys if (x := _words(flat.get(key))) is not None), None)
        models = _names([next(filter(None, (named(flat.get(key)) for key in MODELS)), None)])
        others = len(MORE & flat.keys()) + len(models)
        if others < (3 if prompt is None else 1):
            continue
        front = _front([flat, *outer])
        if not models and front == "NovelAI":
            models = _novel_models(outer)
        against = next((x for key in NEGATIVES if (x := _words(flat.get(key)))), None)
        settings = _named(fields)
        for each in fields.values():
            settings |= _named(each) if isinstance(each, dict) else {}
        return Parameters(front, models, prompt, settings, negative=against)
    return None


def _flat(fields: Mapping[Any, Any]) -> dict[str, Any]:
    return {compact(str(name)): value for name, value in fields.items()}


def _objects(
    fields: Mapping[Any, Any], outer: tuple[dict[str, Any], ...]
) -> Iterator[tuple[Mapping[Any, Any], tuple[dict[str, Any], ...]]]:
    """Yield an object and those inside it, JSON inside its texts too, with those around each."""
    yield fields, outer
    if len(outer) < DEEPEST:
        for value in list(fields.values())[:200]:
            if inside := value if isinstance(value, dict) else load_object(value):
                yield from _objects(inside, (_flat(fields), *outer))


def _novel_models(outer: tuple[dict[str, Any], ...]) -> tuple[str, ...]:
    """Return the model that NovelAI names as "source", less the number after its name."""
    origin = next((x for each in outer if isinstance(x := each.get("source"), str)), "")
    return _names([re.sub(r"\s+[0-9A-Fa-f]{6,}$", "", origin)])


def _words(value: Any) -> str | None:
    """Return a prompt: a text, or texts in a list, or in objects with a weight each.

    What has a weight below zero is not wanted in the picture.
    """
    if isinstance(value, dict):
        if (number(value.get("weight")) or 0) < 0:
            return None
        value = next((value[key] for key in ("prompt", "text", "positive") if key in value), None)
    if isinstance(value, list):
        parts = [_words(each) for each in value[:100]]
        return ", ".join(filter(None, parts)) or None
    if not isinstance(value, str) or value.lstrip().startswith("{"):
        return None
    return value.strip()


def _front(flats: list[dict[str, Any]]) -> str:
    """Return the front end that writes these settings, or what they are."""
    for flat in flats:
        for front, signs in SIGNS:
            if all(sign in flat for sign in signs):
                return front
        for name in ("software", "version", "source"):
            for front in FRONTS:
                if isinstance(flat.get(name), str) and front.lower() in flat[name].lower():
                    return front
    return "plain JSON"


def _named(settings: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name).lower().replace("_", " "): value for name, value in settings.items()}


def _names(values: list[Any]) -> tuple[str, ...]:
    """Keep each text once; anything else in a name's place is none."""
    return tuple(dict.fromkeys(each for each in values if isinstance(each, str) and each))
