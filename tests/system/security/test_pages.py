"""Texts of others are inert on a page, in a notebook, on a terminal and in a figure."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbconvert import HTMLExporter
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import workbench as wb
from tests.evidence.making import A1111, comfy
from tests.support import toys
from tests.support.page import Page, inert
from workbench import evaluation, evidence, figures, pipeline
from workbench.cli import terminal
from workbench.evaluation import benchmark

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
    page = inert(
        found.report(tmp_path / "r.html", full_paths=True).read_text("utf-8"),
        *(text, f"{text}.png", *TEXTS),
    )
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
        explorer._pin(None)
        explorer._point(place)
        inert(explorer._detail.value, prompt)
        explorer._pin(place)
        inert(explorer._detail.value, prompt)
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
