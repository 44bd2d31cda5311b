"""Plan a download, fetch and pin it, and verify the files.

`plan` and `download` use the network, and only because a user gave the command.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from workbench.catalogue import hub, toml
from workbench.catalogue.rows import ROLES
from workbench.paths import user_folder
from workbench.weights.checkpoint import Checkpoint, is_downloaded, selection_key
from workbench.weights.repository import (
    INDEX,
    PICKLES,
    SAFE,
    SUMS,
    File,
    Repository,
    components,
    digest_of,
    faults,
    files_to_load,
    is_complete,
    left,
    left_of,
    note,
    snapshot,
    summed,
    variant_for,
)


@dataclass(frozen=True)
class Plan:
    """Files that a download of a row fetches, of repositories or of plain addresses."""

    row: Checkpoint
    repositories: tuple[Repository, ...] = ()
    files: tuple[tuple[File, ...], ...] = ()

    @property
    def left(self) -> int:
        """The bytes still to fetch."""
        places = zip(self.repositories, self.files, strict=True)
        return sum(self.left_of(place, files) for place, files in places)

    def left_of(self, place: Repository, files: Sequence[File]) -> int:
        """Return the bytes still to fetch of some files of one of the repositories."""
        return sum(
            left(place, file)
            if place.commit
            else left_of(_place(self.row, place) / file.name, file.size)
            for file in files
        )


def plan(row: Checkpoint, revision: str = "") -> Plan:
    """Return the plan of a row's download; asks the hub for the list of files.

    Raises LookupError: not on the hub, not for you, or nothing to fetch. ValueError: pickles only,
    and the row does not allow them, or a row that leads elsewhere. OSError: no network.
    """
    if row.status == "withdrawn":
        raise LookupError(f"{row.name!r} was withdrawn by its owner: nobody can fetch it any more")
    if "://" in row.source:
        if revision:
            raise ValueError(f"{row.name!r} lies at an address without commits: no --revision")
        if not row.files or not row.source.startswith(("https://", "http://")):
            raise ValueError(
                f"{row.name!r} lies at an address: it begins with https://, and files of the row "
                f"names what to fetch there; seen {row.source}, {len(row.files)} files"
            )
        for name in (row.name, *row.files):
            if Path(name).name != name or name.startswith("."):
                raise ValueError(f"{name!r} leads elsewhere: nothing of {row.name!r} is fetched")
        there = tuple(File(x, hub.size_of_url(f"{row.source}/{x}"), "") for x in row.files)
        return Plan(row, (Repository(row.source, "", there),), (there,))
    if revision and len(row.repositories) > 1:
        raise ValueError(
            f"{row.name!r} has {len(row.repositories)} repositories, and --revision names the "
            "commit of one: leave it out"
        )
    if not row.repositories:
        raise LookupError(f"{row.name!r} is no checkpoint of a hub: there is nothing to fetch")
    places = tuple(hub.listing(x, revision or row.commit(x)) for x in row.repositories)
    chosen: list[tuple[File, ...]] = []
    for place in places:
        files = [f for f in place.files if any(fnmatch(f.name, x) for x in row.files or ("*",))]
        index = next((read_config(hub.fetch(place, f)) for f in files if f.name == INDEX), None)
        parts = None if index is None else components(index, later=bool(chosen))
        variant = str(row.option("variant", "")) or variant_of_parts(files, parts, row.dtype)
        how = row.allow_pickle, variant, row.remote_code, parts
        try:
            chosen.append(tuple(files_to_load(files, *how)))
        except ValueError as error:
            raise ValueError(f"{row.name}: {error}") from error
        if not any(f.name.endswith(SAFE + PICKLES) for f in chosen[-1]):
            raise LookupError(
                f"{place.id} holds no weights for {row.name!r}: of its {len(place.files)} files "
                f"{len(files)} are asked for, and none is a .safetensors that a loader would read"
            )
    return Plan(row, places, tuple(chosen))


def variant_of_parts(files: Sequence[File], parts: Set[str] | None, dtype: str) -> str:
    """Return the variant to fetch of a pipeline's parts for a dtype; "" for the plain weights."""
    inside = [file.name for file in files if file.name.partition("/")[0] in (parts or ())]
    return variant_for(inside, dtype)


def room_for(plans: Sequence[Plan]) -> None:
    """Raise OSError where the disk has no room for the files still to fetch, or is read-only.

    The hub's cache and the user's folder are each held to the whole: they often share a disk.
    """
    left = sum(plan.left for plan in plans)
    hub.room_for(user_folder(), 0)
    for folder in {_place(plan.row, place) for plan in plans for place in plan.repositories}:
        hub.room_for(folder, left)


def download(plan: Plan, tick: Callable[[int], None] = lambda count: None) -> Path:
    """Fetch missing files, check them, and pin the row; return the file of the pinned row.

    `tick` is called with the bytes of each step. Raises what `hub.fetch` does.
    """
    row = plan.row
    for place, files in zip(plan.repositories, plan.files, strict=True):
        if place.commit:
            note(place, files, selection_key(row))
        for file in files:
            if place.commit:
                hub.fetch(place, file, tick)
            elif not (path := _place(row, place) / file.name).exists():
                hub.fetch_url(f"{place.id}/{file.name}", path, file.size, tick)
    if all(place.commit for place in plan.repositories):
        pin = " ".join(place.commit for place in plan.repositories)
        return toml.write(table_of(row), row.name, {"revision": pin})
    (place,), (files,) = plan.repositories, plan.files
    folder = _place(row, place)
    sums = [f"{digest_of(folder / file.name, '')}  {file.name}\n" for file in files]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")
    return folder / SUMS


def settled(row: Checkpoint) -> bool:
    """Return whether all files of a row are here, without asking the network."""
    if row.hosted or not is_downloaded(row):
        return row.hosted
    key = selection_key(row)
    return all(is_complete(x, row.commit(x), key) for x in row.repositories)


def fault(row: Checkpoint) -> str | None:
    """Return a sentence on a downloaded file that is missing or wrong; None where all are right."""
    wrong: list[Path] = []
    for repository in row.repositories:
        if commit := row.commit(repository):
            wrong += faults(snapshot(repository, commit))
    if row.folder is not None:
        for name, digest in summed(row.folder).items():
            if digest_of(row.folder / name, digest) != digest:
                wrong.append(row.folder / name)
    if not wrong:
        return None
    return (
        f"the file {wrong[0].name} is not what was fetched, or gone: delete {wrong[0].resolve()}, "
        f"then `workbench zoo download {row.name}` fetches it again"
    )


def read_config(path: Path) -> dict[str, Any]:
    """Return a JSON config of a checkpoint; ValueError where it cannot be parsed."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    return config if isinstance(config, dict) else {}


def table_of(row: Checkpoint) -> str:
    """Return the name of the table of a row's role."""
    return f"{ROLES[row.role]}.toml"


def _place(row: Checkpoint, place: Repository) -> Path:
    """Return the folder that the files of a repository, or of an address, go to."""
    if place.commit:
        return snapshot(place.id, place.commit)
    return user_folder() / "weights" / row.name
