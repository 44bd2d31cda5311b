"""Client of the hub: list repositories and fetch files. Everything here uses the network.

Only the commands ``workbench zoo`` and ``workbench doctor`` call it. A file that was begun is gone
on with; one whose digest is not the hub's is removed and never used.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workbench.text import first_line
from workbench.weights.repository import File, Repository, digest_of, page_of, part_of, places

TIMEOUT, GREETING = 10, 3
"""Seconds that a question about an address, and whether a hub is there at all, may take; while a
file comes, huggingface_hub waits HF_HUB_DOWNLOAD_TIMEOUT seconds for its next bytes."""
AGAIN = "what was fetched is kept: the same command goes on from there"

HUB_ERRORS: tuple[tuple[str, type[Exception], str], ...] = (
    (
        "GatedRepoError",
        LookupError,
        "{source} is gated: accept its licence at {page}, then log in with `hf auth login`, "
        "and give the same command again",
    ),
    (
        "RevisionNotFoundError",
        LookupError,
        "{source} has no such revision, or no longer; `workbench zoo download NAME --revision "
        "COMMIT` pins another, see {page}/commits/main",
    ),
    (
        "RepositoryNotFoundError",
        LookupError,
        "the hub has no {source}, or not for you: it was withdrawn, renamed, or is private; "
        "look at {page}",
    ),
    ("OfflineModeIsEnabled", OSError, "nothing is fetched while HF_HUB_OFFLINE is set"),
    # what the library makes of a lost network
    ("LocalEntryNotFoundError", OSError, "{source} cannot be reached now; {again}"),
    (
        "EntryNotFoundError",
        LookupError,
        "a file that {source} listed is gone from it; the same command asks anew what it holds",
    ),
)
"""Errors of huggingface_hub by name, and what is raised for each; a subclass stands first."""


def listing(repository: str, revision: str = "") -> Repository:
    """Return the files of a repository at a revision (the newest where none is given).

    Raises LookupError: no such repository or revision, or not for you. OSError: no network, or
    no hub at its address. ValueError: it names a file outside of it, or one without a digest.
    """
    from huggingface_hub import HfApi, constants

    try:
        with explain_errors(repository):
            info = HfApi().model_info(repository, revision=revision or None, files_metadata=True)
        files = tuple(
            File(
                str(entry.rfilename),
                int(entry.size or 0),
                str((entry.lfs.sha256 if entry.lfs else entry.blob_id) or ""),
            )
            for entry in info.siblings or []
        )
    except (json.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise OSError(
            f"{constants.ENDPOINT} answers as no hub does: a log-in page of this network, or a "
            "wrong HF_ENDPOINT, may stand in its place"
        ) from error
    for file in files:
        parts = file.name.replace("\\", "/").split("/")
        if {"", ".."} & {*parts} or not all(map(str.isalnum, (info.sha or "", file.digest))):
            raise ValueError(
                f"{repository} names the file {file.name!r} (commit {info.sha!r}, digest "
                f"{file.digest!r}), which may lie outside of it, or cannot be checked: nothing of "
                "it is fetched"
            )
    licence = getattr(info.card_data, "license", None) or ""
    licence = ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence)
    prior = getattr(info.card_data, "prior", None) or ""
    prior = str(prior[0] if isinstance(prior, list) else prior)
    return Repository(repository, str(info.sha), files, bool(info.gated), licence, prior)


def fetch(
    repository: Repository, file: File, tick: Callable[[int], None] = lambda count: None
) -> Path:
    """Fetch a file into the hub's cache, going on where it stopped, and check its digest.

    The hub's own client begins a file anew after a stop; the layout of its cache is kept.
    `tick` is called with the bytes of each step.

    Raises LookupError: gated, or not there. OSError: no network, no room, or another process is
    fetching it. ValueError: wrong digest.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    path, blob = places(repository, file)
    if path.exists():
        return path
    url = hf_hub_url(repository.id, file.name, revision=repository.commit)
    with explain_errors(repository.id), _alone(blob, file.name) as part:
        if not blob.exists():
            _get(url, part, file.size, tick, build_hf_headers())
            if (seen := digest_of(part, file.digest)) != file.digest:
                part.unlink()
                raise ValueError(
                    f"the file {file.name} of {repository.id} is not the hub's: its digest is "
                    f"{seen}, not {file.digest}; it was removed, and the same command fetches it "
                    "again"
                )
            part.replace(blob)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a link to what was deleted
        try:
            path.symlink_to(os.path.relpath(blob, path.parent))
        except OSError:  # a system without links
            blob.replace(path)
    return path


def numbers(repository: Repository, file: File) -> str:
    """Return the dtype of most numbers of a safetensors file (``BF16``), from its head alone.

    Raises what `fetch` does, and ValueError for a head that is none.
    """
    from huggingface_hub import HfApi, errors

    with explain_errors(repository.id):
        try:
            head = HfApi().parse_safetensors_file_metadata(
                repository.id, file.name, revision=repository.commit
            )
        except errors.SafetensorsParsingError as error:
            raise ValueError(
                f"the head of {file.name} of {repository.id} cannot be read: {first_line(error)}"
            ) from error
    counts = head.parameter_count
    return str(max(counts, key=lambda kind: counts[kind])) if counts else ""


def fetch_url(
    url: str, path: Path, size: int, tick: Callable[[int], None] = lambda count: None
) -> None:
    """Fetch a file of `size` bytes from a plain address to `path`, going on where it stopped.

    Raises LookupError: not there. OSError: no network, no room, or another process is fetching it.
    """
    with explain_errors(url), _alone(path, path.name) as part:
        if not path.exists():
            _get(url, part, size, tick)
            part.replace(path)


@contextlib.contextmanager
def _alone(path: Path, name: str) -> Iterator[Path]:
    """Lock a file that is to be fetched; yield the path of its partial download."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    part = part_of(path)
    part.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f"{path.name}.lock")
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(WeakFileLock(lock, timeout=0.5))
        except TimeoutError as error:
            raise BlockingIOError(
                f"another process is fetching {name}: wait for it, or stop it, and give the "
                f"same command again (where there is none, delete {lock})"
            ) from error
        yield part
        lock.unlink(missing_ok=True)  # whoever waited for it finds the file there


def _get(url: str, part: Path, size: int, tick: Callable[[int], None], headers: Any = None) -> None:
    """Append to `part` the bytes it lacks of the `size` bytes at an address."""
    from huggingface_hub.file_download import http_get

    with part.open("ab") as out:
        begun = out.tell()
        if begun > size:  # of another file
            out.truncate(begun := 0)
        if begun < size:
            http_get(
                url,
                out,
                resume_size=begun,
                headers=headers,
                expected_size=size,
                tqdm_class=_bar(tick),
            )


def size_of_url(url: str) -> int:
    """Return the size in bytes of the file at an address.

    Raises OSError: no network, it is not there, or does not tell.
    """
    from huggingface_hub import get_session

    with explain_errors(url):
        response = get_session().head(url, follow_redirects=True, timeout=TIMEOUT)
        response.raise_for_status()
    size = int(response.headers.get("content-length") or 0)
    if not size:
        raise OSError(f"{url} does not tell how large it is: fetch it by hand, and add its folder")
    return size


def _bar(tick: Callable[[int], None]) -> Any:
    """Return a class of progress bars that shows nothing and calls `tick` at every step."""
    from tqdm import tqdm

    class Bar(tqdm):
        monitor_interval = 0  # no thread of its own

        def __init__(self, *_: Any, **settings: Any) -> None:
            super().__init__(disable=True)

        def update(self, n: float | None = 1) -> bool | None:
            tick(int(n or 0))
            return None

    return Bar


def reachable() -> str:
    """Return why no hub answers, or "" where one does."""
    from huggingface_hub import constants, errors, get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=GREETING, follow_redirects=True)
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        return f"{constants.ENDPOINT} does not answer ({type(error).__name__})"
    return ""


def room_for(folder: Path, size: int) -> None:
    """Raise OSError where `folder` cannot be written, or its disk lacks `size` more bytes."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise PermissionError(
            f"{there} is no folder that can be written; set HF_HOME (for weights), or "
            "WORKBENCH_CATALOGUE (for rows), to a folder elsewhere"
        )
    free = shutil.disk_usage(there).free
    if size > free:
        raise OSError(
            f"the disk of {folder} has {free / 2**30:.1f} GiB left, and {size / 2**30:.1f} GiB are "
            "still to come; free some space, or set HF_HOME to a folder on another disk",
        )


@contextlib.contextmanager
def explain_errors(source: str) -> Iterator[None]:
    """Raise errors of the hub, the network or the disk as one sentence each."""
    chatter = logging.getLogger("huggingface_hub")
    before = chatter.level
    chatter.setLevel(logging.ERROR)  # of each of its tries
    try:
        yield
    except Exception as error:
        explained = _explained(error, source)
        if explained is None:
            raise
        raise explained from error
    finally:
        chatter.setLevel(before)


def _explained(error: Exception, source: str) -> Exception | None:
    """Return the error to raise in place of another; None where that one stays as it is."""
    from huggingface_hub import errors

    page = source if "://" in source else page_of(source)
    for name, kind, sentence in HUB_ERRORS:
        if isinstance(error, getattr(errors, name)):
            return kind(sentence.format(source=source, page=page, again=AGAIN))
    if isinstance(error, (errors.HTTPError, ConnectionError, TimeoutError)):  # type: ignore[attr-defined]
        return _network_error(error, source, page)
    if isinstance(error, OSError) and not isinstance(error, BlockingIOError):
        return _disk_error(error, source)
    return None


def _network_error(error: Exception, source: str, page: str) -> Exception:
    """Return the error of a lost network, or of the HTTP status of a response."""
    response = getattr(error, "response", None)
    if type(error).__name__ in ("UnsupportedProtocol", "InvalidURL"):
        return OSError(f"{page} is no address: HF_ENDPOINT begins with https://")
    if response is None:
        return OSError(f"the network went away ({type(error).__name__}); {AGAIN}")
    status = response.status_code
    if status == 401:
        why = "`hf auth login` sets a token that is valid"
    elif status == 429:
        why = f"too much was asked of it; wait some minutes: {AGAIN}"
    elif status == 408 or status >= 500:
        why = f"it has trouble now; {AGAIN}"
    else:
        why = f"look at {page}"
    kind = LookupError if status < 500 and status not in (408, 429) else OSError
    return kind(f"{source} answered {status}: {why}")


def _disk_error(error: OSError, source: str) -> OSError:
    """Return the error of a full disk, of a file, or of the system's own message."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OSError(
            f"the disk is full; free some space, or set HF_HOME to a folder elsewhere; {AGAIN}"
        )
    if error.filename:
        return OSError(
            f"{error.filename} cannot be read or written ({error.strerror}); mend that, or set "
            "HF_HOME to a folder elsewhere"
        )
    return OSError(f"{source} cannot be fetched: {first_line(error)[:200]}; {AGAIN}")
