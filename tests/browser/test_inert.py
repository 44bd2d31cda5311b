"""Names and prompts that look like HTML run nothing in a browser: pages, and widgets' scripts."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import workbench as wb
from tests.support import toys
from workbench import widgets

ATTACK = "<img src=x onerror=window.ran=1>\"'></script><script>window.ran=1</script>"
ROUND = "\u202eABC"
SHOW = """
async ([code, state]) => {
  const url = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
  const { default: widget } = await import(url);
  const el = document.body.appendChild(document.createElement('div'));
  const nothing = () => {};
  const model = { on: nothing, off: nothing, set: nothing, send: nothing, save_changes: nothing };
  model.get = (key) => state[key];
  widget.render({ model, el });
  return el.innerText;
}
"""
ACTS = """
() => [window.ran, document.querySelectorAll('img[onerror], svg, iframe').length]
"""


@pytest.fixture
def page(browser):
    made = browser.new_page()
    made.on("dialog", lambda dialog: pytest.fail("a script ran"))
    yield made
    made.close()


@pytest.fixture
def result(tmp_path, store):
    Image.new("RGB", (16, 16), "red").save(tmp_path / f"{ATTACK.partition('/')[0]}.png")
    how = wb.Regeneration(wb.Natural(text=ATTACK), wb.Cosine(toys.Mean()), gamma=1, size=16)
    models = {ATTACK: toys.Toy((1, 0, 0)), "other": toys.Toy((0, 1, 0))}
    (path,) = tmp_path.glob("*.png")
    return wb.attribute(path, attributor=how, zoo=models, store=store)


def test_a_report_and_what_a_notebook_shows_run_nothing(page, result, tmp_path):
    page.goto(result.report(tmp_path / "report.html").as_uri())
    assert page.locator("blockquote").inner_text() == ATTACK
    assert page.evaluate(ACTS) == [None, 0]
    page.set_content(result._repr_html_())  # without the policy of a report
    assert page.locator("q").inner_text() == ATTACK
    page.wait_for_timeout(200)
    assert page.evaluate(ACTS) == [None, 0]


def test_the_javascript_of_widgets_sets_texts_as_texts(page):
    page.goto("about:blank")
    states = {
        "gallery": {
            "items": [{"id": ATTACK, "caption": ATTACK, "colour": ATTACK}],
            "label": ATTACK,
            "empty": ATTACK,
            "side": 96,
            "more": 0,
            "selected": [ATTACK],
            "hovered": ATTACK,
        },
        "_legend": {"entries": [[ATTACK, ATTACK, 1]], "hidden": [ATTACK], "words": ATTACK},
        "_table": {
            "columns": [ATTACK],
            "rows": [{"id": ATTACK, "chosen": True, "cells": [ATTACK]}],
            "by": ATTACK,
            "down": False,
        },
        "confusion": {
            "rows": [ATTACK],
            "columns": [ATTACK],
            "counts": [[1]],
            "chosen": [ATTACK, ATTACK],
        },
    }
    for name, state in states.items():
        code = (Path(widgets.__file__).parent / f"{name}.js").read_text("utf-8")
        assert ATTACK in page.evaluate(SHOW, [code, state])
    page.wait_for_timeout(200)
    assert page.evaluate(ACTS) == [None, 0]


def test_a_prompt_in_a_file_turns_nothing_around_that_follows(page, result, tmp_path):
    """A right-to-left override ends with the quotation: the letters after it keep their order."""
    whole = result.report(tmp_path / "report.html").read_text("utf-8")
    page.set_content(whole.replace("</main>", f"<p><q>{ROUND}</q><b>123xyz</b></p></main>"))
    ends = page.evaluate(
        """() => {
          const text = document.querySelector('main > p:last-child > b').firstChild;
          return [0, 5].map((at) => {
            const range = document.createRange();
            range.setStart(text, at);
            range.setEnd(text, at + 1);
            return range.getBoundingClientRect().left;
          });
        }"""
    )
    quote = page.locator("main > p:last-child > q").bounding_box()
    assert quote["x"] < ends[0] < ends[1]


def test_a_report_fits_a_phone(page, result, tmp_path):
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(result.report(tmp_path / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
