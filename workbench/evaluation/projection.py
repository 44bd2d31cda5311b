"""An encoder's space, flattened: which pictures lie in it, where, and how far a map may be trusted.

A map in two dimensions shows neighbourhoods and bends distances. `trustworthiness` tells how many
of the neighbours it shows are real, and belongs beside every map.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Mapping
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
    "predicted", "outcome", "path",
)  # fmt: skip
REVISION = 1
"""Raised when `project` answers something else."""
SAMPLE = 2000
"""Points beyond which `trustworthiness` looks at a sample."""


def points(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """List the pictures of a run, one row each: its test images, then their candidate images.

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
        image to its test image), ``predicted`` and ``outcome`` ("right", "wrong" or "unknown"; of a
        test image), ``path``.

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
    made = related(frames)
    prompts = tables.check(frames["prompts"], "prompts")[["image_id", "prompt_id", "inverter"]]
    texts = frames["prompts"].dropna(subset="prompt_id").drop_duplicates("prompt_id")
    made = made[made["image_id"].isin(tests["image_id"])]
    made = made.sort_values("similarity", ascending=False, kind="stable", na_position="last")
    made = made.drop_duplicates("picture").sort_index()
    made = made[~made["picture"].isin(tests["picture"])]
    asked = prompts.dropna().drop_duplicates(["image_id", "prompt_id"])
    made = made.merge(asked, "left", ["image_id", "prompt_id"])
    made["prompt"] = made["prompt_id"].map(texts.set_index("prompt_id")["prompt"])
    found = pd.concat([tests, made.assign(kind="candidate")], ignore_index=True)
    return found.reindex(columns=list(COLUMNS)).astype({"index": "Int64", "similarity": "float64"})


def related(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """List every pair of a test image and one of its candidate images, with its similarity.

    Args:
        frames: as of `points`.

    Returns:
        frame with image_id, prompt_id, generator, index, ``picture`` (the candidate image) and
        ``similarity`` (higher is closer; of the first similarity in the table).
    """
    similar = tables.check(frames["similarities"], "similarities")
    similar = similar[similar["similarity"] == similar["similarity"].iloc[:1].squeeze()]
    similar = similar.drop(columns="similarity").rename(columns={"value": "similarity"})
    made = tables.check(frames["candidates"], "candidates").dropna(subset="candidate_id")
    made = made.rename(columns={"candidate_id": "picture"})
    key = ["prompt_id", "generator", "index"]
    columns = ["image_id", *key, "picture", "similarity"]
    return similar.merge(made[[*key, "picture"]], on=key)[columns].reset_index(drop=True)


def _tests(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """List the test images that could be opened, with what is known and was said of each."""
    images = tables.check(frames["images"], "images")
    found = images[images["failure"].isna()][["image_id", "source", "path"]].copy()
    found = found.rename(columns={"source": "generator"}).assign(kind="test")
    found["picture"] = found["image_id"]
    prompts = frames["prompts"].drop_duplicates("image_id").set_index("image_id")
    found["prompt"] = found["image_id"].map(prompts["prompt"])
    told = _first(frames, "outcomes")
    if told is not None:
        found["generator"] = found["generator"].fillna(found["image_id"].map(told["truth"]))
    said = _first(frames, "attributions")
    said = told if said is None else said
    predicted = None if said is None else found["image_id"].map(said["predicted"])
    found["predicted"] = predicted
    known = found["generator"].notna() & found["predicted"].notna()
    right = known & (found["generator"] == found["predicted"])
    found["outcome"] = np.select([~known, right], ["unknown", "right"], "wrong")
    return found


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
) -> np.ndarray:
    """Flatten feature vectors to two dimensions.

    ``umap`` (McInnes et al. 2018, arXiv:1802.03426) keeps neighbourhoods, by Euclidean distance
    (of unit rows the neighbours are those of the cosine), ``pca`` the two directions of the
    largest variance. Up to three points are always laid out by ``pca``, which needs no neighbours.

    Args:
        features: (N, D) finite vectors.
        method: ``umap`` or ``pca``.
        seed: of ``umap``; one seed, one map.
        neighbours: of ``umap``, at least 2; at most N − 1 are taken.
        store: where the map is kept, so that a second call costs nothing; nowhere when left out.

    Returns:
        (N, 2) float32.

    Raises:
        ValueError: an unknown method, too few neighbours, or features of another shape.
    """
    if method not in METHODS:
        raise ValueError(f"no projection named {method!r}; there are: {', '.join(METHODS)}")
    if neighbours < 2:
        raise ValueError(f"a map needs at least 2 neighbours a point; seen {neighbours}")
    matrix = _matrix(features)
    key = digest(
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
    known = {} if store is None else store.features([key])
    if key not in known:
        started = time.perf_counter()
        flat = method == "pca" or len(matrix) < 4
        places = _pca(matrix) if flat else _umap(matrix, int(seed), neighbours)
        known = {key: places.ravel()}
        if store is not None:
            meta = {"role": "projection", "repr": method, "versions": versions()}
            known = store.put_features(known, time.perf_counter() - started, meta)
    return known[key].reshape(-1, 2)


def trustworthiness(features: np.ndarray, places: np.ndarray, neighbours: int = 15) -> float:
    """Tell how many neighbours on the map are neighbours in the space (Venna and Kaski 2001).

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
    found = manifold.trustworthiness(matrix, flat, n_neighbors=min(neighbours, most))
    return float(np.clip(found, 0, 1))


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


def _umap(matrix: np.ndarray, seed: int, neighbours: int) -> np.ndarray:
    import umap

    few = len(matrix) < 12  # fewer than the spectral start needs
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_jobs value", UserWarning)
        made = umap.UMAP(
            n_neighbors=min(neighbours, len(matrix) - 1),
            init="random" if few else "spectral",
            random_state=seed,
            n_jobs=1,
        ).fit_transform(matrix)
    return np.asarray(made, dtype=np.float32)
