"""Mutated files of sixteen kinds get a picture or one sentence: no traceback, no wait, no flood.

A thousand in the suite; ``WORKBENCH_FUZZ=20000`` makes as many, from the same seed.
"""

from __future__ import annotations

import io
import os
import resource
import struct
import tempfile
import time
from collections.abc import Callable
from random import Random

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image, PngImagePlugin

import workbench as wb
from tests.images.making import SIGNATURE, chunk, encoded, ink_profile, profile, scene, with_chunks
from tests.support import toys
from workbench import images
from workbench.evidence.pictures import inspect
from workbench.store.store import Store

COUNT = int(os.environ.get("WORKBENCH_FUZZ", "1000"))
SLOWEST, MEMORY = 20, 3 * 2**30
"""Seconds of work a file, and bytes of the whole process beyond what it began with."""
TOGETHER = 50
"""Files that are attributed in one run."""


def wide_tiff() -> bytes:
    buffer = io.BytesIO()
    pixels = np.asarray(scene()).astype(np.uint16) * 257
    tifffile.imwrite(buffer, np.moveaxis(pixels, -1, 0), photometric="rgb", planarconfig="separate")
    return buffer.getvalue()


def seeds() -> dict[str, bytes]:
    """Return one good file of each kind, with what makes its reader work."""
    text, exif, small = PngImagePlugin.PngInfo(), Image.Exif(), scene(24, 32)
    text.add_text("parameters", "a kettle\nSteps: 20, Seed: 5", zip=True)
    exif[0x0112], exif[0x010E] = 6, "a kettle"
    told = {"exif": exif, "icc_profile": profile()}
    clear = small.convert("P")
    clear.info["transparency"] = 3
    png = encoded(small, "PNG", pnginfo=text, **told)
    return {
        "png": with_chunks(png, chunk(b"gAMA", struct.pack(">I", 100_000))),
        "palette": encoded(clear, "PNG"),
        "apng": encoded(small, "PNG", save_all=True, append_images=[small.rotate(9)]),
        "jpeg": encoded(small, "JPEG", **told),
        "cmyk": encoded(small.convert("CMYK"), "JPEG", icc_profile=ink_profile((150, 190, 90))),
        "mpo": encoded(small, "MPO", save_all=True, append_images=[small]),
        "webp": encoded(small, "WEBP", **told),
        "gif": encoded(small, "GIF", save_all=True, append_images=[small.rotate(9)]),
        "bmp": encoded(small, "BMP"),
        "tiff": encoded(small, "TIFF", compression="tiff_lzw", **told),
        "wide": wide_tiff(),
        "avif": encoded(small, "AVIF", exif=exif),
        "jp2": encoded(small, "JPEG2000"),
        "ppm": encoded(small, "PPM"),
        "ico": encoded(small, "ICO", sizes=[(16, 16)]),
        "heic": heic(small, exif),
    }


def heic(picture: Image.Image, exif: Image.Exif) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(picture).save(buffer, quality=80, exif=exif.tobytes())
    return buffer.getvalue()


def flipped(data: bytes, _: bytes, chance: Random) -> bytes:
    found = bytearray(data)
    for _ in range(chance.randint(1, 12)):
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
    return bytes(found)


def cut(data: bytes, _: bytes, chance: Random) -> bytes:
    return data[: chance.randrange(len(data))]


def holed(data: bytes, _: bytes, chance: Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randint(1, 64) :]


def swapped(data: bytes, _: bytes, chance: Random) -> bytes:
    a, b, c = sorted(chance.randrange(len(data)) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def repeated(data: bytes, _: bytes, chance: Random) -> bytes:
    a, b = sorted(chance.randrange(len(data)) for _ in range(2))
    return data[:b] + data[a:b] * chance.randint(1, 20) + data[b:]


def spliced(data: bytes, other: bytes, chance: Random) -> bytes:
    return data[: chance.randint(1, 64)] + other[chance.randrange(len(other)) :]


def numbered(data: bytes, _: bytes, chance: Random) -> bytes:
    """Write an absurd number over four bytes near the head, where sizes and counts stand."""
    at = chance.randrange(min(len(data) - 4, 200))
    number = chance.choice([0, 1, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF])
    return data[:at] + struct.pack(chance.choice("<>") + "I", number) + data[at + 4 :]


def rebuilt(data: bytes, other: bytes, chance: Random) -> bytes:
    """Change, swap, drop or repeat whole chunks of a PNG, their checksums made right again."""
    if not data.startswith(SIGNATURE):
        return swapped(data, other, chance)
    parts, at = [], 8
    while at + 12 <= len(data):
        length = struct.unpack(">I", data[at : at + 4])[0]
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(chance.randint(1, 3)):
        i, j = chance.randrange(len(parts)), chance.randrange(len(parts))
        way = chance.randrange(4)
        if way == 0:
            parts[i], parts[j] = parts[j], parts[i]
        elif way == 1 and len(parts) > 1:
            del parts[i]
        elif way == 2:
            parts.insert(j, parts[i])
        elif parts[i][1]:
            parts[i] = parts[i][0], flipped(parts[i][1], b"", chance)
    return SIGNATURE + b"".join(chunk(name, body) for name, body in parts)


WAYS: tuple[Callable[[bytes, bytes, Random], bytes], ...] = (
    flipped, cut, holed, swapped, repeated, spliced, numbered, rebuilt,
)  # fmt: skip


def mutants(count: int) -> list[tuple[str, bytes]]:
    """Make so many mutated files; the same ones every time."""
    chance, good = Random(16), list(seeds().items())
    made = []
    for number in range(count):
        name, data = good[number % len(good)]
        ways = chance.sample(WAYS, chance.choice((1, 1, 1, 2)))
        for way in ways:
            data = way(data or b"\0", chance.choice(good)[1], chance)
        made.append((f"{number} {name} {' '.join(way.__name__ for way in ways)}", data))
    return made


@pytest.mark.parametrize("name", seeds())
def test_the_files_that_are_mutated_are_good_ones(name):
    assert images.decode(seeds()[name]).mode == "RGB"


def test_mutated_files_get_a_picture_or_a_sentence(capfd):
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read, said = 0, []
    for name, data in mutants(COUNT):
        started = time.process_time()
        try:
            picture = images.decode(data)
        except images.ImageError as error:
            said.append(str(error))
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
        else:
            read += 1
            assert picture.mode == "RGB", name
        assert time.process_time() - started < SLOWEST, name
    assert all(sentence and sentence.isprintable() for sentence in said)
    assert 0.1 * COUNT < read < 0.9 * COUNT  # else nothing is tried
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun) * 1024
    assert grown < MEMORY
    assert capfd.readouterr() == ("", "")


def test_mutated_files_are_attributed_or_fail_each_with_a_sentence(capfd):
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made, zoo, answered = mutants(COUNT), toys.zoo(), 0
    for start in range(0, COUNT, TOGETHER):
        names, files = zip(*made[start : start + TOGETHER], strict=True)
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            options = {"zoo": zoo, "similarity": "mse", "gamma": 1, "store": Store(folder)}
            records = wb.attribute(list(files), prompt="a kettle", **options).records()
        assert time.process_time() - started < SLOWEST, names[0]  # for all of them
        assert [record["image"] for record in records] == [
            f"picture {number}" for number in range(1, len(files) + 1)
        ]
        for name, record in zip(names, records, strict=True):
            if record["error"] is None:
                answered += 1
                assert {each["generator"] for each in record["ranking"]} == set(zoo), name
            else:
                assert record["error"].isprintable(), name
                assert "candidate" not in record["error"], name  # it is the file that fails
    assert 0.1 * COUNT < answered < 0.9 * COUNT
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun) * 1024
    assert grown < MEMORY
    assert "Traceback" not in "".join(capfd.readouterr())


def test_mutated_files_are_inspected_without_a_traceback(capfd):
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    inspect(scene(256, 256))  # the libraries are imported
    for name, data in mutants(COUNT):
        started = time.process_time()
        try:
            found = inspect(data)
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
        assert len(found) >= 1, name
        assert time.process_time() - started < SLOWEST, name
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun) * 1024
    assert grown < MEMORY
    assert "Traceback" not in "".join(capfd.readouterr())
