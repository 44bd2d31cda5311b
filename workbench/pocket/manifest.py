"""manifest.json beside the models: what each is, how it was made, and the digests of its files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from workbench.pocket.training import History

Manifest = dict[str, dict[str, Any]]
DATA = Path(__file__).parents[2] / "data"
MORE = ("sd2", "pixart")
"""Models of the scalability experiment: in data/pocket-more, since few need their 40 MB."""


def home(name: str) -> Path:
    """Return the folder of a recipe's model: data/pocket/pocket-NAME, or data/pocket-more/…"""
    return DATA / ("pocket-more" if name in MORE else "pocket") / f"pocket-{name}"


def read(data: Path) -> Manifest:
    """Return the manifest, empty when there is none yet."""
    path = data / "manifest.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write(data: Path, manifest: Manifest) -> None:
    """Write the manifest, keys sorted."""
    (data / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def record(name: str, history: History | dict[str, History]) -> None:
    """Record a trained model: its history (one, or one a part) and the sha256 of its files."""
    parts = history if isinstance(history, dict) else {"model": history}
    data = home(name).parent
    manifest = read(data)
    entry = manifest.setdefault(f"pocket-{name}", {})
    entry["recipe"] = f"python -m workbench.pocket.train {name}"
    entry["training"] = {
        part: {**vars(h), "seconds": round(h.seconds)} for part, h in parts.items()
    }
    write(data, manifest)
    refresh(data)


def refresh(data: Path) -> None:
    """Record the digests of the files as they are now."""
    manifest = read(data)
    for name, entry in manifest.items():
        files = sorted(path for path in (data / name).rglob("*") if path.is_file())
        entry["sha256"] = {
            str(p.relative_to(data / name)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in files
        }
        entry["bytes"] = sum(path.stat().st_size for path in files)
    write(data, manifest)
