"""How a notebook is seen where it is not trusted: as GitHub shows it, and in JupyterLab.

GitHub converts by nbconvert and passes on the elements and attributes of its allow list alone:
neither style sheets, inline styles nor classes. JupyterLab's own sanitiser is asked in a browser.
"""

from __future__ import annotations

import re
from typing import Any

import nbformat

TAGS = frozenset(
    "a abbr article b blockquote br caption code dd del details div dl dt em figcaption figure h1 "
    "h2 h3 h4 h5 h6 hr i img ins kbd li ol p pre q s samp section small span strike strong sub "
    "summary sup table tbody td tfoot th thead tr tt ul var".split()
)
ATTRIBUTES = frozenset(
    "abbr align alt border cellpadding cellspacing char cite colspan datetime dir headers height "
    "href hspace itemprop lang noshade nowrap open rel rowspan rules scope size span src start "
    "summary title type valign value vspace width".split()
)
DROPPED = re.compile(r"<(style|script)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
SHEETS = {
    False: "body{background:#fff;color:#1f2328}",
    True: "body{background:#0d1117;color:#f0f6fc}a{color:#4493f8}",
}
LOOK = """
body{font:16px/1.5 -apple-system,"Segoe UI","Noto Sans",Helvetica,Arial,sans-serif;margin:24px auto;
max-width:880px}img{max-width:100%;box-sizing:content-box}table{border-collapse:collapse;
display:block;max-width:100%;overflow:auto;width:max-content;margin:0 0 16px}td,th{padding:6px 13px}
pre{font-size:85%;overflow:auto;padding:12px;background:rgba(129,139,152,.12)}
"""


def github(html: str) -> str:
    """Return HTML as GitHub's sanitiser leaves it."""
    import bleach

    return bleach.clean(
        DROPPED.sub("", html),
        tags=TAGS,
        attributes=lambda tag, name, value: name in ATTRIBUTES,
        protocols={"http", "https", "mailto", "data"},
        strip=True,
        strip_comments=True,
    )


def pages_of_github(notebook: nbformat.NotebookNode) -> dict[bool, str]:
    """Return a notebook as GitHub would show it, light and dark; each output is a section."""
    from nbconvert import HTMLExporter

    book = nbformat.from_dict(notebook)
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True)
    alone = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True)
    parts = []
    for cell in book.cells:
        single = nbformat.v4.new_notebook(cells=[cell], metadata=book.metadata)
        if cell.cell_type != "code":
            parts.append(f"<div>{github(exporter.from_notebook_node(single)[0])}</div>")
            continue
        source = nbformat.from_dict(cell)
        outputs, source["outputs"] = list(cell.outputs), []
        single.cells = [source]
        parts.append(f"<div>{github(exporter.from_notebook_node(single)[0])}</div>")
        for output in outputs:
            source["outputs"] = [output]
            body = github(alone.from_notebook_node(single)[0])
            parts.append(f'<section class="output">{body}</section>')
    head, body = '<!doctype html><meta charset="utf-8">', "".join(parts)
    return {dark: f"{head}<style>{LOOK}{sheet}</style>{body}" for dark, sheet in SHEETS.items()}


LONE = 3
"""Rows of an output that may hold one picture alone; more are a tower of thumbnails."""
THIN = 20
"""Pixels below which a picture is a mark, a bar or a colour beside a word, and no thumbnail."""
LOST = """
([selector, lone, thin, dark]) => [...document.querySelectorAll(selector)].flatMap((output, n) => {
  const lost = [];
  const tell = (what) => lost.push(`output ${n}: ${what}`);
  const images = Array.from(output.querySelectorAll('img'));
  if (!output.innerText.trim() && !images.length) tell('empty');
  if (output.querySelector('style, script')) tell('a style sheet or a script');
  const boxes = [], cells = new Map();
  for (const image of images) {
    const box = image.getBoundingClientRect();
    if (!image.naturalWidth || !box.width) tell(`a picture that does not show: ${image.alt}`);
    const cell = image.closest('td') ?? output;
    if (box.width > cell.clientWidth + 1) tell(`a picture wider than its cell: ${image.alt}`);
    const shape = (box.width / box.height) / (image.naturalWidth / image.naturalHeight);
    if (Math.abs(shape - 1) > 0.1) tell(`a picture out of shape: ${image.alt}`);
    const row = image.closest('tr');
    if (box.height < thin) continue;
    if (row) cells.set(row, (cells.get(row) ?? 0) + 1);
    else boxes.push(box);
    if (!dark || box.width < 200) continue;
    const canvas = document.createElement('canvas');
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const pen = canvas.getContext('2d');
    pen.drawImage(image, 0, 0);
    const ends = [[1, 1], [canvas.width - 2, 1], [1, canvas.height - 2],
      [canvas.width - 2, canvas.height - 2]];
    const white = ends.every(([x, y]) => pen.getImageData(x, y, 1, 1).data.every((v) => v > 240));
    if (white) tell(`a white slab: ${image.alt}`);
  }
  const rows = [];
  for (const box of boxes.sort((a, b) => a.top - b.top)) {
    const last = rows.at(-1);
    if (last && box.top < last.bottom - 4) {
      last.count += 1;
      last.bottom = Math.max(last.bottom, box.bottom);
    } else rows.push({ count: 1, bottom: box.bottom });
  }
  const counts = [...cells.values(), ...rows.map((row) => row.count)];
  const alone = counts.filter((count) => count === 1).length;
  if (alone > lone) tell(`a tower: ${alone} pictures below one another, each alone`);
  return lost;
})
"""
"""Layout that was lost: of every element that a selector names, a sentence each."""


def lost(page: Any, selector: str, dark: bool = False) -> list[str]:
    """Return what a page in a browser has lost of the layout of its outputs."""
    page.evaluate(
        "Promise.all(Array.from(document.images, (each) => each.decode().catch(() => 0)))"
    )
    return page.evaluate(LOST, [selector, LONE, THIN, dark])
