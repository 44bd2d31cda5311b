"""Bad input gets one clear sentence, never a traceback, and stops nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from workbench.cli import app
from workbench.text import shown

NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)


def png_of(width: int, height: int) -> bytes:
    """Write a PNG that claims a size and holds no pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def whole(folder, name: str) -> bytes:
    path = folder / f"whole-{name}"
    Image.fromarray(NOISE).save(path)
    data = path.read_bytes()
    path.unlink()
    return data


def damaged(folder) -> bytes:
    data = bytearray(whole(folder, "x.png"))
    data[100:140] = bytes(40)
    return bytes(data)


def tiff(path, array) -> None:
    Image.fromarray(array).save(path)


UNKNOWN = "it is not a picture of a known kind"
DAMAGED = "the picture is damaged or cut short"
BAD = {
    "missing.png": (lambda p: None, "there is no such file"),
    "empty.png": (lambda p: p.write_bytes(b""), "the file is empty"),
    "text.png": (lambda p: p.write_text("hello"), UNKNOWN),
    "page.jpg": (lambda p: p.write_text("<html><img src=x></html>"), UNKNOWN),
    "drawing.svg": (lambda p: p.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>"), UNKNOWN),
    "paper.pdf": (lambda p: p.write_bytes(b"%PDF-1.7\n%%EOF"), UNKNOWN),
    "archive.webp": (lambda p: p.write_bytes(b"PK\x03\x04" + bytes(99)), UNKNOWN),
    "zeros.bmp": (lambda p: p.write_bytes(bytes(4096)), UNKNOWN),
    "short.png": (lambda p: p.write_bytes(whole(p.parent, "x.png")[:900]), DAMAGED),
    "short.jpg": (lambda p: p.write_bytes(whole(p.parent, "x.jpg")[:400]), DAMAGED),
    "damaged.png": (lambda p: p.write_bytes(damaged(p.parent)), DAMAGED),
    "bomb.png": (lambda p: p.write_bytes(png_of(60_000, 60_000)), "pixels"),
    "nothing.png": (lambda p: p.write_bytes(png_of(8, 8)), DAMAGED),
    "float.tiff": (lambda p: tiff(p, NOISE[..., 0].astype(np.float32)), "floating-point"),
    "deep.tiff": (lambda p: tiff(p, NOISE[..., 0].astype(np.int32) << 20), "more than 16 bits"),
    "folder.png": (lambda p: p.mkdir(), "it is a folder that holds no picture"),
    "pipe.png": (os.mkfifo, "it is not a regular file"),
    "dangling.png": (lambda p: p.symlink_to("nowhere"), "it is a link to a file that does not"),
    "loop.png": (lambda p: p.symlink_to("loop.png"), "could not be read|link"),
    "long" * 80 + ".png": (lambda p: None, "could not be read|no such file"),
}
ODD = {
    "dot.png": lambda p: Image.new("RGB", (1, 1)).save(p),
    "line.png": lambda p: Image.new("RGB", (300, 1), "red").save(p),
    "deep grey.png": lambda p: Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257).save(p),
    "print.jpg": lambda p: Image.fromarray(NOISE).convert("CMYK").save(p),
    "palette.gif": lambda p: Image.fromarray(NOISE).convert("P").save(p, save_all=True),
    "clear.png": lambda p: Image.fromarray(NOISE).convert("RGBA").save(p),
    "misnamed.jpg": lambda p: Image.fromarray(NOISE).save(p, "PNG"),
    "two\nlines \x1b[31m <b>&.png": lambda p: Image.fromarray(NOISE).save(p),
    "ünïcode 🖼.png": lambda p: Image.fromarray(NOISE).save(p),
    "no-extension": lambda p: Image.fromarray(NOISE).save(p, "PNG"),
}


@pytest.fixture(scope="module")
def answers(tiny_data, tmp_path_factory):
    """Attribute every bad picture and every odd one in a single run."""
    from workbench import paths

    folder = tmp_path_factory.mktemp("bad")
    for name, make in [*((n, m) for n, (m, _) in BAD.items()), *ODD.items()]:
        make(folder / name)
    files = [str(folder / name) for name in [*BAD, *ODD]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "PLACES", [tiny_data])
        patch.setenv("WORKBENCH_STORE", str(folder / "store"))
        options = ["--prompt", "a thing", "--gamma", "1", "--report", str(folder / "r.html")]
        plain = CliRunner().invoke(app.app, ["attribute", *files, *options])
        lines = CliRunner().invoke(app.app, ["attribute", *files, *options, "--json"])
    records = [json.loads(line) for line in lines.stdout.splitlines()]
    named = dict(zip([*BAD, *ODD], records, strict=True))
    return named, plain, lines


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_gets_one_sentence(answers, name):
    named, plain, _ = answers
    error = named[name]["error"]
    assert re.search(BAD[name][1], error)
    assert "\n" not in error
    assert "Errno" not in error
    said = [line for line in plain.stderr.splitlines() if f"{name}: {error}" in line]
    assert len(said) == 1


@pytest.mark.parametrize("name", ODD)
def test_an_odd_picture_is_attributed_beside_the_bad_ones(answers, name):
    named, plain, _ = answers
    assert named[name]["error"] is None
    assert len(named[name]["ranking"]) == 2
    assert shown(name) in plain.stdout


def test_nothing_else_is_said_and_the_exit_code_tells_of_failures(answers):
    _, plain, lines = answers
    assert (plain.exit_code, lines.exit_code) == (1, 1)
    assert "Traceback" not in plain.stderr + lines.stderr
    assert "\x1b" not in plain.stdout
    assert not [name for name in BAD if f"{name}\n" in plain.stdout]


USAGE = {
    "attribute": r"Missing argument 'PATH'",
    "attribute x.png --preset poket": r"no preset named 'poket'; did you mean 'pocket'\?",
    "attribute x.png --inverter tiny-blp": r"no inverter named 'tiny-blp'; .*'tiny-blip'",
    "attribute x.png --zoo tiny-ds,tiny-ld": r"no generator named 'tiny-ds'; did you mean 'tiny-",
    "attribute x.png --zoo tiny-sd": "a zoo has at least two candidate models; seen tiny-sd",
    "attribute x.png --zoo tiny-sd,tiny-sd": "a zoo names each model once",
    "experiment x": "no experiment named 'x'; there are: bias, calibration, confusion",
    "experiment gamma --preset x": "no preset named 'x'; there are: ",
    "reproduce x": "no reference of an experiment named 'x'; there are: ",
    "attribute x.png --attributor x": "no attributor named 'x'; there are: ",
    "attribute x.png --similarity simm": "no similarity named 'simm'; did you mean 'ssim'",
    "attribute x.png --similarity Cosine(": "is not a repr such as",
    "attribute x.png --similarity open('x')": "no class named 'open'",
    "attribute x.png --aggregate median": "no aggregation named 'median'; there are: mean",
    "attribute x.png --gamma 0": "gamma, the candidate images per model, is at least 1; seen 0",
    "attribute x.png --gamma four": "Invalid value for '--gamma'",
    "attribute x.png --prompt p --inverter empty": "a known prompt leaves nothing to invert",
    "attribute {folder}": "no picture in '.*'; a picture's name ends with one of: .apng",
    "attribute x.png --report out.png": "a report's name ends with .html; seen 'out.png'",
    "attribute x.png --report {folder}/page.html": "the report '.*' would replace a folder",
    "attribute x.png --from none.html": "the report 'none.html' cannot be read: No such file",
    "attribute x.png --from {folder}/note.html": "is not a report that `workbench attribute",
    "attribute x.png --from {folder}/note.html --gamma 2": "--from takes every setting from",
    "attribute x.png --inverter pez --similarity ssim": "pez needs a similarity over an encoder",
    "invert x.png --inverter b": "no inverter named 'b'; there are: empty, interrogator, metadata",
    "generate --generator b --prompt p --out o": "no generator named 'b'; there are: tiny-ld",
    "generate --generator tiny-sd --prompt p --out o --seeds 4:0": r"seeds are written 0:4",
    "generate --generator tiny-sd --prompt p --out {folder}/note.html": "is not a folder",
    "zoo show b": "no checkpoint named 'b'; there are: tiny-blip, tiny-clip",
    "zoo verify b": "no preset, zoo or checkpoint named 'b'",
    "nonsense": "No such command 'nonsense'",
}


@pytest.mark.parametrize("command", USAGE)
def test_wrong_usage_gets_one_sentence_and_exit_code_2(tiny, tmp_path, monkeypatch, command):
    (tmp_path / "page.html").mkdir()
    (tmp_path / "note.html").write_text("<p>no report</p>")
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    words = [word.format(folder=tmp_path) for word in command.split()]
    result = CliRunner(env={"COLUMNS": "400"}).invoke(app.app, words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert re.search(USAGE[command], result.stderr)
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "store").exists()


def test_a_store_that_cannot_be_written_is_one_sentence(tiny, tmp_path, monkeypatch, pictures):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "file" / "store"))
    result = CliRunner().invoke(app.app, ["attribute", str(pictures)])
    assert result.exit_code == 1
    assert re.fullmatch(r"workbench: the store .* cannot be written .*\n", result.stderr)


def test_weights_that_are_missing_are_one_sentence(tiny, tmp_path, monkeypatch, pictures):
    shutil.copytree(tiny / "catalogue", tmp_path / "catalogue")
    from workbench import paths

    monkeypatch.setattr(paths, "PLACES", [tmp_path])
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    result = CliRunner().invoke(app.app, ["attribute", str(pictures), "--prompt", "a thing"])
    assert result.exit_code == 2
    assert re.match(r"workbench: the weights of 'tiny-\w+' are not in", result.stderr)
