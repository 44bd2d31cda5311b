"""Small marks for tables in HTML: bars and dots as pictures.

A notebook that is not trusted yet loses its style sheets, and on GitHub its styles too; a picture
with a width and a height stays. Their grounds are clear and their greys lie between a white page
and a black one, so they are seen on both.
"""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Sequence

from PIL import Image, ImageDraw

GREY = (128, 128, 128)
QUIET = (128, 128, 128, 90)
SCALE = 2
"""Pixels of a mark for each pixel of a page: sharp on screens of double density."""


def bar(share: float, width: int = 120, height: int = 10, colour: str | None = None) -> str:
    """Return a bar as a data URI of a picture, ``width`` × ``height`` pixels of a page.

    Args:
        share: of the width that is filled, 0 to 1; what lies outside is cut.
        width: of the whole, in pixels of a page.
        height: likewise.
        colour: of the bar, as CSS writes it; grey when left out.

    >>> bar(0.5).startswith("data:image/png;base64,")
    True
    """
    mark = Image.new("RGBA", (width * SCALE, height * SCALE))
    draw = ImageDraw.Draw(mark)
    draw.rectangle((0, 0, mark.width, mark.height), fill=QUIET)
    end = round(min(max(share, 0.0), 1.0) * mark.width)
    if end:
        draw.rectangle((0, 0, end - 1, mark.height), fill=colour or GREY)
    return _uri(mark)


def dots(places: Sequence[float], colour: str, width: int = 200, height: int = 16) -> str:
    """Return dots on a line as a data URI of a picture, ``width`` × ``height`` pixels of a page.

    Args:
        places: of the dots on the line, in percent from left to right.
        colour: of the dots, as CSS writes it.
        width: of the whole, in pixels of a page.
        height: likewise.

    >>> dots([0, 100], "#0173B2").startswith("data:image/png;base64,")
    True
    """
    mark = Image.new("RGBA", (width * SCALE, height * SCALE))
    draw = ImageDraw.Draw(mark)
    middle, radius = mark.height / 2, 0.3 * mark.height
    draw.line((0, middle, mark.width, middle), fill=(*GREY, 200), width=SCALE)
    for place in places:
        x = radius + place / 100 * (mark.width - 2 * radius)
        box = (x - radius, middle - radius, x + radius, middle + radius)
        draw.ellipse(box, fill=colour, outline=(*GREY, 200))
    return _uri(mark)


def fitted(uri: str, side: int) -> tuple[int, int]:
    """Return width and height that bring a PNG to a longer side, as its data URI tells its size.

    >>> fitted(bar(1.0, width=100, height=50), 96)
    (96, 48)
    """
    head = base64.b64decode(uri.partition(",")[2][:32])
    width, height = struct.unpack(">II", head[16:24])
    longer = max(width, height)
    return max(1, round(side * width / longer)), max(1, round(side * height / longer))


def _uri(mark: Image.Image) -> str:
    buffer = io.BytesIO()
    mark.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
