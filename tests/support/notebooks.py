"""The notebooks of this repository, run as `make notebooks` runs them."""

from __future__ import annotations

import runpy
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "notebooks"
RUN = runpy.run_path(str(FOLDER / "run.py"))
execute, tidy = RUN["execute"], RUN["tidy"]
