"""Downloads from a hub on this computer: sizes first, resumed, checked; faults are sentences."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from huggingface_hub import constants

from tests.support.repositories import CLIP, SD, zoo
from workbench import catalogue
from workbench.catalogue import download, hub, presets, toml
from workbench.weights import loading, memory
from workbench.weights.checkpoint import DTYPES, is_downloaded
from workbench.weights.repository import snapshot


def test_a_download_takes_what_a_loader_reads_and_pins_it(there, tmp_path):
    code, said = zoo("download", "sd-1-5", "--yes")
    assert code == 0, said
    assert f"{SD[:20]}" in said
    assert "mit" in said
    assert "sd-1-5: here" in said
    row = catalogue.checkpoint("sd-1-5")
    assert row.revision == there.commit(SD)
    folder = snapshot(SD, row.revision)
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    source = there.folders[SD]
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    unread = {
        "README.md",
        "flax_model.msgpack",
        "v1-5.safetensors",
        "unet/diffusion_pytorch_model.bin",
    }
    assert held == files - unread
    there.asked.clear()
    assert zoo("download", "sd-1-5", "--yes") == (0, "sd-1-5: nothing is left to fetch.")
    assert there.asked == []
    assert download.fault(row) is None


def test_sizes_are_shown_and_nothing_is_fetched_unasked(there):
    code, said = zoo("download", "sd-1-5")
    assert code == 1
    assert "Nothing was fetched: give --yes to fetch 0.0 GiB." in said
    asked = [path.rpartition("/")[2] for _, path, _ in there.asked if "/resolve/" in path]
    assert asked == ["model_index.json"]  # which tells the parts of the pipeline


def test_a_lost_network_keeps_what_came_and_a_rerun_goes_on(there):
    name = "diffusion_pytorch_model.safetensors"
    (size,) = {f.size for f in hub.listing(SD).files if f.name == f"unet/{name}"}
    there.cut = {name: size // 2}
    drop = hub_that_drops(there)
    code, said = zoo("download", "sd-1-5", "--yes")
    assert code == 1
    assert "what was fetched is kept: the same command goes on from there" in said
    assert "Traceback" not in said
    drop()
    there.asked.clear()
    code, said = zoo("download", "sd-1-5", "--yes")
    assert code == 0, said
    ranges = [asked for _, path, asked in there.asked if path.endswith(name) and asked]
    (begun,) = (int(each.removeprefix("bytes=").rstrip("-")) for each in ranges)
    assert size // 2 - 1024 < begun <= size // 2


def hub_that_drops(served):
    """Let the hub go away once a connection was cut, as a network does; answer how to mend it."""
    answer, cut = served.answer, dict(served.cut)

    def dropping(request):
        if cut and not served.cut:
            request.close_connection = True
            request.connection.close()
            return None
        return answer(request)

    served.answer = dropping

    def mend():
        served.answer = answer

    return mend


def test_a_file_with_another_digest_is_removed_and_never_used(there):
    there.corrupt = {"open_clip_model.safetensors"}
    code, said = zoo("download", "clip-vit-l-14", "--yes")
    assert code == 2
    assert f"the file open_clip_model.safetensors of {CLIP} is not the hub's" in said
    assert "it was removed, and the same command fetches it again" in said
    assert catalogue.checkpoint("clip-vit-l-14").revision == ""
    there.corrupt = set()
    assert zoo("download", "clip-vit-l-14", "--yes")[0] == 0
    (blob,) = (path.resolve() for path in snapshot(CLIP, there.commit(CLIP)).glob("*.safetensors"))
    blob.write_bytes(bytes(blob.stat().st_size))  # a disk that rots
    code, said = zoo("verify", "clip-vit-l-14")
    assert code == 1
    assert "the file open_clip_model.safetensors is not what was fetched" in said
    assert f"delete {blob}, then `workbench zoo download clip-vit-l-14` fetches it" in said
    blob.unlink()
    code, said = zoo("verify", "clip-vit-l-14")
    assert code == 1
    assert "the file open_clip_model.safetensors is not what was fetched, or gone" in said
    assert zoo("download", "clip-vit-l-14", "--yes")[0] == 0
    assert zoo("verify", "clip-vit-l-14") == (0, "clip-vit-l-14: good")


def test_gated_missing_and_withdrawn_checkpoints_are_told(there, monkeypatch):
    there.gated = {SD}
    code, said = zoo("download", "sd-1-5", "--yes")
    assert code == 2
    assert f"{SD} is gated: accept its licence at {there.url}/{SD}" in said
    assert "hf auth login" in said
    code, said = zoo("download", "karlo", "--yes")
    assert code == 2
    assert "the hub has no kakaobrain/karlo-v1-alpha, or not for you" in said
    assert zoo("download", "no-such-model")[0] == 2
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    code, said = zoo("download", "sd-1-5", "--yes")
    assert code == 1
    assert "the network went away" in said


def test_what_this_machine_cannot_hold_is_not_fetched_unless_for_another(there, monkeypatch):
    monkeypatch.setattr(memory, "total", lambda device: 2**32)
    code, said = zoo("download", "small", "--yes")
    assert code == 2
    assert (
        "'sd-1-5' needs about 6.2 GiB as float32, and there are 4.0 GiB on the CPU; a GPU with "
        "about 0.6 GiB would do, in halves and groups of layers; --anyway fetches it for another"
    ) in said
    assert "blip-base: here" in said
    assert not [path for _, path, _ in there.asked if path.startswith(SD)], "nobody was asked"
    assert not is_downloaded(catalogue.checkpoint("sd-1-5"))
    assert zoo("download", "sd-1-5", "--yes", "--anyway")[0] == 0
    assert is_downloaded(catalogue.checkpoint("sd-1-5"))


def test_a_disk_without_room_is_told_before_anything_is_fetched(there, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=10)
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda path: usage)
    code, said = zoo("download", "sd-1-5", "--yes")
    assert code == 1
    assert "GiB left" in said
    assert "set HF_HOME to a folder on another disk" in said
    monkeypatch.undo()


def test_pickles_only_are_not_fetched_unless_the_row_says_so(there, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(there.folders[SD], folder)
    for path in folder.rglob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))
    there.folders["org/pickled"] = folder
    mine = tmp_path / "catalogue"
    mine.mkdir()
    row = '[mine]\nplugin = "workbench.generators.diffusers.Diffusers"\nsource = "org/pickled"\n'
    (mine / "generators.toml").write_text(row + 'revision = ""\n')
    code, said = zoo("download", "mine", "--yes")
    assert code == 2
    assert "are a pickle, which can run code" in said
    (mine / "generators.toml").write_text(row + 'revision = ""\nallow_pickle = true\n')
    assert download.plan(catalogue.checkpoint("mine")).left > 0


def test_files_of_a_plain_address_are_resumed_and_summed(there, tmp_path):
    plain = tmp_path / "plain" / "glide"
    plain.mkdir(parents=True)
    (plain / "base.pt").write_bytes(b"0123456789" * 1000)
    (plain / "upsample.pt").write_bytes(b"abcdefghij" * 1000)
    there.folders["plain"] = tmp_path / "plain"
    mine = tmp_path / "catalogue"
    mine.mkdir()
    (mine / "generators.toml").write_text(
        '[far]\nplugin = "workbench.generators.diffusers.Diffusers"\nrevision = ""\n'
        f'source = "{there.url}/plain/glide"\nfiles = ["base.pt", "upsample.pt"]\n'
    )
    part = mine / "weights" / "far" / "base.pt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes((plain / "base.pt").read_bytes()[:4321])
    assert zoo("download", "far", "--yes")[0] == 0
    row = catalogue.checkpoint("far")
    assert row.folder == mine / "weights" / "far"
    assert (row.folder / "base.pt").read_bytes() == (plain / "base.pt").read_bytes()
    assert "bytes=4321-" in [asked for _, path, asked in there.asked if path.endswith("base.pt")]
    assert download.fault(row) is None
    (row.folder / "upsample.pt").write_bytes(b"others")
    assert download.fault(row) == (
        "the file upsample.pt is not what was fetched, or gone: delete "
        f"{row.folder / 'upsample.pt'}, then `workbench zoo download far` fetches it again"
    )
    (row.folder / "upsample.pt").unlink()  # as was told
    assert not is_downloaded(catalogue.checkpoint("far"))
    assert zoo("download", "far", "--yes")[0] == 0
    assert is_downloaded(row)
    assert download.fault(row) is None


def test_a_repository_without_weights_is_not_pinned_as_if_it_were_here(there):
    there.says = {"siblings": []}
    code, said = zoo("download", "sd-1-5", "--yes")
    assert code == 2
    assert f"{SD} holds no weights for 'sd-1-5': of its 0 files 0 are asked for" in said
    there.says = {"siblings": [{"rfilename": "x.safetensors", "size": 3}]}
    with pytest.raises(ValueError, match="or cannot be checked: nothing of it is fetched"):
        hub.listing(SD)  # without a digest
    assert catalogue.checkpoint("sd-1-5").revision == ""


def test_code_beside_weights_is_fetched_only_where_the_row_lets_it_run(there, tmp_path):
    (there.folders[SD] / "modeling_mine.py").write_text("1 / 0")
    assert zoo("download", "sd-1-5", "--yes")[0] == 0
    folder = snapshot(SD, catalogue.checkpoint("sd-1-5").revision)
    assert not (folder / "modeling_mine.py").exists()
    toml.write("generators.toml", "sd-1-5", {"remote_code": True})
    assert zoo("download", "sd-1-5", "--yes")[0] == 0
    (there.folders[SD] / "modeling_mine.py").unlink()
    assert (folder / "modeling_mine.py").read_text() == "1 / 0"
    with pytest.raises(LookupError, match=r"then set WORKBENCH_TRUST=sd-1-5 to let it run$"):
        catalogue.load("sd-1-5").loaded()


def test_a_download_cut_off_halfway_is_not_here_though_its_row_is_pinned(there):
    """As after a cleared cache: the row names its commit, and one file of it came."""
    name = "Salesforce/blip-image-captioning-base"
    assert zoo("download", "blip-base", "--yes")[0] == 0
    shutil.rmtree(snapshot(name, there.commit(name)).parents[1])
    there.refused = {"model.safetensors": (500, "")}
    code, said = zoo("download", "blip-base", "--yes")
    assert code == 1
    assert "the same command goes on from there" in said
    assert not is_downloaded(catalogue.checkpoint("blip-base"))
    assert "blip-base" in zoo("list", "blip-base")[1]
    there.refused = {}
    assert zoo("download", "blip-base", "--yes")[0] == 0
    assert is_downloaded(catalogue.checkpoint("blip-base"))


def test_a_row_that_wants_other_files_is_not_here(there):
    assert zoo("download", "sd-1-5", "--yes")[0] == 0
    assert is_downloaded(catalogue.checkpoint("sd-1-5"))
    toml.write("generators.toml", "sd-1-5", {"allow_pickle": True})
    assert not is_downloaded(catalogue.checkpoint("sd-1-5"))


def test_what_is_no_part_of_a_pipeline_is_neither_fetched_nor_counted(there):
    """As of SDXL's repository: exports for other programs, and weights that another one reads."""
    folder = there.folders[SD]
    for name in ("vae_decoder/openvino_model.bin", "text_encoders/t5xxl_fp16.safetensors"):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(b"of other programs")
    try:
        code, said = zoo("download", "sd-1-5", "--yes")
    finally:
        for name in ("vae_decoder", "text_encoders"):
            shutil.rmtree(folder / name)
    assert code == 0, said
    held = snapshot(SD, there.commit(SD))
    assert not list(held.glob("*_decoder")) + list(held.glob("text_encoders"))
    assert len(loading.needs(catalogue.checkpoint("sd-1-5"))) == 3


def test_a_part_that_is_there_as_a_variant_alone_names_the_option(there):
    weights = there.folders[SD] / "unet" / "diffusion_pytorch_model"
    pickled = weights.with_suffix(".bin")
    kept = pickled.read_bytes()
    pickled.unlink()
    weights.with_suffix(".safetensors").rename(weights.with_suffix(".fp8.safetensors"))
    try:
        code, said = zoo("download", "sd-1-5", "--yes")
    finally:
        weights.with_suffix(".fp8.safetensors").rename(weights.with_suffix(".safetensors"))
        pickled.write_bytes(kept)
    assert code == 2
    assert said == (
        "workbench: sd-1-5: the weights unet/diffusion_pytorch_model.fp8.safetensors are there as "
        'a variant alone (fp8): write variant = "fp8" into the options of the row'
    )


def test_the_variant_that_is_fetched_follows_the_dtype_and_no_other_counts_as_plain(there):
    """As SDXL's, whose plain weights are twice the halves, and Sana's, which has an int4 too."""
    plain = there.folders[SD] / "unet" / "diffusion_pytorch_model.safetensors"
    others = [plain.with_suffix(f".{infix}.safetensors") for infix in ("fp16", "int4", "non_ema")]
    for path in others:
        shutil.copy(plain, path)
    row = catalogue.checkpoint("sd-1-5")
    try:
        chosen = {dtype: download.plan(dataclasses.replace(row, dtype=dtype)) for dtype in DTYPES}
    finally:
        for path in others:
            path.unlink()
    names = {
        dtype: [x.name for x in plan.files[0] if x.name.endswith(".safetensors")]
        for dtype, plan in chosen.items()
    }
    assert row.dtype == "float16"
    assert names["float32"] == names["bfloat16"]
    assert f"unet/{plain.name}" in names["float32"]
    assert f"unet/{others[0].name}" in names["float16"]
    assert [len(x) for x in names.values()] == [3, 3, 3], "of each part one"


def test_files_of_another_revision_are_no_fault_of_a_row(there):
    assert zoo("download", "sd-1-5", "--yes")[0] == 0
    row = catalogue.checkpoint("sd-1-5")
    weights = sorted(snapshot(SD, row.revision).rglob("*.safetensors"))[0]
    weights.resolve().write_bytes(b"rotten")
    assert download.fault(row) is not None
    assert download.fault(dataclasses.replace(row, revision="")) is None


def test_what_cannot_be_had_is_told_before_anything_is_fetched(there):
    del there.folders[SD]
    code, said = zoo("download", "small")
    assert code == 1
    assert said.index(f"the hub has no {SD}") < said.index("Nothing was fetched: give --yes")
    assert said.count(SD) == 2  # its name, and its page


def test_one_gated_or_missing_member_keeps_none_of_the_others(there):
    there.gated = {SD}
    del there.folders["SimianLuo/LCM_Dreamshaper_v7"]
    code, said = zoo("download", "small", "--yes")
    assert code == 2
    assert f"workbench: {SD} is gated: " in said
    assert "workbench: the hub has no SimianLuo/LCM_Dreamshaper_v7" in said
    here = [row.name for row in presets.members("small") if is_downloaded(row)]
    assert here == ["sd-2-1-base", "blip-base", "clip-vit-l-14"]


@pytest.mark.parametrize(
    ("name", "row", "sentence"),
    [
        ("far", "", "lies at an address: it begins with https://, and files of the row names what"),
        ("far", 'files = ["../a.pt"]', "'../a.pt' leads elsewhere: nothing of 'far' is fetched"),
        ("../far", 'files = ["a.pt"]', "'../far' leads elsewhere: nothing of '../far' is fetched"),
    ],
)
def test_a_row_of_an_address_writes_nowhere_else(there, tmp_path, name, row, sentence):
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "generators.toml").write_text(
        f'["{name}"]\nplugin = "workbench.generators.diffusers.Diffusers"\nrevision = ""\n'
        f'source = "{there.url}/plain"\n{row}\n'
    )
    code, said = zoo("download", name, "--yes")
    assert code == 2
    assert sentence in said


def test_where_nothing_can_be_kept_is_told_before_anything_is_fetched(there, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path / "file"))
    code, said = zoo("download", "sd-1-5", "--yes")
    assert code == 1
    assert f"{tmp_path / 'file'} is no folder that can be written; set HF_HOME" in said
    assert not [path for _, path, _ in there.asked if path.endswith(".safetensors")]


def test_commits_and_names_that_are_none_are_told(there):
    said = zoo("download", "sd-1-5", "--yes", "--revision", "deadbeef")[1]
    assert f"{SD} has no such revision, or no longer; `workbench zoo download NAME" in said
    assert f"--revision COMMIT` pins another, see {there.url}/{SD}/commits/main" in said
    said = zoo("download", "glide", "--revision", "deadbeef")[1]
    assert said == "workbench: 'glide' lies at an address without commits: no --revision"
    assert "; did you mean 'sd-1-5'? There are: " in zoo("download", "sd-15")[1]
