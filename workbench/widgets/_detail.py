"""The detail panel of the Explorer: a picture beside its test image, and what is near it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from workbench import images
from workbench.store import StoreError
from workbench.store.store import Store
from workbench.widgets._difference import GAIN, LONGEST, difference
from workbench.widgets._page import render, thumbnail
from workbench.widgets.gallery import Gallery

if TYPE_CHECKING:
    from PIL.Image import Image

HINT = (
    "Click a point, or a picture in the gallery, to see it here beside its test image. Drag to "
    "move, scroll to zoom; take the lasso beside the map to choose many."
)
SIDE = 72


class Detail(ipywidgets.VBox):
    """A panel of fixed size: the picture under the pointer, or the one that was clicked.

    Args:
        store: where the pictures lie.
        facts: what is told of a point, by name.
        opened: called with the digest of a neighbour that was clicked.
    """

    def __init__(self, store: Store, facts: Sequence[str], opened: Callable[[str], None]) -> None:
        self._store, self._facts = store, tuple(facts)
        self._opened = opened
        self._page = ipywidgets.HTML()
        self._words = ipywidgets.HTML()
        self._near = Gallery(store, label="nearest pictures", side=SIDE)
        self._near.observe(self._chosen, "selected")
        super().__init__(children=[self._page, self._words, self._near])
        self.add_class("workbench-details")
        self.clear()

    @property
    def value(self) -> str:
        """The HTML shown."""
        return self._page.value

    @property
    def neighbours(self) -> list[str]:
        """The nearest pictures of the one that was clicked, as digests."""
        return [item["id"] for item in self._near.items]

    def clear(self, text: str = HINT) -> None:
        """Show a sentence alone."""
        self._page.value = render("_detail.html", hint=text)
        self._show_near([], [], [], "")

    def hover(
        self, point: dict[str, str], picture: str, near: Sequence[tuple[str, str, float]]
    ) -> None:
        """Show the picture under the pointer: its facts, and candidate images near its test image.

        Args:
            point: its facts, texts.
            picture: its digest.
            near: digest, model and similarity of each.
        """
        self._page.value = render(
            "_detail.html",
            point=point,
            told=self._facts,
            sides=[{"uri": thumbnail(self._store, picture), "alt": "The picture under the pointer",
                    "caption": ""}],
            near=[{"uri": thumbnail(self._store, name), "name": model, "value": value}
                  for name, model, value in near],
        )  # fmt: skip
        self._show_near([], [], [], "")

    def pin(
        self,
        point: dict[str, str],
        picture: str,
        other: str | None,
        near: tuple[Sequence[str], Sequence[str], Sequence[str], str],
    ) -> None:
        """Show a picture in full beside the one it is compared with, and its neighbours.

        Args:
            point: its facts, texts.
            picture: its digest.
            other: of a candidate image its test image, of a test image its nearest candidate image;
                None where there is none.
            near: digests, captions and colours of its neighbours, and a sentence on them.
        """
        test, candidate = (picture, other) if point["kind"] == "test" else (other, picture)
        sides, alike = self._sides(test, candidate)
        self._page.value = render(
            "_detail.html", point=point, told=self._facts, pinned=True, sides=sides, alike=alike
        )
        self._show_near(*near)

    def _sides(self, test: str | None, candidate: str | None) -> tuple[list[Any], str]:
        """Return the figures of two pictures, and a sentence on how alike they are."""
        names = {"test image": test, "candidate image": candidate}
        opened: dict[str, Image | None] = {}
        for name, digest in names.items():
            if digest is not None:
                try:
                    opened[name] = self._store.picture(digest)
                except StoreError:
                    opened[name] = None
        sides = [
            {
                "uri": None if picture is None else images.data_uri(picture, LONGEST),
                "alt": f"The {name}",
                "caption": name,
            }
            for name, picture in opened.items()
        ]
        one, two = opened.get("test image"), opened.get("candidate image")
        if one is None or two is None:
            return sides, ""
        gap = difference(one, two)
        sides.append({"uri": images.data_uri(gap.amplified), "caption": f"difference × {GAIN}",
                      "alt": "The absolute difference, amplified"})  # fmt: skip
        words = f"mean difference {gap.mean:.1f} of 255 levels"
        if gap.unlike is not None:
            sides.append({"uri": images.data_uri(gap.unlike), "caption": "1 − SSIM: bright, unlike",
                          "alt": "A map of 1 − SSIM"})  # fmt: skip
            words = f"SSIM {gap.ssim:.3f}, {words}"
        return sides, words + (", the candidate image resized to the test image" * gap.resized)

    def _show_near(
        self, pictures: Sequence[str], captions: Sequence[str], colours: Sequence[str], words: str
    ) -> None:
        self._words.value = render("explorer.html", text=words) if words else ""
        self._near.show(pictures, captions, colours)
        self._near.layout.display = None if pictures else "none"

    def _chosen(self, change: Any) -> None:
        for picture in change["new"][-1:]:
            self._opened(picture)
