"""The gallery: what it shows, whose thumbnails it hands out, and what can be chosen."""

from __future__ import annotations

import pytest
import traitlets
from PIL import Image

from workbench.widgets import Gallery
from workbench.widgets.gallery import ACROSS, SHOWN, STILLS


def paint(store, n):
    return [store.put_picture(Image.new("RGB", (200, 100), (place, 0, 0))) for place in range(n)]


@pytest.fixture
def sent(monkeypatch):
    """Catch what a gallery says to its views, of which there are none here."""
    said: list[dict] = []
    monkeypatch.setattr(Gallery, "send", lambda _, content, buffers=None: said.append(content))
    return said


def ask(gallery, *ids):
    gallery._handle_custom_msg({"type": "thumbnails", "ids": list(ids)}, [])


def test_it_shows_pictures_with_captions_and_colours(store):
    names = paint(store, 2)
    gallery = Gallery(store)
    gallery.show(names, ["first", "<b>second</b>"], ["#000000", "#ffffff"])
    assert gallery.items == [
        {"id": names[0], "caption": "first", "colour": "#000000"},
        {"id": names[1], "caption": "<b>second</b>", "colour": "#ffffff"},
    ]
    gallery.show(names[:1], ["alone"])
    assert [item["colour"] for item in gallery.items] == [None]


def test_of_many_pictures_it_shows_the_first_and_tells_how_many_more(store):
    names = [f"{place:064x}" for place in range(SHOWN + 7)]
    gallery = Gallery(store)
    gallery.show(names, names)
    assert [item["id"] for item in gallery.items] == names[:SHOWN]
    assert gallery.more == 7
    gallery.show(names[:3], names[:3], more=1000)
    assert gallery.more == 1000
    gallery.show(names[:3], names[:3])
    assert gallery.more == 0


def test_thumbnails_are_made_when_a_view_asks(store, sent):
    names = paint(store, 3)
    gallery = Gallery(store, side=32)
    gallery.show(names, names)
    assert sent == []
    ask(gallery, names[2])
    assert [message["type"] for message in sent] == ["thumbnails"]
    assert list(sent[0]["pictures"]) == [names[2]]
    assert sent[0]["pictures"][names[2]].startswith("data:image/png;base64,")


def test_it_hands_out_no_picture_that_it_does_not_show(store, sent):
    names = paint(store, 2)
    gallery = Gallery(store)
    gallery.show(names[:1], ["one"])
    ask(gallery, names[1])
    assert sent == [{"type": "thumbnails", "pictures": {}}]


def test_a_picture_that_the_store_lacks_has_no_thumbnail(store, sent):
    gallery = Gallery(store)
    gallery.show(["0" * 64], ["gone"])
    ask(gallery, "0" * 64)
    assert sent[0]["pictures"] == {"0" * 64: None}


def test_what_is_chosen_can_be_set_and_observed_and_is_forgotten_with_other_pictures(store):
    names = paint(store, 3)
    gallery = Gallery(store)
    gallery.show(names, names)
    seen = []
    gallery.observe(lambda change: seen.append(change["new"]), "selected")
    gallery.selected = [names[1], names[0], names[1]]
    assert gallery.selected == [names[1], names[0]]
    gallery.hovered = names[0]
    gallery.show(names[2:], ["other"])
    assert seen == [[names[1], names[0]], []]
    assert gallery.hovered is None


def test_only_what_is_shown_can_be_chosen(store):
    gallery = Gallery(store)
    with pytest.raises(traitlets.TraitError, match="the gallery does not show the picture 'x'"):
        gallery.selected = ["x"]


@pytest.mark.parametrize(
    ("pictures", "captions", "colours", "sentence"),
    [
        (["a"], [], [], "there are 1 pictures, 0 captions and 0 colours"),
        (["a", "b"], ["a", "b"], ["red"], "there are 2 pictures, 2 captions and 1 colours"),
        (["a", "a"], ["a", "b"], [], "a picture is in the gallery twice"),
    ],
)
def test_mistakes_are_told(store, pictures, captions, colours, sentence):
    with pytest.raises(ValueError, match=sentence):
        Gallery(store).show(pictures, captions, colours)


def test_the_still_holds_the_first_pictures_in_rows_and_counts_the_others(store):
    pictures = [store.put_picture(Image.new("RGB", (8, 4), (n, 0, 0))) for n in range(30)]
    gallery = Gallery(store, empty="Nothing is chosen yet.")
    assert "Nothing is chosen yet." in gallery.still()
    gallery.show(pictures, [f"<i>{n}" for n in range(30)])
    still = gallery.still()
    assert still.count('width="96" height="48"') == STILLS
    assert still.count("<tr ") == STILLS // ACROSS
    assert "… and 6 more pictures" in still
    assert "<i>" not in still
    assert gallery._repr_mimebundle_()[0]["text/html"] == still
