"""Archives as other people hand them over: whatever wrote the table, its pictures are found."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import unicodedata
import zipfile

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import feather, parquet

from workbench.generators import Failure
from workbench.generators.archive import Archive
from workbench.plugin import identity

ROWS = [
    {"file": "a/0.png", "prompt": "a red kettle, ünïcode", "seed": 9},
    {"file": "a/1.png", "prompt": "a red kettle, ünïcode", "seed": 10},
    {"file": "a/2.png", "prompt": "a red kettle, ünïcode", "seed": 1},
    {"file": "a/3.png", "prompt": "a moon", "seed": 1},
]
PROMPT = ROWS[0]["prompt"]


def png(grey):
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (grey, grey, grey)).save(file, "PNG")
    return file.getvalue()


def write(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def pictures(*names):
    return {name: png(grey) for grey, name in enumerate(names or [row["file"] for row in ROWS])}


def greys(archive, prompt=PROMPT, count=3):
    return [
        made.reason if isinstance(made, Failure) else made.getpixel((0, 0))[0]
        for made in archive([prompt] * count, range(count))
    ]


def between(sign, rows=ROWS):
    def cell(value):
        return f'"{value}"' if sign in str(value) else str(value)

    return "\r\n".join(sign.join(map(cell, row)) for row in [rows[0], *(r.values() for r in rows)])


TABLES = {
    "generations.csv": between(","),
    "a semicolon/generations.csv": between(";"),
    "a tab/generations.csv": between("\t"),
    "told by sep/generations.csv": "sep=;\r\n" + between(";"),
    "one column more/generations.csv": between(";").replace("seed", "seed;a, b, c", 1),
    "UTF-8 with a mark/generations.csv": between(";").encode("utf-8-sig"),
    "UTF-16/generations.csv": between("\t").encode("utf-16"),
    "UTF-16 of the other end/generations.csv": "\ufeff".encode("utf-16-be")
    + between(",").encode("utf-16-be"),
    "UTF-16 without a mark/generations.csv": between(",").encode("utf-16-le"),
    "generations.tsv": between("\t"),
    "generations.jsonl": "\n".join(map(json.dumps, ROWS)),
    "UTF-16/generations.jsonl": "\r\n".join(map(json.dumps, ROWS)).encode("utf-16"),
    "rows/generations.json": json.dumps(ROWS),
    "rows within/generations.json": json.dumps({"version": 1, "data": ROWS}),
    "columns/generations.json": json.dumps({key: [row[key] for row in ROWS] for key in ROWS[0]}),
    "numbered columns/generations.json": json.dumps(
        {key: {str(i): row[key] for i, row in enumerate(ROWS)} for key in ROWS[0]}
    ),
    "by file/generations.json": json.dumps(
        {row["file"]: {"prompt": row["prompt"], "seed": row["seed"]} for row in ROWS}
    ),
    "lines/generations.json": "\n".join(map(json.dumps, ROWS)),
    "list.csv": between(","),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_whoever_wrote_it(tmp_path, name):
    write(tmp_path, {name.rpartition("/")[2]: TABLES[name], **pictures()})
    assert greys(Archive(str(tmp_path))) == [2, 0, 1]
    assert greys(Archive(str(tmp_path)), "a moon", 1) == [3]


def test_prompts_told_by_file_alone_are_a_table(tmp_path):
    told = json.dumps({"0.png": "a fish", "1.png": "a moon"})
    write(tmp_path, {"captions.json": told, **pictures("0.png", "1.png")})
    assert greys(Archive(str(tmp_path / "captions.json")), "a moon", 1) == [1]


def test_seeds_written_as_floats_stand_in_the_order_of_numbers(tmp_path):
    seeds = ["10.0", "9.0", "1e2", "2", "", "nan"]
    table = "".join(f"{i}.png,a fish,{seed}\n" for i, seed in enumerate(seeds))
    files = pictures(*(f"{i}.png" for i in range(len(seeds))))
    write(tmp_path, {"generations.csv": "file,prompt,seed\n" + table, **files})
    assert greys(Archive(str(tmp_path)), "a fish", 6) == [3, 1, 0, 2, 4, 5]


@pytest.mark.parametrize("zipped", [False, True])
def test_a_name_is_found_however_it_is_written(tmp_path, zipped):
    composed, apart = (unicodedata.normalize(form, "kücken/ä.png") for form in ("NFC", "NFD"))
    assert composed != apart
    on_disk = [apart, composed.replace("k", "c"), "img/2.png"]
    in_table = [composed, apart.replace("k", "c"), "img\\2.png"]
    rows = "".join(f"{name},a fish,{i}\n" for i, name in enumerate(in_table))
    write(tmp_path / "box", {"generations.csv": "file,prompt,seed\n" + rows, **pictures(*on_disk)})
    source = tmp_path / "box"
    if zipped:
        source = zip_of(source, tmp_path / "box.zip")
    assert greys(Archive(str(source)), "a fish") == [0, 1, 2]
    assert len(set(identities(source))) == 1


def identities(source):
    return [json.dumps(identity(Archive(str(source)))) for _ in range(2)]


def zip_of(folder, file, top=""):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                made.write(path, top + path.relative_to(folder).as_posix())
    return file


def _local(data):
    """Find the name of the last member in its own head, not in that of the directory."""
    start = data.rindex(b"PK\x03\x04")
    return start + 30


def test_names_of_a_zip_made_on_windows_or_by_a_mac_are_read(tmp_path):
    table = "file,prompt\nimg/0.png,a fish\nkü/1.png,a moon\n"
    with zipfile.ZipFile(tmp_path / "box.zip", "w") as made:
        made.writestr("generations.csv", table)
        made.writestr("img\\0.png", png(0))
        made.writestr("kü/1.png", png(1))
    data = (tmp_path / "box.zip").read_bytes()
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # forget that names are UTF-8
        length = 30 if flags == 6 else 46  # of the head before the name
        at = data.rindex("kü/1.png".encode()) if flags == 8 else _local(data)
        start = at - length
        assert data[start : start + 4] == head
        old = int.from_bytes(data[start + flags : start + flags + 2], "little")
        new = (old & ~0x800).to_bytes(2, "little")
        data = data[: start + flags] + new + data[start + flags + 2 :]
    (tmp_path / "box.zip").write_bytes(data)
    archive = Archive(str(tmp_path / "box.zip"))
    assert greys(archive, "a fish", 1) == [0]
    assert greys(archive, "a moon", 1) == [1]


@pytest.mark.parametrize("layout", [False, True])
@pytest.mark.parametrize("top", ["", "stars/", "one/two/"])
def test_an_archive_may_lie_in_one_folder_more(tmp_path, top, layout):
    files = {"generations.csv": between(","), **pictures()}
    if layout:
        files |= {"archive.toml": "tables = 'list.csv'", "list.csv": files.pop("generations.csv")}
    box = write(tmp_path / "box", files)
    plain = identity(Archive(str(box)))
    file = zip_of(box, tmp_path / "top.zip", top)
    with zipfile.ZipFile(file, "a") as made:  # as a Mac leaves it
        made.writestr(f"__MACOSX/{top}._generations.csv", b"\0\5\x16\7")
        made.writestr(f"{top}.DS_Store", b"\0\0\0\1Bud1")
    assert greys(Archive(str(file))) == [2, 0, 1]
    assert identity(Archive(str(file))) == plain  # the same pictures, whatever holds them
    outer = tmp_path / "outer"
    write(outer, {f"{top}{name}": data for name, data in files.items()})
    assert greys(Archive(str(outer))) == [2, 0, 1]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_image_folder_of_the_library_datasets_is_an_archive(tmp_path, kind):
    rows = [{"file_name": row["file"], **row} for row in ROWS]
    rows = [{k: v for k, v in row.items() if k != "file"} for row in rows]
    files = {f"train/{name}": data for name, data in pictures().items()}
    write(tmp_path, files)
    if kind == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "train" / "metadata.parquet")
    else:
        text = between(",", rows) if kind == "csv" else "\n".join(map(json.dumps, rows))
        write(tmp_path, {f"train/metadata.{kind}": text})
    assert greys(Archive(str(tmp_path))) == [2, 0, 1]


def shard(file, rows, start=0, more=()):
    """Write rows as the library webdataset does: files of one name, one after the other."""
    with tarfile.open(file, "w:gz" if file.suffix in (".gz", ".tgz") else "w") as made:
        for number, row in enumerate(rows, start):
            parts = {"png": png(number), "txt": row["prompt"].encode()}
            parts["json"] = json.dumps({"seed": row["seed"], "width": 4}).encode()
            for ending, data in parts.items():
                info = tarfile.TarInfo(f"./{number:06}.{ending}")
                info.size = len(data)
                made.addfile(info, io.BytesIO(data))
        for info in more:
            made.addfile(info, io.BytesIO(bytes(info.size)))
    return file


@pytest.mark.parametrize("form", ["folder", "zip", "one shard"])
def test_the_shards_of_a_webdataset_are_an_archive(tmp_path, form):
    box = tmp_path / "box"
    box.mkdir()
    shard(box / "shard-000000.tar", ROWS[:2] if form != "one shard" else ROWS)
    if form != "one shard":
        shard(box / "shard-000001.tar", ROWS[2:], 2)
    source = {"folder": box, "one shard": box / "shard-000000.tar"}.get(form)
    archive = Archive(str(source or zip_of(box, tmp_path / "box.zip")))
    assert greys(archive) == [2, 0, 1]
    assert greys(archive, "a moon", 2) == [
        3,
        "the archive holds 1 pictures of the prompt 'a moon'; number 1 was asked for",
    ]
    before = identity(archive)
    shard(box / "shard-000000.tar", [ROWS[1], ROWS[0], *ROWS[2:]])
    if form != "zip":
        assert identity(archive) != before


@pytest.mark.parametrize("ending", ["tar.gz", "tgz"])
@pytest.mark.parametrize("form", ["folder", "zip", "one shard"])
def test_shards_may_be_packed_by_gzip(tmp_path, form, ending):
    box = tmp_path / "box"
    box.mkdir()
    shard(box / f"a.{ending}", ROWS[:2] if form != "one shard" else ROWS)
    if form != "one shard":
        shard(box / f"b.{ending}", ROWS[2:], 2)
    source = {"folder": box, "one shard": box / f"a.{ending}"}.get(form)
    archive = Archive(str(source or zip_of(box, tmp_path / "box.zip")))
    assert greys(archive) == [2, 0, 1]
    assert greys(archive, "a moon", 1) == [3]


def test_a_packed_shard_is_known_by_its_members_whoever_packed_it(tmp_path):
    file = shard(tmp_path / "a.tar.gz", ROWS)
    before, plain = identity(Archive(str(file))), gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(plain, 1, mtime=5))
    assert identity(Archive(str(file))) == before
    assert greys(Archive(str(file))) == [2, 0, 1]
    shard(file, ROWS, 1)
    assert identity(Archive(str(file))) != before
    assert greys(Archive(str(file))) == [3, 1, 2]


def test_a_packed_shard_that_is_cut_or_packed_otherwise_is_told_in_a_sentence(tmp_path):
    file = shard(tmp_path / "a.tar.gz", ROWS)
    data = file.read_bytes()
    for damaged in (data[: len(data) // 2], data[:-8] + bytes(8), b"no gzip"):
        file.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"^the table a\.tar\.gz of the archive cannot be read: "
        ):
            Archive(str(file))([PROMPT], [0])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    sentence = "zstd packed it, which is not read here: unpack it first"
    with pytest.raises(ValueError, match=sentence):
        Archive(str(tmp_path / "b"))([PROMPT], [0])


@pytest.mark.parametrize("compression", ["zstd", "lz4", "uncompressed"])
@pytest.mark.parametrize("ending", ["feather", "arrow"])
def test_a_table_of_feather_is_read(tmp_path, ending, compression):
    table = pa.Table.from_pylist(ROWS)
    table = table.set_column(1, "prompt", table["prompt"].dictionary_encode())
    feather.write_feather(table, tmp_path / f"x.{ending}", compression=compression)
    write(tmp_path, pictures())
    assert greys(Archive(str(tmp_path))) == [2, 0, 1]
    assert greys(Archive(str(zip_of(tmp_path, tmp_path.parent / "x.zip")))) == [2, 0, 1]


@pytest.mark.parametrize(
    "options",
    [
        {"data_page_version": "2.0"},
        {"use_dictionary": False, "column_encoding": {"seed": "DELTA_BINARY_PACKED"}},
        {"row_group_size": 2, "write_page_checksum": True, "compression": "gzip"},
        {"data_page_size": 8, "write_page_index": True, "compression": "none"},
    ],
    ids=str,
)
def test_parquet_is_read_however_its_pages_are_written(tmp_path, options):
    rows = [{**row, "image": {"bytes": png(i), "path": None}} for i, row in enumerate(ROWS)]
    table = pa.Table.from_pylist(rows).drop(["file"])
    parquet.write_table(table, tmp_path / "x.parquet", **options)
    archive = Archive(str(tmp_path))
    assert greys(archive) == [2, 0, 1]
    assert greys(archive, "a moon", 1) == [3]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_text_that_may_unfold_to_any_size_is_told(tmp_path, encoding, version):
    options = {"use_dictionary": False, "column_encoding": {"prompt": encoding}}
    table = pa.Table.from_pylist(ROWS)
    parquet.write_table(table, tmp_path / "x.parquet", data_page_version=version, **options)
    with pytest.raises(ValueError, match=r"its text is written in differences \(DELTA\)"):
        Archive(str(tmp_path))([PROMPT], [0])


def test_a_prompt_of_a_webdataset_may_stand_in_its_json(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as made:
        parts = {"a/1.2.jpg": png(7), "a/1.json": b'{"caption": "a fish", "file": "no.png"}'}
        for name, data in (("a/1.jpg", parts["a/1.2.jpg"]), ("a/1.json", parts["a/1.json"])):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    archive = Archive(str(tmp_path / "x.tar"), columns={"prompt": "caption"})
    assert greys(archive, "a fish", 1) == [7]
