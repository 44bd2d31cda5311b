"""The report in a browser that runs no script: enlarge, difference, print, phone, dark."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

import workbench as wb
from tests.browser.conftest import UNREADABLE
from tests.support import toys
from workbench import images

COUNT = 12
PROMPT = "a small orange triangle above a black fish in a stormy sky, oil on canvas"
A4_PAGES = 6
OUTSIDE = """
() => [...document.querySelectorAll('main *')].filter((each) => {
  const box = each.getBoundingClientRect();
  return box.width && box.right > document.documentElement.clientWidth + 1;
}).map((each) => each.outerHTML.slice(0, 80))
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory, shared_store):
    """Attribute twelve pictures to four models, four candidates each; every name is a long one."""
    folder = tmp_path_factory.mktemp("twelve")
    for number in range(COUNT):
        shade = (20 * number, 90, 250 - 20 * number)
        Image.new("RGB", (24, 16), shade).save(folder / f"picture {number:02} as I got it.png")
    how = wb.Regeneration(wb.Natural(text=PROMPT), wb.Cosine(toys.Mean()), gamma=4, size=16)
    tints = {"stable-model": (1, 0, 0), "latent-model": (0, 1, 0), "third": (0, 0, 1)}
    zoo = {name: toys.Toy(tint, noise=0.01) for name, tint in tints.items()}
    zoo["fourth"] = toys.Toy((1, 1, 0), noise=0.01)
    return wb.attribute(folder, attributor=how, zoo=zoo, store=shared_store)


@pytest.fixture(scope="module")
def report(result, tmp_path_factory):
    return result.report(tmp_path_factory.mktemp("report") / "report.html").as_uri()


@pytest.fixture
def show(browser, report):
    """Open the report at a width, where no script of a page can run."""
    pages, wrong = [], []

    def opened(wide, **options):
        page = browser.new_page(
            viewport={"width": wide, "height": 900}, java_script_enabled=False, **options
        )
        page.on("console", lambda message: wrong.append(message.text))
        page.on("request", lambda asked: asked.url.startswith("http") and wrong.append(asked.url))
        page.goto(report)
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert wrong == []


@pytest.mark.parametrize(("wide", "scheme"), [(390, "dark"), (1280, "light")])
def test_it_fits_and_is_read_at_each_width_in_light_and_dark(show, wide, scheme):
    page = show(wide, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == wide
    assert page.evaluate(OUTSIDE) == []
    assert page.locator("body").evaluate(UNREADABLE) == []
    assert page.locator(".sheet li").count() == COUNT
    page.locator(".sheet a").nth(7).click()
    box = page.locator("article").nth(7).bounding_box()
    assert abs(box["y"]) < 60  # the card that the link names


def test_twelve_pictures_take_at_most_six_pages_of_a4_and_two_cards_or_more_a_page(show):
    page = show(1280)
    printed = page.pdf(prefer_css_page_size=True)
    boxes = set(re.findall(rb"/MediaBox\s*\[([^\]]+)\]", printed))
    assert [round(float(side)) for side in boxes.pop().split()] in ([0, 0, 595, 842],)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= A4_PAGES
    page.set_viewport_size({"width": 703, "height": 1039})  # A4 less its margins
    page.emulate_media(media="print")
    cards = page.locator("article.card")
    heights = [cards.nth(place).bounding_box()["height"] for place in range(COUNT)]
    assert 2 * max(heights) < 1039


def test_a_candidate_is_enlarged_beside_the_picture_and_its_difference_shown(show, result):
    page = show(1280)
    image_id, case = next(iter(result.cases.items()))
    name = case.ranking[0][0]
    made = case.candidates[name][0]
    page.get_by_role("button", name=f"Enlarge. Drawn by {name} of").first.click()
    opened = page.locator(".zoom:popover-open")
    assert opened.get_by_text(f"{name}, seed {made.seed}: similarity").is_visible()
    assert opened.locator("img").bounding_box()["width"] > 300
    faces = [opened.locator(face) for face in (".beside", ".own")]
    pictures = [images.fit(result.store.picture(each), 16) for each in (image_id, made.picture)]
    for face, picture in zip(faces, pictures, strict=True):
        assert np.abs(_drawn(face) - _blocks(np.asarray(picture, float))).max() < 12
    opened.get_by_label("show the difference instead").check()
    apart = np.abs(np.subtract(*[np.asarray(each, float) for each in pictures]))
    wanted = (4 * _blocks(apart)).clip(0, 255)
    assert np.ptp(wanted) > 100  # there is a difference to be seen
    assert np.abs(_drawn(faces[1]) - wanted).max() < 24
    opened.get_by_role("button", name="Close").click()
    assert page.locator(".zoom:popover-open").count() == 0
    page.get_by_role("button", name="Enlarge. Test picture picture 00").click()
    assert page.locator(".zoom:popover-open img").bounding_box()["width"] > 600
    page.keyboard.press("Escape")
    assert page.locator(".zoom:popover-open").count() == 0


def _blocks(pixels: np.ndarray) -> np.ndarray:
    """Return the colour in the middle of each block of a toy's pattern, (4, 4, 3)."""
    side = len(pixels) // 4
    edge = side * 3 // 8
    parts = pixels[: 4 * side, : 4 * side].reshape(4, side, 4, side, 3)
    return parts[:, edge : side - edge, :, edge : side - edge].mean(axis=(1, 3))


def _drawn(face) -> np.ndarray:
    """Return the same of an element as it is drawn."""
    return _blocks(np.asarray(Image.open(io.BytesIO(face.screenshot())).convert("RGB"), float))
