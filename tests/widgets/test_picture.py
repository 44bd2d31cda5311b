"""Attribute my picture, from Python: stages, cancel, errors as sentences, and untrusted names."""

from __future__ import annotations

import base64
import re
import threading
import time
from importlib import import_module

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.evidence.making import A1111
from workbench import images
from workbench.attribution import replay
from workbench.attribution.attribute import attribute
from workbench.widgets import picture
from workbench.widgets._run import Run
from workbench.widgets.picture import HINT, STAGES, STOPPED, WAITING, AttributePicture

calls = import_module("workbench.attribution.attribute")  # the module, not the function

WAIT = 60


@pytest.fixture
def mine(tiny, shared_store):
    return AttributePicture(store=shared_store)


def upload(widget, name, data):
    """Hand a file over as the browser does."""
    widget._drop._handle_custom_msg({"kind": "file", "name": name}, [memoryview(data)])


def shown(widget) -> str:
    return widget._shown.value


@pytest.fixture
def data(pictures) -> bytes:
    return (pictures / "one.png").read_bytes()


def test_a_chosen_file_ends_in_the_ranking_that_attribute_answers(mine, pictures, shared_store):
    assert mine.message == HINT
    assert (mine.result, mine.selection, mine._start.disabled) == (None, None, True)
    mine.choose(pictures / "one.png")
    assert mine.message == "one.png: press Start."
    mine._start.click()
    mine.wait(WAIT)
    alone = attribute(pictures / "one.png", store=shared_store)
    assert mine.selection is mine.result
    assert list(mine.result.rankings["score"]) == list(alone.rankings["score"])
    assert mine.result.paths[0][0] == "one.png"  # a report tells nothing of where it lay
    assert str(pictures) not in mine.still()
    assert "tiny-sd" in shown(mine)
    assert shown(mine).count('class="done"') == len(STAGES)
    assert not mine.running


def test_the_stages_are_told_one_after_another(mine, pictures, monkeypatch):
    told = []
    tell = mine._tell
    monkeypatch.setattr(mine, "_tell", lambda now: (told.append(now), tell(now)))
    mine.choose(pictures / "two.jpg")
    mine.start()
    mine.wait(WAIT)
    stages = list(dict.fromkeys(now.split(":")[0] for now in told))
    assert stages == ["invert", "generate", "encode", "compare"]
    assert any(re.fullmatch(r"generate: \d of 4", now) for now in told)


def test_cancelling_stops_after_the_batch_and_what_was_made_stays(
    tiny, pictures, store, monkeypatch
):
    mine = AttributePicture(store=store)
    mine.choose(pictures / "one.png")
    reached, going_on = threading.Event(), threading.Event()
    progress = mine._progress

    def slow(stage, done, total):
        if stage == "generate" and done:
            reached.set()
            going_on.wait(WAIT)
        progress(stage, done, total)

    with monkeypatch.context() as patch:
        patch.setattr(mine, "_progress", slow)
        mine.start()
        assert reached.wait(WAIT)
        assert mine.running
        assert not mine._cancel.disabled
        assert mine._drop.disabled
        mine._cancel.click()
        assert mine.message == "cancelling …"
        going_on.set()
        mine.wait(WAIT)
    assert (mine.result, mine.message, mine.running) == (None, STOPPED, False)
    made = store.info()
    assert made["prompts"] == 1
    assert 0 < made["generations"] < 4
    assert made["features"] == 0
    mine.start()
    mine.wait(WAIT)
    assert mine.result is not None
    assert store.info()["generations"] == 4


def test_an_upload_is_never_written_under_its_own_name(mine, data, monkeypatch):
    name = '../../<img src=x onerror="alert(1)">.PNG'
    seen = []
    real = attribute
    monkeypatch.setattr(
        calls, "attribute", lambda path, **more: (seen.append(path), real(path, **more))[1]
    )
    upload(mine, name, data)
    mine.start()
    mine.wait(WAIT)
    (path,) = seen
    assert path.name == "upload.png"
    assert not path.exists()
    assert mine.result.paths == ((name, images.digest(images.decode(data))),)
    assert mine.result.images["path"].isna().all()
    for page in (shown(mine), mine.still()):
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page


def test_the_report_is_a_link_that_reads_back(mine, data, tmp_path):
    upload(mine, 'my "picture" <1>.png', data)
    mine.start()
    mine.wait(WAIT)
    found = re.search(r'download="([^"]+)" href="data:text/html;base64,([^"]+)"', shown(mine))
    assert found[1] == "attribution-my-picture-1.html"
    path = tmp_path / found[1]
    path.write_bytes(base64.b64decode(found[2]))
    assert list(replay.read(path)["pictures"]) == [mine.result.paths[0][1]]
    assert "my &#34;picture&#34; &lt;1&gt;.png" in path.read_text()


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("notes.txt", b"no picture", r"it is not a picture of a known kind \(PNG.*"),
        ("<b>.png", b"", r"the file is empty"),
        (
            "cut.png",
            images.png_bytes(Image.effect_mandelbrot((64, 64), (-2, -2, 2, 2), 9).convert("RGB"))[
                :200
            ],
            r"the picture is damaged or cut short \(.*",
        ),
    ],
)
def test_what_is_no_picture_is_told_in_a_sentence(mine, name, data, reason):
    upload(mine, name, data)
    assert re.fullmatch(f"{re.escape(name)} cannot be attributed: {reason}", mine.message[:-1])
    assert mine.message.endswith(".")
    assert mine._start.disabled
    assert "<b>.png" not in shown(mine)
    mine.start()
    assert (mine.running, mine.result) == (False, None)


def test_too_many_pixels_and_a_missing_file_are_told(mine, data, monkeypatch, tmp_path):
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    upload(mine, "big.png", data)
    assert mine.message == (
        "big.png cannot be attributed: it has 60×48 pixels, more than the 100 that are opened."
    )
    mine.choose(tmp_path / "gone.png")
    assert mine.message == "gone.png cannot be attributed: there is no such file."


def test_an_unknown_preset_is_told_in_the_widget(tiny):
    mine = AttributePicture("pockt")
    assert mine.message.startswith("no preset named 'pockt'")
    assert "no preset named" in mine.still()
    assert mine._drop.disabled


def test_an_error_on_the_way_is_told_and_another_start_is_possible(mine, pictures, monkeypatch):
    def fails(*_, **__):
        raise LookupError("the weights of tiny-sd are missing")

    mine.choose(pictures / "one.png")
    with monkeypatch.context() as patch:
        patch.setattr(calls, "attribute", fails)
        mine.start()
        mine.wait(WAIT)
    assert mine.message == "the weights of tiny-sd are missing"
    assert mine.advice == "The command workbench doctor tells what this machine lacks."
    assert (mine._start.disabled, mine._cancel.disabled) == (False, True)
    mine.start()
    mine.wait(WAIT)
    assert mine.result is not None


def test_a_file_that_changed_before_the_start_is_told(mine, tmp_path):
    path = tmp_path / "mine.png"
    Image.new("RGB", (8, 8)).save(path)
    mine.choose(path)
    path.write_bytes(b"something else")
    mine.start()
    mine.wait(WAIT)
    assert mine.message.startswith("mine.png cannot be attributed: it is not a picture of a known")
    assert mine.result is None


def test_a_cancelled_run_that_cannot_be_interrupted_is_left_within_two_seconds(
    mine, pictures, monkeypatch
):
    entered, going_on, outcomes = threading.Event(), threading.Event(), []

    def stuck(*_, **__):
        entered.set()
        outcomes.append(going_on.wait(WAIT))
        return attribute(pictures / "one.png", store=mine._given)

    mine.choose(pictures / "one.png")
    with monkeypatch.context() as patch:
        patch.setattr(calls, "attribute", stuck)
        mine.start()
        assert entered.wait(WAIT)
        started = time.monotonic()
        mine.cancel()
        while mine.running:
            time.sleep(0.02)
        assert time.monotonic() - started < 3 * 2  # two seconds, thrice on a busy machine
    assert (mine.message, mine.result, outcomes) == (STOPPED, None, [])
    assert not mine._start.disabled
    mine.choose(pictures / "two.jpg")
    mine.start()  # waits for the one that was left
    assert mine.message == f"invert: {WAITING}"
    going_on.set()
    mine.wait(WAIT)
    assert outcomes == [True]
    assert mine.result.paths[0][0] == "two.jpg"  # and the outcome of the one left was dropped


def test_a_model_in_its_layers_is_left_at_the_next(tiny):
    torch = pytest.importorskip("torch")
    layer, depth, ends = torch.nn.Linear(2, 2), [], []

    def task(progress):
        for step in range(10**9):
            layer(torch.zeros(1, 2))
            depth.append(step)

    run = Run(task, progress=lambda *_: None, ended=lambda *said: ends.append(said))
    while not depth:
        time.sleep(0.01)
    run.cancel()
    run.wait(WAIT)
    assert not run.alive
    assert ends == [(None, None)]
    layer(torch.zeros(1, 2))  # nothing is left behind that stops others


def test_seconds_are_told_from_the_first_on(mine, pictures, monkeypatch):
    seen = []
    monkeypatch.setattr(calls, "attribute", lambda *_, **__: time.sleep(1.3) or fail())
    mine._clock.observe(lambda change: seen.append(change.new), "value")
    mine.choose(pictures / "one.png")
    mine.start()
    assert 'aria-current="step"' in shown(mine)
    assert re.search("<progress max=.1. aria-label", shown(mine))  # it moves before it can tell
    mine.wait(WAIT)
    assert {"0 s", "1 s"} & set(seen)
    assert mine._clock.value == ""


def fail():
    raise RuntimeError("a plug-in broke")


def test_an_error_looks_like_one_and_says_what_to_do(mine, pictures, monkeypatch):
    mine.choose(pictures / "one.png")
    monkeypatch.setattr(calls, "attribute", lambda *_, **__: fail())
    mine.start()
    mine.wait(WAIT)
    assert mine.message == "RuntimeError: a plug-in broke"
    page = shown(mine)
    assert '<div class="error" role="alert"><b>RuntimeError: a plug-in broke</b>' in page
    assert "Start again; if it fails once more, report it with this sentence." in page
    mine.choose(pictures / "two.jpg")
    assert 'class="error"' not in shown(mine)


def test_what_the_file_says_is_shown_before_the_start(mine, tmp_path):
    told = PngInfo()
    told.add_text("parameters", A1111.format(size="8x8"))
    Image.new("RGB", (8, 8)).save(tmp_path / "told.png", pnginfo=told)
    mine.choose(tmp_path / "told.png")
    mine.wait(WAIT)
    assert mine.result is None
    assert "What the file says" in shown(mine)
    assert "<b>parameters, claimed.</b>" in shown(mine)
    assert set(mine.evidence["kind"]) >= {"C2PA", "parameters", "watermark"}
    upload(mine, "bare.png", images.png_bytes(Image.new("RGB", (8, 8))))
    mine.wait(WAIT)
    assert "<b>parameters, claimed.</b>" not in shown(mine)
    assert re.search("nothing found, which says nothing: .*parameters", shown(mine))


def test_a_path_is_dropped_or_pasted_as_a_path_or_a_url(mine, pictures, tmp_path):
    spaced = tmp_path / "my picture.png"
    spaced.write_bytes((pictures / "one.png").read_bytes())
    for text in (str(spaced), f"'{spaced}'", spaced.as_uri(), f" {spaced.as_uri()}\n"):
        mine._drop._handle_custom_msg({"kind": "path", "path": text}, [])
        assert mine.message == "my picture.png: press Start."
    mine._path.value = "https://example.org/a.png"
    assert mine.message == "Nothing is fetched from the web here."
    assert mine.advice == "Save the picture, and choose its file."
    assert mine._start.disabled


def test_the_answer_says_what_a_court_asks_for(mine, pictures):
    mine.choose(pictures / "one.png")
    mine.start()
    mine.wait(WAIT)
    page = shown(mine)
    asked = ["What the file says", "What it is narrowed to", "Why", "What it does not prove"]
    places = [page.index(f">{title}</h") for title in [*asked, "Keep the evidence"]]
    assert places == sorted(places)
    assert "None of this proves that a model made a picture" in page


def test_another_choice_forgets_the_answer(mine, pictures):
    mine.choose(pictures / "one.png")
    mine.start()
    mine.wait(WAIT)
    mine.choose(pictures / "two.jpg")
    assert mine.result is None
    assert "tiny-sd" not in shown(mine)


def test_the_samples_are_offered():
    names = [name for name, _ in picture._samples()]
    assert "sample-01.png" in names
    mine = AttributePicture()
    mine._sample.value = dict(picture._samples())["sample-01.png"]
    assert mine.message == "sample-01.png: press Start."
    mine._path.value = str(dict(picture._samples())["sample-02.png"])
    assert mine.message == "sample-02.png: press Start."
