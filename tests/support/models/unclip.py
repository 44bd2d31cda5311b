"""Tiny unCLIP models: Karlo and the Kandinskys."""

from __future__ import annotations

from pathlib import Path

from tests.support.models.parts import (
    SIZE,
    WIDTH,
    as_published,
    clip_with_projection,
    ddim,
    movq,
    of_diffusers,
    save,
    small_unet,
    t5,
)


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


def _resnet_unet(side: int, **fields):
    """Make the U-Net of unCLIP and of what came after it."""
    return small_unet(
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

    tokenizer, text_encoder = clip_with_projection()
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
    save(pipeline, path)
    as_published(path, "text_proj", "unclip")


def _priors(kind: type, path: Path) -> None:
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    tokenizer, text_encoder = clip_with_projection()
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
    save(pipeline, path)


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
    unigrams, _ = t5()
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
        scheduler=ddim(),
        movq=movq(),
    )
    save(decoder, path / "decoder")


def _kandinsky_2_2(path: Path) -> None:
    from diffusers import KandinskyV22Pipeline, KandinskyV22PriorPipeline

    _priors(KandinskyV22PriorPipeline, path / "prior")
    unet = _resnet_unet(SIZE // 8, **_hears("image"))
    decoder = KandinskyV22Pipeline(unet=unet, scheduler=_kandinsky_noise(), movq=movq())
    save(decoder, path / "decoder")


def _kandinsky_3(path: Path) -> None:
    from diffusers import DDPMScheduler, Kandinsky3Pipeline, Kandinsky3UNet

    tokenizer, text_encoder = t5()
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
        movq=movq(),
    )
    save(pipeline, path)


MODELS = {
    "tiny-karlo": of_diffusers("UnCLIPPipeline", _karlo),
    "tiny-kandinsky": of_diffusers(
        "KandinskyPriorPipeline", _kandinsky, stages=("prior", "decoder")
    ),
    "tiny-kandinsky-2-2": of_diffusers(
        "KandinskyV22PriorPipeline", _kandinsky_2_2, stages=("prior", "decoder")
    ),
    "tiny-kandinsky-3": of_diffusers("Kandinsky3Pipeline", _kandinsky_3),
}
