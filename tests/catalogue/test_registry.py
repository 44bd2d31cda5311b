"""Names and reprs become objects, and what is neither is one sentence."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support import toys
from tests.support.sentences import exactly
from workbench import catalogue
from workbench.attributors.regeneration import Regeneration
from workbench.catalogue import registry, rows
from workbench.weights.checkpoint import Checkpoint


def test_a_pinned_hub_row_is_made_without_any_download(monkeypatch):
    row = Checkpoint("x", "generator", "workbench.generators.diffusers.Diffusers", "a/b", "c0ffee")
    for module in (rows, registry):
        monkeypatch.setattr(
            module, "rows_of", lambda role: {"x": row} if role == "generator" else {}
        )
    assert repr(catalogue.load("x", steps=3)) == 'Diffusers("x", steps=3)'


@pytest.mark.parametrize(
    "text",
    [
        'Blip("pocket-blip")',
        'Blip("pocket-blip", beams=5)',
        'Cosine("pocket-clip")',
        'Cosine("pocket-clip", layer=4)',
        'Cosine("pocket-clip", layer=4, pooling="mean")',
        'OpenClip("pocket-clip", layer=2)',
        'Diffusers("pocket-sd", steps=(3, 4))',
        'Natural(text="a \\"quoted\\" heart, é")',
        "Natural()",
        "Empty()",
        "SSIM()",
        "NegativeMSE()",
        "Chance()",
        "AEDR(quantile=0.9)",
        'KNN(OpenClip("pocket-clip", layer=4), k=3)',
        'Probe(OpenClip("pocket-clip"), strength=0.1)',
        'DeFake(Blip("pocket-blip"), OpenClip("pocket-clip"), epochs=20)',
        'Fusion((AEDR(), KNN(OpenClip("pocket-clip"))), weights=(0.7, 0.3), tune=True)',
        "JPEG(intensity=25)",
        'Social(intensity=12.5, platform="whatsapp")',
        'PGD(OpenClip("pocket-clip", layer=4), intensity=25)',
        'Launder("pocket-sd", prompt="a heart")',
    ],
)
def test_a_repr_reads_back(text):
    plugin = catalogue.parse(text)
    assert repr(plugin) == text
    assert catalogue.parse(repr(plugin)) == plugin


def test_an_attributor_reads_back_with_its_class():
    text = 'Regeneration(Blip("pocket-blip"), Cosine("pocket-clip", layer=4), aggregate="max")'
    method = catalogue.parse(text, {"Regeneration": Regeneration})
    assert repr(method) == text
    short = 'Regeneration("pocket-blip", "pocket-clip")'
    method = catalogue.parse(short, {"Regeneration": Regeneration})
    assert repr(method.similarity) == 'Cosine("pocket-clip")'


def test_an_encoder_s_name_will_do_in_an_attributor():
    short = catalogue.parse('KNN("pocket-clip", layer=4, k=3)')
    assert repr(short) == 'KNN(OpenClip("pocket-clip", layer=4), k=3)'
    assert catalogue.load("chance", "attributor") == catalogue.parse("Chance()")


def test_weights_are_found_in_the_parts_of_a_fusion(monkeypatch):
    monkeypatch.setattr(Checkpoint, "digest", lambda self: self.name)
    fusion = catalogue.parse('Fusion((KNN("pocket-clip"), DeFake("pocket-blip", "pocket-clip")))')
    assert list(catalogue.weights(fusion)) == ["pocket-blip", "pocket-clip"]


def test_a_notebooks_own_class_reads_back_by_the_namespace():
    assert catalogue.parse("Toy((1, 0, 0), noise=0.1)", {"Toy": toys.Toy}) == toys.Toy(
        (1, 0, 0), noise=0.1
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("__import__('os').system('true')", "is neither a literal nor a plug-in"),
        ("SSIM(open('x'))", "no class named 'open'"),
        ("SSIM", "is not a repr such as"),
        ("(lambda: 0)()", "is neither a literal nor a plug-in"),
        ("SSIM(*[1])", "is neither a literal nor a plug-in"),
        ("SSIM(**{'a': 1})", "** does not stand in one"),
        ("Natural(text=[x for x in 'a'])", "is neither a literal nor a plug-in"),
        ("Natural(f'{1}')", "is neither a literal nor a plug-in"),
        ("SSIM(", "is not a repr such as"),
        ("", "is not a repr such as"),
        (
            'KNN("pocket-clip", fitted=fitted("ce511de6e244", pictures=8))',
            "what was fitted cannot be read back from a repr, which names it by a digest: fit it "
            "again, or hand over the plug-in itself",
        ),
        ("SSIM(window=3)", "SSIM has no field 'window'; it has: none"),
        ("Blip()", "Blip cannot be made like this"),
        ("Natural(" * 2000 + ")" * 2000, "is not a repr"),
    ],
)
def test_what_is_no_repr_is_refused_in_a_sentence(text, error):
    with pytest.raises((ValueError, LookupError), match=re.escape(error)) as caught:
        catalogue.parse(text)
    assert "\n" not in str(caught.value)


def test_unknown_names_list_what_there_is():
    sentence = (
        "no inverter named 'pocket-blp'; did you mean 'pocket-blip'? "
        "There are: blip-base, blip-large, blip2-opt, empty, "
        "florence-2-base, florence-2-large, git-large-coco, interrogator, joycaption, kosmos-2, "
        "llava-1-5-7b, metadata, natural, pez, pocket-blip, qwen2-5-vl-7b, qwen3-vl-4b, "
        "smolvlm2-2-2b"
    )
    with pytest.raises(LookupError, match=exactly(sentence)):
        catalogue.load("pocket-blp", "inverter")
    with pytest.raises(LookupError, match=r"^no zoo named 'pokcet'; did you mean 'pocket'\? "):
        catalogue.zoo("pokcet")
    with pytest.raises(LookupError, match=r"^no generator named 'pocket-clip'; .*here are: "):
        catalogue.load("pocket-clip", "generator")


def test_a_name_near_a_part_of_others_tells_these():
    names = "'blip-base', 'blip-large' or 'pocket-blip'"
    with pytest.raises(LookupError, match=rf"^no inverter named 'blp'; did you mean {names}\? T"):
        catalogue.load("blp", "inverter")


def test_an_encoder_serves_as_its_cosine_and_nothing_else_as_a_similarity():
    assert repr(catalogue.load("pocket-clip", "similarity")) == 'Cosine("pocket-clip")'
    assert repr(catalogue.load('OpenClip("pocket-clip", layer=2)', "similarity")) == (
        'Cosine("pocket-clip", layer=2)'
    )
    with pytest.raises(ValueError, match=r"^Empty\(\) cannot serve as similarity; there are: "):
        catalogue.load("Empty()", "similarity")


def test_an_attack_is_found_by_its_file_or_its_repr():
    assert repr(catalogue.load("jpeg", "attack", intensity=25)) == "JPEG(intensity=25)"
    assert repr(catalogue.load("jpeg")) == "JPEG()"
    assert repr(catalogue.load("JPEG(intensity=25)", "attack")) == "JPEG(intensity=25)"
    short = catalogue.load('PGD("pocket-clip", layer=4, steps=3)', "attack")
    assert repr(short) == 'PGD(OpenClip("pocket-clip", layer=4), steps=3)'
    assert {"blur", "jpeg", "social"} <= set(catalogue.names("attack"))
    with pytest.raises(
        LookupError, match=r"^no attack named 'jpg'; did you mean 'jpeg'\? There are: "
    ):
        catalogue.load("jpg", "attack")


def test_a_zoo_has_at_least_two_distinct_models():
    assert list(catalogue.zoo("pocket")) == catalogue.zoos()["pocket"]
    assert list(catalogue.zoo('Diffusers("pocket-sd", steps=(2, 3)), pocket-ld')) == [
        'Diffusers("pocket-sd", steps=(2, 3))',
        "pocket-ld",
    ]
    own = catalogue.zoo(["pocket-sd", toys.Toy((1, 0, 0))])
    assert list(own) == ["pocket-sd", "Toy(tint=(1, 0, 0), noise=0.05, refuses='forbidden')"]
    for few in ("pocket-sd", "", ["pocket-sd"], {"a": toys.Toy((1, 0, 0))}):
        with pytest.raises(
            (ValueError, LookupError), match=r"^a zoo has at least two candidate models; seen "
        ):
            catalogue.zoo(few)
    sentence = "a zoo names each model once; seen pocket-sd, pocket-sd"
    with pytest.raises(ValueError, match=exactly(sentence)):
        catalogue.zoo("pocket-sd,pocket-sd")


def test_names_answer_without_torch_or_pandas():
    code = (
        "import sys; from workbench import catalogue as c; "
        "from workbench.catalogue import presets; presets.read();"
        "[c.names(role) for role in c.ROLES];"
        "c.load('pocket-blip'); c.parse('Cosine(\"pocket-clip\")');"
        "print([m for m in ('torch', 'pandas', 'diffusers', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
