"""Tiny captioning and chat models of the real classes.

Their weights start far apart, so that an untrained model says different things of different
pictures; tokenizers know single letters.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.models.parts import SIZE, Model, bert_tokenizer

CAPTIONER = "workbench.inverters.captioner.Captioner"


CHAT = "workbench.inverters.chat.Chat"


SPREAD = 0.5
"""The initializer range that makes untrained towers see differences."""


TOWER = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": SPREAD,
}


VISION = TOWER | {"image_size": SIZE, "patch_size": 8}


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {% for part in m.content %}"
    "{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}{% endfor %}\n"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


def _letters(*special: str, start: bool = False, **named: str):
    """Make a tokenizer of single letters; `named` are special tokens that it has as attributes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    first = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = string.ascii_letters + string.digits + string.punctuation + "ĠĊ"
    vocabulary = {word: number for number, word in enumerate([*first, *letters])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    if start:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, **names, extra_special_tokens=named or None
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    return tokenizer


def _text(tokenizer, **fields):
    """Size a language model for a tokenizer."""
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "pad_token_id")}
    ids["eos_token_id"] = tokenizer.eos_token_id
    return TOWER | ids | {"vocab_size": len(tokenizer), "max_position_embeddings": 512} | fields


def _pixels(kind: str = "CLIPImageProcessor", **fields):
    import transformers

    sides = {"height": SIZE, "width": SIZE}
    return getattr(transformers, kind)(**({"size": sides, "crop_size": sides} | fields))


def _save(model, processor, path: Path) -> None:
    model.half().save_pretrained(path)
    processor.save_pretrained(path)


def _blip(path: Path) -> None:
    from transformers import (
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    tokenizer = bert_tokenizer(32)
    tower = {"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4}
    text = tower | {
        "vocab_size": len(tokenizer),
        "num_hidden_layers": 2,
        "max_position_embeddings": 32,
        "encoder_hidden_size": 32,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.2,  # an untrained decoder that says different things
    }
    vision = tower | {
        "num_hidden_layers": 2,
        "image_size": SIZE,
        "patch_size": 8,
        "initializer_range": 0.5,
    }
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=32)
    model = BlipForConditionalGeneration(config)
    model.half().save_pretrained(path, safe_serialization=True)
    processor = BlipImageProcessor(size={"height": SIZE, "width": SIZE})
    BlipProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(path)


def _git(path: Path) -> None:
    from transformers import GitConfig, GitForCausalLM, GitProcessor

    tokenizer = bert_tokenizer(32)
    ids = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    config = GitConfig(
        vision_config=VISION,
        **(TOWER | ids),
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=64,
    )
    _save(GitForCausalLM(config), GitProcessor(_pixels(), tokenizer), path)


def _blip2(path: Path) -> None:
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, OPTConfig

    tokenizer = _letters(start=True)
    processor = Blip2Processor(_pixels("BlipImageProcessor"), tokenizer, num_query_tokens=4)
    text = _text(tokenizer, ffn_dim=37, word_embed_proj_dim=32, init_std=SPREAD)
    text.pop("intermediate_size")
    config = Blip2Config(
        vision_config=VISION,
        qformer_config=TOWER | {"encoder_hidden_size": 32, "cross_attention_frequency": 1},
        text_config=OPTConfig(**text),
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = Blip2ForConditionalGeneration(config)
    model.query_tokens.data.normal_()
    _save(model, processor, path)


def _kosmos_2(path: Path) -> None:
    from transformers import Kosmos2Config, Kosmos2ForConditionalGeneration, Kosmos2Processor

    tokenizer = _letters()
    processor = Kosmos2Processor(_pixels(), tokenizer)
    text = _text(tokenizer)
    config = Kosmos2Config(
        vision_config=VISION | {"initializer_factor": 8.0},
        text_config={
            "embed_dim": 32,
            "ffn_dim": 37,
            "layers": 2,
            "attention_heads": 4,
            "init_std": 1.0,
            **{name: text[name] for name in text if "token_id" in name or name == "vocab_size"},
        },
    )
    model = Kosmos2ForConditionalGeneration(config)
    marks = len(processor.tag_tokens) + processor.num_patch_index_tokens
    words = model.get_input_embeddings().weight.data
    words *= 0.1  # a word must not only lead to itself
    words[-marks:] *= 0.1  # marks are far more than letters
    _save(model, processor, path)


def _florence_2(path: Path) -> None:
    from transformers import (
        BartConfig,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    tokenizer = _letters(image_token="<image>")
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    layers = {"encoder_layers": 2, "decoder_layers": 2}
    text = _text(
        tokenizer,
        d_model=32,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        init_std=SPREAD,
        decoder_start_token_id=tokenizer.eos_token_id,
        **heads,
        **layers,
    )
    for name in TOWER:
        text.pop(name)
    config = Florence2Config(
        text_config=BartConfig(**text),
        vision_config={
            "depths": [1, 1],
            "patch_size": [7, 3],
            "patch_stride": [4, 2],
            "patch_padding": [3, 1],
            "patch_prenorm": [False, True],
            "embed_dim": [16, 32],
            "num_heads": [2, 4],
            "num_groups": [2, 4],
            "window_size": 4,
            "projection_dim": 32,
            "initializer_range": SPREAD,
        },
        image_token_id=tokenizer.image_token_id,
    )
    pixels = _pixels()
    pixels.image_seq_length = (SIZE // 8) ** 2 + 1
    model = Florence2ForConditionalGeneration(config)
    model.generation_config.forced_eos_token_id = tokenizer.eos_token_id
    _save(model, Florence2Processor(pixels, tokenizer), path)


def _llava(path: Path) -> None:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = _letters(image_token="<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**_text(tokenizer)),
        image_token_index=tokenizer.image_token_id,
    )
    processor = LlavaProcessor(
        _pixels(),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )
    _save(LlavaForConditionalGeneration(config), processor, path)


def _qwen(path: Path, kind: str, processor_kind: str, **vision) -> None:
    import transformers

    tokenizer = _letters("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    config = getattr(transformers, f"{kind}Config")(
        text_config=_text(tokenizer, num_key_value_heads=4, head_dim=8, rope_parameters=rope),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 37,
            "num_heads": 4,
            "patch_size": 8,
            "out_hidden_size": 32,
            "initializer_range": SPREAD,
            **vision,
        },
        **ids,
    )
    side = {"shortest_edge": SIZE**2, "longest_edge": (2 * SIZE) ** 2}
    pixels = transformers.Qwen2VLImageProcessor(patch_size=8, size=side)
    processor = getattr(transformers, f"{processor_kind}Processor")(
        pixels,
        tokenizer,
        getattr(transformers, VIDEO[kind])(patch_size=8),
        chat_template=TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    model = getattr(transformers, f"{kind}ForConditionalGeneration")(config)
    model.generation_config.update(do_sample=True, temperature=0.7, top_p=0.8, top_k=20)
    _save(model, processor, path)


VIDEO = {"Qwen3VL": "Qwen3VLVideoProcessor", "Qwen2_5_VL": "Qwen2VLVideoProcessor"}


def _qwen3_vl(path: Path) -> None:
    _qwen(path, "Qwen3VL", "Qwen3VL", num_position_embeddings=16, deepstack_visual_indexes=[0])


def _qwen2_5_vl(path: Path) -> None:
    _qwen(path, "Qwen2_5_VL", "Qwen2_5_VL", window_size=32, fullatt_block_indexes=[1])


def _smolvlm(path: Path) -> None:
    from transformers import (
        LlamaConfig,
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    tokenizer = _letters(
        "<global-img>",
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        end_of_utterance_token="<end_of_utterance>",
    )
    config = SmolVLMConfig(
        vision_config=VISION,
        text_config=LlamaConfig(**_text(tokenizer)),
        image_token_id=tokenizer.image_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    side = {"longest_edge": SIZE}
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(size={"longest_edge": 2 * SIZE}, max_image_size=side),
        tokenizer,
        SmolVLMVideoProcessor(size=side, max_image_size=side),
        image_seq_len=4,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )
    _save(SmolVLMForConditionalGeneration(config), processor, path)


def _captioner(kind: str, write: Callable[[Path], None], **options: Any) -> Model:
    return Model("inverter", CAPTIONER, f"transformers.{kind}", write, options)


def _chat(kind: str, write: Callable[[Path], None], **options: Any) -> Model:
    return Model("inverter", CHAT, f"transformers.{kind}", write, options)


MODELS = {
    "tiny-blip": Model(
        "inverter",
        "workbench.inverters.blip.Blip",
        "transformers.BlipForConditionalGeneration",
        _blip,
        options={"max_length": 12},
    ),
    "tiny-git": _captioner("GitForCausalLM", _git, max_length=8),
    "tiny-blip2": _captioner("Blip2ForConditionalGeneration", _blip2, max_length=8),
    "tiny-kosmos-2": _captioner(
        "Kosmos2ForConditionalGeneration", _kosmos_2, max_length=8, prompt="<grounding>An image of"
    ),
    "tiny-florence-2": _captioner(
        "Florence2ForConditionalGeneration", _florence_2, max_length=8, prompt="<CAPTION>"
    ),
    "tiny-llava": _chat("LlavaForConditionalGeneration", _llava, max_new_tokens=8),
    "tiny-qwen3-vl": _chat("Qwen3VLForConditionalGeneration", _qwen3_vl, max_new_tokens=8),
    "tiny-qwen2-5-vl": _chat("Qwen2_5_VLForConditionalGeneration", _qwen2_5_vl, max_new_tokens=8),
    "tiny-smolvlm": _chat("SmolVLMForConditionalGeneration", _smolvlm, max_new_tokens=8),
}
