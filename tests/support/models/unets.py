"""Tiny untrained U-Nets, priors, token models and SigLIP; `tiny.py` builds them by name."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.models.tiny import (
    DIFFUSERS,
    SIZE,
    _clip_text,
    _clip_tokenizer,
    _ddim,
    _pixart,
    _save,
    _sd,
    _t5,
    _unet,
)

ROWS = {
    "tiny-karlo": ("generator", DIFFUSERS, "diffusers.UnCLIPPipeline", {}),
    "tiny-kandinsky": ("generator", DIFFUSERS, "diffusers.KandinskyPriorPipeline", {}),
    "tiny-kandinsky-2-2": ("generator", DIFFUSERS, "diffusers.KandinskyV22PriorPipeline", {}),
    "tiny-kandinsky-3": ("generator", DIFFUSERS, "diffusers.Kandinsky3Pipeline", {}),
    "tiny-sigma": (
        "generator",
        DIFFUSERS,
        "diffusers.PixArtSigmaPipeline",
        {"use_resolution_binning": False},
    ),
    "tiny-vq": ("generator", DIFFUSERS, "diffusers.VQDiffusionPipeline", {}),
    "tiny-amused": ("generator", DIFFUSERS, "diffusers.AmusedPipeline", {}),
    "tiny-cascade": ("generator", DIFFUSERS, "diffusers.StableCascadePriorPipeline", {}),
    "tiny-wuerstchen": ("generator", DIFFUSERS, "diffusers.WuerstchenPriorPipeline", {}),
    "tiny-lcm": ("generator", DIFFUSERS, "diffusers.LatentConsistencyModelPipeline", {}),
    "tiny-siglip": (
        "encoder",
        "workbench.encoders.open_clip.OpenClip",
        "open_clip.CustomTextCLIP",
        {},
    ),
}
CASCADES = ("tiny-kandinsky", "tiny-kandinsky-2-2", "tiny-cascade", "tiny-wuerstchen")
STAGES = dict.fromkeys(CASCADES, ("prior", "decoder"))
WIDTH = 32


def _clip(projection: int = WIDTH):
    from transformers import CLIPTextModelWithProjection

    tokenizer = _clip_tokenizer()
    config = _clip_text(tokenizer, width=WIDTH, projection_dim=projection)
    return tokenizer, CLIPTextModelWithProjection(config)


def _prior_transformer(tokenizer):
    """Make a prior whose statistics, else zero, let its answer through."""
    from diffusers import PriorTransformer

    prior = PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=1,
        embedding_dim=WIDTH,
        num_embeddings=tokenizer.model_max_length,
    )
    prior.clip_std.data.fill_(1)
    return prior


def _unclip_noise(kind: str, prediction: str, **fields):
    from diffusers import UnCLIPScheduler

    return UnCLIPScheduler(variance_type=kind, prediction_type=prediction, **fields)


def _tokens(latent_channels: int, **fields):
    """Make an autoencoder of picture tokens that halves the side."""
    from diffusers import VQModel

    settings = {
        "block_out_channels": (8, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "latent_channels": latent_channels,
        "num_vq_embeddings": 32,
        "vq_embed_dim": latent_channels,
        "norm_num_groups": 2,
    }
    model = VQModel(**(settings | fields))
    model.quantize.embedding.weight.data.normal_()
    return model


def _movq():
    """Make the autoencoder of Kandinsky, in whose decoder the latents steer the norms."""
    return _tokens(
        4,
        block_out_channels=(32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 2 + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 2,
        norm_num_groups=32,
        norm_type="spatial",
    )


def _published(path: Path, part: str, library: str) -> None:
    """Name a part's home as the index of the published weights does, from before it was moved."""
    index = json.loads((path / "model_index.json").read_text())
    index[part][0] = library
    (path / "model_index.json").write_text(json.dumps(index, indent=2))


def _resnet_unet(side: int, **fields):
    """Make the U-Net of unCLIP and of what came after it."""
    return _unet(
        side,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        resnet_time_scale_shift="scale_shift",
        **fields,
    )


def _hears(kind: str) -> dict:
    """Tell what the U-Net of a Kandinsky is conditioned on."""
    return {
        "out_channels": 8,
        "addition_embed_type": kind,
        "encoder_hid_dim": WIDTH,
        "encoder_hid_dim_type": f"{kind}_proj",
    }


def _karlo(path: Path) -> None:
    from diffusers import UnCLIPPipeline, UNet2DModel
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

    tokenizer, text_encoder = _clip()
    decoder = _resnet_unet(SIZE // 4, in_channels=3, out_channels=6, class_embed_type="identity")

    def larger():
        return UNet2DModel(
            sample_size=SIZE,
            in_channels=6,
            out_channels=3,
            layers_per_block=1,
            block_out_channels=(8, 8),
            down_block_types=("ResnetDownsampleBlock2D",) * 2,
            up_block_types=("ResnetUpsampleBlock2D",) * 2,
            add_attention=False,
            norm_num_groups=2,
            resnet_time_scale_shift="scale_shift",
        )

    projection = UnCLIPTextProjModel(
        clip_embeddings_dim=WIDTH, time_embed_dim=32, cross_attention_dim=WIDTH
    )
    pipeline = UnCLIPPipeline(
        prior=_prior_transformer(tokenizer),
        decoder=decoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        text_proj=projection,
        super_res_first=larger(),
        super_res_last=larger(),
        prior_scheduler=_unclip_noise("fixed_small_log", "sample", clip_sample_range=5.0),
        decoder_scheduler=_unclip_noise("learned_range", "epsilon"),
        super_res_scheduler=_unclip_noise("fixed_small_log", "epsilon"),
    )
    _save(pipeline, path)
    _published(path, "text_proj", "unclip")


def _priors(kind: type, path: Path) -> None:
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    tokenizer, text_encoder = _clip()
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=WIDTH,
        image_size=SIZE,
        patch_size=16,
    )
    pipeline = kind(
        prior=_prior_transformer(tokenizer),
        image_encoder=CLIPVisionModelWithProjection(vision),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=_unclip_noise("fixed_small_log", "sample", clip_sample_range=5.0),
        image_processor=CLIPImageProcessor(),
    )
    _save(pipeline, path)


def _kandinsky_noise():
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, variance_type="learned_range", clip_sample=False
    )


def _kandinsky(path: Path) -> None:
    from diffusers import KandinskyPipeline, KandinskyPriorPipeline
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP
    from transformers import XLMRobertaTokenizer

    _priors(KandinskyPriorPipeline, path / "prior")
    unigrams, _ = _t5()
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(word, -3.0) for word in sorted(unigrams.get_vocab()) if len(word) == 1]
    tokenizer = XLMRobertaTokenizer(vocab=[*pieces, ("<mask>", 0.0)], model_max_length=77)
    config = MCLIPConfig(
        transformerDimSize=WIDTH,
        imageDimSize=WIDTH,
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=80,
    )
    unet = _resnet_unet(SIZE // 8, **_hears("text_image"))
    decoder = KandinskyPipeline(
        text_encoder=MultilingualCLIP(config),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=_ddim(),
        movq=_movq(),
    )
    _save(decoder, path / "decoder")


def _kandinsky_2_2(path: Path) -> None:
    from diffusers import KandinskyV22Pipeline, KandinskyV22PriorPipeline

    _priors(KandinskyV22PriorPipeline, path / "prior")
    unet = _resnet_unet(SIZE // 8, **_hears("image"))
    decoder = KandinskyV22Pipeline(unet=unet, scheduler=_kandinsky_noise(), movq=_movq())
    _save(decoder, path / "decoder")


def _kandinsky_3(path: Path) -> None:
    from diffusers import DDPMScheduler, Kandinsky3Pipeline, Kandinsky3UNet

    tokenizer, text_encoder = _t5()
    unet = Kandinsky3UNet(
        time_embedding_dim=16,
        groups=2,
        attention_head_dim=4,
        layers_per_block=2,
        block_out_channels=(16, 16, 16, 16),
        cross_attention_dim=16,
        encoder_hid_dim=WIDTH,
    )
    pipeline = Kandinsky3Pipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        unet=unet,
        scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=False),
        movq=_movq(),
    )
    _save(pipeline, path)


def _sigma(path: Path) -> None:
    _pixart(path, "PixArtSigmaPipeline", use_additional_conditions=False)


def _vq(path: Path) -> None:
    from diffusers import Transformer2DModel, VQDiffusionPipeline, VQDiffusionScheduler
    from diffusers.pipelines.deprecated.vq_diffusion.pipeline_vq_diffusion import (
        LearnedClassifierFreeSamplingEmbeddings,
    )
    from transformers import CLIPTextModel

    tokenizer = _clip_tokenizer()
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
        vqvae=_tokens(4, num_vq_embeddings=codes),
        text_encoder=CLIPTextModel(_clip_text(tokenizer, width=WIDTH)),
        tokenizer=tokenizer,
        transformer=transformer,
        scheduler=VQDiffusionScheduler(num_vec_classes=codes + 1),
        learned_classifier_free_sampling_embeddings=LearnedClassifierFreeSamplingEmbeddings(
            learnable=True, hidden_size=WIDTH, length=tokenizer.model_max_length
        ),
    )
    _save(pipeline, path)
    _published(path, "learned_classifier_free_sampling_embeddings", "vq_diffusion")


def _amused(path: Path) -> None:
    from diffusers import AmusedPipeline, AmusedScheduler, UVit2DModel

    tokenizer, text_encoder = _clip()
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
        vqvae=_tokens(4, num_vq_embeddings=codes, lookup_from_codebook=True),
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        transformer=transformer,
        scheduler=AmusedScheduler(mask_token_id=codes + 1),
    )
    _save(pipeline, path)


def _cascade(path: Path) -> None:
    from diffusers import (
        DDPMWuerstchenScheduler,
        StableCascadeDecoderPipeline,
        StableCascadePriorPipeline,
        StableCascadeUNet,
    )
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    tokenizer, text_encoder = _clip()
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
    _save(first, path / "prior")
    vqgan = PaellaVQModel(bottleneck_blocks=1, embed_dim=16, num_vq_embeddings=32)
    last = StableCascadeDecoderPipeline(decoder=decoder, vqgan=vqgan, latent_dim_scale=2.0, **parts)
    _save(last, path / "decoder")
    _published(path / "decoder", "vqgan", "wuerstchen")


def _wuerstchen(path: Path) -> None:
    from diffusers import (
        DDPMWuerstchenScheduler,
        WuerstchenDecoderPipeline,
        WuerstchenPriorPipeline,
    )
    from diffusers.pipelines.deprecated import wuerstchen
    from transformers import CLIPTextModel

    tokenizer = _clip_tokenizer()
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": CLIPTextModel(_clip_text(tokenizer, width=WIDTH)),
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
    _save(first, path / "prior")
    vqgan = wuerstchen.PaellaVQModel(bottleneck_blocks=1, embed_dim=16, num_vq_embeddings=32)
    last = WuerstchenDecoderPipeline(decoder=decoder, vqgan=vqgan, latent_dim_scale=2.0, **parts)
    _save(last, path / "decoder")
    for folder, part in (("prior", "prior"), ("decoder", "decoder"), ("decoder", "vqgan")):
        _published(path / folder, part, "wuerstchen")


def _lcm(path: Path) -> None:
    from diffusers import LCMScheduler

    noise = LCMScheduler.from_config(_ddim().config)
    _sd(path, "LatentConsistencyModelPipeline", noise, time_cond_proj_dim=8)


def _siglip(path: Path) -> None:
    from open_clip.model import CustomTextCLIP
    from safetensors.torch import save_file

    tokenizer, _ = _t5()
    config = {
        "embed_dim": 192,
        "init_logit_bias": -10,
        "vision_cfg": {
            "image_size": 224,  # timm's smallest tower, which knows no other
            "timm_model_name": "vit_tiny_patch16_224",
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": len(tokenizer),
            "hf_tokenizer_name": "tokenizer",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": WIDTH,
            "heads": 4,
            "layers": 1,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
        },
    }
    path.mkdir(parents=True)
    prepare = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
    written = {
        "model_cfg": config | {"custom_text": True},
        "preprocess_cfg": prepare | {"resize_mode": "squash"},
    }
    (path / "open_clip_config.json").write_text(json.dumps(written))
    state = CustomTextCLIP(**config).half().state_dict()
    state = {name: x.contiguous() for name, x in state.items()}
    save_file(state, path / "open_clip_model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(path)
