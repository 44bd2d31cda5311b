"""Weights are kept while there is room, loaded once, placed part by part, and lack nothing."""

from __future__ import annotations

import dataclasses
import shutil
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.models import tiny
from tests.weights.conftest import row_over
from workbench import catalogue
from workbench.generators import diffusers
from workbench.generators.diffusers import Diffusers
from workbench.plugin import identity
from workbench.weights import device, loading, memory


def test_weights_load_once_and_the_oldest_goes(folder):
    loads = []

    def loader(row):
        loads.append(row.size)
        return object()

    rows = [row_over(folder, size=size) for size in range(1, loading.CACHE_MODELS + 2)]
    first = loading.load_weights(rows[0], loader)
    assert loading.load_weights(rows[0], loader) is first
    for row in rows[1:-1]:
        loading.load_weights(row, loader)
    assert loading.load_weights(rows[0], loader) is first  # now the one used last
    loading.load_weights(rows[-1], loader)
    assert loading.load_weights(rows[0], loader) is first
    assert loads == [row.size for row in rows]
    loading.load_weights(rows[1], loader)
    assert loads[-1] == rows[1].size
    loading.clear_weights()
    second = loading.load_weights(rows[0], loader)
    assert second is not first
    (folder / "unet" / "weights.safetensors").write_bytes(b"trained longer")
    assert loading.load_weights(rows[0], loader) is not second


def test_weights_are_kept_up_to_half_of_the_computer_s_own_memory(folder, monkeypatch):
    monkeypatch.setattr(memory, "total", lambda device: 2000)
    loads = []

    def loader(row):
        loads.append(row.size)
        return torch.nn.Linear(100, 1), "tokenizer"

    for size in (1, 2, 3, 2, 1):
        loading.load_weights(row_over(folder, size=size), loader)
    assert loads == [1, 2, 3, 1]


def test_as_many_models_are_kept_as_a_card_holds(folder, monkeypatch):
    """Four of 6.5 GiB, as adaptive γ asks for again and again, on a card of 40 GiB."""
    sizes, loads = {"cuda": 65 * 2**30 // 10}, []
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setattr(loading, "release_memory", lambda: None)
    monkeypatch.setattr(loading, "_bytes", lambda loaded: sizes)
    monkeypatch.setattr(memory, "free", lambda device: 2**60)
    monkeypatch.setattr(memory, "total", lambda device: 40 * 2**30)
    for _ in range(4):
        for size in range(4):
            loading.load_weights(row_over(folder, size=size + 1), lambda row: loads.append(row))
    assert len(loads) == 4
    monkeypatch.setattr(memory, "total", lambda device: 24 * 2**30)
    loading.load_weights(row_over(folder, size=5), lambda row: loads.append(row))
    assert [key[0].size for key in loading._cache] == [3, 4, 5]


def test_bytes_are_told_by_the_device_they_lie_on():
    layer = torch.nn.Linear(100, 1)
    far = torch.nn.Linear(10, 1, device="meta")
    assert loading._bytes(([layer], far, "tokenizer")) == {"cpu": 404, "meta": 44}


def test_threads_that_ask_together_load_once(folder):
    loads = []

    def loader(row):
        loads.append(row)
        return object()

    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(loading.load_weights(row_over(folder), loader))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == len(set(found)) == 1


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RuntimeError("size mismatch for conv\n  many\n  lines"), "size mismatch for conv"),
        (RuntimeError("Errors in CLIP:\n  no conv\n  no norm"), "Errors in CLIP: no conv"),
        (AttributeError("no class Nothing"), "no class Nothing"),
        (ImportError("\nit needs sentencepiece\n"), "it needs sentencepiece"),
        (TypeError(), "TypeError"),
        (OSError("no such file " * 40), "(no such file )+no …"),
    ],
)
def test_a_failed_load_is_one_sentence(folder, error, why):
    def damaged(row):
        raise error

    sentence = (
        f"^the weights of 'mine' cannot be loaded: {why}; restore them or choose another model$"
    )
    with pytest.raises(LookupError, match=sentence):
        loading.load_weights(row_over(folder), damaged)


LACK = "their files lack {}, or have it in another shape"


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("text_encoder/model", LACK.format("encoder.layers.0.layer_norm1.bias")),
        ("unet/diffusion_pytorch_model", LACK.format("conv_in.bias")),
        ("tokenizer", "the vocabulary of their tokenizer is not there"),
    ],
)
def test_what_a_library_would_fill_with_random_numbers_is_not_run(tmp_path, capfd, part, why):
    row = tiny.checkpoint("tiny-sd")
    shutil.copytree(row.source, tmp_path / "sd")
    if part == "tokenizer":
        (tmp_path / "sd" / part / "tokenizer.json").unlink()
    else:
        file = tmp_path / "sd" / f"{part}.safetensors"
        lacking = {k: x for k, x in load_file(file).items() if k != why.split()[3].strip(",")}
        save_file(lacking, file, metadata={"format": "pt"})
    capfd.readouterr()
    loading.load_weights(row, diffusers._load)
    sentence = f"^the weights of 'tiny-sd' cannot be loaded: {why}; restore them or choose another "
    with pytest.raises(LookupError, match=sentence):
        loading.load_weights(dataclasses.replace(row, source=str(tmp_path / "sd")), diffusers._load)
    assert capfd.readouterr() == ("", "")


def test_the_head_of_a_language_model_that_only_reads_may_be_away(folder):
    told = ["Key | Status\nlm_head.weight | \x1b[31mMISSING\x1b[0m |\n"]
    row = row_over(folder)
    assert loading._unread(row, told) == LACK.format("lm_head.weight")
    assert loading._unread(dataclasses.replace(row, role="generator"), told) == ""


def test_a_lack_of_memory_while_loading_is_passed_on(folder):

    def out_of_memory(row):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RuntimeError, match="allocate memory"):
        loading.load_weights(row_over(folder), out_of_memory)


def test_too_little_memory_is_told_before_loading(monkeypatch):
    row = tiny.checkpoint("tiny-sd")
    needed = sum(loading.needs(row).values())
    (pipe,) = loading.load_weights(row, diffusers._load)
    held = sum(p.nbytes for m in (pipe.unet, pipe.vae, pipe.text_encoder) for p in m.parameters())
    assert needed == held  # the heads of the files tell what the parameters take
    loading.clear_weights()
    monkeypatch.setattr(memory, "free", lambda device: needed // 2)
    sentence = (
        r"^'tiny-sd' needs about 0.0 GiB as float32, and there are free 0.0 GiB on the CPU; "
        "a GPU with about 0.0 GiB would do, in halves and groups of layers$"
    )
    with pytest.raises(MemoryError, match=sentence):
        loading.load_weights(row, diffusers._load)
    monkeypatch.undo()
    assert loading.load_weights(row, diffusers._load)


def test_copies_that_no_loader_reads_take_no_memory(tmp_path):
    row = tiny.checkpoint("tiny-sd")
    needed = sum(loading.needs(row).values())
    folder = shutil.copytree(row.source, tmp_path / "copy")
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(unet, folder / "v1-5-pruned.safetensors")  # for other programs
    shutil.copy(unet, unet.with_suffix(".fp16-00001-of-00001.safetensors"))
    assert sum(loading.needs(dataclasses.replace(row, source=str(folder))).values()) == needed


def test_models_are_forgotten_until_the_next_one_fits(folder, monkeypatch):
    rows = [row_over(folder, size=size) for size in (1, 2, 3)]
    monkeypatch.setattr(memory, "parts", lambda *_: {"all": 100})
    monkeypatch.setattr(memory, "free", lambda device: 250 - 100 * len(loading._cache))
    for row in rows:
        loading.load_weights(row, lambda row: object())
    assert [key[0] for key in loading._cache] == rows[1:]


class Pipe:
    """As much of a pipeline as is placed; tells how."""

    def __init__(self, order="unet"):
        self.model_cpu_offload_seq, self.placed = order, []

    def enable_model_cpu_offload(self):
        self.placed.append("parts")

    def enable_group_offload(self, onload_device, **how):
        self.placed.append((str(onload_device), how["offload_type"]))

    def to(self, device):
        self.placed.append(device)


@pytest.mark.parametrize(
    ("room", "order", "placed"),
    [
        ("sum", "unet", "cuda"),
        ("largest", "unet", "parts"),
        ("less", "unet", ("cuda", "leaf_level")),
        ("largest", None, ("cuda", "leaf_level")),  # its parts cannot take turns
        ("nothing", "unet", ""),
    ],
)
def test_a_gpu_too_small_for_the_whole_takes_parts_and_one_too_small_for_these_layers(
    monkeypatch, room, order, placed
):
    row, pipe = tiny.checkpoint("tiny-sd"), Pipe(order)
    sizes = loading.needs(row)
    assert len(sizes) == 3
    largest = max(sizes.values())
    rooms = {"sum": 2 * sum(sizes.values()), "largest": 1.3 * largest, "less": 0.5 * largest}
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setattr(memory, "free", lambda device: rooms.get(room, 0))
    if placed:
        loading.place([pipe], row)
        assert pipe.placed == [placed]
    else:
        with pytest.raises(
            MemoryError, match=r"^'tiny-sd' needs .*, and there are free 0.0 GiB on "
        ):
            loading.place([pipe], row)


@pytest.mark.parametrize("name", ["tiny-sd", "tiny-flux", "tiny-karlo", "tiny-if"])
def test_layers_that_take_turns_draw_the_same_picture(name):
    model = Diffusers(tiny.checkpoint(name))
    plain = model(["a red circle"], [7])
    for pipe in model.loaded():
        loading.in_groups(pipe, "cpu")
    hooks = [getattr(m, "_diffusers_hook", None) for p in model.loaded() for m in modules(p)]
    assert any(hook and hook.get_hook("group_offloading") for hook in hooks)
    assert model(["a red circle"], [7])[0].tobytes() == plain[0].tobytes()


def test_a_quantised_denoiser_takes_half_and_draws_another_picture_of_the_same_kind(monkeypatch):
    row = tiny.checkpoint("tiny-flux")
    small = dataclasses.replace(row, options=dict(row.options) | {"quantise": "fp8"})
    plain, other = Diffusers(row), Diffusers(small)
    (first,), (second,) = plain(["a red circle"], [7]), other(["a red circle"], [7])
    assert first.tobytes() != second.tobytes()
    assert np.abs(np.float64(first) - np.float64(second)).mean() < 16  # of 255
    (pipe,) = other.loaded()
    kinds = {x.dtype for x in pipe.transformer.parameters()}
    assert kinds == {torch.float8_e4m3fn, torch.float32}  # of norms and embeddings
    assert {x.dtype for x in pipe.vae.parameters()} == {torch.float32}
    part = str(next(key for key in loading.needs(row) if key.endswith("/transformer")))
    assert loading.needs(small)[part] == loading.needs(row)[part] // 4  # of float32, on the CPU
    assert identity(small)["options"] != identity(row)["options"]
    strange = Diffusers(dataclasses.replace(row, options={"quantise": "int3"}))
    with pytest.raises(
        LookupError, match="'tiny-flux' has no way to quantise 'int3'; there are: fp8, nf4"
    ):
        strange(["a red circle"], [7])
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setattr(device, "dtype", lambda row: getattr(torch, row.dtype))
    card, own = 16 * 2**30, 32 * 2**30
    names = ["flux-schnell", "flux-schnell-fp8"]
    found = [loading.fit(catalogue.checkpoint(name), card, own) for name in names]
    assert found == ["groups", "parts"]
    assert loading.fit(catalogue.checkpoint(names[1]), card, own - 2**31) == ""  # on its way


def modules(pipe):
    """Return every module of a pipeline."""
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    return [module for part in parts for module in part.modules()]


def test_what_a_row_tells_decides_before_its_weights_are_here(monkeypatch):
    """The example of a card of 24 GB: FLUX and Qwen-Image have parts that it cannot hold."""
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setattr(device, "dtype", lambda row: getattr(torch, row.dtype))
    card, own = 24 * 2**30, 64 * 2**30
    names = ["sdxl", "sd-3-5-large", "flux-schnell", "qwen-image", "llava-1-5-7b"]
    rows = [catalogue.checkpoint(name) for name in names]
    assert [loading.fit(row, card, own) for row in rows] == [
        *("whole", "parts", "groups", "groups", "whole")
    ]
    monkeypatch.setattr(memory, "total", lambda where: 7 * 2**30 if where == "cuda" else own)
    told = [loading.refusal(row) for row in rows]
    assert told[:2] == ["", ""]
    assert told[2] == (
        "'flux-schnell' needs about 37.2 GiB as bfloat16 (26.6 GiB part by part, 8.9 GiB in groups "
        "of layers), and there are 7.0 GiB on the GPU; use a machine with more memory, or another "
        "model"
    )
    assert told[4].startswith("'llava-1-5-7b' needs about 15.8 GiB as float16, and there are 7.0 ")
    monkeypatch.setattr(memory, "total", lambda where: (24 if where == "cuda" else 32) * 2**30)
    assert loading.refusal(rows[3]) == (
        "'qwen-image' needs about 54.0 GiB of the computer's own memory on its way to the GPU, and "
        "there are 32.0 GiB; use a machine with more memory, or another model"
    )


def test_weights_pass_through_the_computer_s_own_memory(folder, monkeypatch):
    row = row_over(folder)
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setattr(loading, "release_memory", lambda: None)
    monkeypatch.setattr(memory, "parts", lambda *_: {"unet": 60 * 2**30})
    monkeypatch.setattr(memory, "free", lambda device: (80 if device == "cuda" else 32) * 2**30)
    with pytest.raises(MemoryError, match=r"^'mine' needs about 60.0 GiB of the computer's own "):
        loading.load_weights(row, lambda row: object())
