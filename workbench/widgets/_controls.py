"""Controls of the Explorer that are made alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets


def button(text: str, icon: str, act: Callable[[], Any]) -> ipywidgets.Button:
    """Return a button that does something."""
    control = ipywidgets.Button(description=text, icon=icon, layout={"width": "auto"})
    control.on_click(lambda _: act())
    return control


def choice(name: str, options: Sequence[str], value: str) -> ipywidgets.ToggleButtons:
    """Return buttons of which one is pressed."""
    style = {"button_width": "auto", "description_width": "auto"}
    return ipywidgets.ToggleButtons(
        options=list(options), value=value, description=name, style=style
    )


def row(*parts: ipywidgets.Widget) -> ipywidgets.HBox:
    """Return parts beside one another, in lines where they do not fit into one."""
    return ipywidgets.HBox(parts, layout={"flex_flow": "row wrap", "align_items": "center"})
