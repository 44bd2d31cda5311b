"""Any text-to-image pipeline of diffusers as a candidate model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.generators import AUTOENCODERS, Failure, make_pictures, reconstruct, to_picture
from workbench.plugin import Plugin
from workbench.weights import device, inference, loading
from workbench.weights.checkpoint import Checkpoint, locate, resolve_class
from workbench.weights.repository import REUSED
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

LOADING = ("variant",)
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
    row's options, else the pipeline's own defaults. Other options of the row are handed
    to the pipeline's call by name. One CPU generator a picture draws its noise, so a picture
    depends on its own prompt and seed alone.

    >>> Diffusers(Checkpoint("pocket-sd", "generator", "", "/weights"), steps=10)
    Diffusers("pocket-sd", steps=10)
    """

    checkpoint: Checkpoint
    steps: int | tuple[int, ...] | None = None
    guidance: float | tuple[float, ...] | None = None
    revision: ClassVar[int] = 1

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image | Failure]:
        """Return one RGB image of the row's size, or a Failure, for each (prompt, seed).

        Raises ValueError for lengths that differ, an option the pipeline does not know or a decoder
        without its prior, LookupError when the weights are missing, and MemoryError and the like as
        they come.
        """
        stages = self.loaded()
        self._check_options(stages)
        settings = [self._settings(pipe, index) for index, pipe in enumerate(stages)]
        alone = any(_runs_alone(pipe) for pipe in stages)

        def make(chunk: list[tuple[str, int]]) -> list[Image | Failure]:
            return _cascade(stages, settings, chunk)

        return make_pictures(make, prompts, seeds, self.checkpoint, batch=1 if alone else None)

    def reconstruct(self, images: Sequence[Image]) -> list[Image | Failure]:
        """Return D(E(x)) at the row's size for each of N RGB images; a Failure without autoencoder.

        Raises LookupError when the weights are missing.
        """
        return reconstruct(self.loaded(), images, self.checkpoint)

    def loaded(self) -> list[Any]:
        """Return the pipeline of each stage; LookupError when the weights are missing."""
        return loading.load_weights(self.checkpoint, _load)

    def _settings(self, pipe: Any, stage: int) -> dict[str, Any]:
        """Choose the arguments of one stage's call."""
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
            chosen |= {"height": self.checkpoint.size, "width": self.checkpoint.size}
        if name == "LDMTextToImagePipeline" and chosen["eta"]:
            raise ValueError(
                f"eta must be 0 for {self.checkpoint.name!r}, whose pipeline draws further noise "
                f"from no seed; it is {chosen['eta']}"
            )
        found = {key: x for key, x in chosen.items() if key in known and x is not None}
        if "guidance_scale" in found and "guidance_schedule" in known:
            found["guidance_schedule"] = None  # of Ideogram 4, which takes the one or the other
        return found

    def _number(self, field: str) -> Any:
        """Return steps or guidance: the field, else the row's option, else None."""
        own = getattr(self, field)
        return self.checkpoint.option(field) if own is None else own

    def _numbers(self, field: str, pipe: Any, stage: int) -> dict[str, Any]:
        """Choose the numbers of one stage's `field` (steps, guidance) by what its call names so."""
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
        """Refuse options that no stage's call knows, and a first stage that needs another."""
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
    side = settings[-1].get("height")
    return [_picture(each, flag, side) for each, flag in zip(handed["image"], flagged, strict=True)]


def _call(pipe: Any, inputs: dict[str, Any], generators: list[Any]) -> Any:
    """Call a pipeline with one CPU generator a picture; ValueError where its own code fails.

    One that runs alone gets its one prompt and generator plain, under a set global seed. After an
    error its parts are as before: an autoencoder may have been cast, and parts moved to the GPU.
    """
    alone = _runs_alone(pipe)
    if alone:
        inputs = {n: x[0] if n == "prompt" else x for n, x in inputs.items()}
    elif isinstance(inputs.get("negative_prompt"), str):
        inputs = inputs | {"negative_prompt": [inputs["negative_prompt"]] * len(generators)}
    if not _draws_globally(pipe):
        inputs = inputs | {"generator": generators[0] if alone else generators}
    makers = [found for name in AUTOENCODERS if (found := getattr(pipe, name, None)) is not None]
    before = [each.dtype for each in makers]
    with inference.seeded(generators[0].initial_seed()) if alone else nullcontext():
        try:
            return pipe(**inputs)
        except BaseException as error:
            for each, dtype in zip(makers, before, strict=True):
                each.to(dtype)
            pipe.maybe_free_model_hooks()
            if isinstance(error, (TypeError, AttributeError, KeyError, ImportError)):
                raise ValueError(f"{type(pipe).__name__} stopped at {error!r}") from error
            raise


def _picture(array: Any, flagged: bool, side: int | None) -> Image | Failure:
    """Turn (H, W, 3) values in [0, 1], or 4 with alpha, into an RGB image, or say why it is none.

    `side`: the pixels asked for, where the pipeline takes a size.
    """
    if flagged:
        return Failure("the model's safety checker blacked the picture")
    height, width, *rest = array.shape
    if rest not in ([3], [4]) or side not in (None, height) or side not in (None, width):
        seen = " x ".join(map(str, array.shape))
        return Failure(f"the model answers {seen} values, which is no picture of the row's size")
    return to_picture(array)


def _words(field: str, pipe: Any) -> list[str]:
    """Tell what the call of a pipeline names its steps or guidance."""
    table = STEPS if field == "steps" else GUIDANCE
    return table.get(type(pipe).__name__, table[""])


def _runs_alone(pipe: Any) -> bool:
    """Tell pipelines whose pictures may depend on what else is in the call."""
    return type(pipe).__name__ not in IN_COMPANY


def _draws_globally(pipe: Any) -> bool:
    """Tell pipelines whose noise no list of generators governs."""
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
        how = {name: checkpoint.option(name) for name in LOADING if checkpoint.option(name)}
        how |= {"dtype": device.dtype(checkpoint), **safe_loader_kwargs(checkpoint)}
        try:
            config = DiffusionPipeline.load_config(folder, local_files_only=True)
            moved = _moved(folder, config, how)
            left = REUSED.get(config["_class_name"], ()) if index else ()
            kind = DiffusionPipeline if index else first
            pipe = kind.from_pretrained(folder, **how, **dict.fromkeys([*moved, *left]))
            pipe.register_modules(**moved)
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
    return pipes


def _moved(folder: str, config: dict[str, Any], how: dict[str, Any]) -> dict[str, Any]:
    """Load the parts whose class diffusers moved to `DEPRECATED`, and no longer finds itself."""
    from diffusers import pipelines
    from diffusers.pipelines import deprecated

    parts = {}
    for name, value in config.items():
        home, kind = map(str, value if isinstance(value, list) and len(value) == 2 else ("", ""))
        if hasattr(deprecated, home) and not hasattr(pipelines, home):
            made: Any = resolve_class(f"{DEPRECATED}.{home}.{kind}")
            parts[name] = made.from_pretrained(folder, subfolder=name, **how)
    return parts
