"""The generation parameters that front ends leave in a picture's file.

Automatic1111 (Forge too), Fooocus, InvokeAI and NovelAI are read by sd-parsers; ComfyUI, Draw
Things, Easy Diffusion and SwarmUI here. The texts are gathered here for all: sd-parsers remembers
an EXIF comment by its picture's address in memory, and so takes it for the next picture's too.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image


EXIF = 0x8769
COMMENT = 0x9286
"""EXIF's own directory, and the tag UserComment."""
XMP = "XML:com.adobe.xmp"
STEALTHY = b"stealth_pngcomp"
LONGEST = 50_000
"""Characters of a text that is parsed: patterns may take the square of it in time. What ComfyUI
writes is plain JSON, and may be longer."""
EDITED = re.compile(
    "hires|upscal|imagescale|resize|crop|paint|mask|script|grid|stitch|postprocess|"
    "concat|rotat|border|pad|flip|transpose"
)
"""Part of a setting's name where the picture need not have the size that is told."""
PLAIN = {
    "Draw Things": ("uc", "c", "model"),
    "Easy Diffusion": ("use stable diffusion model", "prompt", "use stable diffusion model"),
    "SwarmUI": ("sui image params", "prompt", "model"),
}
"""Who writes plain settings: a name that nobody else uses, that of the prompt, of the model."""
WORDS = (
    *("text_positive", "populated_text", "text", "text_g", "text_l", "clip_l", "t5xxl"),
    *("prompt", "string", "value"),
)
WEIGHTS = ("ckpt_name", "unet_name")
"""Inputs of ComfyUI's nodes that hold a prompt, and a model's name."""
POSITIVE = re.compile("pos(itive)?(_.*)?|cond[12]")
NEGATIVE = re.compile("(.*_)?neg(ative)?(_.*)?|clip")
"""Inputs that lead to the prompt before all others, and those that never do."""
PARTS = re.compile("(string|text)_?([a-z]|[0-9])")
"""Inputs of a node that puts one text together from several."""
WRITERS = re.compile("llm|vlm|gpt|gemini|claude|caption|florence|interrogat|tagger|describe|ollama")
"""Part of the class of a node that writes a text of its own, from what it is told."""
QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
"""A value in which commas and colons are none of Automatic1111's."""
WIDGETS = {
    "CLIPTextEncode": ("text",),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "unCLIPCheckpointLoader": ("ckpt_name",),
    "CheckpointLoader": ("config_name", "ckpt_name"),
    "UNETLoader": ("unet_name",),
    "Latent": ("width", "height"),
}
"""What the first widgets of a node are, by a part of its class, the first that fits."""


@dataclass(frozen=True)
class Parameters:
    """What a front end wrote: its name, the models, the prompt if any, and settings by name.

    ``lost``: there is a prompt, which could not be followed through the nodes of a graph.
    """

    front: str
    models: tuple[str, ...]
    prompt: str | None
    settings: Mapping[str, Any]
    lost: bool = False

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height as told, in pixels; None where not, or where they may have changed."""
        told = self.settings
        if any(EDITED.search(name) for name in told):
            return None
        if not str(told.get("generation mode", "txt2img")).endswith("txt2img"):
            return None
        sides = f"{told.get('width')}x{told.get('height')}"
        for text in (told.get("size"), told.get("resolution"), sides):
            if match := re.fullmatch(r"\(?(\d{1,5})(?:x|, )(\d{1,5})\)?", str(text)):
                return int(match[1]), int(match[2])
        return None


def texts(opened: Image) -> dict[str, str]:
    """Gather the texts of a picture file, wherever they lie, by the names that PNG gives them."""
    found = {str(name): str(text) for name, text in getattr(opened, "text", {}).items()}
    exif = opened.getexif()
    for value in map(str, exif.values()):  # ComfyUI writes "prompt:{…}" into any tag
        if match := re.match(r"(?i)(prompt|workflow):\s*(?={)", value):
            found.setdefault(match[1].lower(), value[match.end() :])
    places = exif.get_ifd(EXIF).get(COMMENT), exif.get(COMMENT), opened.info.get("comment")
    xmp = found.pop(XMP, None) or opened.info.get("xmp", b"")
    for comment in filter(None, (*places, _commented(xmp))):
        found.setdefault("comment", _decoded(comment))
    return _stealthy(opened) | found


def read(texts: Mapping[str, str]) -> Parameters | None:
    """Read the parameters among `texts`; None where no front end that is known wrote them.

    Any exception may be raised: the texts are anybody's.
    """
    graph = _json(texts.get("prompt", ""))
    nodes = {name: each for name, each in graph.items() if _is_node(each)}
    if nodes:
        return _executed(nodes)
    drawn = _json(texts.get("workflow", ""))
    if "nodes" in drawn:
        return _executed(_wired(drawn))
    texts = {"parameters": texts.get("comment", ""), **texts}
    if len(texts["parameters"]) > LONGEST:
        raise ValueError(f"more than {LONGEST:,} characters")
    short = {name: text for name, text in texts.items() if len(text) <= LONGEST}
    return _parsed(short) or _plain(short)


def _commented(xmp: str | bytes) -> str:
    """Return the JSON in XMP's exif:UserComment, where Draw Things writes, or "" for none."""
    text = xmp if isinstance(xmp, str) else xmp.decode("utf-8", "replace")
    inside = text.partition("<exif:UserComment>")[2].partition("</exif:UserComment>")[0]
    return html.unescape(inside[inside.find("{") : inside.rfind("}") + 1])


def _stealthy(opened: Image) -> dict[str, str]:
    """Read the text that NovelAI, and others, hide in the lowest bits of the alpha channel.

    Column by column: a name, the length in bits (4 bytes), and gzip.
    """
    import numpy as np

    if opened.mode != "RGBA":
        return {}
    lowest = (np.asarray(opened.getchannel("A")) & 1).T.ravel()[: 8 * LONGEST]
    data = np.packbits(lowest).tobytes()
    if not data.startswith(STEALTHY):
        return {}
    start = len(STEALTHY) + 4
    length = int.from_bytes(data[start - 4 : start], "big") // 8
    text = zlib.decompressobj(31).decompress(data[start : start + length], LONGEST).decode()
    told = _json(text)
    return {str(name): str(each) for name, each in told.items()} if told else {"parameters": text}


def _decoded(comment: Any) -> str:
    """Decode a comment; EXIF's begins with eight bytes for its letters, but not for their order."""
    if not isinstance(comment, bytes):
        return str(comment)
    head, rest = comment[:8], comment[8:]
    if head == b"UNICODE\0":
        marked = rest[:2] in (b"\xff\xfe", b"\xfe\xff")
        big = rest[0::2].count(0) >= rest[1::2].count(0)
        order = "" if marked else "-be" if big else "-le"
        return rest.decode(f"utf-16{order}", "replace")
    text = rest if head in (b"ASCII\0\0\0", bytes(8)) else comment
    return text.decode("utf-8", "replace")


def _json(text: str) -> dict[str, Any]:
    """Read a JSON object; an empty one where the text is none."""
    try:
        found = json.loads(text) if text.startswith("{") else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_node(value: Any) -> bool:
    return (
        isinstance(value, dict) and "class_type" in value and isinstance(value.get("inputs"), dict)
    )


def _executed(nodes: dict[str, Any]) -> Parameters:
    """Read what ComfyUI executed: a class and inputs by node, the inputs values or [node, slot].

    The prompt is every text behind an input "positive", or behind those of a guider.
    """
    inputs = {name: node["inputs"] for name, node in nodes.items()}
    kinds = {name: str(node["class_type"]) for name, node in nodes.items()}
    ends = [here.get("positive") for here in inputs.values()]
    for name in inputs:
        if "Guider" in kinds[name]:
            ends += [inputs[name].get(wire) for wire in ("conditioning", "cond1", "cond2")]
    graph, texts = _Graph(inputs, kinds), []
    with contextlib.suppress(LookupError, RecursionError):
        texts = [text for end in ends for text in graph.texts(end)]
    prompts = dict.fromkeys(texts)
    models = [here.get(name) for here in inputs.values() for name in WEIGHTS]
    settings: dict[str, Any] = dict.fromkeys(kind.lower() for kind in kinds.values())
    empty = [inputs[name] for name in inputs if re.search("Empty.*Latent", kinds[name])]
    if len(empty) == 1:
        settings |= {side: empty[0].get(side) for side in ("width", "height")}
    for name, here in inputs.items():
        source = kinds.get(str((here.get("images") or [""])[0]), "VAEDecode")
        if re.search("Save|Preview", kinds[name]) and "VAEDecode" not in source:
            settings |= {"width": None, "height": None}  # who knows what was done between
    lost = not prompts and any(ends)
    return Parameters("ComfyUI", _names(models), ", ".join(filter(None, prompts)), settings, lost)


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
        kind, values = str(node.get("type")), node.get("widgets_values")
        names = next((names for part, names in WIDGETS.items() if part in kind), ())
        inputs = dict(zip(names, values if isinstance(values, list) else [], strict=False))
        ends = {each["name"]: links.get(str(each.get("link"))) for each in node.get("inputs", [])}
        inputs |= {name: wire for name, wire in ends.items() if wire}
        nodes[str(node.get("id"))] = {"class_type": kind, "inputs": inputs}
    return nodes


@dataclass(frozen=True)
class _Graph:
    """A graph of ComfyUI: inputs and class by node, and the nodes that were walked through."""

    inputs: Mapping[str, dict[str, Any]]
    kinds: Mapping[str, str]
    seen: set[str] = field(default_factory=set)

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
        here = {
            key: each
            for key, each in self.inputs.get(name, {}).items()
            if isinstance(each, (str, list)) and not NEGATIVE.fullmatch(key)
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


def _parsed(texts: Mapping[str, str]) -> Parameters | None:
    """Let sd-parsers read; what it stumbles over is raised only where none of its parsers can."""
    from sd_parsers import exceptions, parsers

    text, quoted = _unquoted(texts["parameters"])
    texts = {**texts, "parameters": text}
    # a run of white space takes their patterns its square in time
    tidy = {
        name: " ".join(text.split()) if name in ("Dream", "Source") else text
        for name, text in texts.items()
    }
    stumble = None
    managed: list[Any] = parsers.MANAGED_PARSERS
    for parser in managed:
        try:
            found = parser().parse(tidy)
        except exceptions.ParserError:
            continue
        except Exception as error:
            stumble = error
            continue
        models = [model.name or model.hash for each in found.samplers if (model := each.model)]
        if not models:  # InvokeAI 4 and later
            models = [_json(texts.get("invokeai_metadata", "")).get("model", {}).get("name")]
        models = [quoted] if quoted else models
        prompts = [prompt.value for each in found.samplers for prompt in each.prompts]
        text = ", ".join(_names(prompts))
        return Parameters(str(found.generator.value), _names(models), text, _named(found.metadata))
    if stumble is not None:
        raise stumble
    return None


def _unquoted(text: str) -> tuple[str, str]:
    """Empty the quoted values of Automatic1111's settings, and return that of the model.

    sd-parsers splits at every comma, and fails at a second negative prompt.
    """
    words, mark, settings = text.rpartition("\nSteps: ")
    if not mark:
        return text, ""
    head, negative, rest = words.partition("\nNegative prompt:")
    head, rest = (each.replace("Negative prompt:", "Negative prompt") for each in (head, rest))
    found = re.search(f", Model: ({QUOTED.pattern})", settings)
    model = json.loads(found[1], strict=False) if found else ""
    return head + negative + rest + mark + QUOTED.sub("", settings), model


def _plain(texts: Mapping[str, str]) -> Parameters | None:
    """Read settings that are a JSON object, or a text each."""
    for told in (texts, *map(_json, texts.values())):
        settings = _named(told)
        for each in told.values():
            settings |= _named(each) if isinstance(each, dict) else {}
        for front, (sign, prompt, model) in PLAIN.items():
            if sign in settings and isinstance(settings.get(prompt), str):
                return Parameters(front, _names([settings.get(model)]), settings[prompt], settings)
    return None


def _named(settings: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name).lower().replace("_", " "): value for name, value in settings.items()}


def _names(values: list[Any]) -> tuple[str, ...]:
    """Keep each text once; anything else in a name's place is none."""
    return tuple(dict.fromkeys(each for each in values if isinstance(each, str) and each))
