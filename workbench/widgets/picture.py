"""Attribute my picture: hand one over, read what it says, watch the stages, keep the report."""

from __future__ import annotations

import base64
import dataclasses
import re
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import anywidget
import ipywidgets
import traitlets

from workbench import images
from workbench.catalogue import presets
from workbench.paths import data_folder
from workbench.store import StoreError
from workbench.store.store import Store
from workbench.text import first_line, plain
from workbench.widgets._page import HERE, Page, render, still
from workbench.widgets._run import Progress, Run

if TYPE_CHECKING:
    import pandas as pd

    from workbench.attribution.result import Attribution

STAGES = ("invert", "generate", "encode", "compare", "aggregate and rank", "decide")
TICKS = {"invert": 0, "generate": 1, "encode": 2, "similarity": 3}
"""The stage that each name of the pipeline's progress is."""
PREVIEW = 160
MOST = 10_000_000
"""Bytes of a picture that the browser hands over; a message to a kernel holds little more."""
HINT = "Choose, drop or paste a picture, or give its path; then press Start."
STOPPED = "Cancelled. What was made stays in the store: another start goes on from there."
BEGINS = "begins, and loads what it needs"
WAITING = "waits for the cancelled run to let go of its model"


class OnTheWeb(ValueError):
    """An address on the web was given where a file is asked for."""


ADVICE: dict[type[BaseException], str] = {
    OnTheWeb: "Save the picture, and choose its file.",
    images.ImageError: "Choose another file, or save the picture anew as PNG and choose that.",
    StoreError: "Free the store, or name another folder in WORKBENCH_STORE, and start again.",
    LookupError: "The command workbench doctor tells what this machine lacks.",
    OSError: "Check that the file and the store can be read, and start again.",
    ValueError: "Choose another picture, or another preset.",
    MemoryError: "Close other programs, and start again: what was made is kept.",
    Exception: "Start again; if it fails once more, report it with this sentence.",
}
"""What to do next after an error; the first class that fits counts."""


class Drop(anywidget.AnyWidget):
    """Where a picture is chosen, dropped or pasted; what comes is sent as a message."""

    _esm = HERE / "picture.js"
    disabled = traitlets.Bool(False).tag(sync=True)
    most = traitlets.Int(MOST).tag(sync=True)


class AttributePicture(Page):
    """Attribute one picture with a preset, watching the stages; ``result`` is the answer.

    A file is chosen, dropped or pasted in the browser, chosen among the samples, or named by its
    path or ``file:`` URL. What it says itself is shown first. Cancelling takes two seconds at most;
    what was made stays in the store. ``choose``, ``start``, ``cancel`` and ``wait`` do from Python
    what the controls do. What is wrong is told in the widget, not raised.

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
        self._preview, self._message, self._advice = "", HINT, ""
        self._evidence: pd.DataFrame | None = None
        self._reader: threading.Thread | None = None
        self._done, self._now, self._part = 0, "", 0.0
        self._current: Run | None = None
        self._drop = Drop()
        self._sample = ipywidgets.Dropdown(
            options=[("or choose a sample", ""), *_samples()], layout={"width": "200px"}
        )
        self._path = ipywidgets.Text(
            placeholder="or a path, then Enter", continuous_update=False, layout={"width": "260px"}
        )
        self._start = ipywidgets.Button(description="Start", button_style="primary", disabled=True)
        self._cancel = ipywidgets.Button(description="Cancel", disabled=True)
        self._clock, self._shown = ipywidgets.HTML(), ipywidgets.HTML()
        self._drop.on_msg(self._handed)
        for control in (self._sample, self._path):
            control.observe(self._named, "value")
        self._start.on_click(lambda _: self.start())
        self._cancel.on_click(lambda _: self.cancel())
        wrapped = {"flex_flow": "row wrap"}
        super().__init__(
            self._drop,
            ipywidgets.HBox([self._sample, self._path], layout=wrapped),
            ipywidgets.HBox([self._start, self._cancel, self._clock], layout=wrapped),
            self._shown,
        )
        try:
            presets.preset(preset)
        except LookupError as error:
            self._fail(first_line(error), error)
            for control in (self._drop, self._sample, self._path):
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
    def evidence(self) -> pd.DataFrame | None:
        """What the chosen file says (`evidence.frame`), or None until it is read."""
        return self._evidence

    @property
    def running(self) -> bool:
        """Whether a run is going on."""
        return self._current is not None and not self._current.over

    @property
    def message(self) -> str:
        """The sentence shown: what to do next, what is done now, or what is wrong."""
        return self._message

    @property
    def advice(self) -> str:
        """What to do about what is wrong; "" where nothing is."""
        return self._advice

    def choose(self, path: str | Path) -> None:
        """Choose a file by its path or ``file:`` URL; an error of opening it is shown.

        Nothing is chosen while a run goes on.
        """
        try:
            path = _local(path)
        except OnTheWeb as error:
            self._refuse(str(error), error)
            return
        self._chosen(path.name, path)

    def start(self) -> None:
        """Attribute the chosen picture in the background; nothing where there is none."""
        if self._picture is None or self.running:
            return
        self._result, self._done, self._part, self._advice = None, 0, 0.0, ""
        name, source = self._picture
        self._busy(True)
        left = self._current is not None and self._current.alive
        self._tell(f"{STAGES[0]}: {WAITING if left else BEGINS}")
        self._current = Run(
            lambda progress: self._attributed(name, source, progress),
            progress=self._progress,
            ended=self._ended,
            before=self._current,
            beat=self._beat,
        )

    def cancel(self) -> None:
        """Stop a run; the controls are free again within two seconds."""
        if self._current is not None and self.running:
            self._current.cancel()
            self._cancel.disabled = True
            self._tell("cancelling …")

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the file is read and the run has ended, or for so many seconds each."""
        if self._reader is not None:
            self._reader.join(seconds)
        if self._current is not None:
            self._current.wait(seconds)

    def still(self) -> str:
        """Return the present state as HTML: a sentence, the stages, or the ranking."""
        ranking = self._result._repr_html_() if self._result else ""
        return still("picture", ranking=ranking, **self._values())

    def _handed(self, _: Any, content: Any, buffers: Any) -> None:
        """Take what the browser hands over: a file with its bytes, or a path."""
        if content.get("kind") == "path":
            self.choose(str(content["path"]))
        elif content.get("kind") == "file":
            self._chosen(plain(str(content["name"])), bytes(buffers[0]))

    def _named(self, change: Any) -> None:
        if change.new:
            self.choose(change.new)

    def _chosen(self, name: str, source: bytes | Path) -> None:
        """Open the picture, and show it and what its file says, or the reason why not."""
        if self.running:
            return
        try:
            opened = images.open_image(source) if isinstance(source, Path) else _decoded(source)
        except images.ImageError as error:
            self._refuse(f"{name} cannot be attributed: {error}.", error)
            return
        self._forget()
        self._preview = images.data_uri(opened, PREVIEW)
        self._picture, self._message, self._advice = (name, source), f"{name}: press Start.", ""
        self._reader = threading.Thread(target=self._read, args=(name, source), daemon=True)
        self._reader.start()
        self._busy(False)
        self._draw()

    def _refuse(self, sentence: str, error: BaseException) -> None:
        """Have no picture, and say why."""
        if self.running:
            return
        self._forget()
        self._fail(sentence, error)
        self._busy(False)
        self._draw()

    def _forget(self) -> None:
        self._picture, self._result, self._preview, self._evidence = None, None, "", None
        self._done, self._now, self._part = 0, "", 0.0

    def _fail(self, sentence: str, error: BaseException) -> None:
        """Keep an error as a sentence, and what to do next."""
        self._now, self._message = "", sentence
        self._advice = next(words for kind, words in ADVICE.items() if isinstance(error, kind))

    def _read(self, name: str, source: bytes | Path) -> None:
        """Read what the file says, in a thread of its own: traces take their time."""
        from workbench import evidence

        given: Any = source if isinstance(source, Path) else images.Handed(name, source)
        table = evidence.frame([given])
        if self._picture is not None and self._picture[1] is source:
            self._evidence = table
            self._draw()

    def _ended(self, outcome: Any, error: BaseException | None) -> None:
        """Show the outcome of a run, why there is none, or that it was cancelled."""
        self._now, self._message = "", ""
        if outcome is not None:
            self._result, self._done = outcome, len(STAGES)
        elif error is None:
            self._message = STOPPED
        elif isinstance(error, LookupError | ValueError | StoreError | OSError):
            self._fail(first_line(error), error)
        else:
            self._fail(f"{type(error).__name__}: {first_line(error)}", error)
        self._clock.value = ""
        self._busy(False)
        self._draw()

    def _attributed(self, name: str, source: bytes | Path, progress: Progress) -> Attribution:
        """Attribute the file; an upload lies in a file of its own, never under its own name."""
        from workbench.attribution.attribute import attribute

        options: dict[str, Any] = {"store": self._given, "seed": self._seed}
        options |= {"preset": self._preset, "progress": progress}
        if isinstance(source, Path):
            result = attribute(source, **options)
        else:
            with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
                path = Path(folder, f"upload{_suffix(name)}")
                path.write_bytes(source)
                result = attribute(path, **options)
            table = result.images.assign(path=None).astype({"path": "str"})
            result = dataclasses.replace(result, images=table)
        paths = tuple((name, image_id) for _, image_id in result.paths)
        evidence = result.evidence.assign(path=name)
        return _answered(dataclasses.replace(result, paths=paths, evidence=evidence))

    def _progress(self, stage: str, done: int, total: int) -> None:
        if stage == "inspect":  # one file, at once
            return
        place = TICKS.get(stage)
        if place is not None:
            self._done, self._part = place, done / total
            stage = STAGES[place]
        self._tell(f"{stage}: {done} of {total}")

    def _beat(self, seconds: float) -> None:
        self._clock.value = f"{seconds:.0f} s"

    def _busy(self, busy: bool) -> None:
        self._start.disabled = busy or self._picture is None
        self._cancel.disabled = not busy
        for control in (self._drop, self._sample, self._path):
            control.disabled = busy

    def _tell(self, now: str) -> None:
        """Show what is done now."""
        self._now = self._message = now
        self._draw()

    def _draw(self) -> None:
        self._shown.value = self._page()

    def _page(self) -> str:
        """Return the state as HTML."""
        from workbench.attribution import report

        result = self._result
        link = _report(result) if result else None
        answer = report.answer(result) if result else ""
        return render("picture.html", report=link, answer=answer, **self._values())

    def _values(self) -> dict[str, Any]:
        """Return the state as values of the template."""
        chosen, rows = self._picture is not None, []
        if self._evidence is not None:
            plain_values = self._evidence.astype(object).where(self._evidence.notna(), None)
            rows = plain_values.to_dict("records")
        return {
            "name": self._picture[0] if self._picture else "",
            "message": self._message,
            "advice": self._advice,
            "error": bool(self._advice),
            "preview": "" if self._result else self._preview,
            "reading": chosen and self._evidence is None,
            "says": [each for each in rows if each["state"] not in ("absent", "unchecked")]
            if chosen
            else None,
            "absent": [each["kind"] for each in rows if each["state"] == "absent"],
            "unchecked": [each for each in rows if each["state"] == "unchecked"],
            "stages": [
                (name, "done" if i < self._done else "now" if self._now and i == self._done else "")
                for i, name in enumerate(STAGES)
            ]
            if self._now or self._result
            else [],
            "part": self._share(),
        }

    def _share(self) -> float | None:
        """Return the share of the stages that is done; None while the first loads its model."""
        if not self._now:
            return 1.0
        return round((self._done + self._part) / len(STAGES), 3) or None


def _local(path: str | Path) -> Path:
    """Return the file that a path or a ``file:`` URL names.

    Raises OnTheWeb for an address that is not of this computer.

    >>> _local("file:///tmp/my%20picture.png").as_posix()
    '/tmp/my picture.png'
    """
    text = str(path).strip().strip("\"'")
    scheme, host = urlsplit(text)[:2] if re.match(r"[a-z]{2,}://", text, re.I) else ("", "")
    if scheme.lower() == "file" and host in ("", "localhost"):
        return Path(unquote(urlsplit(text).path))
    if scheme:
        raise OnTheWeb("Nothing is fetched from the web here.")
    return Path(text).expanduser()


def _answered(result: Attribution) -> Attribution:
    """Return an attribution that has a ranking; ValueError, its reason, for any other."""
    ((name, image_id),) = result.paths
    failure = result.cases[image_id].error
    if failure is not None:
        raise ValueError(f"{name} cannot be attributed: {failure}.")
    return result


def _report(result: Attribution) -> dict[str, str]:
    """Return the report as a data URI, which needs neither kernel nor file."""
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        page = result.report(Path(folder, "report.html")).read_bytes()
    stem = re.sub(r"[^\w-]+", "-", Path(result.paths[0][0]).stem).strip("-")
    return {
        "name": f"attribution-{stem or 'picture'}.html",
        "uri": "data:text/html;base64," + base64.b64encode(page).decode("ascii"),
    }


def _decoded(data: bytes) -> Any:
    """Return uploaded bytes as a picture, opened by the rules of `images.open_image`."""
    if not data:
        raise images.ImageError("the file is empty")
    try:
        return images.decode(data)
    except MemoryError:
        raise images.ImageError("there is not enough memory to open it") from None


def _suffix(name: str) -> str:
    """Return the ending of a name where it is one of a picture."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix in images.EXTENSIONS else ""


def _samples() -> list[tuple[str, str]]:
    """Return the shipped sample pictures, by name."""
    folder = data_folder() / "samples"
    return [(path.name, str(path)) for path in sorted(folder.glob("*.png"))]
