"""Any text-to-image pipeline of diffusers as a candidate model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.generators import (
    AUTOENCODERS,
    BLACKED,
    Failure,
    make_pictures,
    paired,
    reconstruct,
    to_picture,
)
from workbench.generators._limits import hushed, unread
from workbench.generators._sides import draws, pixels
from workbench.plugin import Plugin
from workbench.weights import compiling, device, inference, loading, quantising
from workbench.weights.checkpoint import Checkpoint, check_parts, locate, resolve_class
from workbench.weights.repository import REUSED, variant_in
from workbench.weights.safety import safe_loader_kwargs

if TYPE_CHECKING:
    from PIL.Image import Image

IN_COMPANY = (
    "AuraFlowPipeline",
    "Flux2Pipeline",
    "FluxPipeline",
    "HunyuanDiTPipeline",
    "IFPipeline",
    "IFSuperResolutionPipeline",
    "KandinskyPipeline",
    "KandinskyPriorPipeline",
    "KandinskyV22Pipeline",
    "KandinskyV22PriorPipeline",
    "LDMTextToImagePipeline",
    "LatentConsistencyModelPipeline",
    "PixArtAlphaPipeline",
    "PixArtSigmaPipeline",
    "SanaPipeline",
    "StableCascadeDecoderPipeline",
    "StableCascadePriorPipeline",
    "StableDiffusion3Pipeline",
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "UnCLIPPipeline",
)
"""Classes shown to paint each prompt of a call as if alone. All others get one a call: they may pad
prompts to the longest, take one prompt, or draw from torch's global generator, which is seeded."""

OF_ONE_PROMPT = (
    "CogView4Pipeline",
    "Lumina2Pipeline",
    "QwenImagePipeline",
    "ZImagePipeline",
)
"""Classes that pad prompts to the longest of a call, and draw from each picture's generator alone:
on a GPU candidate images of one prompt go together. On the CPU they stay alone, bit for bit."""

GLOBAL_SEED = ("AmusedPipeline", "VQDiffusionPipeline")
"""Classes that take a generator and fail with it, or draw elsewhere too: the global one alone."""

STEPS = {
    "": ["num_inference_steps"],
    "UnCLIPPipeline": [f"{x}_num_inference_steps" for x in ("prior", "decoder", "super_res")],
}
"""What a class calls its steps, "" every other one: each name may get its own number."""

GUIDANCE = {
    "": ["guidance_scale"],
    "QwenImage21Pipeline": ["true_cfg_scale"],
    "QwenImagePipeline": ["true_cfg_scale"],
    "UnCLIPPipeline": ["prior_guidance_scale", "decoder_guidance_scale"],
}
"""What a class calls its guidance."""

PRIORS = {
    "KandinskyPriorPipeline": ("image_embeds", "negative_image_embeds"),
    "KandinskyV22PriorPipeline": ("image_embeds", "negative_image_embeds"),
    "StableCascadePriorPipeline": ("image_embeddings",),
    "WuerstchenPriorPipeline": ("image_embeddings",),
}
"""Classes that make no picture, and what of their answer the next stage takes in its place."""

DEPRECATED = "diffusers.pipelines.deprecated"
"""Where diffusers keeps classes whose published pipelines name a home that is no more."""

ARGUMENTS = {
    "QwenImage21Pipeline": {"negative_prompt": " "},
    "QwenImagePipeline": {"negative_prompt": " "},
}
"""What a class is told unless the row says else: without it, these do not guide."""

LOADING = ("compile", "quantise", "safety_checker", "variant")
"""Options of a row that the loader takes, not the call."""

RESERVED = (
    *("prompt", "generator", "image", "height", "width"),
    *("num_images_per_prompt", "output_type", "return_dict"),
)

REWRITING = {
    "caption_upsample_temperature": None,
    "enable_prompt_rewrite": False,
    "prompt_upsampling": False,
    "use_pe": False,
}
"""Arguments that let a language model rewrite the prompt, and what keeps it from that."""


@dataclass(frozen=True, repr=False)
class Diffusers(Plugin):
    """Make pictures with a diffusers pipeline, or a cascade of them (the row's `stages`).

    `steps` and `guidance` are a number, or a tuple with one number a stage (for UnCLIP, which is a
    cascade in one, a number for each of `STEPS` and `GUIDANCE`); left None they are the catalogue
    row's options, else the pipeline's own defaults. The option `safety_checker`, false, leaves out
    what else blacks pictures; `compile`, true or a backend of torch.compile, compiles what
    denoises. Other options of the row are handed to the pipeline's call by name.
    One CPU generator a picture draws its noise, so a picture depends on its own prompt and seed
    alone. `bucket` is the width and height to draw, in eighths of the row's size (`shaped`).

    >>> Diffusers(Checkpoint("pocket-sd", "generator", "", "/weights"), steps=10)
    Diffusers("pocket-sd", steps=10)
    """

    checkpoint: Checkpoint
    steps: int | tuple[int, ...] | None = None
    guidance: float | tuple[float, ...] | None = None
    bucket: tuple[int, int] = (8, 8)
    revision: ClassVar[int] = 1

    @staticmethod
    def packages(row: Checkpoint) -> dict[str, str]:
        """Return the module that a row needs besides, and what pip calls it; {} for most."""
        return quantising.packages(row)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image | Failure]:
        """Return one RGB image of its sides, or a Failure, for each (prompt, seed).

        Raises ValueError for lengths that differ, an option the pipeline does not know or a decoder
        without its prior, LookupError when the weights are missing, and MemoryError and the like as
        they come.
        """
        stages = self.loaded()
        self._check_options(stages)
        settings = [self._settings(pipe, index) for index, pipe in enumerate(stages)]
        alone = any(_runs_alone(pipe) for pipe in stages)

        def make(chunk: list[tuple[str, int]]) -> list[Image | Failure]:
            with hushed():
                return _cascade(stages, settings, chunk)

        if alone and device.kind() != "cpu" and all(map(_takes_one_prompt, stages)):
            return _by_prompt(make, prompts, seeds, self.checkpoint)
        return make_pictures(make, prompts, seeds, self.checkpoint, batch=1 if alone else None)

    def unread(self, prompts: Sequence[str]) -> list[int | None]:
        """Return how many tokens of each prompt the model does not read; None: not known."""
        return unread(self.checkpoint, prompts)

    def reconstruct(self, images: Sequence[Image]) -> list[Image | Failure]:
        """Return D(E(x)) at the row's size for each of N RGB images; a Failure without autoencoder.

        Raises LookupError when the weights are missing.
        """
        return reconstruct(self.loaded(), images, self.checkpoint)

    def shaped(self, bucket: tuple[int, int]) -> Diffusers | None:
        """Return the same model drawing in a bucket; None where it cannot."""
        return replace(self, bucket=bucket) if draws(self.checkpoint, bucket) else None

    def loaded(self) -> list[Any]:
        """Return the pipeline of each stage; LookupError when the weights are missing."""
        return loading.load_weights(self.checkpoint, _load)

    def _settings(self, pipe: Any, stage: int) -> dict[str, Any]:
        """Return the arguments of one stage's call."""
        name, options = type(pipe).__name__, dict(self.checkpoint.options)
        chosen: dict[str, Any] = {
            "clean_caption": False,  # else it depends on which other packages are installed
            "eta": 0.0,
            **self._numbers("steps", pipe, stage),
            **self._numbers("guidance", pipe, stage),
            **ARGUMENTS.get(name, {}),
            **options,
            **REWRITING,
        }
        known = inspect.signature(pipe.__call__).parameters
        last = stage == max(len(self.checkpoint.stages) - 1, 0)
        if "height" in known and (last or name in PRIORS):
            sides = pixels(self.checkpoint.size, self.bucket)
            chosen |= dict(zip(("width", "height"), sides, strict=True))
        if name == "LDMTextToImagePipeline" and chosen["eta"]:
            raise ValueError(
                f"eta must be 0 for {self.checkpoint.name!r}, whose pipeline draws further noise "
                f"from no seed; it is {chosen['eta']}"
            )
        arguments = {key: x for key, x in chosen.items() if key in known and x is not None}
        if "guidance_scale" in arguments and "guidance_schedule" in known:
            arguments["guidance_schedule"] = None  # of Ideogram 4, which takes the one or the other
        return arguments

    def _number(self, field: str) -> Any:
        """Return steps or guidance: the field, else the row's option, else None."""
        own = getattr(self, field)
        return self.checkpoint.option(field) if own is None else own

    def _numbers(self, field: str, pipe: Any, stage: int) -> dict[str, Any]:
        """Return one stage's `field` (steps, guidance) under the names its call has for it."""
        row, value, names = self.checkpoint, self._number(field), _words(field, pipe)
        if not isinstance(value, tuple):
            return dict.fromkeys(names, value)
        count = len(names) if len(names) > 1 else len(row.stages) or 1
        if len(value) != count:
            raise ValueError(
                f"the {field} of {row.name!r} should be one number, or {count}; seen {value}"
            )
        return dict(zip(names, value, strict=True)) if len(names) > 1 else {names[0]: value[stage]}

    def _check_options(self, stages: list[Any]) -> None:
        """Raise ValueError for options that no stage takes, or a first stage that needs another."""
        first = inspect.signature(stages[0].__call__).parameters
        needs = [n for n, p in first.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        needs = [n for n in needs if n != "prompt" and first[n].default is inspect.Parameter.empty]
        if needs:
            raise ValueError(
                f"{self.checkpoint.name!r} cannot run by itself: {type(stages[0]).__name__} needs "
                f"{', '.join(needs)}; name the folder or id of what makes them, then its own, "
                "as stages of the row"
            )
        if "prompt" not in first:
            raise ValueError(
                f"{self.checkpoint.name!r} cannot paint a prompt: {type(stages[0]).__name__} "
                "takes none"
            )
        known = {name for pipe in stages for name in inspect.signature(pipe.__call__).parameters}
        for field in ("steps", "guidance"):
            words = {word for pipe in stages for word in _words(field, pipe)}
            if words & known:
                known.add(field)
            elif self._number(field) is not None:
                raise ValueError(
                    f"{self.checkpoint.name!r} takes no {field}: {type(stages[0]).__name__} has no "
                    f"{' or '.join(sorted(words))}"
                )
        known = (known | {*LOADING}) - {*RESERVED, *REWRITING}
        for name, _ in self.checkpoint.options:
            if name not in known:
                raise ValueError(
                    f"{self.checkpoint.name!r} has no option {name!r}; "
                    f"there are: {', '.join(sorted(known))}"
                )


def _by_prompt(
    make: Callable[[list[tuple[str, int]]], list[Image | Failure]],
    prompts: Sequence[str],
    seeds: Sequence[int],
    checkpoint: Checkpoint,
) -> list[Image | Failure]:
    """Make pictures, those of one prompt in a call; return them in the order asked for."""
    places: dict[str, list[int]] = {}
    for place, (prompt, _) in enumerate(paired(prompts, seeds)):
        places.setdefault(prompt, []).append(place)
    pictures: dict[int, Image | Failure] = {}
    for prompt, some in places.items():
        own = [seeds[place] for place in some]
        answers = make_pictures(make, [prompt] * len(some), own, checkpoint)
        pictures |= dict(zip(some, answers, strict=True))
    return [pictures[place] for place in range(len(prompts))]


def _cascade(
    stages: list[Any], settings: list[dict[str, Any]], chunk: list[tuple[str, int]]
) -> list[Image | Failure]:
    """Run one chunk through every stage: B (prompt, seed) pairs in, B pictures out."""
    import torch

    prompts = [prompt for prompt, _ in chunk]
    generators = [torch.Generator("cpu").manual_seed(seed) for _, seed in chunk]
    flagged = [False] * len(chunk)
    handed: dict[str, Any] = {}
    for pipe, setting in zip(stages, settings, strict=True):
        last = pipe is stages[-1]
        inputs: dict[str, Any] = {"prompt": prompts, **handed}
        if "prompt" not in inspect.signature(pipe.__call__).parameters:
            inputs = handed
        elif handed and getattr(pipe, "text_encoder", pipe) is None:
            embeds, negative = stages[0].encode_prompt(prompts, clean_caption=False)
            stages[0].maybe_free_model_hooks()
            inputs = {"prompt_embeds": embeds, "negative_prompt_embeds": negative, **handed}
        setting = setting | {"output_type": "np" if last else "pt"}
        output = _call(pipe, inputs | setting, generators)
        answer = PRIORS.get(type(pipe).__name__)
        handed = {name: output[name] for name in answer} if answer else {"image": output[0]}
        for name in ("nsfw_content_detected", "nsfw_detected", "watermark_detected"):
            flags = getattr(output, name, None) or [False] * len(chunk)
            flagged = [a or bool(b) for a, b in zip(flagged, flags, strict=True)]
    sides = settings[-1].get("height"), settings[-1].get("width")
    return [
        _picture(values, flag, sides) for values, flag in zip(handed["image"], flagged, strict=True)
    ]


def _call(pipe: Any, inputs: dict[str, Any], generators: list[Any]) -> Any:
    """Call a pipeline with one CPU generator a picture; ValueError where its own code fails.

    One picture of a class that runs alone gets its prompt and generator plain, under a set global
    seed. After an error its parts are as before: an autoencoder may have been cast, and parts
    moved to the GPU.
    """
    alone = _runs_alone(pipe) and len(generators) == 1
    if alone:
        inputs = {n: x[0] if n == "prompt" else x for n, x in inputs.items()}
    elif isinstance(inputs.get("negative_prompt"), str):
        inputs = inputs | {"negative_prompt": [inputs["negative_prompt"]] * len(generators)}
    if not _draws_globally(pipe):
        inputs = inputs | {"generator": generators[0] if alone else generators}
    makers = [part for name in AUTOENCODERS if (part := getattr(pipe, name, None)) is not None]
    before = [maker.dtype for maker in makers]
    with inference.seeded(generators[0].initial_seed()) if alone else nullcontext():
        try:
            return pipe(**inputs)
        except BaseException as error:
            for maker, dtype in zip(makers, before, strict=True):
                maker.to(dtype)
            pipe.maybe_free_model_hooks()
            if isinstance(error, (TypeError, AttributeError, KeyError, ImportError)):
                raise ValueError(f"{type(pipe).__name__} stopped at {error!r}") from error
            raise


def _picture(array: Any, flagged: bool, sides: tuple[int | None, ...]) -> Image | Failure:
    """Return (H, W, 3) values in [0, 1], or 4 with alpha, as an RGB image, or a Failure.

    `sides`: height and width asked for, where the pipeline takes them.
    """
    if flagged:
        return Failure(BLACKED)
    rest = [*array.shape[2:]]
    other = any(side not in (None, seen) for side, seen in zip(sides, array.shape[:2], strict=True))
    if rest not in ([3], [4]) or other:
        seen = " x ".join(map(str, array.shape))
        return Failure(f"the model answers {seen} values, which is no picture of the row's size")
    return to_picture(array)


def _words(field: str, pipe: Any) -> list[str]:
    """Return the argument names of a pipeline's steps or guidance."""
    table = STEPS if field == "steps" else GUIDANCE
    return table.get(type(pipe).__name__, table[""])


def _runs_alone(pipe: Any) -> bool:
    """Return whether a picture of the pipeline may depend on the others in its call."""
    return type(pipe).__name__ not in IN_COMPANY


def _takes_one_prompt(pipe: Any) -> bool:
    """Return whether pictures of one prompt may share a call of the pipeline."""
    return type(pipe).__name__ in (*IN_COMPANY, *OF_ONE_PROMPT)


def _draws_globally(pipe: Any) -> bool:
    """Return whether the pipeline draws noise that no list of generators governs."""
    parameters = inspect.signature(pipe.__call__).parameters
    return type(pipe).__name__ in GLOBAL_SEED or "generator" not in parameters


def _load(checkpoint: Checkpoint) -> list[Any]:
    """Load the pipeline of each stage, ready to infer, without watermark or progress bar."""
    from diffusers import DiffusionPipeline

    first: Any = resolve_class(checkpoint.class_name or "diffusers.DiffusionPipeline")
    if first.__name__ == "LDMTextToImagePipeline":
        first = DiffusionPipeline  # the text encoder resolves only through the base
    pipes = []
    for index, stage in enumerate(checkpoint.stages or ("",)):
        folder = locate(checkpoint, stage)
        variant = checkpoint.option("variant") or variant_in(Path(folder), checkpoint.dtype)
        how: dict[str, Any] = {"variant": variant} if variant else {}
        how |= {"dtype": device.dtype(checkpoint), **safe_loader_kwargs(checkpoint)}
        try:
            config = DiffusionPipeline.load_config(folder, local_files_only=True)
            check_parts(config)
            moved = _moved(folder, config, how)
            left = REUSED.get(config["_class_name"], ()) if index else ()
            kind = DiffusionPipeline if index else first
            how_here = {**how, **_unchecked(checkpoint, config)}
            how_here |= quantising.arguments(checkpoint, config)
            pipe = kind.from_pretrained(folder, **how_here, **dict.fromkeys([*moved, *left]))
            pipe.register_modules(**moved)
            quantising.cast(pipe, checkpoint)
        except OSError as error:
            variants = [x.suffixes[0][1:] for x in Path(folder).glob("*/*.*.safetensors")]
            if variants and "variant" not in how and "no file named" in str(error):
                raise ValueError(
                    "of a part there is a variant alone; write "
                    f'variant = "{variants[0]}" into the options of the row'
                ) from error
            raise
        for part in ("watermark", "watermarker"):  # an installed extra must not change pictures
            if getattr(pipe, part, None) is not None:
                setattr(pipe, part, None)
        if hasattr(pipe, "bert"):  # else it asks its config, which warns on every user's screen
            pipe.bert.forward = partial(pipe.bert.forward, return_dict=True)
        pipe.set_progress_bar_config(disable=True)
        if device.kind() != "cpu" and hasattr(getattr(pipe, "vae", None), "enable_slicing"):
            pipe.vae.enable_slicing()  # decoding a batch at once takes more than all the rest
        for module in pipe.components.values():
            if hasattr(module, "eval"):
                module.eval()
        pipes.append(pipe)
    loading.place(pipes, checkpoint)
    compiling.compile_parts(pipes, checkpoint)
    return pipes


def _unchecked(checkpoint: Checkpoint, config: dict[str, Any]) -> dict[str, Any]:
    """Return what keeps a pipeline's safety checker out, where the row's option says so."""
    wanted = checkpoint.option("safety_checker", True)
    if not isinstance(wanted, bool):
        raise ValueError(f"its option safety_checker is true or false; seen {wanted!r}")
    off = {"safety_checker": None, "requires_safety_checker": False}
    return {} if wanted else {name: value for name, value in off.items() if name in config}


def _moved(folder: str, config: dict[str, Any], how: dict[str, Any]) -> dict[str, Any]:
    """Load the parts whose class diffusers moved to `DEPRECATED`, and no longer finds itself."""
    from diffusers import pipelines
    from diffusers.pipelines import deprecated

    parts = {}
    for name, value in config.items():
        home, kind = map(str, value if isinstance(value, list) and len(value) == 2 else ("", ""))
        if hasattr(deprecated, home) and not hasattr(pipelines, home):
            part_class: Any = resolve_class(f"{DEPRECATED}.{home}.{kind}")
            parts[name] = part_class.from_pretrained(folder, subfolder=name, **how)
    return parts
