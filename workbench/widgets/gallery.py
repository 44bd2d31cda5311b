"""A gallery: thumbnails with captions to look through and to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.store.store import Store
from workbench.widgets._page import SIDE, still, thumbnail

SHOWN = 200
"""Pictures shown at a time; of the others their number is told."""
STILLS = 24
"""Pictures that stay where no kernel runs."""
ACROSS = 6
"""Pictures of these beside one another."""


class Gallery(anywidget.AnyWidget):
    """Show pictures of a store, by mouse or keyboard to be chosen from.

    Arrows move, Space or Enter chooses, Escape chooses none. A thumbnail is made when it comes into
    sight. ``selected`` (digests, in the order chosen) and ``hovered`` (a digest, or None; what the
    keyboard is on counts, too) can be read, set and observed.

    Args:
        store: where the pictures lie.
        label: what the gallery is called by a screen reader.
        empty: shown where there are no pictures.
        side: pixels along the longer side of a thumbnail.
    """

    _esm = Path(__file__).with_suffix(".js")
    _css = Path(__file__).with_suffix(".css")

    items: Any = traitlets.List(read_only=True).tag(sync=True)
    more = traitlets.Int(0, read_only=True).tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    empty = traitlets.Unicode().tag(sync=True)
    side = traitlets.Int(SIDE, min=16).tag(sync=True)
    selected: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    hovered = traitlets.Unicode(None, allow_none=True).tag(sync=True)

    def __init__(
        self, store: Store, *, label: str = "pictures", empty: str = "", side: int = SIDE
    ) -> None:
        super().__init__(label=label, empty=empty, side=side)
        self._store = store
        self.on_msg(self._asked)

    def show(
        self,
        pictures: Sequence[str],
        captions: Sequence[str],
        colours: Sequence[str] = (),
        more: int = 0,
    ) -> None:
        """Show other pictures; nothing is chosen then.

        Args:
            pictures: (N,) digests, each once; the first 200 are shown.
            captions: (N,) texts.
            colours: (N,) of the line below each thumbnail, as CSS writes them; none if left out.
            more: pictures beyond these, of which the number alone is told.

        Raises:
            ValueError: there are not N of each, or a picture is there twice.
        """
        lengths = len(pictures), len(captions), len(colours) or len(pictures)
        if len(set(lengths)) > 1:
            raise ValueError(
                f"every picture has a caption and a colour, or none a colour; there are "
                f"{lengths[0]} pictures, {lengths[1]} captions and {len(colours)} colours"
            )
        if len(set(pictures)) < len(pictures):
            raise ValueError("a picture is in the gallery twice")
        items = [
            {"id": picture, "caption": caption, "colour": colours[place] if colours else None}
            for place, (picture, caption) in enumerate(
                zip(pictures[:SHOWN], captions[:SHOWN], strict=True)
            )
        ]
        with self.hold_sync():
            self.selected = []
            self.hovered = None
            self.set_trait("more", len(pictures) - len(items) + more)
            self.set_trait("items", items)

    def still(self) -> str:
        """Return the first 24 pictures as HTML that needs no kernel; texts escaped."""
        pictures = [
            {"uri": thumbnail(self._store, item["id"], self.side), "caption": item["caption"]}
            for item in self.items[:STILLS]
        ]
        left = len(self.items) + self.more - len(pictures)
        message = f"… and {left} more pictures: run the cell to see them." if left else ""
        if not pictures:
            message = self.empty
        return still("gallery", pictures=pictures, across=ACROSS, side=self.side, message=message)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle: Any = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle
        return data | {"text/html": self.still()}, metadata

    @traitlets.validate("selected")
    def _known(self, proposal: Any) -> list[str]:
        shown = {item["id"] for item in self.items}
        unknown = [name for name in proposal["value"] if name not in shown]
        if unknown:
            raise traitlets.TraitError(f"the gallery does not show the picture {unknown[0]!r}")
        return list(dict.fromkeys(proposal["value"]))

    def _asked(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Send the thumbnails that a view asks for as they scroll into sight."""
        if content.get("type") == "thumbnails":
            shown = {item["id"] for item in self.items}
            names = [name for name in content["ids"] if name in shown]
            thumbnails = {name: thumbnail(self._store, name, self.side) for name in names}
            self.send({"type": "thumbnails", "pictures": thumbnails})
