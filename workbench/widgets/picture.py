"""Attribute my picture: choose a file, watch the six stages, read the ranking, keep the report."""

from __future__ import annotations

import base64
import dataclasses
import re
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets

from workbench import images
from workbench.catalogue import presets
from workbench.paths import data_folder
from workbench.store import StoreError
from workbench.store.store import Store
from workbench.text import first_line, plain
from workbench.widgets._page import Page, render

if TYPE_CHECKING:
    from workbench.attribution.result import Attribution

STAGES = ("invert", "generate", "encode", "compare", "aggregate and rank", "decide")
TICKS = {"invert": 0, "generate": 1, "encode": 2, "similarity": 3}
"""The stage that each name of the pipeline's progress is."""
PREVIEW = 160
HINT = "Upload a picture (up to 10 MB), choose a sample, or give a path; then start."
STOPPED = "Cancelled. What was made stays in the store: another start goes on from there."


class _Cancelled(Exception):
    """Leaves the run from within its progress; never shown."""


class AttributePicture(Page):
    """Attribute one picture with a preset, watching the stages; ``result`` is the answer.

    A file is uploaded, chosen among the samples, or named by its path. Cancelling stops after the
    batch in the making; what was made stays in the store. ``choose``, ``start``, ``cancel`` and
    ``wait`` do from Python what the controls do. What is wrong is told in the widget, not raised.

    Args:
        preset: name of the setting.
        store: where everything made is kept; the user's own when left out.
        seed: the run's seed.
    """

    def __init__(
        self, preset: str = "pocket", *, store: Store | None = None, seed: int = 0
    ) -> None:
        self._preset, self._seed, self._given = preset, seed, store
        self._result: Attribution | None = None
        self._picture: tuple[str, bytes | Path] | None = None
        self._preview, self._message = "", HINT
        self._done, self._now, self._part = 0, "", 0.0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._upload = ipywidgets.FileUpload(
            accept="image/*", description="Upload a picture", layout={"width": "170px"}
        )
        self._sample = ipywidgets.Dropdown(
            options=[("or choose a sample", ""), *_samples()], layout={"width": "200px"}
        )
        self._path = ipywidgets.Text(
            placeholder="or a path, then Enter", continuous_update=False, layout={"width": "260px"}
        )
        self._start = ipywidgets.Button(description="Start", button_style="primary", disabled=True)
        self._cancel = ipywidgets.Button(description="Cancel", disabled=True)
        self._shown = ipywidgets.HTML()
        self._upload.observe(self._uploaded, "value")
        for control in (self._sample, self._path):
            control.observe(self._named, "value")
        self._start.on_click(lambda _: self.start())
        self._cancel.on_click(lambda _: self.cancel())
        super().__init__(
            ipywidgets.HBox(
                [self._upload, self._sample, self._path], layout={"flex_flow": "row wrap"}
            ),
            ipywidgets.HBox([self._start, self._cancel]),
            self._shown,
        )
        try:
            presets.preset(preset)
        except LookupError as error:
            self._message = first_line(error)
            for control in (self._upload, self._sample, self._path):
                control.disabled = True
        self._draw()

    @property
    def result(self) -> Attribution | None:
        """The `Attribution`, or None until a run has ended well."""
        return self._result

    @property
    def selection(self) -> Attribution | None:
        """The same as ``result``."""
        return self._result

    @property
    def running(self) -> bool:
        """Whether a run is going on."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def message(self) -> str:
        """The sentence shown: what to do next, what is done now, or what is wrong."""
        return self._message

    def choose(self, path: str | Path) -> None:
        """Choose a file; what cannot be opened as a picture is told in the widget.

        Nothing is chosen while a run goes on.
        """
        path = Path(path).expanduser()
        self._chosen(path.name, path)

    def start(self) -> None:
        """Attribute the chosen picture in the background; nothing where there is none."""
        if self._picture is None or self.running:
            return
        self._result, self._done, self._part = None, 0, 0.0
        self._stop.clear()
        self._busy(True)
        self._tell("invert: begins, and loads what it needs")
        self._thread = threading.Thread(target=self._run, args=self._picture, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop a run after the batch in the making."""
        if self.running:
            self._stop.set()
            self._cancel.disabled = True
            self._tell("cancelling: stops after the batch in the making")

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the run has ended, or for so many seconds."""
        if self._thread is not None:
            self._thread.join(seconds)

    def still(self) -> str:
        """Return the present state as HTML: a sentence, the stages, or the ranking."""
        return self._page()

    def _uploaded(self, change: Any) -> None:
        for file in change.new[-1:]:
            self._chosen(plain(str(file["name"])), bytes(file["content"]))

    def _named(self, change: Any) -> None:
        if change.new:
            self.choose(change.new)

    def _chosen(self, name: str, source: bytes | Path) -> None:
        """Open the picture, to show it or to tell why not."""
        if self.running:
            return
        self._picture, self._result, self._preview = None, None, ""
        self._done, self._now, self._part = 0, "", 0.0
        try:
            opened = images.open_image(source) if isinstance(source, Path) else _decoded(source)
            self._preview = images.data_uri(opened, PREVIEW)
            self._picture, self._message = (name, source), f"{name}: press Start."
        except images.ImageError as error:
            self._message = f"{name} cannot be attributed: {error}."
        self._busy(False)
        self._draw()

    def _run(self, name: str, source: bytes | Path) -> None:
        """Attribute in a thread of its own; every end is a sentence."""
        try:
            self._result = self._attributed(name, source)
            self._done, self._now, self._message = len(STAGES), "", ""
        except _Cancelled:
            self._now, self._message = "", STOPPED
        except (LookupError, ValueError, StoreError, OSError) as error:
            self._now, self._message = "", first_line(error)
        except Exception as error:  # a thread that ended without a word would look alive for ever
            self._now, self._message = "", f"{type(error).__name__}: {first_line(error)}"
        self._busy(False)
        self._draw()

    def _attributed(self, name: str, source: bytes | Path) -> Attribution:
        """Attribute the file; an upload lies in a file of its own, never under its own name."""
        from workbench.attribution.attribute import attribute

        options: dict[str, Any] = {"store": self._given, "seed": self._seed}
        options |= {"preset": self._preset, "progress": self._progress}
        if isinstance(source, Path):
            found = attribute(source, **options)
        else:
            with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
                path = Path(folder, f"upload{_suffix(name)}")
                path.write_bytes(source)
                found = attribute(path, **options)
            table = found.images.assign(path=None).astype({"path": "str"})
            found = dataclasses.replace(found, images=table)
        paths = tuple((name, image_id) for _, image_id in found.paths)
        evidence = found.evidence.assign(path=name)
        return _answered(dataclasses.replace(found, paths=paths, evidence=evidence))

    def _progress(self, stage: str, done: int, total: int) -> None:
        if self._stop.is_set():
            raise _Cancelled
        if stage == "inspect":  # one file, at once
            return
        place = TICKS.get(stage)
        if place is not None:
            self._done, self._part = place, done / total
            stage = STAGES[place]
        self._tell(f"{stage}: {done} of {total}")

    def _busy(self, busy: bool) -> None:
        self._start.disabled = busy or self._picture is None
        self._cancel.disabled = not busy
        for control in (self._upload, self._sample, self._path):
            control.disabled = busy

    def _tell(self, now: str) -> None:
        """Show what is done now."""
        self._now = self._message = now
        self._draw()

    def _draw(self) -> None:
        self._shown.value = self._page()

    def _page(self) -> str:
        """Lay out the state."""
        found = self._result
        return render(
            "picture.html",
            message=self._message,
            preview="" if found else self._preview,
            running=bool(self._now),
            stages=[
                (name, "done" if i < self._done else "now" if self._now and i == self._done else "")
                for i, name in enumerate(STAGES)
            ]
            if self._now or found
            else [],
            part=round((self._done + self._part) / len(STAGES), 3) if self._now else 1,
            report=_report(found) if found else None,
            ranking=found._repr_html_() if found else "",
        )


def _answered(found: Attribution) -> Attribution:
    """Return an attribution that has a ranking; ValueError, its reason, for any other."""
    ((name, image_id),) = found.paths
    failure = found.cases[image_id].error
    if failure is not None:
        raise ValueError(f"{name} cannot be attributed: {failure}.")
    return found


def _report(found: Attribution) -> dict[str, str]:
    """Make the report a link that needs neither kernel nor file."""
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        page = found.report(Path(folder, "report.html")).read_bytes()
    stem = re.sub(r"[^\w-]+", "-", Path(found.paths[0][0]).stem).strip("-")
    return {
        "name": f"attribution-{stem or 'picture'}.html",
        "uri": "data:text/html;base64," + base64.b64encode(page).decode("ascii"),
    }


def _decoded(data: bytes) -> Any:
    """Open uploaded bytes by the rules of `images.open_image`."""
    if not data:
        raise images.ImageError("the file is empty")
    try:
        return images.decode(data)
    except MemoryError:
        raise images.ImageError("there is not enough memory to open it") from None


def _suffix(name: str) -> str:
    """Return the ending of a name where it is one of a picture."""
    found = Path(name).suffix.lower()
    return found if found in images.EXTENSIONS else ""


def _samples() -> list[tuple[str, str]]:
    """List the pictures that come along, by name."""
    folder = data_folder() / "samples"
    return [(path.name, str(path)) for path in sorted(folder.glob("*.png"))]
