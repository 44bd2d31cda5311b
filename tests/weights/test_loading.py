"""Weights are kept while there is room, loaded once, placed part by part, and lack nothing."""

from __future__ import annotations

import dataclasses
import shutil
import threading

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.models import tiny
from tests.weights.conftest import row_over
from workbench.generators import diffusers
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


def test_weights_of_many_bytes_push_others_out(folder, monkeypatch):

    monkeypatch.setattr(loading, "CACHE_BYTES", 1000)
    loads = []

    def loader(row):
        loads.append(row.size)
        return torch.nn.Linear(100, 1), "tokenizer"

    for size in (1, 2, 3, 2, 1):
        loading.load_weights(row_over(folder, size=size), loader)
    assert loads == [1, 2, 3, 1]


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

    def exhausted(row):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RuntimeError, match="allocate memory"):
        loading.load_weights(row_over(folder), exhausted)


def test_too_little_memory_is_told_before_loading(monkeypatch):
    row = tiny.checkpoint("tiny-sd")
    needed = sum(loading.needs(row).values())
    (pipe,) = loading.load_weights(row, diffusers._load)
    held = sum(p.nbytes for m in (pipe.unet, pipe.vae, pipe.text_encoder) for p in m.parameters())
    assert needed == held  # the heads of the files tell what the parameters take
    loading.clear_weights()
    monkeypatch.setattr(memory, "free", lambda device: needed // 2)
    sentence = (
        r"^'tiny-sd' needs about 0.0 GiB as float32, and 0.0 GiB are free on the CPU; "
        "a GPU with about 0.0 GiB would do, at half precision, part by part$"
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


def test_a_gpu_too_small_for_the_whole_takes_it_part_by_part(monkeypatch):
    row, asked = tiny.checkpoint("tiny-sd"), []

    class Pipe:
        model_cpu_offload_seq = "unet"

        def enable_model_cpu_offload(self):
            asked.append("offload")

        def to(self, device):
            asked.append(device)

    sizes = loading.needs(row)
    assert len(sizes) == 3
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    for room in (sum(sizes.values()) * 2, max(sizes.values()) * 1.3):
        monkeypatch.setattr(memory, "free", lambda device, room=room: room)
        loading.place([Pipe()], row)
    assert asked == ["cuda", "offload"]
    Pipe.model_cpu_offload_seq = None  # of a class whose parts cannot take turns
    with pytest.raises(MemoryError, match=r"^'tiny-sd' needs about .* are free on the GPU; "):
        loading.place([Pipe()], row)


def test_weights_pass_through_the_computer_s_own_memory(folder, monkeypatch):
    row = row_over(folder)
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setattr(loading, "release_memory", lambda: None)
    monkeypatch.setattr(memory, "parts", lambda *_: {"unet": 60 * 2**30})
    monkeypatch.setattr(memory, "free", lambda device: (80 if device == "cuda" else 32) * 2**30)
    with pytest.raises(MemoryError, match=r"^'mine' needs about 60.0 GiB of the computer's own "):
        loading.load_weights(row, lambda row: object())
