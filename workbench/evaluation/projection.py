"""Projection of an encoder's space to two dimensions, and its trustworthiness.

A map in two dimensions shows neighbourhoods and bends distances. `trustworthiness` tells how far
the neighbours it shows are real, and belongs beside every map.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import frames as tables
from workbench.keys import digest
from workbench.store.store import Store, versions

if TYPE_CHECKING:
    import pandas as pd


METHODS = ("umap", "pca")
COLUMNS = (
    "picture", "kind", "image_id", "generator", "inverter", "prompt", "index", "similarity",
    "predicted", "outcome", "margin", "path",
)  # fmt: skip
REVISION = 1
"""Raised when `project` answers something else."""
SAMPLE = 2000
"""Points beyond which `trustworthiness` looks at a sample."""


def points(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the pictures of a run, one row each: test images, then candidate images.

    A candidate image that several test images share stands with the one it is most similar to; a
    picture that is both is a test image. What failed has no picture and no row. Of several
    similarities and attributors the first counts.

    Args:
        frames: by name, as `benchmark.evaluate` answers them: images, prompts, candidates,
            similarities; attributions and outcomes where there are any.

    Returns:
        frame with ``picture`` (its digest), ``kind`` ("test" or "candidate"), ``image_id`` (of the
        test image it is or belongs to), ``generator`` (the model that made it, missing for a test
        image of unknown source), ``inverter`` and ``index`` (of a candidate image), ``prompt`` (the
        text it was made from, of a test image the inverted one), ``similarity`` (of a candidate
        image to its test image), ``predicted``, ``outcome`` ("right", "wrong" or "unknown") and
        ``margin`` (of a test image), ``path``.

    Raises:
        ValueError: a frame is absent, or lacks a column.
    """
    import pandas as pd

    absent = [name for name in ("images", "prompts", "candidates", "similarities")
              if name not in frames]  # fmt: skip
    if absent:
        raise ValueError(
            f"the pictures of a run are told by images, prompts, candidates and similarities; "
            f"{', '.join(absent)} missing, there are: {', '.join(frames) or 'none'}"
        )
    tests = _tests(frames)
    drawn = related(frames)
    prompts = tables.check(frames["prompts"], "prompts")[["image_id", "prompt_id", "inverter"]]
    texts = frames["prompts"].dropna(subset="prompt_id").drop_duplicates("prompt_id")
    drawn = drawn[drawn["image_id"].isin(tests["image_id"])]
    drawn = drawn.sort_values("similarity", ascending=False, kind="stable", na_position="last")
    drawn = drawn.drop_duplicates("picture").sort_index()
    drawn = drawn[~drawn["picture"].isin(tests["picture"])]
    inverted = prompts.dropna().drop_duplicates(["image_id", "prompt_id"])
    drawn = drawn.merge(inverted, "left", ["image_id", "prompt_id"])
    drawn["prompt"] = drawn["prompt_id"].map(texts.set_index("prompt_id")["prompt"])
    table = pd.concat([tests, drawn.assign(kind="candidate")], ignore_index=True)
    return table.reindex(columns=list(COLUMNS)).astype(
        {"index": "Int64", "similarity": "float64", "margin": "float64"}
    )


def related(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return every pair of a test image and one of its candidate images, with its similarity.

    Args:
        frames: as of `points`.

    Returns:
        frame with image_id, prompt_id, generator, index, ``picture`` (the candidate image) and
        ``similarity`` (higher is closer; of the first similarity in the table).
    """
    similar = tables.check(frames["similarities"], "similarities")
    similar = similar[similar["similarity"] == similar["similarity"].iloc[:1].squeeze()]
    similar = similar.drop(columns="similarity").rename(columns={"value": "similarity"})
    candidates = tables.check(frames["candidates"], "candidates").dropna(subset="candidate_id")
    candidates = candidates.rename(columns={"candidate_id": "picture"})
    key = ["prompt_id", "generator", "index"]
    columns = ["image_id", *key, "picture", "similarity"]
    return similar.merge(candidates[[*key, "picture"]], on=key)[columns].reset_index(drop=True)


def _tests(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the test images that could be opened, with truth and prediction of each."""
    images = tables.check(frames["images"], "images")
    tests = images[images["failure"].isna()][["image_id", "source", "path"]].copy()
    tests = tests.rename(columns={"source": "generator"}).assign(kind="test")
    tests["picture"] = tests["image_id"]
    prompts = frames["prompts"].drop_duplicates("image_id").set_index("image_id")
    tests["prompt"] = tests["image_id"].map(prompts["prompt"])
    outcomes = _first(frames, "outcomes")
    if outcomes is not None:
        tests["generator"] = tests["generator"].fillna(tests["image_id"].map(outcomes["truth"]))
    said = _first(frames, "attributions")
    said = outcomes if said is None else said
    predicted = None if said is None else tests["image_id"].map(said["predicted"])
    tests["predicted"] = predicted
    margins = None if said is None else said.get("margin")
    tests["margin"] = float("nan") if margins is None else tests["image_id"].map(margins)
    known = tests["generator"].notna() & tests["predicted"].notna()
    right = known & (tests["generator"] == tests["predicted"])
    tests["outcome"] = np.select([~known, right], ["unknown", "right"], "wrong")
    return tests


def _first(frames: Mapping[str, pd.DataFrame], name: str) -> pd.DataFrame | None:
    """Return a row an image of the first attributor in a table, by image_id; None without it."""
    table = frames.get(name)
    if table is None or table.empty:
        return None
    own = table[table["attributor"] == table["attributor"].iloc[0]]
    return own.drop_duplicates("image_id").set_index("image_id")


def project(
    features: np.ndarray,
    method: str = "umap",
    *,
    seed: int = 0,
    neighbours: int = 15,
    store: Store | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Return feature vectors projected to two dimensions.

    ``umap`` (McInnes et al. 2018, arXiv:1802.03426) keeps neighbourhoods, by Euclidean distance
    (of unit rows the neighbours are those of the cosine), ``pca`` the two directions of the
    largest variance. Up to three points are always laid out by ``pca``, which needs no neighbours.

    Args:
        features: (N, D) finite vectors.
        method: ``umap`` or ``pca``.
        seed: of ``umap``; one seed, one map.
        neighbours: of ``umap``, at least 2; at most N − 1 are taken.
        store: where the map is kept, so that a second call costs nothing; nowhere when left out.
        progress: called with the epochs of ``umap`` done and all of them.

    Returns:
        (N, 2) float32.

    Raises:
        ValueError: an unknown method, too few neighbours, or features of another shape.
    """
    matrix = _matrix(features)
    key = _key(matrix, method, seed, neighbours)
    known = {} if store is None else store.features([key])
    if key not in known:
        started = time.perf_counter()
        flat = method == "pca" or len(matrix) < 4
        places = _pca(matrix) if flat else _umap(matrix, int(seed), neighbours, progress)
        known = {key: places.ravel()}
        if store is not None:
            meta = {"role": "projection", "repr": method, "versions": versions()}
            known = store.put_features(known, time.perf_counter() - started, meta)
    return known[key].reshape(-1, 2)


def kept(
    features: np.ndarray,
    method: str = "umap",
    *,
    seed: int = 0,
    neighbours: int = 15,
    store: Store,
) -> bool:
    """Return whether a store has a map, so that `project` answers at once.

    Args:
        features: (N, D) finite vectors.
        method: as of `project`, as all that follows.
        seed: of ``umap``.
        neighbours: of ``umap``.
        store: where it would be.
    """
    key = _key(_matrix(features), method, seed, neighbours)
    return key in store.features([key])


def _key(matrix: np.ndarray, method: str, seed: int, neighbours: int) -> str:
    """Return what a map of these features is called in a store; ValueError for no such map."""
    if method not in METHODS:
        raise ValueError(f"no projection named {method!r}; there are: {', '.join(METHODS)}")
    if neighbours < 2:
        raise ValueError(f"a map needs at least 2 neighbours a point; seen {neighbours}")
    return digest(
        {
            "role": "projection",
            "method": method,
            "revision": REVISION,
            "seed": int(seed) if method == "umap" else None,
            "neighbours": int(neighbours) if method == "umap" else None,
            "shape": list(matrix.shape),
            "features": hashlib.sha256(matrix.tobytes()).hexdigest(),
        }
    )


def trustworthiness(features: np.ndarray, places: np.ndarray, neighbours: int = 15) -> float:
    """Return the trustworthiness of a map, by its neighbours (Venna and Kaski 2001).

    1 − a penalty for each point among the ``neighbours`` nearest on the map that is not among
    those in the space, by its rank there. Of more than 2,000 points a sample, always the same, is
    measured, each point against the others of the sample. Fewer neighbours are taken where there
    are too few points, and up to two points are always in their place.

    Args:
        features: (N, D) vectors.
        places: (N, 2), where `project` put them.
        neighbours: to look at, at least 1.

    Returns:
        a float in [0, 1], higher is better; about 0.5 for a map by chance.

    Raises:
        ValueError: the shapes disagree, or ``neighbours`` is below 1.
    """
    from sklearn import manifold

    matrix, flat = _matrix(features), np.asarray(places, dtype=np.float64)
    if flat.shape != (len(matrix), 2):
        raise ValueError(
            f"{len(matrix)} vectors need places of shape ({len(matrix)}, 2), not {flat.shape}"
        )
    if neighbours < 1:
        raise ValueError(f"at least 1 neighbour is looked at; seen {neighbours}")
    if len(matrix) > SAMPLE:
        chosen = np.sort(np.random.default_rng(0).choice(len(matrix), SAMPLE, replace=False))
        matrix, flat = matrix[chosen], flat[chosen]
    most = (len(matrix) - 1) // 2
    if not most:
        return 1.0
    trust = manifold.trustworthiness(matrix, flat, n_neighbors=min(neighbours, most))
    return float(np.clip(trust, 0, 1))


def _matrix(features: Any) -> np.ndarray:
    matrix = np.ascontiguousarray(features, dtype=np.float32)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise ValueError(
            f"features are finite numbers of shape (N, D), at least one; seen {matrix.shape}"
            f"{'' if np.isfinite(matrix).all() else ', not all of them finite'}"
        )
    return matrix


def _pca(matrix: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import PCA

    places = np.zeros((len(matrix), 2), np.float32)
    count = min(2, *matrix.shape)
    if len(matrix) == 1:
        return places
    with np.errstate(invalid="ignore"):  # equal rows have no variance to share out
        places[:, :count] = PCA(count, svd_solver="covariance_eigh").fit_transform(matrix)
    return places


class _Epochs:
    """What tqdm writes to: hands on the numbers of its lines ``done/total``."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress

    def write(self, text: str) -> None:
        done, bar, total = text.strip().partition("/")
        if bar:
            self._progress(int(done), int(total))

    def flush(self) -> None:
        pass


def _umap(
    matrix: np.ndarray,
    seed: int,
    neighbours: int,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    import umap

    few = len(matrix) < 12  # fewer than the spectral start needs
    bar = None
    if progress is not None:
        bar = {"disable": False, "file": _Epochs(progress), "bar_format": "{n_fmt}/{total_fmt}"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_jobs value", UserWarning)
        embedding = umap.UMAP(
            n_neighbors=min(neighbours, len(matrix) - 1),
            init="random" if few else "spectral",
            random_state=seed,
            n_jobs=1,
            tqdm_kwds=bar,
        ).fit_transform(matrix)
    return np.asarray(embedding, dtype=np.float32)
