"""Tiny models of picture tokens, and cascades over a quantised autoencoder."""

from __future__ import annotations

from pathlib import Path

from tests.support.models.parts import (
    SIZE,
    WIDTH,
    Model,
    as_published,
    bert_tokenizer,
    clip_text,
    clip_tokenizer,
    clip_with_projection,
    of_diffusers,
    save,
    token_autoencoder,
)


def _dalle(path: Path) -> None:
    from diffusers import VQModel
    from transformers import BartConfig, BartForConditionalGeneration

    from workbench.generators._image_tokens import ImageTokenPipeline

    tokenizer, codes = bert_tokenizer(16), 32
    config = BartConfig(
        vocab_size=len(tokenizer) + codes + 1,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        max_position_embeddings=32,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        decoder_start_token_id=len(tokenizer) + codes,
        forced_eos_token_id=None,
        init_std=0.5,
    )
    vqvae = VQModel(
        block_out_channels=(4, 4, 4, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        num_vq_embeddings=codes,
        vq_embed_dim=4,
        norm_num_groups=2,
    )
    vqvae.quantize.embedding.weight.data.normal_()
    transformer = BartForConditionalGeneration(config)
    save(ImageTokenPipeline(vqvae, transformer, tokenizer), path)


def _vq(path: Path) -> None:
    from diffusers import Transformer2DModel, VQDiffusionPipeline, VQDiffusionScheduler
    from diffusers.pipelines.deprecated.vq_diffusion.pipeline_vq_diffusion import (
        LearnedClassifierFreeSamplingEmbeddings,
    )
    from transformers import CLIPTextModel

    tokenizer = clip_tokenizer()
    codes = 32
    transformer = Transformer2DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        num_vector_embeds=codes + 1,
        cross_attention_dim=WIDTH,
        attention_bias=True,
        norm_num_groups=2,
        sample_size=SIZE // 2,
        activation_fn="geglu-approximate",
        norm_type="ada_norm",
        num_embeds_ada_norm=100,
    )
    pipeline = VQDiffusionPipeline(
        vqvae=token_autoencoder(4, num_vq_embeddings=codes),
        text_encoder=CLIPTextModel(clip_text(tokenizer, width=WIDTH)),
        tokenizer=tokenizer,
        transformer=transformer,
        scheduler=VQDiffusionScheduler(num_vec_classes=codes + 1),
        learned_classifier_free_sampling_embeddings=LearnedClassifierFreeSamplingEmbeddings(
            learnable=True, hidden_size=WIDTH, length=tokenizer.model_max_length
        ),
    )
    save(pipeline, path)
    as_published(path, "learned_classifier_free_sampling_embeddings", "vq_diffusion")


def _amused(path: Path) -> None:
    from diffusers import AmusedPipeline, AmusedScheduler, UVit2DModel

    tokenizer, text_encoder = clip_with_projection()
    codes = 32
    transformer = UVit2DModel(
        hidden_size=16,
        cond_embed_dim=WIDTH,
        micro_cond_encode_dim=2,
        micro_cond_embed_dim=10,
        encoder_hidden_size=WIDTH,
        vocab_size=codes + 2,
        codebook_size=codes,
        in_channels=16,
        block_out_channels=16,
        num_res_blocks=1,
        block_num_heads=1,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=32,
        sample_size=SIZE // 2,
    )
    pipeline = AmusedPipeline(
        vqvae=token_autoencoder(4, num_vq_embeddings=codes, lookup_from_codebook=True),
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        transformer=transformer,
        scheduler=AmusedScheduler(mask_token_id=codes + 1),
    )
    save(pipeline, path)


def _cascade(path: Path) -> None:
    from diffusers import (
        DDPMWuerstchenScheduler,
        StableCascadeDecoderPipeline,
        StableCascadePriorPipeline,
        StableCascadeUNet,
    )
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    tokenizer, text_encoder = clip_with_projection()
    kinds = ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock")
    prior = StableCascadeUNet(
        conditioning_dim=16,
        block_out_channels=(16, 16),
        num_attention_heads=(2, 2),
        down_num_layers_per_block=(1, 1),
        up_num_layers_per_block=(1, 1),
        clip_text_in_channels=WIDTH,
        clip_text_pooled_in_channels=WIDTH,
        clip_image_in_channels=WIDTH,
        switch_level=(False,),
    )
    decoder = StableCascadeUNet(
        in_channels=4,
        out_channels=4,
        patch_size=2,
        conditioning_dim=16,
        block_out_channels=(16, 16, 16),
        num_attention_heads=(1, 2, 2),
        down_num_layers_per_block=(1, 1, 1),
        up_num_layers_per_block=(1, 1, 1),
        down_blocks_repeat_mappers=(1, 1, 1),
        up_blocks_repeat_mappers=(1, 1, 1),
        block_types_per_layer=(kinds[:2], kinds, kinds),
        clip_text_pooled_in_channels=WIDTH,
        effnet_in_channels=16,
        pixel_mapper_in_channels=3,
        dropout=(0.0, 0.1, 0.1),
        self_attn=True,
        timestep_conditioning_type=("sca",),
    )
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": text_encoder,
        "scheduler": DDPMWuerstchenScheduler(),
    }
    first = StableCascadePriorPipeline(
        prior=prior, resolution_multiple=8.0, feature_extractor=None, image_encoder=None, **parts
    )
    save(first, path / "prior")
    vqgan = PaellaVQModel(bottleneck_blocks=1, embed_dim=16, num_vq_embeddings=32)
    last = StableCascadeDecoderPipeline(decoder=decoder, vqgan=vqgan, latent_dim_scale=2.0, **parts)
    save(last, path / "decoder")
    as_published(path / "decoder", "vqgan", "wuerstchen")


def _wuerstchen(path: Path) -> None:
    from diffusers import (
        DDPMWuerstchenScheduler,
        WuerstchenDecoderPipeline,
        WuerstchenPriorPipeline,
    )
    from diffusers.pipelines.deprecated import wuerstchen
    from transformers import CLIPTextModel

    tokenizer = clip_tokenizer()
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": CLIPTextModel(clip_text(tokenizer, width=WIDTH)),
        "scheduler": DDPMWuerstchenScheduler(),
    }
    prior = wuerstchen.WuerstchenPrior(c_in=2, c=16, c_cond=WIDTH, c_r=8, depth=1, nhead=2)
    decoder = wuerstchen.WuerstchenDiffNeXt(
        c_cond=WIDTH,
        c_hidden=[16, 16],
        nhead=[-1, 2],
        blocks=[1, 1],
        level_config=["CT", "CTA"],
        inject_effnet=[False, True],
        effnet_embd=2,
        clip_embd=WIDTH,
    )
    first = WuerstchenPriorPipeline(prior=prior, latent_mean=0.0, resolution_multiple=8.0, **parts)
    save(first, path / "prior")
    vqgan = wuerstchen.PaellaVQModel(bottleneck_blocks=1, embed_dim=16, num_vq_embeddings=32)
    last = WuerstchenDecoderPipeline(decoder=decoder, vqgan=vqgan, latent_dim_scale=2.0, **parts)
    save(last, path / "decoder")
    for folder, part in (("prior", "prior"), ("decoder", "decoder"), ("decoder", "vqgan")):
        as_published(path / folder, part, "wuerstchen")


MODELS = {
    "tiny-dalle": Model(
        "generator",
        "workbench.generators.image_token.ImageToken",
        "workbench.generators._image_tokens.ImageTokenPipeline",
        _dalle,
    ),
    "tiny-vq": of_diffusers("VQDiffusionPipeline", _vq),
    "tiny-amused": of_diffusers("AmusedPipeline", _amused),
    "tiny-cascade": of_diffusers(
        "StableCascadePriorPipeline", _cascade, stages=("prior", "decoder")
    ),
    "tiny-wuerstchen": of_diffusers(
        "WuerstchenPriorPipeline", _wuerstchen, stages=("prior", "decoder")
    ),
}
