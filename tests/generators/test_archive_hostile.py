"""An archive may come from anybody: it harms and hangs nothing, and no part spoils another."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from tests.generators.test_archive_tables import greys, pictures, png, shard, write, zip_of
from tests.images.test_fuzz import cut, flipped, holed, numbered, swapped
from workbench.generators import _archive_index, _archive_tables
from workbench.generators.archive import Archive
from workbench.plugin import identity


@pytest.fixture(autouse=True)
def _soon():
    """Let what hangs fail."""

    def hangs(*_):
        raise AssertionError("it hangs")

    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(60)
    yield
    signal.alarm(0)


def forged(data, wanted):
    """Append four bytes after which the CRC-32 of data is `wanted`."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        table.append(value)
    by_top = {value >> 24: i for i, value in enumerate(table)}
    state, path = wanted ^ 0xFFFFFFFF, []
    for _ in range(4):
        path.append(by_top[state >> 24])
        state = (state ^ table[path[-1]]) << 8 & 0xFFFFFFFF
    state, tail = zlib.crc32(data) ^ 0xFFFFFFFF, []
    for i in reversed(path):
        tail.append((state ^ i) & 0xFF)
        state = state >> 8 ^ table[i]
    return data + bytes(tail)


def test_zips_of_other_pictures_are_other_archives_though_size_and_checksum_are_the_same(tmp_path):
    one, two = png(0).ljust(200, b"\0"), png(1).ljust(196, b"\0")
    two = forged(two, zlib.crc32(one))
    assert (zlib.crc32(one), len(one)) == (zlib.crc32(two), len(two))
    archives = []
    for name, data in (("one", one), ("two", two)):
        box = write(tmp_path / name, {"generations.csv": "file,prompt\n0.png,p\n", "0.png": data})
        archives.append(Archive(str(zip_of(box, tmp_path / f"{name}.zip"))))
    assert [greys(each, "p", 1) for each in archives] == [[0], [1]]
    assert identity(archives[0]) != identity(archives[1])


@pytest.mark.parametrize("how", ["stored", "deflated", "bzip2", "lzma", "encrypted", "unknown"])
def test_a_damaged_member_is_a_failure_of_that_picture_alone(tmp_path, how):
    kinds = {"deflated": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
    file = tmp_path / "box.zip"
    noise = os.urandom(50_000)
    with zipfile.ZipFile(file, "w", kinds.get(how, zipfile.ZIP_STORED)) as made:
        made.writestr("generations.csv", "file,prompt\nbad.png,p\ngood.png,p\n")
        made.writestr("bad.png", noise)
        made.writestr("good.png", png(5))
    data = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as made:
        start = made.getinfo("bad.png").header_offset
    entry = data.rindex(b"bad.png") - 46
    if how == "encrypted":
        data[entry + 8] |= 1
    elif how == "unknown":
        data[entry + 10] = 98
    else:
        for at in range(start + 60, start + 160):
            data[at] ^= 0xFF
    file.write_bytes(data)
    bad, good = greys(Archive(str(file)), "p", 2)
    assert bad.startswith("bad.png: the zip does not give it (")
    assert good == 5
    assert identity(Archive(str(file)))


@pytest.mark.parametrize("cell", ["", ".", "x.png/y", "n" * 5000, "x\0.png", "\x1b]0;x\x07.png"])
def test_a_name_that_is_none_is_a_failure_of_that_picture_alone(tmp_path, cell):
    rows = json.dumps({"file": cell, "prompt": "p", "seed": 1})
    rows += '\n{"file": "good.png", "prompt": "p", "seed": 2}'
    box = write(tmp_path / "box", {"generations.jsonl": rows, "good.png": png(5), "x.png": b"x"})
    for archive in (Archive(str(box)), Archive(str(zip_of(box, tmp_path / "box.zip")))):
        bad, good = greys(archive, "p", 2)
        assert isinstance(bad, str)
        assert bad.isprintable()
        assert len(bad) < 300
        assert good == 5
        assert identity(archive)


@pytest.mark.parametrize("kind", ["a pipe", "a circle of links", "a folder", "a device"])
@pytest.mark.parametrize("named", ["x.png", "generations.csv", "archive.toml", "x.parquet"])
def test_what_is_no_regular_file_is_not_read(tmp_path, named, kind):
    box = write(tmp_path / "box", {"good.png": png(5)})
    tables = {"x.png": "generations.csv", "archive.toml": "generations.csv"}
    if named in tables:
        write(box, {tables[named]: "file,prompt\nx.png,p\ngood.png,p\n"})
    if kind == "a pipe":
        os.mkfifo(box / named)
    elif kind == "a folder":
        (box / named).mkdir()
    else:
        (box / named).symlink_to(named if kind == "a circle of links" else "/dev/zero")
    found, said = asked(Archive(str(box)), 2)
    assert "\n" not in said
    if said:
        assert named not in tables or named == "archive.toml"
    else:
        assert named in tables
        assert 5 in found
        assert identity(Archive(str(box)))


def asked(archive, count):
    """Answer what pictures come, or the sentence of what was raised."""
    try:
        return greys(archive, "p", count), ""
    except (ValueError, LookupError) as error:
        return [], str(error)


def test_a_source_that_is_no_file_or_folder_is_told(tmp_path):
    os.mkfifo(tmp_path / "x.zip")
    for source in (tmp_path / "x.zip", "/dev/zero", tmp_path / ("n" * 5000), "~nosuchuser/x"):
        with pytest.raises((LookupError, ValueError), match=r"no archive at|home of a user"):
            Archive(str(source))(["p"], [0])


CSV = "file,prompt\nx.png,p\n"
LAYOUTS = {
    "columns = [1]": "columns should be a table",
    "tables = 5": "tables should be text, or a list of texts; it is 5",
    "tables = [1]": "tables should be text, or a list of texts; it is [1]",
    "sidecar = 5": "sidecar should be text; it is 5",
    "sidecar = 'txt'": "sidecar should be an ending such as .txt; it is 'txt'",
    "sidecar = '/../x'": "sidecar should be an ending such as .txt",
    "files = 5": "files should be text; it is 5",
    "files = 'a{99999999999999999999}'": "the repetition number is too large",
    f"files = '{'(' * 3000}{')' * 3000}'": "files is longer than 1000 letters",
    f"files = {'[' * 5000}{']' * 5000}": "it is nested too deeply",
    f"# {'x' * 70_000}": "it has 70,002 bytes, more than 65,536",
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=range(len(LAYOUTS)))
def test_whatever_stands_in_a_layout_is_told_in_a_sentence(tmp_path, layout):
    write(tmp_path, {"generations.csv": CSV, "archive.toml": layout})
    sentence = f"archive.toml of {tmp_path} is no layout of an archive: "
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}.*{re.escape(LAYOUTS[layout])}"):
        Archive(str(tmp_path))(["p"], [0])


@pytest.mark.parametrize("pattern", ["(?P<prompt>(a|aa)+)[.]png", "(?P<prompt>(a*)*(b|a*)*c?)x"])
def test_a_pattern_that_would_never_end_is_told(tmp_path, monkeypatch, pattern):
    monkeypatch.setattr(_archive_index, "PATIENCE", 1.0)
    files = {f"{'a' * n}!.png": b"x" for n in range(60, 90)}
    box = write(tmp_path / "box", {"archive.toml": f"files = '{pattern}'", **files})
    started = time.monotonic()
    _, said = asked(Archive(str(box)), 1)
    assert not said or "takes more than 1 s to match: write it without" in said
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]\n",
        '["file", "prompt"]\n',
        "[" * 100_000 + "]" * 100_000,
        "not JSON",
        '{"file": "x.png"}',
        "1" * 10_000,
        "\ud800".encode("utf-8", "surrogatepass"),
    ],
    ids=range(7),
)
@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.json", "metadata.csv"])
def test_whatever_stands_in_a_table_is_told_in_a_sentence(tmp_path, name, text):
    write(tmp_path, {name: text})
    with pytest.raises(ValueError, match=r"^the (table|archive) [^\n]*$") as caught:
        Archive(str(tmp_path))(["p"], [0])
    assert len(str(caught.value)) < 1000


def test_a_bad_line_ends_not_the_rest(tmp_path, caplog):
    good = '{"file": "0.png", "prompt": "p"}\n'
    bad = ['{"file": "1.p', "[]", "[" * 100_000, '{"file": {"a": [1]}, "prompt": "q"}', "7"]
    write(tmp_path, {"metadata.jsonl": good + "\n".join(bad), **pictures("0.png")})
    assert greys(Archive(str(tmp_path)), "p", 1) == [0]
    assert "4 rows of the table metadata.jsonl cannot be read, and are left out" in caplog.text
    assert greys(Archive(str(tmp_path)), "q", 1) == ["{'a': [1]}: there is no such file"]


def test_a_cell_without_end_ends_not_the_rest(tmp_path):
    rows = f"0.png,p\n1.png,{'q' * 200_000}\n2.png,p\n"
    write(tmp_path, {"generations.csv": "file,prompt\n" + rows, **pictures("0.png", "1", "2.png")})
    assert greys(Archive(str(tmp_path)), "p", 2) == [0, 2]


def test_a_bad_cell_of_parquet_ends_not_the_rest(tmp_path):
    text = pa.array([b"p", b"\xff\xfe", b"p"], pa.binary()).view(pa.string())
    table = pa.table({"image": [png(0), png(1), png(2)], "prompt": text})
    parquet.write_table(table, tmp_path / "x.parquet")
    assert greys(Archive(str(tmp_path)), "p", 2) == [0, 2]


MEASURE = """
import sys
from tests.support.memory import peak
from workbench.generators.archive import Archive
import pyarrow, pyarrow.parquet, regex
before = peak()
try:
    Archive(sys.argv[1])(["p"], [0]); said = "read"
except ValueError as error:
    said = str(error)
print(round(peak() - before), said)
"""


def rows_of_parquet(folder):
    table = pa.table({"file": ["x.png"] * 5_000_000, "prompt": ["p"] * 5_000_000})
    parquet.write_table(table, folder / "x.parquet", compression="zstd")


def text_of_parquet(folder):
    text = [f"{i}{'x' * 4_000_000}" for i in range(70)]
    table = pa.table({"file": ["x.png"] * 70, "prompt": text})
    parquet.write_table(table, folder / "x.parquet", compression="zstd", use_dictionary=False)


def repeated_text_of_parquet(folder):
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), ["x" * 10**6])
    parquet.write_table(pa.table({"file": ["x.png"] * 3000, "prompt": text}), folder / "x.parquet")


def rows_of_csv(folder):
    box = write(folder / "box", {"generations.csv": b"file,prompt\n" + b"x,p\n" * 5_000_000})
    zip_of(box, folder / "x.zip")
    (box / "generations.csv").unlink()


def columns_of_csv(folder):
    head = b"file,prompt" + b",a" * 1_000_000
    write(folder, {"generations.csv": head + b"\nx,p" * 9000})


def rows_of_tar(folder):
    with tarfile.open(folder / "x.tar", "w") as made:
        info = tarfile.TarInfo("0.png")
        info.size, info.type = 2**40, tarfile.GNUTYPE_SPARSE
        made.addfile(info)


def first_page_of_parquet(folder):
    """Write one page of 270 MB, of which the footer says that it has 7 bytes."""
    table = pa.table({"file": ["x.png"], "prompt": ["x" * 270_000_000]})
    options = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    parquet.write_table(table, folder / "x.parquet", **options)
    data = (folder / "x.parquet").read_bytes()
    told = parquet.ParquetFile(folder / "x.parquet").metadata.row_group(0)
    for number in (told.total_byte_size, told.column(1).total_uncompressed_size):
        assert data.count(varint(2 * number)) >= 1
        data = data.replace(varint(2 * number), varint(14, len(varint(2 * number))))
    (folder / "x.parquet").write_bytes(data)
    lying = parquet.ParquetFile(folder / "x.parquet").metadata.row_group(0)
    assert lying.column(1).total_uncompressed_size == 7


def varint(number, length=0):
    """Write a number seven bits a byte, in so many bytes at least."""
    found = []
    while number or not found or len(found) < length:
        found.append(number & 0x7F)
        number >>= 7
    return bytes([*(byte | 0x80 for byte in found[:-1]), found[-1]])


def repeated_picture_of_parquet(folder):
    picture = png(1) + bytes(2**20)
    held = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), [picture])
    table = pa.table({"image": held.cast(pa.binary()), "prompt": ["p"] * 1000})
    parquet.write_table(table, folder / "x.parquet", dictionary_pagesize_limit=2**22)


def packed_buffers_of_arrow(folder):
    table = pa.table({"file": ["x.png"], "prompt": ["x" * 600_000_000]})
    feather.write_feather(table, folder / "x.feather", compression="zstd")


def rows_of_arrow(folder):
    """Write two thousand million rows without a cell in any of them."""
    nothing = pa.Array.from_buffers(pa.null(), 2**31 - 1, [None])
    batch = pa.record_batch([nothing, nothing], ["file", "prompt"])
    with pa.OSFile(str(folder / "x.arrow"), "w") as file, pa.ipc.new_file(file, batch.schema) as to:
        to.write_batch(batch)


def offsets_of_arrow(folder):
    table = pa.table({"file": ["x.png"] * 3, "prompt": ["abcdefghij"] * 3})
    feather.write_feather(table, folder / "x.arrow", compression="uncompressed")
    data = (folder / "x.arrow").read_bytes()
    good, bad = (struct.pack("<4i", *each) for each in ((0, 10, 20, 30), (0, 2**30, 20, 30)))
    assert good in data
    (folder / "x.arrow").write_bytes(data.replace(good, bad))


def members_of_packed_tar(folder):
    with tarfile.open(folder / "x.tar.gz", "w:gz") as made:
        info = tarfile.TarInfo("0.png")
        info.size = 300_000_000
        made.addfile(info, Zeros())


class Zeros:
    """A file without end."""

    def read(self, count):
        return bytes(count)


TABLES = [
    *(rows_of_parquet, text_of_parquet, repeated_text_of_parquet, first_page_of_parquet),
    *(repeated_picture_of_parquet, packed_buffers_of_arrow, rows_of_arrow, offsets_of_arrow),
    *(rows_of_csv, columns_of_csv, rows_of_tar, members_of_packed_tar),
]


UNREAD = "the table x.{} of the archive cannot be read: "
SAID = {
    first_page_of_parquet: UNREAD.format("parquet") + "it holds 257 MiB of text",
    repeated_picture_of_parquet: "read",
    packed_buffers_of_arrow: UNREAD.format("feather")
    + "unpacked it has more than 512 MiB: save it without compression, or as Parquet",
    members_of_packed_tar: UNREAD.format("tar.gz") + "unpacked it has more than 77 MiB",
}


@pytest.mark.parametrize("make", TABLES)
def test_a_small_table_takes_no_large_memory(tmp_path, make):
    make(tmp_path)
    source = tmp_path / "x.zip" if (tmp_path / "x.zip").exists() else tmp_path
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 4 * 2**20
    child = [sys.executable, "-c", MEASURE, str(source)]
    answer = subprocess.run(child, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    taken, said = answer.stdout.split(" ", 1)
    assert int(taken) < 200, said
    assert "\n" not in said.strip()
    assert said.strip() == SAID.get(make, said.strip())


def test_a_tar_file_that_is_cut_or_lies_is_a_failure_or_a_sentence(tmp_path):
    rows = [{"prompt": "p", "seed": i} for i in range(3)]
    file = shard(tmp_path / "x.tar", rows)
    data = file.read_bytes()
    for end in range(0, len(data), 700):
        file.write_bytes(data[:end])
        found, said = asked(Archive(str(file)), 3)
        assert len(found) == (0 if said else 3)
        assert "\n" not in said
    links = [tarfile.TarInfo(f"{i}.png") for i in range(7, 9)]
    for link, kind in zip(links, (tarfile.SYMTYPE, tarfile.CHRTYPE), strict=True):
        link.type, link.linkname = kind, "/etc/hostname"
    shard(file, rows, more=links)
    assert greys(Archive(str(file)), "p", 3) == [0, 1, 2]


def test_limits_do_not_touch_what_honest_people_have(tmp_path):
    count = _archive_tables.FEW_ROWS + 5_000
    rows = "".join(f"{i}.png,p,{i}\n" for i in range(count))
    write(tmp_path, {"generations.csv": "file,prompt,seed\n" + rows, "14999.png": png(3)})
    assert greys(Archive(str(zip_of(tmp_path, tmp_path.parent / "x.zip"))), "p", 15_000)[-1] == 3


def test_mutated_tables_of_arrow_are_read_or_told_in_a_sentence(tmp_path):
    rows = [{"image": {"bytes": png(i), "path": None}, "prompt": "p", "seed": i} for i in range(40)]
    table, good = pa.Table.from_pylist(rows), {}
    for ending, save in {
        "parquet": lambda file: parquet.write_table(table, file),
        "feather": lambda file: feather.write_feather(table, file, compression="zstd"),
        "arrow": lambda file: feather.write_feather(table, file, compression="uncompressed"),
    }.items():
        save(tmp_path / f"x.{ending}")
        good[ending] = (tmp_path / f"x.{ending}").read_bytes()
    chance, read = random.Random(16), 0
    for ending, data in list(good.items()) * 100:
        for way in chance.sample((flipped, cut, holed, swapped, numbered), chance.choice((1, 2))):
            data = way(data or b"\0" * 8, b"", chance)
        (tmp_path / f"x.{ending}").write_bytes(data)
        found, said = asked(Archive(str(tmp_path / f"x.{ending}")), 2)
        read += bool(found)
        assert "\n" not in said
    assert 10 < read < 290
