"""What others made (weights, pictures, names, prompts, hubs) runs nothing, and no key leaks.

Other files hold what is theirs: zips and tables that point outside (generators/test_archive),
damaged and huge pictures (test_images, test_bad_inputs), keys at an endpoint (test_hosted).
"""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import re
import shutil
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
import torch
from huggingface_hub import constants
from nbconvert import HTMLExporter
from PIL import GifImagePlugin, Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import load_file
from typer.testing import CliRunner

import workbench as wb
from tests import tiny, tiny_paper, toys
from tests.hub import Hub
from tests.images_endpoint import KEY, Endpoint, refusal
from tests.test_evidence import A1111, comfy
from workbench import evaluation, evidence, figures, images, pipeline
from workbench.catalogue import hub
from workbench.cli import terminal
from workbench.cli.app import app
from workbench.evaluation import benchmark
from workbench.generators.hosted import Hosted
from workbench.weights import loading
from workbench.weights.checkpoint import Checkpoint, resolve_class
from workbench.weights.repository import PICKLES, snapshot

# Weights that hold code

LOADERS = {
    "tiny-sd": "diffusion_pytorch_model.bin",
    "tiny-dalle": "diffusion_pytorch_model.bin",
    "tiny-blip": "pytorch_model.bin",
    "tiny-git": "pytorch_model.bin",
    "tiny-llava": "pytorch_model.bin",
    "tiny-dino": "pytorch_model.bin",
    "tiny-clip": "open_clip_pytorch_model.bin",
    "tiny-timm": "pytorch_model.bin",
    "tiny-min-dalle": "encoder.pt",
}
"""A tiny model of each loader, and what its weights are called where they are a pickle."""
PICKLED = {
    "tiny-clip": "no open_clip_model.safetensors in",
    "tiny-timm": "no model.safetensors in",
}


class Touch:
    """Touch a file as soon as a pickle of it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def copied(tmp_path):
    """Copy a tiny model, for a test to change its files; what was loaded is forgotten again."""

    def copy(name, **fields):
        made = (tiny_paper if "min-dalle" in name else tiny).checkpoint(name)
        shutil.copytree(made.source, tmp_path / "models" / name)
        return dataclasses.replace(made, source=str(tmp_path / "models" / name), **fields)

    yield copy
    loading.clear_weights()


def use(row):
    """Let a model do one picture."""
    tool = resolve_class(row.plugin)(row)
    return tool(["x"], [0]) if row.role == "generator" else tool([Image.new("RGB", (32, 32))])


def harm(row, touched, name=None):
    """Write weights as pickles that touch a file; under their own name where none is given."""
    for safe in Path(row.source).rglob("*.safetensors"):
        state = {key: value.clone() for key, value in load_file(safe).items()}
        safe.unlink()
        new = name or safe.name
        if name == "diffusion_pytorch_model.bin" and not safe.name.startswith("diffusion"):
            new = "pytorch_model.bin"
        new = f"{safe.stem}.pt" if name == "encoder.pt" else new
        torch.save(state | {"more": Touch(touched)}, safe.with_name(new))


def refused(row):
    """Return the one sentence by which a model is refused."""
    with pytest.raises(LookupError) as caught:
        use(row)
    assert type(caught.value) is LookupError
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LOADERS)
def test_a_pickle_is_refused_by_every_loader_and_nothing_in_it_runs(copied, tmp_path, name):
    touched, row = tmp_path / "touched", copied(name)
    harm(row, touched, LOADERS[name])
    pickled = r"are a pickle \([\w.]+\), which can run code: it was not read\. Choose a checkpoint "
    pickled += rf"with safetensors, or, .* allow_pickle = true under \[{name}\]"
    assert re.match(f"the weights of '{name}' {pickled}", refused(row))
    told = refused(dataclasses.replace(row, allow_pickle=True))
    assert PICKLED.get(name, "a pickle holds more than tensors, or is damaged") in told
    assert not touched.exists()
    file = next(path for path in Path(row.source).rglob("*") if path.suffix in PICKLES)
    torch.load(file, weights_only=False)
    assert touched.exists()  # so the files were harmful


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("name", LOADERS)
def test_a_pickle_named_safetensors_is_damaged(copied, tmp_path, name, allowed):
    touched, row = tmp_path / "touched", copied(name, allow_pickle=allowed)
    harm(row, touched)
    assert refused(row).startswith(f"the weights of '{name}' cannot be loaded: ")
    assert not touched.exists()


@pytest.mark.parametrize("target", ["../outside.safetensors", "shard.bin"])
@pytest.mark.parametrize("name", ["tiny-sd", "tiny-blip", "tiny-git", "tiny-dino"])
def test_an_index_of_shards_leads_nowhere_else(copied, name, target):
    row = copied(name)
    safe = next(Path(row.source).rglob("*.safetensors"))
    whole = dict.fromkeys(load_file(safe), target)
    safe.replace(safe.parent / target)
    (safe.parent / f"{safe.name}.index.json").write_text(json.dumps({"weight_map": whole}))
    (safe.parent / "other.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    assert refused(row) == (
        f"{safe.name}.index.json of '{name}' names the file '{target}', and its shards are "
        "safetensors beside it: nothing was read; choose another checkpoint"
    )


@pytest.mark.parametrize("part", ["code", "subprocess.Popen", "os.system"])
def test_a_pipeline_runs_nothing_that_its_index_names(copied, tmp_path, part):
    row, touched = copied("tiny-sd"), tmp_path / "touched"
    file = Path(row.source, "model_index.json")
    library, _, name = part.rpartition(".") if "." in part else ("code", "", "Code")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"unet": [library, name]}))
    for folder in ("unet", "."):
        code = f"from pathlib import Path\nPath({str(touched)!r}).touch()\nclass Code: pass\n"
        (Path(row.source) / folder / "code.py").write_text(code)
    assert refused(row).startswith("the weights of 'tiny-sd' cannot be loaded: ")
    assert not touched.exists()


@pytest.mark.filterwarnings("ignore:The config attributes")
def test_a_part_outside_of_a_pipeline_is_not_loaded(copied):
    row = copied("tiny-sd")
    folder = Path(row.source)
    (folder / "unet").rename(folder.parent / "unet")
    file = folder / "model_index.json"
    index = json.loads(file.read_text())
    file.write_text(json.dumps(index | {"../unet": index.pop("unet")}))
    assert "cannot be loaded: " in refused(row)


@pytest.mark.parametrize(
    ("name", "config", "change"),
    [
        ("tiny-dino", "preprocessor_config.json", {"image_processor_type": "Unknown"}),
        ("tiny-git", "config.json", {"model_type": "unknown"}),
    ],
)
def test_code_beside_weights_is_neither_run_nor_asked_about(
    copied, tmp_path, monkeypatch, name, config, change
):
    row, touched = copied(name), tmp_path / "touched"
    file, kind = Path(row.source, config), "code.Code"
    auto = {"auto_map": {"AutoImageProcessor": kind, "AutoConfig": kind, "AutoModel": kind}}
    file.write_text(json.dumps(json.loads(file.read_text()) | change | auto))
    code = f"from pathlib import Path\nPath({str(touched)!r}).touch()\nclass Code: pass\n"
    Path(row.source, "code.py").write_text(code)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks"))
    assert "contains custom code" in refused(row)
    assert not touched.exists()


HEADS = {"no JSON": b"abcd", "no shape": b'{"a":{}}', "a list": b"[]", "no UTF-8": b"\xff\xfe\xfd"}
HEADS |= {"no number": b'{"a":{"shape":["x"]}}', "no list": b'{"a":{"shape":5}}'}


@pytest.mark.parametrize("head", HEADS)
def test_the_head_of_damaged_safetensors_is_one_sentence(copied, head):
    row = copied("tiny-dino")
    size = struct.pack("<Q", len(HEADS[head]))
    Path(row.source, "model.safetensors").write_bytes(size + HEADS[head])
    assert refused(row).startswith("the weights of 'tiny-dino' cannot be loaded: ")


# Rows and hubs that lead elsewhere

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


# Texts of others on a page, a terminal, a figure

ATTACKS = {
    "element": "<img src=x onerror=alert(1)>",
    "attribute": '"><script>alert(1)</script>',
    "end of script": "</script><svg onload=alert(1)>",
    "template": "{{7*7}}{% for x in y %}",
    "terminal": "a\x1b[2J\x1b]0;title\x07b",
    "other way round": "photo\u202egnp.exe",
    "formula": r"$\frac{$ & $5",
}
TEXTS = list(ATTACKS.values())
SURROGATE = "half \ud800 a letter"
"""What no text can hold in UTF-8, though a JSON in a picture can."""


class Page(HTMLParser):
    """What a browser would make of HTML: elements, attributes that act, scripts, words."""

    ACTING = ("src", "href", "action", "formaction", "data", "srcdoc", "xlink:href", "background")
    ELEMENTS = frozenset(
        "article b blockquote body br code dd div dl dt figcaption figure h1 h2 h3 head header html"
        " i img li main meta ol p q script section small span strong style table tbody td th thead "
        "title tr ul caption progress a pre".split()
    )

    def __init__(self, html):
        super().__init__()
        self.live, self.words, self.scripts, self._inside = [], [], [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        kept = tag == "script" and found.get("type") == "application/json"
        if tag not in self.ELEMENTS or (tag == "script" and not kept):
            self.live.append(tag)
        for name, value in attrs:
            link = str(value).startswith(("data:image/png;base64,", "data:text/html;base64,"))
            if name.startswith("on") or (name in self.ACTING and not link):
                self.live.append(f"{tag} {name}={value}")
        self._inside = tag if tag in self.CDATA_CONTENT_ELEMENTS else ""

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts.append(data)
        elif not self._inside:
            self.words.append(data)


def inert(html, *shown):
    """Hold a page to have no live part, and to show these texts letter by letter."""
    page = Page(html)
    assert page.live == []
    words = " ".join("".join(page.words).split())
    absent = [text for text in shown if " ".join(text.split()) not in words]
    assert absent == []
    return page


def test_the_reader_of_pages_sees_what_acts():
    seen = [Page(f"<p>{text}</p>").live for text in TEXTS]
    assert seen == [
        ["img src=x", "img onerror=alert(1)"],
        ["script"],
        ["svg", "svg onload=alert(1)"],
        *[[]] * 4,
    ]


@pytest.fixture(scope="module")
def zoo():
    """Name toy models by the attacks."""
    tints = [*toys.TINTS.values(), (1, 1, 0), (0, 1, 1), (1, 0, 1)]
    return {name: toys.Toy(tint, noise=0.6) for name, tint in zip(TEXTS, tints, strict=True)}


@pytest.fixture(scope="module")
def result(zoo, shared_store, tmp_path_factory):
    """Attribute a picture for each attack: its path, prompt, parameters and models are the text."""
    folder = tmp_path_factory.mktemp("attacks")
    found = []
    for number, text in enumerate(TEXTS):
        told = PngInfo()
        told.add_itxt("parameters", f"{text}\n{A1111.partition(chr(10))[2].format(size='16x16')}")
        path = folder / str(number) / f"{text}.png"  # a slash in it makes folders
        path.parent.mkdir(parents=True)
        Image.new("RGB", (16, 16), (number, 0, 0)).save(path, pnginfo=told)
        how = wb.Regeneration(wb.Natural(text=text), wb.Cosine(toys.Mean()), gamma=2, size=16)
        found.append(wb.attribute(path, attributor=how, zoo=zoo, store=shared_store))
    return found


@pytest.fixture(scope="module")
def frames(zoo, shared_store):
    asked, truth = pipeline.make_queries(TEXTS, dict(list(zoo.items())[:2]), shared_store)
    return benchmark.crossed(
        asked, truth, zoo, inverters=[wb.Natural(), wb.Empty()],
        similarities=[wb.Cosine(toys.Mean())], gamma=2, store=shared_store, size=16,
    )  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(zoo, frames, shared_store):
    how = wb.Regeneration(wb.Natural(), wb.Cosine(toys.Mean()), gamma=2, size=16)
    kept = {"truth": frames["truth"], "store": shared_store}
    return wb.evaluate([how], frames["images"], zoo, **kept)


@pytest.mark.parametrize("number", range(len(TEXTS)), ids=ATTACKS)
def test_texts_are_inert_in_a_report_a_notebook_and_its_export(result, tmp_path, number):
    text, found = TEXTS[number], result[number]
    page = inert(found.report(tmp_path / "r.html").read_text("utf-8"), text, f"{text}.png", *TEXTS)
    (kept,) = page.scripts
    assert json.loads(kept) == wb.attribution.replay.payload(found)
    inert(found._repr_html_(), text, f"{text}.png", *TEXTS)
    from IPython.core.formatters import DisplayFormatter

    data, _ = DisplayFormatter().format(found)
    output = nbformat.v4.new_output("execute_result", data, execution_count=1)
    cell = nbformat.v4.new_code_cell("result", outputs=[output], execution_count=1)
    book = nbformat.v4.new_notebook(cells=[cell])
    nbformat.validate(book)
    exported, _ = HTMLExporter(template_name="basic").from_notebook_node(book)
    inert(exported, text, f"{text}.png", *TEXTS)


@pytest.mark.filterwarnings("ignore:Glyph", "ignore:The inplace")
def test_texts_are_inert_in_every_widget(result, frames, evaluated, zoo, shared_store):
    explorer = wb.widgets.Explorer(
        evaluated, encoders=toys.Mean(), store=shared_store, size=16, method="pca"
    )
    explorer.selection = range(len(explorer.points))
    for place, prompt in enumerate(explorer.points["prompt"]):
        explorer._point(place)
        inert(explorer._detail.value, prompt)
    inert(explorer._legend.value, *TEXTS)
    inert(explorer.still())
    inspector = wb.widgets.ConfusionInspector(evaluated, store=shared_store)
    shown = []
    for true in TEXTS[:2]:
        for predicted in TEXTS:
            inspector.selection = (true, predicted)
            shown.append(inspector.still())
            inert(inspector._shown.value, f"true {true}, predicted {predicted}")
    inert("".join(shown), *TEXTS)
    comparer = wb.widgets.Comparer(frames, store=shared_store)
    pages = []
    for start in range(0, len(frames["truth"]), comparer._pages.size):
        comparer._pages.start = start
        comparer._draw()
        pages.append(comparer.still() + comparer._shown.value + comparer._summary.value)
    inert("".join(pages), *TEXTS[:2], *TEXTS)
    mine = wb.widgets.AttributePicture(store=shared_store)
    for text in TEXTS:
        mine._chosen(text, b"no picture")
        inert(mine.still(), text)
    for found in result:
        mine._result, mine._message, mine._now = found, "", ""
        inert(mine.still(), *TEXTS)
    gallery = wb.widgets.Gallery(shared_store)
    gallery.show([f"{n:064}" for n in range(len(TEXTS))], TEXTS)  # JavaScript sets them as text
    assert [item["caption"] for item in gallery.items] == TEXTS


def test_texts_act_on_no_terminal(result, monkeypatch, capsys):
    for found in result:
        terminal.print_records(found, False)
        terminal.print_evidence(found.evidence, False)
        terminal.print_results(found.rankings)
    terminal.tell("".join(TEXTS))
    for said in capsys.readouterr():
        assert r"a\x1b[2J\x1b]0;title\x07b" in said
        assert r"photo\u202egnp.exe" in said
        assert all(letter.isprintable() or letter == "\n" for letter in said)
        assert "<img src=x onerror=alert(1)>" in said  # and no markup of rich's is made of [2J]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_and_prompts_are_no_formulas_in_a_figure(evaluated, shared_store):
    import matplotlib.pyplot as plt

    outcomes, ranked = evaluated["outcomes"], evaluated["rankings"]
    metrics = evaluation.measure(outcomes)
    one = outcomes["image_id"][len(TEXTS) - 1]
    candidates = (
        evaluated["candidates"]
        .query("index == 0")
        .merge(evaluated["prompts"][["prompt_id", "prompt"]].drop_duplicates(), on="prompt_id")
    )
    drawn = [
        figures.ranking(ranked, evaluated["similarities"], image_id=one),
        figures.accuracy(metrics.assign(attributor=TEXTS[-1])),
        figures.accuracy(metrics, by="slice"),
        figures.confusion(outcomes, TEXTS),
        figures.grid(metrics, rows="slice", columns="metric"),
        figures.distributions(evaluated["similarities"]),
        figures.pictures(
            candidates, shared_store, rows="prompt", columns="generator", title=TEXTS[-1]
        ),
    ]
    for ax in drawn:
        figures.settle(ax.figure)
    labels = [label.get_text() for label in drawn[-1].get_yticklabels()]
    assert labels == TEXTS
    plt.close("all")


def test_half_letters_stop_nothing(zoo, store, tmp_path, capsys):
    chunks = comfy(16)
    prompt = json.loads(chunks["prompt"])
    prompt["6"]["inputs"]["text"] = SURROGATE
    prompt["4"]["inputs"]["ckpt_name"] = SURROGATE
    told = PngInfo()
    for name, value in (chunks | {"prompt": json.dumps(prompt)}).items():
        told.add_text(name, value)
    Image.new("RGB", (16, 16)).save(tmp_path / "half.png", pnginfo=told)
    raw = bytes(tmp_path) + b"/\xff.png"  # a name that is not UTF-8
    Image.new("RGB", (16, 16), "red").save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(raw.decode("utf-8", "surrogateescape"))
    pictures = [path for path in tmp_path.iterdir() if path.is_file()]
    for tool in (wb.Metadata(wb.Empty()), wb.Natural(text=SURROGATE)):
        how = wb.Regeneration(tool, wb.Cosine(toys.Mean()), gamma=1, size=16)
        found = wb.attribute(sorted(pictures), attributor=how, zoo=zoo, store=store)
        assert [record["error"] for record in found.records()] == [None, None]
        assert found.records()[0]["prompt"] == r"half \ud800 a letter"
        assert found.records()[0]["evidence"][0]["source"] == r"half \ud800 a letter"
        assert found.records()[1]["image"] == rf"{tmp_path}/\xff.png"
        inert(found._repr_html_(), r"half \ud800 a letter", rf"{tmp_path}/\xff.png")
        terminal.print_records(found, True)
    capsys.readouterr().out.encode("utf-8")


def test_a_file_cannot_turn_what_is_said_of_it_around():
    said = evidence.Evidence("C2PA", "verified", "It names \u202e, unchecked", "\u202eA\x1b", "p")
    assert (said.text, said.source) == (r"It names \u202e, unchecked", r"\u202eA\x1b")


# Pictures that are bombs, links


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks, side=16):
    """Write a PNG of one colour, with chunks after its pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes((side * 3 + 1) * side)))
    return b"\x89PNG\r\n\x1a\n" + head + pixels + b"".join(chunks) + chunk(b"IEND", b"")


def encoded(kind):
    made = io.BytesIO()
    Image.new("RGB", (4, 4)).save(made, kind)
    return bytearray(made.getvalue())


def huge(kind):
    """Write a picture of 4×4 that claims 60,000×60,000."""
    data, side = encoded(kind), 60_000
    if kind == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", side, side)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", side, side)
    elif kind == "PPM":
        data = bytearray(data.replace(b"4 4", b"%d %d" % (side, side)))
    else:
        data[16:24] = struct.pack(">II", side, side)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


ZEROS = zlib.compress(bytes(2**26))
MANY = zlib.compress(bytes(2**20 - 9))
LARGE = "Decompressed data too large"
BOMBS = {
    **{kind: (huge(kind), "far more than the 80,000,000 pixels") for kind in
       ("PNG", "JPEG", "GIF", "BMP", "PPM")},
    "zTXt": (png(chunk(b"zTXt", b"parameters\0\0" + ZEROS)), LARGE),
    "iTXt": (png(chunk(b"iTXt", b"parameters\0\1\0\0\0" + ZEROS)), LARGE),
    "iCCP": (png(chunk(b"iCCP", b"profile\0\0" + ZEROS)), LARGE),
    "many": (png(*[chunk(b"zTXt", b"k%d\0\0" % n + MANY) for n in range(80)]), "Too much memory"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_not_unpacked(tmp_path, name):
    data, reason = BOMBS[name]
    assert len(data) < 150_000
    (tmp_path / "bomb.png").write_bytes(data)
    table = evidence.frame([tmp_path / "bomb.png"])
    assert table["state"].tolist() == ["unchecked"]
    assert reason in table["text"][0]
    with pytest.raises(images.ImageError, match=reason):
        images.open_image(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "{" * 100_000, '{"a": ' * 5_000 + "9" * 10_000, "Steps: " + "9" * 100_000],
    ids=["brackets", "braces", "digits", "steps"],
)
def test_text_that_tires_a_parser_is_no_evidence(tmp_path, text):
    told = PngInfo()
    for name in ("parameters", "prompt", "workflow", "Comment"):
        told.add_text(name, text)
    Image.new("RGB", (16, 16)).save(tmp_path / "deep.png", pnginfo=told)
    states = [each.state for each in evidence.inspect(tmp_path / "deep.png")]
    assert states[0] == states[2] == "absent"
    assert states[1] in ("absent", "unchecked")


def test_of_a_gif_with_a_million_frames_the_first_is_read(tmp_path, monkeypatch):
    data = bytes(encoded("GIF"))
    start = data.index(b",\0\0\0\0")
    (tmp_path / "long.gif").write_bytes(data[:-1] + data[start:-1] * 1_000_000 + b";")
    read, seek = [], GifImagePlugin.GifImageFile._seek
    monkeypatch.setattr(
        GifImagePlugin.GifImageFile,
        "_seek",
        lambda self, *more: (read.append(1), seek(self, *more))[1],
    )
    assert images.open_image(tmp_path / "long.gif").size == (4, 4)
    assert len(evidence.inspect(tmp_path / "long.gif")) == 3
    assert 1 <= len(read) < 20


def test_a_folder_is_read_with_its_links_to_files_but_not_to_folders(pictures, tmp_path):
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "link.png").symlink_to(pictures / "one.png")
    (tmp_path / "box" / "folder").symlink_to(pictures)
    (tmp_path / "box" / "round").symlink_to(tmp_path / "box")
    (entry,) = images.index([tmp_path / "box"])
    assert (entry.path.name, entry.failure) == ("link.png", None)


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
