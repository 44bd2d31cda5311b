"""The documentation: every link and command of its sources holds; it builds without a warning."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pydata_sphinx_theme
import pytest
import typer.main
import yaml
from PIL import Image, ImageSequence

from tests.support.pages import ROOT, broken, commands, misused, pages, slugs, targets
from workbench import __version__
from workbench.cli.app import app

MORE = [ROOT / "CHANGELOG.md", ROOT / "data/README.md", *ROOT.glob("notebooks/exercises/*.md")]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
THEME = ("theme", "pydata_sphinx_theme", "static", "styles", "pydata-sphinx-theme.css")
EXTERNAL = re.compile(r"(https?:)?//")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [*pages(), *MORE, *NOTEBOOKS], ids=name)
def test_every_link_leads_somewhere(page):
    assert broken(page) == []


@pytest.mark.parametrize("page", [*pages(), *MORE], ids=name)
def test_every_command_and_option_that_is_named_is_there(page):
    command = typer.main.get_command(app)
    wrong = {line: misused(line, command) for line in commands(page)}
    assert {line: words for line, words in wrong.items() if words} == {}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [each for each in targets(page) if f"\n{each}:" not in makefile] == []


def test_what_leads_nowhere_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One, two\n\n[a](#one-two) [b](#three) [c](missing.md) [d](page.md#one-two)\n\n"
        "```text\n[e](code.md)\nworkbench zoo lost\n```\n\n`workbench attribute X --sed 0`\n"
        "`make nothing`\n"
    )
    assert slugs(page) == {"one-two"}
    assert broken(page) == ["#three", "missing.md"]
    command = typer.main.get_command(app)
    assert [misused(line, command) for line in commands(page)] == [["lost"], ["--sed"]]
    assert targets(page) == ["nothing"]


def test_every_test_that_stands_in_for_a_gpu_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)?::(\w+)`", (ROOT / "docs/gpu.md").read_text("utf-8"))
    assert len(named) > 5
    file = ""
    for path, test in named:
        file = path or file
        assert f"def {test}(" in (ROOT / file).read_text("utf-8"), (file, test)


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == __version__
    assert "arXiv:2403.01489" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert citation["references"][0]["identifiers"][0]["value"] == "arXiv:2403.01489"


def test_the_film_of_the_readme_is_short_and_light():
    path = ROOT / "docs" / "tour.gif"
    with Image.open(path) as film:
        seconds = sum(frame.info["duration"] for frame in ImageSequence.Iterator(film)) / 1000
    assert seconds == pytest.approx(10, abs=0.5)
    assert path.stat().st_size <= 2_000_000
    assert "(docs/tour.gif)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_dark_page_gives_outputs_of_notebooks_no_light_ground():
    """Every selector by which the theme does so stands in the sheet that comes after it."""
    theme = Path(pydata_sphinx_theme.__file__).parent.joinpath(*THEME).read_text(encoding="utf-8")
    light = "{background-color:var(--pst-color-text-base)"
    rules = [rule for rule in theme.split("}") if "cell_output" in rule and light in rule]
    assert rules
    assert runpy.run_path(str(ROOT / "docs" / "conf.py"))["html_css_files"] == ["notebooks.css"]
    sheet = (ROOT / "docs" / "_static" / "notebooks.css").read_text(encoding="utf-8")
    cleared = next(rule for rule in sheet.split("}") if "background: none" in rule)
    cleared = cleared.rpartition("*/")[2].partition("{")[0].replace('"', "")
    ours = {" ".join(each.split()) for each in cleared.split(",")}
    assert {each for rule in rules for each in rule.partition("{")[0].split(",")} == ours


class Read(HTMLParser):
    """What a page refers to, what it loads, and the ids in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.ids |= {given[key] for key in ("id", "name") if key in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") != "canonical" and "href" in given:
            self.loaded.append(given["href"])
        elif "src" in given:
            self.loaded.append(given["src"])


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("docs")
    command = [sys.executable, str(ROOT / "docs" / "build.py"), "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return out / "html"


def read(built: Path) -> dict[Path, Read]:
    """Read every page; what the theme brings along in _static is none."""
    paths = (each for each in built.rglob("*.html") if "_static" not in each.parts)
    return {path: Read(path.read_text(encoding="utf-8")) for path in paths}


@pytest.mark.slow
def test_it_builds_without_a_warning_and_every_link_inside_holds(built):
    lost, parsed = [], read(built)
    for path, page in parsed.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if EXTERNAL.match(link) or parts.scheme or not (parts.path or parts.fragment):
                continue
            place = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            ids = parsed[place].ids if place in parsed else set()
            if not place.is_file() or (anchor and anchor not in ids):
                lost.append(f"{path.relative_to(built)}: {link}")
    assert lost == []


@pytest.mark.slow
def test_its_pages_load_nothing_from_elsewhere(built):
    loaded = {path.name: list(filter(EXTERNAL.match, p.loaded)) for path, p in read(built).items()}
    assert {page: links for page, links in loaded.items() if links} == {}


@pytest.mark.slow
def test_every_notebook_page_and_package_is_in_it(built):
    missing = [each for each in NOTEBOOKS if not (built / f"notebooks/{each.stem}.html").exists()]
    docs = [path.relative_to(ROOT).with_suffix(".html") for path in ROOT.glob("docs/**/*.md")]
    missing += [each for each in docs if not (built / each).exists()]
    packages = [path.parent.name for path in ROOT.glob("workbench/*/__init__.py")]
    public = [each for each in packages if each != "pocket"]
    missing += [each for each in public if not (built / f"api/workbench.{each}.html").exists()]
    references = [path.parent.name for path in ROOT.glob("data/reference/*/provenance.json")]
    missing += [each for each in references if not (built / f"findings/{each}.html").exists()]
    assert missing == []
