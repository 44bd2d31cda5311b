"""Tiny latent diffusion models over a U-Net, and the cascade in pixels."""

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
    of_diffusers,
    save,
    small_unet,
    t5,
)


def _sd(path: Path, kind: str = "StableDiffusionPipeline", scheduler=None, **fields) -> None:
    """Write a Stable Diffusion, or what differs from it in class, scheduler and U-Net."""
    import diffusers
    from transformers import CLIPTextModel

    tokenizer = clip_tokenizer()
    pipeline = getattr(diffusers, kind)(
        vae=autoencoder(2),
        text_encoder=CLIPTextModel(clip_text(tokenizer)),
        tokenizer=tokenizer,
        unet=small_unet(SIZE // 2, **fields),
        scheduler=scheduler or ddim(),
        **UNCHECKED,
    )
    save(pipeline, path)


def _ld(path: Path) -> None:
    from diffusers import LDMTextToImagePipeline
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (
        LDMBertConfig,
        LDMBertModel,
    )

    tokenizer = bert_tokenizer(77)
    bert = LDMBertConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=1,
        encoder_ffn_dim=37,
        encoder_attention_heads=2,
        head_dim=8,
    )
    pipeline = LDMTextToImagePipeline(
        vqvae=autoencoder(4),
        bert=LDMBertModel(bert),
        tokenizer=tokenizer,
        unet=small_unet(SIZE // 8),
        scheduler=ddim(),
    )
    save(pipeline, path)


def _if(path: Path) -> None:
    from diffusers import DDPMScheduler, IFPipeline, IFSuperResolutionPipeline

    tokenizer, text_encoder = t5()
    pixels = {
        "down_block_types": ["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "up_block_types": ["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"],
        "out_channels": 6,
        "encoder_hid_dim": 32,
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 2,
        "cross_attention_norm": "group_norm",
        "resnet_time_scale_shift": "scale_shift",
        "act_fn": "gelu",
    }

    def noise():
        return DDPMScheduler(
            beta_schedule="squaredcos_cap_v2",
            thresholding=True,
            dynamic_thresholding_ratio=0.95,
            variance_type="learned_range",
        )

    shared = {
        "tokenizer": tokenizer,
        "text_encoder": text_encoder,
        "scheduler": noise(),
        "watermarker": None,
        **UNCHECKED,
    }
    save(IFPipeline(unet=small_unet(SIZE // 2, in_channels=3, **pixels), **shared), path / "base")
    shared |= {"tokenizer": None, "text_encoder": None}  # the base encodes for both
    upsampler = IFSuperResolutionPipeline(
        unet=small_unet(SIZE, in_channels=6, class_embed_type="timestep", **pixels),
        image_noising_scheduler=noise(),
        **shared,
    )
    save(upsampler, path / "upsampler")


def _xl(path: Path) -> None:
    from diffusers import StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = clip_tokenizer()
    config = clip_text(tokenizer, projection_dim=32)
    unet = small_unet(
        SIZE // 2,
        width=64,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=80,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=autoencoder(2),
        text_encoder=CLIPTextModel(config),
        text_encoder_2=CLIPTextModelWithProjection(config),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=ddim(),
        add_watermarker=False,
    )
    save(pipeline, path)


def _lcm(path: Path) -> None:
    from diffusers import LCMScheduler

    noise = LCMScheduler.from_config(ddim().config)
    _sd(path, "LatentConsistencyModelPipeline", noise, time_cond_proj_dim=8)


MODELS = {
    "tiny-sd": of_diffusers("StableDiffusionPipeline", _sd, guidance=3.0),
    "tiny-ld": of_diffusers("LDMTextToImagePipeline", _ld, guidance=3.0),
    "tiny-if": of_diffusers("IFPipeline", _if, stages=("base", "upsampler"), guidance=3.0),
    "tiny-xl": of_diffusers("StableDiffusionXLPipeline", _xl),
    "tiny-lcm": of_diffusers("LatentConsistencyModelPipeline", _lcm),
}
