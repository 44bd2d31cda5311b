"""UMAP in a process of its own, so that the kernel goes on: with progress, and to be cancelled.

Run as ``python -m workbench.widgets._umap STORE SEED FEATURES.npy …``: puts the map of each file
into the store, and writes a line ``DONE TOTAL`` for every epoch. Ends when its input is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np

from workbench.store.store import Store


class Background(ipywidgets.HBox):
    """A bar and a button, shown while maps are laid out by UMAP in another process.

    ``stopped`` is called when a person has cancelled it.
    """

    def __init__(self) -> None:
        self.stopped: Callable[[], None] = lambda: None
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._done: Callable[[str], None] = lambda _: None
        self._reason = ""
        self._soon = in_turn()
        self._bar = ipywidgets.FloatProgress(value=0, min=0, max=1, layout={"width": "160px"})
        self._label = ipywidgets.Label()
        self._cancel = ipywidgets.Button(
            description="cancel", icon="times", layout={"width": "auto"}
        )
        self._cancel.on_click(self._pressed)
        super().__init__(layout={"display": "none", "align_items": "center"})
        self.children = [self._bar, self._label, self._cancel]

    @property
    def running(self) -> bool:
        """Whether maps are being laid out."""
        return self._thread is not None and self._thread.is_alive()

    def start(
        self,
        matrices: Sequence[np.ndarray],
        seed: int,
        store: Store,
        done: Callable[[str], None],
    ) -> None:
        """Lay maps out; ``done`` is called with an empty text, or with what went wrong.

        Args:
            matrices: (N, D) features each.
            seed: of the maps.
            store: where they are put.
            done: not called where it was cancelled.
        """
        self.cancel()
        self._bar.value, self._done, self._reason = 0, done, ""
        self._label.value = "UMAP begins: looks for neighbours; meanwhile PCA"
        self.layout.display = None
        folder = tempfile.TemporaryDirectory(prefix="workbench-umap-")
        files = []
        for place, matrix in enumerate(matrices):
            files.append(str(Path(folder.name, f"{place}.npy")))
            np.save(files[-1], matrix)
        command = [sys.executable, "-m", __name__, str(store.path), str(seed), *files]
        path = {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this module itself
                command, env=os.environ | path, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            folder.cleanup()
            self.layout.display = "none"
            done(str(error))
            return
        self._thread = threading.Thread(
            target=self._follow, args=(self._process, folder), daemon=True
        )
        self._thread.start()

    def cancel(self) -> None:
        """Stop it at once; nothing where nothing goes on."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
        self.layout.display = "none"

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it has ended and its maps are shown, or for so many seconds."""
        if self._thread is not None:
            self._thread.join(seconds)
            if not self.running and self._process is not None:
                self._ended(self._process)  # what waits for its turn finds nothing to do

    def _pressed(self, _: Any) -> None:
        self.cancel()
        self.stopped()

    def close(self) -> None:
        """Stop it, too."""
        self.cancel()
        super().close()

    def _follow(self, process: subprocess.Popen[str], folder: Any) -> None:
        """Show the progress of a process, in a thread, and its end."""
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
        reader.start()
        with folder, process:
            for line in process.stdout or ():
                epoch, _, total = line.partition(" ")
                self._soon(partial(self._told, process, int(epoch) / int(total)))
        reader.join(5)
        if process is self._process and process.returncode:
            self._reason = (errors or ["it ended without a word"])[-1].strip()
        self._soon(partial(self._ended, process))

    def _told(self, process: Any, part: float) -> None:
        if process is self._process:
            self._bar.value = part
            self._label.value = f"UMAP {part:.0%}; meanwhile PCA"

    def _ended(self, process: Any) -> None:
        if process is self._process:
            self._process = None
            self.layout.display = "none"
            self._done(self._reason)


def in_turn() -> Callable[[Callable[[], Any]], Any]:
    """Return how to call something in turn with the kernel's own work, from any thread.

    In the event loop that runs now; at once where there is none.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return lambda act: act()

    def soon(act: Callable[[], Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it who would look
            loop.call_soon_threadsafe(act)

    return soon


def main(root: str, seed: str, *files: str) -> None:
    """Lay out the features in files, and put the maps into the store."""
    from workbench.evaluation import projection

    def tell(place: int, done: int, total: int) -> None:
        sys.stdout.write(f"{place * total + done} {total * len(files)}\n")
        sys.stdout.flush()

    threading.Thread(target=_end_with_parent, daemon=True).start()
    store = Store(Path(root))
    for place, file in enumerate(files):
        projection.project(
            np.load(file), "umap", seed=int(seed), store=store, progress=partial(tell, place)
        )


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
