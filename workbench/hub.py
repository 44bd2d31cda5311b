"""Weights on a hub: where they lie on this computer, what fetching them takes, and fetching them.

Only `listing`, `fetch`, `fetch_url`, `size_of_url` and `reachable` use the network, and only the
commands ``workbench zoo`` and ``workbench doctor`` call them. A file that was begun is gone on
with; one whose digest is not the hub's is removed and never used.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAFE = (".safetensors",)
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
OTHERS = tuple(
    ".msgpack .h5 .onnx .onnx_data .ot .pb .tflite .gguf .mlmodel .xml .npz .tar .zip .md .png "
    ".jpg .jpeg .webp .gif .mp4 .pdf .py .ipynb .gitattributes .gitignore".split()
)
VARIANTS = ("fp16", "bf16", "fp32", "non_ema", "ema_only")


@dataclass(frozen=True)
class File:
    """A file of a repository: its name, its bytes, and its sha256, or the sha1 of its git blob."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class Repository:
    """What a hub tells of a repository at one commit."""

    id: str
    commit: str
    files: tuple[File, ...]
    gated: bool = False
    licence: str = ""


def snapshot(repository: str, commit: str) -> Path:
    """Name the folder where the hub's own cache keeps a repository at a commit, there or not."""
    from huggingface_hub import constants

    name = "models--" + repository.replace("/", "--")
    return Path(constants.HF_HUB_CACHE) / name / "snapshots" / commit


def listing(repository: str, revision: str = "") -> Repository:
    """Ask the hub what a repository holds at a revision (the newest where none is given).

    Raises LookupError: no such repository or revision, or not for you. OSError: no network.
    """
    from huggingface_hub import HfApi

    with _sentences(repository):
        info = HfApi().model_info(repository, revision=revision or None, files_metadata=True)
    files = tuple(
        File(each.rfilename, each.size or 0, each.lfs.sha256 if each.lfs else each.blob_id or "")
        for each in info.siblings or []
    )
    licence = str(getattr(info.card_data, "license", None) or "")
    return Repository(repository, str(info.sha), files, bool(info.gated), licence)


def wanted(files: Sequence[File], pickles: bool = False, variant: str = "") -> list[File]:
    """Choose the files a loader will read: no other framework's, no second copy of the weights.

    Safetensors go before pickles, which are taken only where `pickles` allows them and a folder
    has nothing else. In the repository of a pipeline (with a model_index.json), weights outside
    its folders are other programs' copies. Of the variants of a weight file (fp16, …) the one
    named is taken, where there is one.

    Raises ValueError where a folder holds its weights as pickles only, and these are not allowed.

    >>> names = "model_index.json all.safetensors unet/a.fp16.safetensors unet/a.safetensors"
    >>> [file.name for file in wanted([File(x, 1, "") for x in names.split()])]
    ['model_index.json', 'unet/a.safetensors']
    """
    pipeline = any(file.name == "model_index.json" for file in files)
    kept = [file for file in files if not file.name.lower().endswith(OTHERS)]
    weights = [file for file in kept if file.name.endswith(SAFE + PICKLES)]
    chosen = [file for file in kept if file not in weights and not file.name.startswith(".")]
    folders: dict[str, list[File]] = {}
    for file in weights:
        folders.setdefault(file.name.rpartition("/")[0], []).append(file)
    for folder, there in folders.items():
        if pipeline and not folder:
            continue
        plain = [f for f in there if _variant(f.name) == variant] or [
            f for f in there if not _variant(f.name)
        ]
        safe = [file for file in plain if file.name.endswith(SAFE)]
        if not safe and plain and not pickles:
            raise ValueError(
                f"the weights {plain[0].name} are a pickle, which can run code, and there are no "
                "safetensors beside it: none is fetched unless the row says allow_pickle = true"
            )
        chosen += safe or plain
    names = [file.name for file in chosen]
    return [file for file in files if file.name in names]


def _variant(name: str) -> str:
    """Tell the variant in a file's name: ``unet/model.fp16.safetensors`` → ``fp16``."""
    parts = name.rpartition("/")[2].split(".")[1:-1]
    found = [part.split("-")[0] for part in parts]
    return next((part for part in found if part in VARIANTS), "")


def fetch(
    repository: Repository, file: File, tick: Callable[[int], None] = lambda count: None
) -> Path:
    """Fetch a file into the hub's cache, going on where it stopped, and check its digest.

    `tick` is called with the bytes of each step.

    Raises LookupError: gated, or not there. OSError: no network, no room. ValueError: wrong digest.
    """
    from huggingface_hub import hf_hub_download

    room_for(snapshot(repository.id, repository.commit), file.size)
    with _sentences(repository.id):
        found = hf_hub_download(
            repository.id, file.name, revision=repository.commit, tqdm_class=_bar(tick)
        )
    path = Path(found)
    if file.digest and (seen := digest_of(path, file.digest)) != file.digest:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise ValueError(
            f"the file {file.name} of {repository.id} is not the hub's: its digest is {seen}, not "
            f"{file.digest}; it was removed, and the same command fetches it again"
        )
    return path


def fetch_url(
    url: str, path: Path, size: int, tick: Callable[[int], None] = lambda count: None
) -> None:
    """Fetch a file of `size` bytes from a plain address to `path`, going on where it stopped.

    Raises LookupError: not there. OSError: no network, no room.
    """
    from huggingface_hub.file_download import http_get

    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = part.stat().st_size if part.exists() else 0
    room_for(path.parent, size - begun)
    with _sentences(url), part.open("ab") as out:
        if begun < size:
            http_get(url, out, resume_size=begun, expected_size=size, tqdm_class=_bar(tick))
    part.replace(path)


def size_of_url(url: str) -> int:
    """Ask an address how many bytes it holds."""
    import httpx

    with _sentences(url):
        answer = httpx.head(url, follow_redirects=True, timeout=10)
        answer.raise_for_status()
    return int(answer.headers.get("content-length", 0))


def digest_of(path: Path, like: str) -> str:
    """Digest a file as the hub does: sha256, or the sha1 of a git blob where `like` is one."""
    if len(like) == 40:
        blob = path.read_bytes()
        header = f"blob {len(blob)}\0".encode()
        return hashlib.sha1(header + blob, usedforsecurity=False).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def faults(folder: Path) -> list[str]:
    """Name the files of a snapshot whose bytes are not those the hub named them by."""
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() and digest_of(path, path.resolve().name) != path.resolve().name
    ]


def _bar(tick: Callable[[int], None]) -> Any:
    """Make a class of progress bars that shows nothing and tells `tick` of every step."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *_: Any, **settings: Any) -> None:
            super().__init__(disable=True)
            tick(int(settings.get("initial") or 0))

        def update(self, n: float | None = 1) -> bool | None:
            tick(int(n or 0))
            return None

    return Bar


def reachable() -> str:
    """Tell whether a hub answers: "" if so, else the reason."""
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        httpx.head(constants.ENDPOINT, timeout=3, follow_redirects=True)
    except httpx.HTTPError as error:
        return f"{constants.ENDPOINT} does not answer ({type(error).__name__})"
    return ""


def room_for(folder: Path, size: int) -> None:
    """Raise OSError where the disk of `folder` has no room for `size` more bytes."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise OSError(
            errno.ENOSPC,
            f"the disk of {folder} has {free / 2**30:.1f} GiB left, and {size / 2**30:.1f} GiB are "
            "still to come; free some space, or set HF_HOME to a folder on another disk",
        )


@contextlib.contextmanager
def _sentences(source: str) -> Iterator[None]:
    """Turn what a hub, the network or the disk does into one sentence."""
    import httpx
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{source}"
    again = "what was fetched is kept: the same command goes on from there"
    try:
        yield
    except errors.GatedRepoError as error:
        raise LookupError(
            f"{source} is gated: accept its licence at {page}, then log in with `hf auth login`, "
            "and give the same command again"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise LookupError(f"{source} has no such revision; see {page}/commits/main") from error
    except errors.RepositoryNotFoundError as error:
        raise LookupError(
            f"the hub has no {source}, or not for you: it was withdrawn, renamed, or is private; "
            f"look at {page}"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise OSError("nothing is fetched while HF_HUB_OFFLINE is set") from error
    except errors.LocalEntryNotFoundError as error:  # what the library makes of a lost network
        raise OSError(f"{source} cannot be reached now; {again}") from error
    except (httpx.HTTPStatusError, errors.HfHubHTTPError) as error:
        status = error.response.status_code if error.response is not None else "an error"
        raise OSError(f"{source} answered {status}; {again}") from error
    except (httpx.HTTPError, ConnectionError, TimeoutError) as error:
        raise OSError(f"the network went away ({type(error).__name__}); {again}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                errno.ENOSPC,
                f"the disk is full; free some space, or set HF_HOME to a folder elsewhere; {again}",
            ) from error
        raise OSError(f"{source} cannot be fetched: {_first(error)}; {again}") from error


def _first(error: Any) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
