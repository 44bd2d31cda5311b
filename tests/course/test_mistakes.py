"""Typical mistakes of students meet the sentence that names them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.course.test_course import code, mark, source

MISTAKES = [
    ("unit1", "seeds-check", "def seed_of(r, p, i): return i", "the prompt must enter"),
    (
        "unit1",
        "seeds-check",
        "def seed_of(r, p, i): return int(wb.keys.digest(['candidate', r, p, i]), 16)",
        "the first 12 hexadecimal digits",
    ),
    (
        "unit1",
        "cosine-unit",
        "def unit(rows): return rows / np.linalg.norm(rows, axis=1, keepdims=True)",
        "you divide by its length 0",
    ),
    ("unit1", "cosine-toy", "def cosines(a, b): return a @ b.T", "scaled to length 1?"),
    ("unit1", "aggregate-toy", "def aggregate(t, how): return t.mean(0)", "go along the row"),
    (
        "unit1",
        "aggregate-holes",
        "def aggregate(t, how): return t.mean(1) if how == 'mean' else t.max(1)",
        "one failed image wiped out a model",
    ),
    (
        "unit1",
        "aggregate-holes",
        "def aggregate(t, how): return np.nan_to_num(t).mean(1)",
        "it does not count as 0",
    ),
    ("unit1", "ranks-toy", "def ranks(s, p): return np.argsort(-s) + 1", "the rank of each"),
    ("unit1", "ranks-toy", "def ranks(s, p): return np.argsort(np.argsort(s)) + 1", "upside down"),
    (
        "unit1",
        "ranks-ties",
        "def ranks(s, p): return [1 + int((s > x).sum()) for x in s]",
        "each rank is given once",
    ),
    ("unit1", "margin-toy", "def margin(s): return max(s) - min(s)", "wanted is the second best"),
    (
        "unit1",
        "margin-toy",
        "def margin(s): return np.sort(s)[-1] - np.sort(s)[-2]",
        "a missing score takes no part",
    ),
    (
        "unit1",
        "accept-toy",
        "def accept(m, t): return m > 0 and (t is None or m > t)",
        "≥, not >",
    ),
    ("unit1", "accept-toy", "def accept(m, t): return m >= (t or 0)", "a tie abstains"),
    (
        "unit2",
        "pool-toy",
        "def pool(t, how):\n"
        "    rows = t[:, 0] if how == 'cls' else t.mean(1)\n"
        "    return rows / np.linalg.norm(rows, axis=1, keepdims=True)",
        "leave CLS out",
    ),
    (
        "unit2",
        "gaps-toy",
        "def gaps(s, own): return s[range(len(s)), own] - s.min(1)",
        "you took the worst",
    ),
    ("unit2", "accuracy-toy", "def accuracy(g): return np.mean(g[~np.isnan(g)] > 0)", "a miss"),
    (
        "unit2",
        "interval-toy",
        "def interval(c, p, draws=2000, seed=0):\n"
        "    rng = np.random.default_rng(seed)\n"
        "    drawn = rng.choice(np.asarray(c, float), (draws, len(c))).mean(1)\n"
        "    return tuple(np.quantile(drawn, [.025, .975]))",
        "Do you draw pictures?",
    ),
    (
        "unit2",
        "choose-toy",
        "def choose(s, e): return e.idxmax(), s[e.idxmax()], e.max()",
        "you peeked",
    ),
    (
        "unit2",
        "confusion-toy",
        "def confusion(t, p, names):\n"
        "    return np.array([[sum(x == a and y == b for x, y in zip(p, t)) "
        "for b in names] for a in names])",
        "transposed",
    ),
    (
        "unit3",
        "psnr-toy",
        "def psnr(x, y): return -10 * np.log10(max(np.mean((x - y) ** 2) / 255**2, 1e-10))",
        "pixels in [0, 1]?",
    ),
    (
        "unit3",
        "changes-toy",
        "def changes(b, a, h):\n"
        "    t = b.assign(heir=b['image_id'].map(h)).merge(\n"
        "        a.rename(columns={'image_id': 'heir', 'value': 'later'}),\n"
        "        on=['heir', 'generator', 'index'])\n"
        "    return t.assign(change=t['later'] - t['value'])",
        "a row for each of the 3 rows",
    ),
    (
        "unit3",
        "framed-toy",
        "def framed(t, b, a, p):\n    k = [s for m, s in zip(t, a) if m != p]\n"
        "    return k.count(p), len(k)",
        "laundering did not do that",
    ),
    ("unit3", "upper-toy", "def upper(e, n, c=.95): return e / max(n, 1)", "that is 4.95 %"),
    (
        "unit3",
        "threshold-toy",
        "def threshold(m, c, error=.05, confidence=.95):\n"
        "    m, c = np.asarray(m), np.asarray(c)\n"
        "    return next((t for t in np.unique(m) if (~c[m >= t]).mean() <= error), np.inf)",
        "58 right ones do not bound it",
    ),
    (
        "unit3",
        "quantile-toy",
        "def quantile(d, c): return float(np.quantile(list(d), c))",
        "so n + 1 enters",
    ),
    (
        "unit3",
        "members-toy",
        "def members(s, q): return s >= np.max(s) - q",
        "a model without a score is not in",
    ),
    (
        "unit3",
        "known-toy",
        "def p_known(s, own): return max(np.mean(o <= x) for x, o in zip(s, own))",
        "Where is the + 1?",
    ),
    (
        "unit4",
        "shape-toy",
        "def shape_scores(s, c): return (s[c] == s[:2, None, None]).mean(2)",
        "−1 is no candidate",
    ),
    (
        "unit4",
        "shape-toy",
        "def shape_scores(s, c):\n"
        "    hit = (s[c] == s[:2, None, None]) & (c >= 0)\n"
        "    return hit.sum(2) / np.maximum((c >= 0).sum(2), 1)",
        "a model without a candidate has no score",
    ),
    (
        "unit4",
        "histogram-toy",
        "def histogram(x, n):\n"
        "    c = (x.reshape(-1, 3) * np.uint8(n) // 255).astype(int) @ [n**2, n, 1]\n"
        "    return np.bincount(np.minimum(c, n**3 - 1), minlength=n**3) / len(c)",
        "cell 1 · 4 + 0 · 2 + 0 = 4",
    ),
    (
        "unit4",
        "lead-toy",
        "def lead(a, b, p):\n"
        "    d = a.astype(float) - b\n"
        "    return d.mean(), int((d > 0).sum()), int((d < 0).sum())",
        "a prompt is one witness",
    ),
    (
        "unit4",
        "left-out-toy",
        "def left_out(r, p): return r[np.argmax(r.mean(1))]",
        "without it none would choose it",
    ),
    (
        "unit4",
        "family-toy",
        "def levels(t, s, parents):\n"
        "    up = lambda names: np.array([parents.get(x, x) for x in names])\n"
        "    same = np.array(t) == np.array(s)\n"
        "    near = up(t) == up(s)\n"
        "    return same.mean(), near.mean(), same[up(s) == 'mother'].mean()",
        "the stranger is no kin",
    ),
    (
        "unit4",
        "sentence-toy",
        "def sentence(m, f, c): return 'model' if m > .25 else 'family' if f > c else 'none'",
        "the model's lower end is below the control",
    ),
]


@pytest.mark.parametrize(
    ("unit", "check", "wrong", "sentence"),
    MISTAKES,
    ids=[f"{m[0]}-{m[1]}-{m[3]}" for m in MISTAKES],
)
def test_a_typical_mistake_is_told_in_a_sentence(unit, check, wrong, sentence):
    known = {"np": np, "pd": pd, "wb": wb, "SEED": 0}
    cells = {cell.id: cell.source for cell in source(unit).cells}
    answers = [cell.source for cell in code(source(unit)) if mark(cell, "solution")]
    for text in answers:
        exec(text, known)
    exec(cells[check], known)  # the solution passes
    with np.errstate(all="ignore"):
        exec(wrong, known)
        with pytest.raises(AssertionError, match=re.escape(sentence)):
            exec(cells[check], known)
