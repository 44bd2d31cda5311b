"""The pipeline behind :mod:`workbench.generators.image_token`, apart because it needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from torch import Tensor

if TYPE_CHECKING:
    from diffusers import VQModel
    from transformers import BartForConditionalGeneration, BertTokenizer


class ImageTokenPipeline(DiffusionPipeline):
    """Text to image tokens to picture: BART writes the codes of a VQ autoencoder, row by row.

    The form of DALL·E mini (Dayma et al. 2021). Text and image share one vocabulary: the image code
    c is the token ``len(tokenizer) + c``; the decoder starts from ``decoder_start_token_id``.
    """

    model_cpu_offload_seq = "transformer->vqvae"

    def __init__(
        self, vqvae: VQModel, transformer: BartForConditionalGeneration, tokenizer: BertTokenizer
    ) -> None:
        super().__init__()
        self.register_modules(vqvae=vqvae, transformer=transformer, tokenizer=tokenizer)

    @torch.no_grad()
    def __call__(
        self,
        prompt: list[str],
        height: int = 64,
        width: int = 64,
        guidance_scale: float = 3.0,
        temperature: float = 1.0,
        top_k: int = 128,
        generator: list[torch.Generator] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Make one picture a prompt.

        ``guidance_scale`` s mixes the logits with and without text, u + s·(c − u); of the ``top_k``
        best codes one is drawn at ``temperature``, by Gumbel noise of the picture's own generator.
        Raises ValueError when the generators are not one a prompt.
        """
        if generator is not None and len(generator) != len(prompt):
            raise ValueError(f"{len(prompt)} prompts need as many generators, not {len(generator)}")
        factor = 2 ** (len(self.vqvae.config.block_out_channels) - 1)
        rows, columns, codes = (
            height // factor,
            width // factor,
            self.vqvae.config.num_vq_embeddings,
        )
        # (codes, steps) noise a picture, drawn in one go
        shape = (rows * columns, codes)
        generators: list[torch.Generator | None] = (
            [*generator] if generator else [None] * len(prompt)
        )
        uniform = torch.stack([torch.rand(shape, generator=g) for g in generators])
        noise = -torch.log(-torch.log(uniform.clamp(1e-9, 1 - 1e-7))).to(self.device)
        tokens = self._write(prompt, noise, guidance_scale, temperature, top_k)
        quantised = self.vqvae.quantize.get_codebook_entry(
            tokens.flatten(), (len(prompt), rows, columns, self.vqvae.config.vq_embed_dim)
        )
        decoded = self.vqvae.decode(quantised, force_not_quantize=True).sample
        array = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()
        images = self.numpy_to_pil(array) if output_type == "pil" else array
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _write(
        self, prompt: list[str], noise: Tensor, scale: float, temperature: float, top_k: int
    ) -> Tensor:
        """Sample the codes, (B, steps), left to right, top to bottom."""
        from transformers.modeling_outputs import BaseModelOutput

        first, count = len(self.tokenizer), noise.shape[-1]
        text = self.tokenizer(
            [*prompt, *[""] * len(prompt)],
            padding="max_length",
            truncation=True,
            return_tensors="pt",
            return_token_type_ids=False,
        ).to(self.device)
        read = BaseModelOutput(self.transformer.get_encoder()(**text).last_hidden_state)
        start = self.transformer.config.decoder_start_token_id
        token = torch.full((len(prompt),), start, device=self.device)
        past, written = None, []
        for step in range(noise.shape[1]):
            output = self.transformer(
                encoder_outputs=read,
                attention_mask=text.attention_mask,
                decoder_input_ids=token.repeat(2)[:, None],
                past_key_values=past,
                use_cache=True,
            )
            past = output.past_key_values
            with_text, without = output.logits[:, -1, first : first + count].float().chunk(2)
            logits = without + scale * (with_text - without)
            least = logits.topk(min(top_k, count)).values[:, -1:]
            logits = logits.masked_fill(logits < least, -torch.inf) / temperature
            token = (logits + noise[:, step]).argmax(-1) + first
            written.append(token - first)
        return torch.stack(written, 1)
