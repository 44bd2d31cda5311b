"""Rows and hubs that lead elsewhere lead nowhere, and no key leaks."""

from __future__ import annotations

import json
import logging
import re
import shutil

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

import workbench as wb
from tests.support import toys
from tests.support.hub import Hub
from tests.support.images_endpoint import KEY, Endpoint, refusal
from workbench import pipeline
from workbench.catalogue import hub
from workbench.cli.app import app
from workbench.generators.hosted import Hosted
from workbench.weights.checkpoint import Checkpoint
from workbench.weights.repository import snapshot

SD = '\nplugin = "workbench.generators.diffusers.Diffusers"\nsource = '
ROWS = {
    '\nplugin = "os.system"\nsource = "/"': "no class 'os.system' for a checkpoint; there are: ",
    '\nplugin = "subprocess.Popen"\nsource = "/"': "no class 'subprocess.Popen' for a checkpoint; ",
    '\nplugin = "transformers.utils.hub.subprocess.Popen"\nsource = "/"': "no class 'transformers.",
    '\nplugin = "workbench.catalogue.toml.Path"\nsource = "/"': "Path cannot be made like this: ",
    f'{SD}"tiny"\nclass = "subprocess.Popen"': "the weights of 'evil' cannot be loaded: no ",
    f'{SD}"a\\u0000b"': r"the weights of 'evil' are not in .*a\\x00b; restore them or choose ",
    f'{SD}"a/b\\u0000"\nrevision = "c"': r"the weights of 'evil' \(a/b\\x00\) are not on this ",
    f'{SD}"../../x"\nrevision = "../.."': "checkpoint 'evil' has the revision '../..', which is ",
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_that_leads_elsewhere_is_one_sentence(tiny, tmp_path, monkeypatch, pictures, row):
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    if '"tiny"' in row:
        shutil.copytree(tiny / "pocket" / "tiny-sd", tmp_path / "mine" / "tiny")
    (tmp_path / "mine" / "generators.toml").write_text(f"[evil]{row}\n")
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    options = ["--zoo", "tiny-sd,evil", "--prompt", "a thing", "--gamma", "1"]
    done = CliRunner().invoke(app, ["attribute", str(pictures / "one.png"), *options])
    assert (done.exit_code, done.stdout) == (2, "")
    assert re.fullmatch(f"workbench: {ROWS[row]}.*\n", done.stderr)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Serve a folder as the repository org/one, and under a plain address."""
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"0123456789" * 300)
    with Hub({"org/one": folder, "plain": folder}) as there:
        monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path / "mine"))
        monkeypatch.setattr(constants, "ENDPOINT", there.url)
        template = there.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield there


@pytest.mark.parametrize(
    "change",
    [
        {"siblings": [{"rfilename": "../../../../evil.json", "size": 4, "blobId": "0" * 40}]},
        {"siblings": [{"rfilename": "/evil.json", "size": 4, "blobId": "0" * 40}]},
        {"siblings": [{"rfilename": "..\\evil.json", "size": 4, "blobId": "0" * 40}]},
        {"siblings": [{"rfilename": "evil.json", "size": 4, "blobId": "../../../evil"}]},
        {"sha": "../../../.."},
    ],
)
def test_a_hub_cannot_write_outside_of_its_cache(served, monkeypatch, change):
    send = served._send

    def lie(request, status, data, headers, cut=None):
        data = json.dumps(json.loads(data) | change).encode()
        send(request, status, data, headers, cut)

    assert [file.name for file in hub.listing("org/one").files] == ["model.safetensors"]
    monkeypatch.setattr(served, "_send", lie)
    with pytest.raises(ValueError, match=r"^org/one names the file .*: nothing of it is fetched$"):
        hub.listing("org/one")


# Keys

TOKEN = "hf_secretsecretsecretsecretsecret00"


def test_a_token_goes_to_the_hub_alone_and_is_told_nowhere(
    served, tmp_path, monkeypatch, caplog, capfd
):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    sent, answer, said = {}, served.answer, []

    def note(request):
        sent.setdefault(request.path.split("/")[1], []).append(request.headers["authorization"])
        return answer(request)

    monkeypatch.setattr(served, "answer", note)
    with caplog.at_level(logging.DEBUG):
        for command in ("doctor", "zoo list", "zoo show tiny", "zoo download sd-1-5"):
            done = CliRunner().invoke(app, command.split())
            said.append(done.output + repr(done.exception))
        there = hub.listing("org/one")
        hub.fetch(there, there.files[0])
        hub.fetch_url(f"{served.url}/plain/model.safetensors", tmp_path / "plain.bin", 3000)
        served.gated = {"org/one"}
        (snapshot("org/one", there.commit) / "model.safetensors").resolve().unlink()
        with pytest.raises(LookupError, match=r"^org/one is gated: ") as caught:
            hub.fetch(there, there.files[0])
    assert f"Bearer {TOKEN}" in sent["api"] + sent["org"]
    assert set(sent["plain"]) == {None}
    assert KEY not in repr(sent)
    assert "hub log-in" in said[0]
    errors = [str(each) for each in (caught.value, caught.value.__cause__)]
    text = "".join(said) + caplog.text + "".join(capfd.readouterr()) + "".join(errors)
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) > 2
    for secret in (TOKEN, KEY):
        assert secret not in text
        assert not [data for data in kept if secret.encode() in data]


def test_a_run_with_a_hosted_model_keeps_no_key(tmp_path, monkeypatch, caplog, pictures):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("WORKBENCH_BUDGET", "10")
    monkeypatch.setenv("WORKBENCH_CATALOGUE", str(tmp_path / "mine"))
    store = wb.Store(tmp_path / "store")
    with Endpoint() as endpoint, caplog.at_level(logging.DEBUG):
        echo = refusal(400, f"policy: the key {KEY} is known", "moderation_blocked")
        endpoint.script = [echo]
        options = {"base_url": endpoint.address, "price": 0.01}
        name = "workbench.generators.hosted.Hosted"
        row = Checkpoint("far", "generator", name, "far-1", size=16, options=options)
        models = {"far": Hosted(row), "near": toys.Toy((1, 0, 0))}
        how = wb.Regeneration(wb.Natural(text="a"), wb.Cosine(toys.Mean()), gamma=2, size=16)
        found = wb.attribute(pictures / "one.png", attributor=how, zoo=models, store=store)
        assert len(endpoint.calls) == 2
        endpoint.shutdown()
    found.report(tmp_path / "report.html")
    tables = [value for value in vars(found).values() if hasattr(value, "to_csv")]
    text = caplog.text + json.dumps(found.records()) + found._repr_html_() + repr(found)
    text += repr(found.setting) + "".join(table.to_csv() for table in tables)
    assert "policy: the key … is known" in text
    kept = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"report.html", "spent.sqlite"} < set(kept)
    for secret in (TOKEN, KEY):
        assert secret not in text
        assert not [name for name, data in kept.items() if secret.encode() in data]
    assert pipeline.generate(found.prompts, models, 2, 0, store)["failure"].notna().sum() == 1
