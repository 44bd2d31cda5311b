"""Nothing in a folder is skipped in silence, and what systems leave behind is no picture."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pillow_heif
import pytest
from typer.testing import CliRunner

import workbench as wb
from tests.images.making import encoded, scene
from workbench import images
from workbench.cli.app import app

PNG = encoded(scene(), "PNG")
DOUBLE = bytes.fromhex("0005160700020000") + b"Mac OS X" + bytes(200)


def filled(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in images.find([folder])]


def test_find_lists_folders_by_extension_and_keeps_what_is_explicit(tmp_path) -> None:
    for name in ["b.PNG", "a.jpg", "notes.txt", "sub/c.webp", ".hidden.png", "sub/deep/d.gif"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    inside = [".hidden.png", "a.jpg", "b.PNG", "sub/c.webp", "sub/deep/d.gif"]
    assert images.find([tmp_path]) == [tmp_path / name for name in inside]
    explicit = [tmp_path / "notes.txt", tmp_path / "missing.png", tmp_path / "a.jpg"]
    below = [tmp_path / "sub/c.webp", tmp_path / "sub/deep/d.gif"]
    assert images.find([*explicit, tmp_path / "sub"]) == explicit + below


def test_an_empty_folder_is_an_error_alone_and_a_miss_in_company(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"^no picture in '.*empty'; a picture's name ends with"):
        images.find([tmp_path / "empty"])
    with pytest.raises(ValueError, match=r"^no picture in an empty list of paths; .*"):
        images.find([])
    (tmp_path / "a.png").write_bytes(PNG)
    entries = images.index([tmp_path / "empty", tmp_path / "a.png"])
    assert [entry.failure for entry in entries] == ["it is a folder that holds no picture", None]


def test_a_picture_is_found_by_its_first_bytes_whatever_its_name(tmp_path):
    kinds = {
        "b": "PNG",
        "c.jpg_large": "JPEG",
        "d.unknown": "GIF",
        "e.webp_": "WEBP",
        "f.x": "AVIF",
    }
    filled(tmp_path, {name: encoded(scene(), kind) for name, kind in kinds.items()})
    filled(tmp_path, {"g.mpo": PNG, "h.pnm": PNG, "i.ico": PNG, "j.HEIC": b"x", "k.txt": b"hello"})
    assert names(tmp_path) == [*kinds, "g.mpo", "h.pnm", "i.ico", "j.HEIC"]
    assert images.left_out([tmp_path]) == "1 file is no picture and was left out: 1 .txt"


def test_what_is_left_out_is_counted_by_reason(tmp_path):
    files = {f"{n}.txt": b"" for n in range(4)} | {f"{n}.csv": b"a,b" for n in range(2)}
    filled(tmp_path, {"a.png": PNG, "deep/README": b"x", "deep/raw.dng": b"II*\0"} | files)
    assert images.left_out([tmp_path]) == (
        "8 files are no pictures and were left out: 4 .txt, 2 .csv, 1 .dng, 1 without an ending"
    )
    assert images.left_out([tmp_path / "a.png", tmp_path / "missing"]) is None


def test_many_reasons_are_told_in_short_and_nothing_in_them_acts_on_a_terminal(tmp_path):
    filled(tmp_path, {f"a.{letter}": b"" for letter in "bcdefgh"} | {"x.\x1b[2J": b""})
    told = images.left_out([tmp_path])
    assert told.startswith("8 files are no pictures and were left out: 1 .")
    assert told.endswith("3 of other kinds")
    assert told.isprintable()


LEFT = {
    "._a.png": DOUBLE,
    ".DS_Store": b"x",
    "Thumbs.db": b"x",
    "desktop.ini": b"x",
    ".ipynb_checkpoints/a-checkpoint.png": PNG,
    "__MACOSX/set/._a.png": DOUBLE,
    "sub/@eaDir/a.png/SYNOFILE_THUMB.jpg": PNG,
    "$RECYCLE.BIN/old.png": PNG,
    ".Trash-1000/files/old.png": PNG,
}


@pytest.mark.parametrize("name", LEFT)
def test_a_leftover_of_a_system_is_ignored_and_counted(name, tmp_path):
    filled(tmp_path, {"a.png": PNG, name: LEFT[name]})
    assert names(tmp_path) == ["a.png"]
    assert images.left_out([tmp_path]).startswith("1 leftover of the system was ignored: 1 ")


def test_a_real_picture_under_a_hidden_name_is_one(tmp_path):
    filled(tmp_path, {"._really.png": PNG, ".hidden.png": PNG})
    assert names(tmp_path) == ["._really.png", ".hidden.png"]
    assert images.left_out([tmp_path]) is None


def test_what_is_named_is_always_looked_at(tmp_path):
    filled(tmp_path, {"._a.png": DOUBLE, ".ipynb_checkpoints/a.png": PNG, "notes.txt": b"x"})
    given = [tmp_path / "._a.png", tmp_path / "notes.txt"]
    assert images.find(given) == given
    assert images.find([tmp_path / ".ipynb_checkpoints"])[0].name == "a.png"


def test_links_to_folders_are_not_followed_but_counted_and_pipes_do_not_hang(tmp_path):
    filled(tmp_path / "other", {"b.png": PNG})
    folder = filled(tmp_path / "here", {"a.png": PNG})
    (folder / "link").symlink_to(tmp_path / "other", target_is_directory=True)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe")
    assert names(folder) == ["a.png"]
    assert images.left_out([folder]) == (
        "3 files are no pictures and were left out: 2 a link to a folder, 1 without an ending"
    )


def test_the_command_tells_it_at_the_end(tmp_path):
    filled(tmp_path, {"a.png": PNG, "b.txt": b"", "._a.png": DOUBLE})
    found = CliRunner().invoke(app, ["inspect", str(tmp_path), "--json"])
    assert found.exit_code == 0
    assert [Path(json.loads(line)["image"]).name for line in found.stdout.splitlines()] == ["a.png"]
    assert found.stderr.splitlines()[-1] == (
        "1 file is no picture and was left out: 1 .txt; 1 leftover of the system was ignored: 1 ._*"
    )


def test_python_logs_it_as_a_warning(tmp_path, caplog):
    filled(tmp_path, {"a.png": PNG, "b.txt": b""})
    with caplog.at_level(logging.WARNING, "workbench"):
        wb.inspect(tmp_path)
    assert caplog.messages == ["1 file is no picture and was left out: 1 .txt"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\xff\x0a" + bytes(90), "it is a JPEG XL picture, which is not read here"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(90), "it is a JPEG XL picture, which is not read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90), "it is a HEIC picture; to read it: "),
    ],
)
def test_a_kind_that_is_not_read_is_named(data, sentence, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(images.ImageError, match=sentence):
        images.decode(data)


def test_heic_is_read(tmp_path):
    pillow_heif.from_pillow(scene()).save(tmp_path / "a.heic", quality=95)
    got = images.open_image(tmp_path / "a.heic")
    assert got.size == scene().size
    assert wb.inspect(tmp_path)["kind"].tolist() == ["C2PA", "parameters", "watermark"]


def test_no_reader_is_registered_for_others(tmp_path):
    code = "from PIL import Image; from workbench import images; "
    code += "print(len(Image.OPEN)); images.EXTENSIONS; print(len(Image.OPEN))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert len(set(child.stdout.split())) == 1
