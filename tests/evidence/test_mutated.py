"""No damage to a file that carries evidence ends in more than a sentence."""

from __future__ import annotations

import random

from workbench import evidence, images

FILES = 150


def mutated(files: list[bytes], rng: random.Random) -> bytes:
    """Flip bits, cut bytes out, and splice in bytes of another file."""
    data = bytearray(rng.choice(files))
    for _ in range(rng.choice([1, 1, 2])):
        place = rng.randrange(len(data))
        kind = rng.randrange(3)
        if kind == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[place : place + rng.randrange(1, 8)]
        else:
            other = rng.choice(files)
            start = rng.randrange(len(other))
            data[place:place] = other[start : start + rng.randrange(1, 40)]
    return bytes(data)


def test_damaged_files_are_told_of_in_sentences(files, tmp_path):
    rng = random.Random(16)
    whole = [x for path in sorted(files.iterdir()) if len(x := path.read_bytes()) < 30_000]
    opened = 0
    for number in range(FILES):
        path = tmp_path / f"{number}.png"
        path.write_bytes(mutated(whole, rng))
        try:
            found = evidence.inspect(path)
        except images.ImageError:
            continue
        opened += 1
        assert {each.state for each in found} <= set(evidence.STATES)
        assert all(each.text.isprintable() for each in found)
    assert opened > FILES // 10
