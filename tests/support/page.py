"""What a browser would make of HTML, and whether any of it acts."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """What a browser would make of HTML: elements, attributes that act, scripts, words."""

    ACTING = ("src", "href", "action", "formaction", "data", "srcdoc", "xlink:href", "background")
    ELEMENTS = frozenset(
        "article b blockquote body br code dd div dl dt figcaption figure h1 h2 h3 head header html"
        " i img li main meta ol p q script section small span strong style table tbody td th thead "
        "title tr ul caption progress a pre nav button label input".split()
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
            link = str(value).startswith(("data:image/png;base64,", "data:text/html;base64,", "#"))
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
