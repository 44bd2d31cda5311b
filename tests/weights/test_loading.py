"""Running: models kept while there is room, fixed shapes, halving where memory runs out."""

from __future__ import annotations

import dataclasses
import shutil
import threading

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.models import tiny
from workbench.generators import diffusers
from workbench.weights import device, inference, loading, memory
from workbench.weights.checkpoint import Checkpoint


def _row(folder, **fields):
    return Checkpoint("mine", "encoder", "plugin", str(folder), **fields)


@pytest.fixture
def folder(tmp_path):
    return tiny.hollow(tmp_path / "mine")


@pytest.fixture(autouse=True)
def _no_models_kept():
    loading.clear_weights()
    yield
    loading.clear_weights()


def test_weights_load_once_and_the_oldest_goes(folder):
    loads = []

    def loader(row):
        loads.append(row.size)
        return object()

    rows = [_row(folder, size=size) for size in range(1, loading.CACHE_MODELS + 2)]
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
    import torch

    monkeypatch.setattr(loading, "CACHE_BYTES", 1000)
    loads = []

    def loader(row):
        loads.append(row.size)
        return torch.nn.Linear(100, 1), "tokenizer"

    for size in (1, 2, 3, 2, 1):
        loading.load_weights(_row(folder, size=size), loader)
    assert loads == [1, 2, 3, 1]


def test_threads_that_ask_together_load_once(folder):
    loads = []

    def loader(row):
        loads.append(row)
        return object()

    found = []
    threads = [
        threading.Thread(target=lambda: found.append(loading.load_weights(_row(folder), loader)))
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
        loading.load_weights(_row(folder), damaged)


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
    row = _row(folder)
    assert loading._unread(row, told) == LACK.format("lm_head.weight")
    assert loading._unread(dataclasses.replace(row, role="generator"), told) == ""


def test_a_lack_of_memory_while_loading_is_passed_on(folder):

    def exhausted(row):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RuntimeError, match="allocate memory"):
        loading.load_weights(_row(folder), exhausted)


def test_chunks_are_full_and_threads_are_set(folder):
    import torch

    seen = []

    def call(chunk):
        seen.append((chunk, torch.get_num_threads(), torch.is_inference_mode_enabled()))
        return [x * 10 for x in chunk]

    before = torch.get_num_threads()
    row = _row(folder, batch=3, threads=1)
    assert inference.run_batched(call, range(4), row) == [0, 10, 20, 30]
    assert seen == [([0, 1, 2], 1, True), ([3, 3, 3], 1, True)]
    assert inference.run_batched(call, [], row) == []
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError):
        inference.run_batched(lambda _: 1 // 0, [1], row)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("around", ["enable_grad", "no_grad", "inference_mode"])
def test_gradients_flow_where_they_are_asked_for(folder, around):
    import torch

    def slope(chunk):
        x = torch.tensor(chunk, dtype=torch.float32, requires_grad=True)
        (x**2).sum().backward()
        return x.grad.tolist()

    row = _row(folder, batch=2, threads=1)
    with getattr(torch, around)():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        assert inference.run_batched(slope, [1, 2, 3], row, gradients=True) == [2, 4, 6]
        with pytest.raises(RuntimeError, match="does not require grad"):
            inference.run_batched(slope, [1], row)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before


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
    rows = [_row(folder, size=size) for size in (1, 2, 3)]
    monkeypatch.setattr(memory, "parts", lambda *_: {"all": 100})
    monkeypatch.setattr(memory, "free", lambda device: 250 - 100 * len(loading._cache))
    for row in rows:
        loading.load_weights(row, lambda row: object())
    assert [key[0] for key in loading._cache] == rows[1:]


class Gpu:
    """A device with room for so many items a call; says so as torch does."""

    def __init__(self, room):
        self.room, self.calls = room, []

    def __call__(self, chunk):
        self.calls.append(len(chunk))
        if len(chunk) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [item.upper() for item in chunk]


def test_on_a_gpu_calls_are_halved_until_they_fit_and_the_shape_is_told(folder, monkeypatch):
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setattr(loading, "release_memory", lambda: None)
    monkeypatch.setattr(memory, "free", lambda device: 0)
    row, gpu = _row(folder, batch=1), Gpu(room=2)
    assert inference.shape(row) == [8]
    assert inference.run_batched(gpu, "abcdefg", row) == list("ABCDEFG")
    assert gpu.calls == [7, 4, 2, 2, 2, 1]
    assert inference.shape(row) == [2]
    assert inference.run_batched(gpu, "h", row) == ["H"]
    assert inference.shape(row) == [1]
    gpu.calls.clear()
    assert inference.run_batched(gpu, "abc", row) == list("ABC")
    assert gpu.calls == [2, 1]  # what fits is remembered
    sentence = (
        r"^the memory ran out in one picture of 'mine' on the GPU, 0.0 GiB are free; close other "
        "programs, or use a smaller dtype, a smaller model or a larger machine$"
    )
    with pytest.raises(MemoryError, match=sentence):
        inference.run_batched(Gpu(room=0), "abc", row)
    with pytest.raises(ValueError, match=r"^another fault$"):
        inference.run_batched(_fails, "abc", row)


def _fails(chunk):
    raise ValueError("another fault")


def test_on_the_cpu_the_shape_stays_and_a_lack_of_memory_is_told(folder):
    row = dataclasses.replace(_row(folder), batch=4)
    sentence = (
        "^the memory ran out in a call of 4 of 'mine' on the CPU, .* GiB are free; "
        "a batch below 4 in its row takes less$"
    )
    gpu = Gpu(room=2)
    with pytest.raises(MemoryError, match=sentence):
        inference.run_batched(gpu, "abc", row)
    assert gpu.calls == [4]


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
    row = _row(folder)
    monkeypatch.setattr(device, "kind", lambda: "cuda")
    monkeypatch.setattr(loading, "release_memory", lambda: None)
    monkeypatch.setattr(memory, "parts", lambda *_: {"unet": 60 * 2**30})
    monkeypatch.setattr(memory, "free", lambda device: (80 if device == "cuda" else 32) * 2**30)
    with pytest.raises(MemoryError, match=r"^'mine' needs about 60.0 GiB of the computer's own "):
        loading.load_weights(row, lambda row: object())
