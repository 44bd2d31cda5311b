"""``python -m workbench.pocket.train NAME``: run one recipe, or go on with it after a stop.

Names: clip, sd, ld, glide, dalle, blip (in this order; later ones start from earlier
ones). ``all`` runs what is not yet in the manifest.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from pathlib import Path

RECIPES = ("clip", "sd", "ld", "glide", "dalle", "blip")
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Keeps glibc from returning large tensors to the kernel at every step: 1.4 times faster."""


def main(arguments: list[str]) -> int:
    """Run the recipes named, one after the other."""
    names = list(RECIPES) if arguments == ["all"] else arguments
    unknown = [name for name in names if name not in RECIPES]
    if not names or unknown:
        wrong = unknown[0] if unknown else ""
        known = ", ".join([*RECIPES, "all"])
        print(f"no recipe named {wrong!r}; there are: {known}", file=sys.stderr)
        return 2
    if any(os.environ.get(key) != value for key, value in ALLOCATOR.items()):
        command = [sys.executable, "-m", "workbench.pocket.train", *arguments]
        os.execve(sys.executable, command, {**os.environ, **ALLOCATOR})  # noqa: S606
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    from workbench.pocket.manifest import record

    data = Path(__file__).parents[2] / "data" / "pocket"
    for name in names:
        recipe = importlib.import_module(f"workbench.pocket.recipes.{name}")
        record(data, name, recipe.train(data / f"pocket-{name}"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
