"""A store may come from anybody: nothing in it is believed, nothing outside is touched."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from workbench.cli import app
from workbench.store import StoreError
from workbench.store.rows import CARE
from workbench.store.store import Generation, Store

META = {"role": "generator", "repr": "Noise()"}
ENCODER = {"role": "encoder", "repr": "Mean()"}


def key(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def noise(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def unit(seed: int, size: int = 8) -> np.ndarray:
    row = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    return row / np.linalg.norm(row)


@pytest.fixture
def filled(tmp_path):
    """Fill a store as a run does: prompts, generations, and vectors of an encoder."""
    folder = tmp_path / "store"
    with Store(folder) as store:
        store.put_prompts(
            {key("p", i): {"text": f"prompt {i}", "score": 0.5} for i in range(3)}, META
        )
        store.put_generations({key("g", i): Generation(image=noise(i)) for i in range(3)}, META)
        store.put_features({key("f", i): unit(i) for i in range(5)}, 0.1, ENCODER)
        assert store.verify() == []
    return folder


def change(folder, sql, *values):
    with sqlite3.connect(folder / "index.sqlite") as index:
        index.text_factory = bytes
        index.execute(sql, values)
    index.close()


def test_an_honest_store_answers_as_before(filled):
    with Store(filled) as store:
        assert len(store.prompts(key("p", i) for i in range(3))) == 3
        assert len(store.generations(key("g", i) for i in range(3))) == 3
        found = store.features([key("f", i) for i in range(5)], unit=True)
        assert all(np.array_equal(found[key("f", i)], unit(i)) for i in range(5))
        assert "rows" not in store.gc()


PATHS = ["..{}", "/../..{}", "../" * 20 + "{}", "{}", "\x1b]0;x\x07", "A" * 64, "0" * 63, "0" * 65]


@pytest.mark.parametrize("paid", [0, 1])
@pytest.mark.parametrize("digest", PATHS, ids=range(len(PATHS)))
def test_no_digest_of_the_index_becomes_a_path_unchecked(filled, tmp_path, digest, paid):
    victim = tmp_path / "victim.png"
    victim.write_bytes(b"somebody's")
    digest = digest.format(victim.with_suffix(""))
    sql = "INSERT INTO generations VALUES (?, ?, NULL, 0, ?, 1)"
    change(filled, sql, key("bad"), digest, paid)
    with Store(filled) as store:
        (problem,) = store.verify()
        assert problem.startswith(
            f"the row {key('bad')} of generations in the store's index holds "
        )
        assert problem.endswith(f", which is no digest; {CARE}")
        assert problem.isprintable()
        with pytest.raises(StoreError, match="which is no digest; see `workbench store verify`"):
            store.generations([key("bad")])
        assert store.gc(min_age=0)["rows"] == 1
        assert store.verify() == []
        assert len(store.generations(key("g", i) for i in range(3))) == 3
    assert victim.exists()


VECTORS = {
    "a vector of 5 bytes, which is no whole row of float32": b"12345",
    "a vector of 0 bytes, which is no whole row of float32": b"",
    "a vector with values that are not finite": np.array([np.nan] * 8, "<f4").tobytes(),
    "a vector with values that are not finite ": np.array([np.inf] + [0] * 7, "<f4").tobytes(),
    "a vector of length 1.3 where an encoder answers length 1": (unit(0) * 1.3).tobytes(),
    "a vector of length 9.8 where an encoder answers length 1": (unit(0) * -9.8).tobytes(),
    "a vector that is no bytes but 'abc'": "abc",
    "a vector that is no bytes but 5": 5,
}


@pytest.mark.parametrize("fault", VECTORS)
def test_a_vector_has_its_length_and_finite_numbers(filled, fault):
    change(filled, "UPDATE features SET vector = ? WHERE key = ?", VECTORS[fault], key("f", 1))
    with Store(filled) as store:
        sentence = f"the row {key('f', 1)} of features in the store's index holds {fault.strip()}"
        assert store.verify() == [f"{sentence}; {CARE}"]
        with pytest.raises(StoreError, match=f"^{sentence}"):
            store.features([key("f", 1)], unit=True)
        assert store.gc()["rows"] == 1
        assert set(store.features([key("f", i) for i in range(5)])) == {
            key("f", i) for i in (0, 2, 3, 4)
        }


def test_a_vector_shorter_than_the_others_of_its_encoder_is_found(filled):
    short = unit(1, 7).tobytes()
    change(filled, "UPDATE features SET vector = ? WHERE key = ?", short, key("f", 1))
    with Store(filled) as store:
        (problem,) = store.verify()
        assert "holds a vector of 7 numbers among those of 8; " in problem


CELLS = {
    "UPDATE prompts SET text = x'ff00ff'": "where a text belongs, b'",
    "UPDATE prompts SET text = CAST(x'ff1b' AS TEXT)": "a text that is not UTF-8",
    "UPDATE prompts SET text = NULL": "a prompt with both a text and a failure, or neither",
    "UPDATE prompts SET score = 9e999": "the score inf",
    "UPDATE prompts SET score = 'high'": "the score 'high'",
    "UPDATE prompts SET seconds = 'long'": "the time 'long'",
    "UPDATE prompts SET truncated = 7": "the mark 7",
    "UPDATE prompts SET text = printf('%.*c', 1000001, 'x')": "a text of 1,000,001 characters",
    "UPDATE generations SET failure = 'x'": "a generation with both a picture and a failure",
    "UPDATE generations SET paid = 'yes'": "the mark 'yes'",
    "UPDATE generations SET seconds = -9e999": "the time -inf",
    "UPDATE prompts SET meta = 77": "a meta that is no JSON object, or none",
}


@pytest.mark.parametrize("sql", CELLS)
def test_a_cell_is_of_its_kind(filled, sql):
    table, letter = ("prompts", "p") if "prompts" in sql else ("generations", "g")
    change(filled, f"{sql} WHERE key = ?", key(letter, 1))
    with Store(filled) as store:
        (problem,) = store.verify()
        assert CELLS[sql] in problem
        assert problem.isprintable()
        if "meta" not in sql:
            with pytest.raises(StoreError, match=f"^the row {key(letter, 1)} of {table} in the"):
                getattr(store, table)([key(letter, 1)])
        assert len(getattr(store, table)([key(letter, 0), key(letter, 2)])) == 2
        assert store.gc()["rows"] == 1
        assert store.verify() == []


@pytest.mark.parametrize("bad", ["x", "\x1b[2J", b"\x00\xff", b"\xff\xfe text", 7, None])
def test_a_row_under_a_key_that_is_none_is_found_and_goes(filled, bad):
    if isinstance(bad, bytes) and b"text" in bad:
        sql = "INSERT INTO features VALUES (CAST(? AS TEXT), x'0000803f', 0, 1)"
    else:
        sql = "INSERT INTO features VALUES (?, x'0000803f', 0, 1)"
    change(filled, sql, bad)
    with Store(filled) as store:
        (problem,) = store.verify()
        assert "holds a key that is no digest; " in problem
        assert problem.isprintable()
        assert store.gc()["rows"] == 1
        assert store.verify() == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON prompts BEGIN DELETE FROM generations; END", "trigger"),
        ("CREATE VIEW v AS SELECT 1", "view"),
        ("CREATE TABLE more(x)", "table"),
    ],
)
def test_what_would_run_inside_the_index_is_refused(filled, statement, named):
    change(filled, statement)
    with pytest.raises(StoreError, match=f"holds the {named} .*, which no store has: nothing of"):
        Store(filled)


def test_a_database_of_another_program_is_left_as_it_is(tmp_path):
    with sqlite3.connect(tmp_path / "index.sqlite") as other:
        other.execute("CREATE TABLE photos(x)")
    other.close()
    before = (tmp_path / "index.sqlite").read_bytes()
    with pytest.raises(StoreError, match=r"holds the table 'photos', which no store has"):
        Store(tmp_path)
    assert (tmp_path / "index.sqlite").read_bytes() == before


@pytest.mark.parametrize("part", ["pictures", "tmp", "index.sqlite"])
def test_a_part_that_leads_out_of_the_store_is_refused(tmp_path, part):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "old.txt").write_text("somebody's")
    os.utime(outside / "old.txt", (0, 0))
    (tmp_path / "store").mkdir()
    target = outside / "new.sqlite" if part == "index.sqlite" else outside
    (tmp_path / "store" / part).symlink_to(target)
    with pytest.raises(StoreError, match=f"{part} of the store leads out of it, to .*: nothing of"):
        Store(tmp_path / "store").gc(min_age=0)
    assert [path.name for path in outside.iterdir()] == ["old.txt"]


def test_a_link_among_the_pictures_harms_nothing_outside(filled, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / f"{'0' * 62}.png").write_bytes(b"somebody's")
    os.utime(outside / f"{'0' * 62}.png", (0, 0))
    (filled / "pictures" / "00").symlink_to(outside)
    with Store(filled) as store, pytest.raises(StoreError, match="leads out of it"):
        store.gc(min_age=0)
    assert (outside / f"{'0' * 62}.png").exists()


@pytest.mark.parametrize("kind", ["a pipe", "a circle of links", "a folder", "a device"])
def test_a_picture_that_is_no_file_is_damaged_and_hangs_nothing(filled, kind):
    with Store(filled) as store:
        (digest,) = {row.picture for row in store.generations([key("g", 0)]).values()}
    file = filled / "pictures" / digest[:2] / f"{digest[2:]}.png"
    file.unlink()
    if kind == "a pipe":
        os.mkfifo(file)
    elif kind == "a folder":
        file.mkdir()
    else:
        file.symlink_to(file.name if kind == "a circle of links" else "/dev/zero")
    with Store(filled) as store:
        (problem,) = store.verify()
        assert problem.startswith(f"the stored picture {digest} is damaged: it is ")
        store.gc()
        assert set(store.generations(key("g", i) for i in range(3))) == {key("g", 1), key("g", 2)}


def test_verify_and_gc_tell_of_it_in_plain_words(filled, monkeypatch):
    monkeypatch.setenv("WORKBENCH_STORE", str(filled))
    change(filled, "INSERT INTO generations VALUES (?, ?, NULL, 0, 0, 1)", key(0), "\x1b[31m\x07")
    told = CliRunner().invoke(app.app, ["store", "verify"])
    assert told.exit_code == 1
    assert r"\x1b[31m\x07" in told.stdout
    assert not set("\x1b\x07") & set(told.output)
    told = CliRunner().invoke(app.app, ["store", "gc"])
    assert told.exit_code == 0
    assert "rows             1\n" in told.stdout
    assert CliRunner().invoke(app.app, ["store", "verify"]).stdout == "good\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there, permissions are lists")
def test_a_new_store_is_readable_by_its_owner_alone(tmp_path):
    (tmp_path / "there").mkdir(mode=0o755)
    for folder in (tmp_path / "new", tmp_path / "there"):
        with Store(folder) as store:
            store.put_picture(noise(0))
            files = [store.path / name for name in ("pictures", "tmp", "index.sqlite")]
            files += list(store.path.glob("index.sqlite-*"))
            assert len(files) > 3
            assert not any(file.stat().st_mode & 0o077 for file in files)
    assert not (tmp_path / "new").stat().st_mode & 0o077


def test_the_home_of_nobody_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"^the path '~nosuchuser/x' begins with the home of a"):
        Store("~nosuchuser/x")
