"""Tiny diffusion transformers that read with CLIP, T5 or BERT."""

from __future__ import annotations

from pathlib import Path

from tests.support.models.parts import (
    SIZE,
    UNCHECKED,
    autoencoder,
    bert_tokenizer,
    clip_text,
    clip_tokenizer,
    ddim,
    flow,
    flow_autoencoder,
    loud,
    of_diffusers,
    save,
    t5,
)


def _pixart(path: Path, kind: str = "PixArtAlphaPipeline", **fields) -> None:
    import diffusers

    tokenizer, text_encoder = t5()
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=SIZE // 2,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=24,
        out_channels=8,
        **fields,
    )
    pipeline = getattr(diffusers, kind)(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=autoencoder(2),
        transformer=transformer,
        scheduler=ddim(),
    )
    save(pipeline, path)


def _sigma(path: Path) -> None:
    _pixart(path, "PixArtSigmaPipeline", use_additional_conditions=False)


def _sd3(path: Path) -> None:
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    clip, (tokenizer, text_encoder) = clip_tokenizer(), t5()
    config = clip_text(clip, width=16, projection_dim=16)
    transformer = SD3Transformer2DModel(
        sample_size=SIZE // 2,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        pos_embed_max_size=16,
    )
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=flow(),
        vae=flow_autoencoder(2),
        text_encoder=CLIPTextModelWithProjection(config),
        tokenizer=clip,
        text_encoder_2=CLIPTextModelWithProjection(config),
        tokenizer_2=clip,
        text_encoder_3=text_encoder,
        tokenizer_3=tokenizer,
    )
    save(pipeline, path)


def _flux(path: Path) -> None:
    from diffusers import FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel

    clip, (tokenizer, text_encoder) = clip_tokenizer(), t5()
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    pipeline = FluxPipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=flow_autoencoder(2),
        text_encoder=CLIPTextModel(clip_text(clip)),
        tokenizer=clip,
        text_encoder_2=text_encoder,
        tokenizer_2=tokenizer,
        transformer=transformer,
    )
    save(pipeline, path)


def _auraflow(path: Path) -> None:
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel
    from transformers import UMT5Config, UMT5EncoderModel

    tokenizer, _ = t5()
    config = UMT5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_ff=37,
        d_kv=8,
        num_layers=2,
        num_heads=4,
        initializer_factor=10.0,
    )
    transformer = AuraFlowTransformer2DModel(
        sample_size=SIZE // 2,
        in_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pos_embed_max_size=64,
    )
    pipeline = AuraFlowPipeline(
        tokenizer=tokenizer,
        text_encoder=UMT5EncoderModel(config),
        vae=autoencoder(2),
        transformer=loud(transformer),
        scheduler=flow(),
    )
    save(pipeline, path)


def _hunyuan_dit(path: Path) -> None:
    from diffusers import DDPMScheduler, HunyuanDiT2DModel, HunyuanDiTPipeline
    from transformers import BertConfig, BertModel

    bert, (tokenizer, text_encoder) = bert_tokenizer(77), t5()
    config = BertConfig(
        vocab_size=len(bert),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        pad_token_id=bert.pad_token_id,
    )
    transformer = HunyuanDiT2DModel(
        sample_size=SIZE // 8,
        patch_size=2,
        in_channels=4,
        num_layers=2,
        num_attention_heads=2,
        attention_head_dim=8,
        hidden_size=16,
        cross_attention_dim=32,
        cross_attention_dim_t5=32,
        pooled_projection_dim=16,
    )
    pipeline = HunyuanDiTPipeline(
        vae=autoencoder(4),
        text_encoder=BertModel(config),
        tokenizer=bert,
        transformer=transformer,
        scheduler=DDPMScheduler(prediction_type="v_prediction"),
        **UNCHECKED,
        text_encoder_2=text_encoder,
        tokenizer_2=tokenizer,
    )
    save(pipeline, path)


MODELS = {
    "tiny-pixart": of_diffusers("PixArtAlphaPipeline", _pixart, use_resolution_binning=False),
    "tiny-sigma": of_diffusers("PixArtSigmaPipeline", _sigma, use_resolution_binning=False),
    "tiny-sd3": of_diffusers("StableDiffusion3Pipeline", _sd3, guidance=3.0),
    "tiny-flux": of_diffusers("FluxPipeline", _flux, max_sequence_length=256),
    "tiny-auraflow": of_diffusers("AuraFlowPipeline", _auraflow, guidance=3.0),
    "tiny-hunyuan-dit": of_diffusers(
        "HunyuanDiTPipeline", _hunyuan_dit, guidance=3.0, use_resolution_binning=False
    ),
}
