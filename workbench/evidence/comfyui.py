"""ComfyUI's graphs: which prompt, model and settings lead to the picture that was saved."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.evidence.settings import Parameters, load_object, number

WORDS = (
    *("text_positive", "populated_text", "text", "text_g", "text_l", "clip_l", "t5xxl"),
    *("prompt", "string", "value"),
)
WEIGHTS = ("ckpt_name", "unet_name")
"""Inputs of ComfyUI's nodes that hold a prompt, and a model's name."""
LOADED = (*WEIGHTS, "base_ckpt_name", "checkpoint", "model_path", "model_name", "model")
"""Inputs that hold a model's name in a node at the end of a sampler's wire "model"."""
POSITIVE = re.compile("pos(itive)?(_.*)?|cond[12]")
NEGATIVE = re.compile(
    r"(?i)(.*_)?(neg(ative)?(_?(prompt|text|cond\w*))?[0-9]*|uncond\w*)(_.*)?|clip"
)
"""Inputs that lead to the prompt before all others, and those that never do."""
PARTS = re.compile("(string|text)_?([a-z]|[0-9])")
"""Inputs of a node that puts one text together from several."""
WRITERS = re.compile("llm|vlm|gpt|gemini|claude|caption|florence|interrogat|tagger|describe|ollama")
"""Part of the class of a node that writes a text of its own, from what it is told."""
MODEL = re.compile("(base_|refiner_)?(model|unet|guider)[a-z0-9_]*|.*pipe.*|ctx|.*context")
"""Inputs that lead from a sampler to what loads its model."""
ASIDE = re.compile(
    "(.*_)?(latents?|samples|images?|pixels|vae|clip|control.*|mask|positive|cond.*)"
)
"""Inputs that lead from a sampler to other things than its own settings."""
NUMBERS = {"seed": ("seed", "noise_seed"), "steps": ("steps",), "cfg": ("cfg", "cfg_scale")}
VALUES = ("value", "seed", "noise_seed", "int", "number", "float", "steps", "cfg")
"""Inputs of a node that hands on a number."""
WIDGETS = {
    "CLIPTextEncode": ("text",),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "unCLIPCheckpointLoader": ("ckpt_name",),
    "CheckpointLoader": ("config_name", "ckpt_name"),
    "UNETLoader": ("unet_name",),
    "UnetLoader": ("unet_name",),
    "LoraLoader": ("lora_name", "strength_model"),
    "KSamplerAdvanced": (
        *("add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler"),
    ),
    "KSamplerSelect": ("sampler_name",),
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "RandomNoise": ("noise_seed",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "FluxGuidance": ("guidance",),
    "CFGGuider": ("cfg",),
    "Latent": ("width", "height"),
}
"""What the first widgets of a node are, by a part of its class, the first that fits."""
MUTED, BYPASSED = 2, 4
"""States of a node that is not executed, and of one that hands on what it is given."""


def find(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the nodes of a graph among a picture's texts, by name; none where there is none.

    The graph lies under its own name, or in a comment, as it is or as "prompt" of an object; a
    workflow, as it is drawn, counts where no graph as it was executed is there.
    """
    objects = [load_object(texts.get("prompt")), *map(load_object, texts.values())]
    for holder in objects:
        for graph in (holder, load_object(holder.get("prompt"))):
            nodes = {str(name): each for name, each in graph.items() if _is_node(each)}
            if nodes:
                return nodes
    for holder in (load_object(texts.get("workflow")), *objects):
        for drawn in (holder, load_object(holder.get("workflow"))):
            if isinstance(drawn.get("nodes"), list) and drawn["nodes"]:
                return _wired(drawn)
    return {}


def _is_node(value: Any) -> bool:
    return (
        isinstance(value, dict) and "class_type" in value and isinstance(value.get("inputs"), dict)
    )


def _wired(drawn: dict[str, Any]) -> dict[str, Any]:
    """Turn a ComfyUI workflow, as it is drawn, into what would be executed, as far as it is read.

    A link is [its name, node, slot, …]; values stand in the order of the widgets.
    """
    links = {}
    for each in drawn.get("links", []):
        if isinstance(each, dict):
            each = [each["id"], each["origin_id"], each["origin_slot"]]
        links[str(each[0])] = [str(each[1]), each[2]]
    nodes = {}
    for node in drawn["nodes"]:
        if node.get("mode") == MUTED:
            continue
        kind, values = str(node.get("type")), node.get("widgets_values")
        if node.get("mode") == BYPASSED:
            kind, values = "Reroute", []
        names = next((names for part, names in WIDGETS.items() if part in kind), ())
        inputs = dict(zip(names, values if isinstance(values, list) else [], strict=False))
        ends = {each["name"]: links.get(str(each.get("link"))) for each in node.get("inputs", [])}
        inputs |= {name: wire for name, wire in ends.items() if wire}
        nodes[str(node.get("id"))] = {"class_type": kind, "inputs": inputs}
    return nodes


def read(nodes: Mapping[str, Any]) -> Parameters:
    """Read what ComfyUI executed: a class and inputs by node, the inputs values or [node, slot].

    Only what leads to the picture that is saved counts. The prompt is every text behind an input
    "positive", or behind those of a guider.
    """
    graph = _Graph(
        {name: node["inputs"] for name, node in nodes.items()},
        {name: str(node["class_type"]) for name, node in nodes.items()},
    )
    kept = graph.behind(graph.saved()) or dict.fromkeys(graph.inputs)
    here = {name: inputs for name, inputs in graph.inputs.items() if name in kept}
    ends = [inputs.get("positive") for inputs in here.values()]
    for name, inputs in here.items():
        if "Guider" in graph.kinds[name]:
            ends += [inputs.get(wire) for wire in ("conditioning", "cond1", "cond2")]
    if not any(ends):  # a hosted model's node takes the words themselves
        ends = [here[name]["prompt"] for name in kept if "prompt" in here[name]][:1]
    texts: list[str] = []
    with contextlib.suppress(LookupError, RecursionError):
        texts = [text for end in ends for text in graph.texts(end)]
    prompts = dict.fromkeys(texts)
    samplers = [name for name in here if graph.is_sampler(name)]
    models, loras = graph.loaded(samplers)
    models = models or [inputs.get(name) for inputs in here.values() for name in WEIGHTS]
    settings: dict[str, Any] = {graph.kinds[name].lower(): True for name in here}
    settings |= graph.settings(samplers, here) | {"loras": loras}
    lost = not prompts and any(ends)
    kept_models = dict.fromkeys(each for each in models if isinstance(each, str) and each)
    prompt = ", ".join(filter(None, prompts))
    against = [text for text in graph.negatives(here) if text and text not in prompts]
    negative = ", ".join(dict.fromkeys(against)) or None
    return Parameters("ComfyUI", tuple(kept_models), prompt, settings, lost, negative)


@dataclass(frozen=True)
class _Graph:
    """A graph of ComfyUI: inputs and class by node, and the nodes that were walked through."""

    inputs: Mapping[str, dict[str, Any]]
    kinds: Mapping[str, str]
    seen: set[str] = field(default_factory=set)

    def wires(self, name: str) -> dict[str, str]:
        """Return the nodes that a node is wired to, by input, less what a switch leaves out."""
        here = {
            key: str(each[0])
            for key, each in self.inputs.get(name, {}).items()
            if isinstance(each, list) and len(each) == 2 and str(each[0]) in self.inputs
        }
        if "switch" not in self.kinds.get(name, "").lower():
            return here
        values = [each for each in self.inputs[name].values() if isinstance(each, (bool, int))]
        if not values:
            return here
        side = ("false|off", "true|on(_.*)?")[int(values[0])] if values[0] in (0, 1) else ""
        if isinstance(values[0], bool):
            chosen = [key for key in here if re.search(f"(^|_)({side})(_|$)", key)]
        else:
            chosen = [key for key in here if re.search(rf"(^|[^0-9]){values[0]}$", key)]
        return {key: here[key] for key in chosen} or here

    def saved(self) -> list[str]:
        """List the nodes that save a picture, else those that show one, else the last that get one.

        None where no node is handed a picture.
        """
        ends = [name for name in self.inputs if any(map(_is_picture, self.wires(name)))]
        consumed = {wire for name in self.inputs for wire in self.wires(name).values()}
        for part in ("save", "preview"):
            if savers := [name for name in ends if part in self.kinds[name].lower()]:
                return savers
        return [name for name in ends if name not in consumed]

    def behind(self, names: list[str]) -> dict[str, None]:
        """Return nodes and all that lead to them, but for what leads to a negative prompt alone."""
        upstream: dict[str, None] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in upstream:
                upstream[name] = None
                wires = self.wires(name).items()
                waiting += [to for key, to in wires if key == "clip" or not NEGATIVE.fullmatch(key)]
        return upstream

    def negatives(self, names: Iterable[str]) -> list[str]:
        """Return the texts behind the inputs "negative" of nodes; none where they are lost."""
        fresh = _Graph(self.inputs, self.kinds)
        prompts: list[str] = []
        with contextlib.suppress(LookupError, RecursionError):
            for name in names:
                wire = self.wires(name).get("negative", "")
                if "zeroout" not in self.kinds.get(wire, "zeroout").lower():
                    prompts += fresh.texts([wire, 0])
        return prompts

    def is_sampler(self, name: str) -> bool:
        """Return whether a node draws: it has noise and a model, or what stands for both."""
        here, kind = self.inputs[name], self.kinds[name].lower()
        if "positive" in here and ("seed" in here or "noise_seed" in here or "sampler" in kind):
            return True
        return "guider" in here or ("sampler" in kind and ("model" in here or "noise" in here))

    def loaded(self, samplers: list[str]) -> tuple[list[Any], list[dict[str, Any]]]:
        """Follow the wires "model" of samplers to what they load: models, low-rank additions."""
        models: list[Any] = []
        loras: list[dict[str, Any]] = []
        seen: set[str] = set()
        waiting = list(reversed(samplers))
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            here, wires = self.inputs[name], self.wires(name)
            loras += _loras(here)
            model = [to for key, to in wires.items() if MODEL.fullmatch(key)]
            if not model and name not in samplers:
                models += [here[key] for key in LOADED if isinstance(here.get(key), str)][:1]
                model = [to for key, to in wires.items() if not ASIDE.fullmatch(key)]
            waiting += reversed([to for to in model if to not in seen])
        return models, loras

    def settings(self, samplers: list[str], here: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of the first sampler on the way, and the size of its picture.

        Later ones refine what the first has drawn.
        """
        first = [x for x in samplers if self.behind([x]).keys() & set(samplers) == {x}]
        settings = self._nearest((first or samplers)[0]) if samplers else {}
        for inputs in here.values():
            if (guidance := self.value(inputs.get("guidance"))) is not None:
                settings["guidance"] = guidance
        empty = [x for name, x in here.items() if re.search("Empty.*Latent", self.kinds[name])]
        if len(empty) == 1:
            settings |= {side: self.value(empty[0].get(side)) for side in ("width", "height")}
        for name, inputs in here.items():
            wire = inputs.get("images")
            wire = wire if isinstance(wire, list) and wire else [""]
            source = self.kinds.get(str(wire[0]), "VAEDecode")
            if re.search("Save|Preview", self.kinds[name]) and "VAEDecode" not in source:
                settings["postprocess"] = True  # who knows what was done between
        return settings

    def _nearest(self, sampler: str) -> dict[str, Any]:
        """Return seed, steps and the like as they stand nearest to a sampler."""
        settings: dict[str, Any] = {}
        seen, waiting = {sampler}, [sampler]
        for name in waiting:
            inputs = self.inputs[name]
            for setting, keys in NUMBERS.items():
                values = (self.value(inputs.get(key)) for key in keys)
                value = next((each for each in values if each is not None), None)
                if value is not None:
                    settings.setdefault(setting, value)
            for setting in ("sampler_name", "scheduler"):
                if isinstance(inputs.get(setting), str):
                    settings.setdefault(setting.replace("_", " "), inputs[setting])
            for key, to in self.wires(name).items():
                if to not in seen and not ASIDE.fullmatch(key) and not NEGATIVE.fullmatch(key):
                    seen.add(to)
                    waiting.append(to)
        return settings

    def value(self, value: Any, depth: int = 5) -> int | float | None:
        """Return a number, or the one behind a wire; None where there is none."""
        if isinstance(value, list) and value and depth:
            here = self.inputs.get(str(value[0]), {})
            behind = (self.value(here.get(key), depth - 1) for key in VALUES)
            return next((each for each in behind if each is not None), None)
        return number(value) if not isinstance(value, str) else None

    def texts(self, value: Any, wanted: bool = False) -> list[str]:
        """Follow an input back to the texts behind it, in order; each node once.

        LookupError where a text is ``wanted``, and what the nodes make of it is not known.
        """
        if isinstance(value, str):
            return [value.strip()]
        name = str(value[0]) if isinstance(value, list) and value else ""
        if name in self.seen:
            return []
        self.seen.add(name)
        passed, switched = self.wires(name), "switch" in self.kinds.get(name, "").lower()
        here = {
            key: each
            for key, each in self.inputs.get(name, {}).items()
            if isinstance(each, (str, list))
            and not NEGATIVE.fullmatch(key)
            and (key in passed or not switched)
        }
        if WRITERS.search(self.kinds.get(name, "").lower()):
            raise LookupError("a text that a model wrote")
        parts = [each for key, each in here.items() if PARTS.fullmatch(key) and key not in WORDS]
        if len(parts) > 1:
            joined = [", ".join(self.texts(each, True)) for each in parts]
            return [str(here.get("delimiter", "")).join(filter(None, joined))]
        words = [here[key] for key in WORDS if key in here]
        before = [each for key, each in here.items() if POSITIVE.fullmatch(key)]
        wires = [each for each in here.values() if isinstance(each, list)]
        if wanted and not (before or words) and (not wires or len(wires) < len(here)):
            raise LookupError("a text by a node that is not known")
        wanted = wanted or bool(words)
        return [text for each in before or words or wires for text in self.texts(each, wanted)]


def _is_picture(key: str) -> bool:
    return re.fullmatch(r"(.*_)?(images?|pictures?)[0-9]*", key) is not None


def _loras(here: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the low-rank additions that a node loads: a name and a strength, or an object each."""
    for key, each in here.items():
        if re.fullmatch(r"lora(_name)?(_?\d+)?", key) is None:
            continue
        tail = key.removeprefix("lora_name").removeprefix("lora")
        if isinstance(each, str):
            keys = ("strength_model", f"strength{tail}", f"lora_wt{tail}", f"model_str{tail}")
            weight = next((here[k] for k in (*keys, "lora_model_strength") if k in here), None)
            yield {"name": each, "weight": weight}
        elif isinstance(each, dict) and each.get("on", True):
            yield {"name": each.get("lora"), "weight": each.get("strength")}
