"""Names that people read: in the words of the field, and never two alike for two plug-ins."""

from __future__ import annotations

import pytest

from workbench import catalogue
from workbench.catalogue.wording import readable


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ('Cosine("pocket-clip")', "CLIP"),
        ('Cosine("pocket-clip", layer=1, pooling="mean")', "CLIP, layer 1, mean"),
        ('Cosine("clip-vit-l-14")', "CLIP ViT-L/14"),
        ('Blip("pocket-blip")', "BLIP"),
        ('Blip("blip-large", beams=5)', "BLIP large, beams 5"),
        ("NegativeMSE()", "MSE"),
        ("SSIM()", "SSIM"),
        ("JPEG(intensity=30)", "JPEG, 30"),
        ('Launder("pocket-sd")', "Launder, pocket-sd"),
        ('PGD(OpenClip("pocket-clip", layer=1, pooling="mean"))', "PGD, CLIP, layer 1, mean"),
        ('Hybrid((Cosine("pocket-clip", layer=4), SSIM()))', "CLIP, layer 4 + SSIM"),
        (
            'Regeneration(Blip("pocket-blip"), Cosine("pocket-clip", layer=4), aggregate="max")',
            "regeneration: BLIP; CLIP, layer 4; max",
        ),
        ("regeneration, Li et al. 2024", "regeneration, Li et al. 2024"),
        ("without pocket-sd", "without pocket-sd"),
        ("Half(", "Half("),
        ("Odd(a + b)", "Odd(a + b)"),
    ],
)
def test_a_repr_is_told_in_words_and_any_other_name_stays(name, words):
    assert readable(name) == words


def test_no_two_checkpoints_read_alike():
    for role, kind in (("encoder", "Cosine"), ("inverter", "Blip")):
        names = list(catalogue.rows_of(role))
        told = {readable(f'{kind}("{name}")') for name in names}
        assert len(told) == len(names)
