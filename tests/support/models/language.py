"""Tiny diffusion transformers that read with a language model."""

from __future__ import annotations

import string
from pathlib import Path

from tests.support.models.parts import (
    SIZE,
    autoencoder,
    flow,
    flow_autoencoder,
    loud,
    of_diffusers,
    save,
)

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _gemma():
    from transformers import Gemma2Config, Gemma2Model, GemmaTokenizer

    special = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁")
    words = [*special, *string.ascii_letters, *string.digits, *string.punctuation, "\n"]
    tokenizer = GemmaTokenizer(vocab={word: number for number, word in enumerate(words)})
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.5,
    )
    return tokenizer, Gemma2Model(config)


def _qwen_tokenizer():
    from tokenizers import pre_tokenizers
    from transformers import Qwen2Tokenizer

    words = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Qwen2Tokenizer(vocab={word: number for number, word in enumerate(words)})
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHAT
    return tokenizer


def _byte_tokenizer(*special: str, start: tuple[str, ...] = ()):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: number for number, word in enumerate([*special, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if start:
        begin = [(word, vocabulary[word]) for word in start]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[*start, "$A"], special_tokens=begin
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=special[0],
        eos_token=special[0],
        additional_special_tokens=list(special[1:]),
        padding_side="left",
    )


def _decoder(tokenizer, **fields):
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "initializer_range": 0.5,
    }
    return shape | fields


def _flux_2(path: Path) -> None:
    from diffusers import AutoencoderKLFlux2, Flux2Pipeline, Flux2Transformer2DModel
    from transformers import (
        Mistral3Config,
        Mistral3ForConditionalGeneration,
        PixtralImageProcessor,
        PixtralProcessor,
    )

    tokens = ("[IMG]", "[IMG_BREAK]", "[IMG_END]", "<|im_start|>", "<|im_end|>")
    tokenizer = _byte_tokenizer("<pad>", *tokens)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    tower |= {"num_attention_heads": 2, "head_dim": 8, "image_size": 32, "patch_size": 8}
    config = Mistral3Config(
        text_config=_decoder(tokenizer, model_type="mistral", sliding_window=None),
        vision_config=tower | {"model_type": "pixtral"},
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
    )
    processor = PixtralProcessor(
        PixtralImageProcessor(), tokenizer, patch_size=8, chat_template=CHAT
    )
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 4, 4, 4),
    )
    vae = AutoencoderKLFlux2(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=SIZE,
    )
    pipeline = Flux2Pipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=Mistral3ForConditionalGeneration(config),
        tokenizer=processor,
        transformer=loud(transformer),
    )
    save(pipeline, path)


def _sana(path: Path) -> None:
    from diffusers import (
        AutoencoderDC,
        DPMSolverMultistepScheduler,
        SanaPipeline,
        SanaTransformer2DModel,
    )

    tokenizer, text_encoder = _gemma()
    transformer = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=16,
        sample_size=SIZE // 2,
    )
    vae = AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=4,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        scaling_factor=0.4,
    )
    pipeline = SanaPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae,
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )
    save(pipeline, path)


def _lumina_2(path: Path) -> None:
    from diffusers import Lumina2Pipeline, Lumina2Transformer2DModel

    tokenizer, text_encoder = _gemma()
    transformer = Lumina2Transformer2DModel(
        sample_size=SIZE // 8,
        in_channels=4,
        hidden_size=24,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=1,
        num_kv_heads=1,
        multiple_of=8,
        axes_dim_rope=(8, 8, 8),
        cap_feat_dim=16,
    )
    pipeline = Lumina2Pipeline(
        transformer=transformer,
        scheduler=flow(),
        vae=flow_autoencoder(4),  # the class takes it for granted that pictures shrink to 1/8
        text_encoder=text_encoder,
        tokenizer=tokenizer,
    )
    save(pipeline, path)


def _qwen_image(path: Path) -> None:
    from diffusers import AutoencoderKLQwenImage, QwenImagePipeline, QwenImageTransformer2DModel
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = _qwen_tokenizer()
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6}
    config = Qwen2_5_VLConfig(
        text_config=_decoder(tokenizer, rope_parameters=rope),
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 16,
        },
    )
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    vae = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    pipeline = QwenImagePipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=tokenizer,
        transformer=loud(transformer),
    )
    save(pipeline, path)


def _z_image(path: Path) -> None:
    import torch
    from diffusers import ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = _qwen_tokenizer()
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    torch.nn.init.normal_(transformer.x_pad_token)  # the class leaves both unset
    torch.nn.init.normal_(transformer.cap_pad_token)
    pipeline = ZImagePipeline(
        scheduler=flow(shift=3.0),
        vae=flow_autoencoder(2),
        text_encoder=Qwen3Model(Qwen3Config(**_decoder(tokenizer))),
        tokenizer=tokenizer,
        transformer=transformer,
    )
    save(pipeline, path)


def _cogview_4(path: Path) -> None:
    from diffusers import CogView4Pipeline, CogView4Transformer2DModel
    from transformers import GlmConfig, GlmModel

    tokenizer = _byte_tokenizer("<|endoftext|>", "[gMASK]", "<sop>", start=("[gMASK]", "<sop>"))
    transformer = CogView4Transformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        text_embed_dim=16,
        time_embed_dim=8,
        condition_dim=4,
        rope_axes_dim=(16, 16),
    )
    pipeline = CogView4Pipeline(
        tokenizer=tokenizer,
        text_encoder=GlmModel(GlmConfig(**_decoder(tokenizer))),
        vae=autoencoder(2),
        transformer=transformer,
        scheduler=flow(
            base_shift=0.25, max_shift=0.75, use_dynamic_shifting=True, time_shift_type="linear"
        ),
    )
    save(pipeline, path)


MODELS = {
    "tiny-flux-2": of_diffusers("Flux2Pipeline", _flux_2, text_encoder_out_layers=(1, 2)),
    "tiny-sana": of_diffusers(
        "SanaPipeline",
        _sana,
        guidance=3.0,
        use_resolution_binning=False,
        complex_human_instruction=["Answer in", "detail: "],
    ),
    "tiny-lumina-2": of_diffusers("Lumina2Pipeline", _lumina_2, guidance=3.0),
    "tiny-qwen-image": of_diffusers("QwenImagePipeline", _qwen_image, guidance=3.0),
    "tiny-z-image": of_diffusers("ZImagePipeline", _z_image, guidance=3.0),
    "tiny-cogview-4": of_diffusers("CogView4Pipeline", _cogview_4, guidance=3.0),
}
