"""What the pocket zoo and notebooks import of others: seconds that are nobody's own."""

from __future__ import annotations

POCKET = (
    "pandas:DataFrame",
    "torchvision:transforms",
    "open_clip:CLIP",
    *(
        f"diffusers:{name}"
        for name in (
            "AutoencoderKL StableDiffusionPipeline LDMTextToImagePipeline IFPipeline "
            "IFSuperResolutionPipeline UNet2DConditionModel VQModel DPMSolverMultistepScheduler "
            "DDIMScheduler DDPMScheduler"
        ).split()
    ),
    *(
        f"transformers:{name}"
        for name in (
            "BartForConditionalGeneration BertTokenizer BlipForConditionalGeneration BlipProcessor "
            "CLIPTextModel CLIPTokenizer T5EncoderModel T5Tokenizer"
        ).split()
    ),
)
"""Whatever is missing here counts against the workbench in `tests.benchmarks.speed`."""

NOTEBOOK = tuple(
    "ipykernel.kernelapp matplotlib.pyplot seaborn pyarrow.parquet scipy.stats statsmodels.api "
    "sklearn.linear_model sklearn.manifold skimage.metrics umap".split()
)
