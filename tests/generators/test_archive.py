"""Pictures that were generated elsewhere."""

from __future__ import annotations

import io
import json
import re
import stat
import zipfile
import zlib

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from workbench import catalogue
from workbench.generators import Failure, _archive_files
from workbench.generators.archive import Archive
from workbench.paths import data_folder
from workbench.plugin import identity


@pytest.fixture
def folder(tmp_path):
    for grey in range(4):
        Image.new("RGB", (4, 4), (grey, grey, grey)).save(tmp_path / f"{grey}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    (tmp_path / "generations.csv").write_text(
        "file,prompt,generator,seed\n"
        "0.png,a fish,one,9\n"
        "1.png,a fish,one,10\n"
        "2.png,a fish,two,1\n"
        '3.png,"a fish, and more",one,1\n'
        "broken.png,a moon,one,1\n"
    )
    return tmp_path


def _grey(image):
    return image.getpixel((0, 0))[0]


def test_pictures_stand_in_the_order_of_their_seeds(folder):
    archive = Archive(str(folder), generator="one")
    prompts = ["a fish", "a fish, and more", "a fish"]
    assert [_grey(image) for image in archive(prompts, [1, 0, 0])] == [1, 3, 0]
    every = Archive(str(folder / "generations.csv"))
    assert [_grey(image) for image in every(["a fish"] * 3, [0, 1, 2])] == [2, 0, 1]


def test_what_is_not_there_is_a_failure_with_a_reason(folder):
    missing, beyond, broken = Archive(str(folder), generator="one")(
        ["A fish", "a fish", "a moon"], [0, 2, 0]
    )
    assert missing == Failure("the archive holds no picture of the prompt 'A fish'")
    assert beyond == Failure(
        "the archive holds 2 pictures of the prompt 'a fish'; number 2 was asked for"
    )
    assert isinstance(broken, Failure)
    assert broken.reason.startswith("broken.png: ")


def test_an_archive_is_known_by_its_pictures_and_not_by_its_path(folder, tmp_path_factory):
    import shutil

    elsewhere = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(folder, elsewhere)
    before = identity(Archive(str(folder)))
    assert identity(Archive(str(elsewhere))) == before
    assert identity(Archive(str(folder), generator="one")) != before
    Image.new("RGB", (4, 4), "red").save(elsewhere / "0.png")
    assert identity(Archive(str(elsewhere))) != before


def test_a_table_that_is_missing_or_lacks_columns_is_told(tmp_path):
    with pytest.raises(LookupError, match=f"^no archive at {tmp_path}; expected a CSV table, or a"):
        Archive(str(tmp_path))(["x"], [0])
    (tmp_path / "generations.csv").write_text("file,text\n")
    sentence = f"the archive {tmp_path} lacks the column 'prompt'; it has: file, text"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Archive(str(tmp_path))(["x"], [0])


GREYS = [("one", "a fish", 9, 0), ("one", "a fish", 10, 1), ("two", "a fish", 1, 2)]
"""Generator, prompt, seed and grey of the pictures of an archive."""


def _png(grey):
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (grey, grey, grey)).save(file, "PNG")
    return file.getvalue()


def _write(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def _greys(archive, prompt="a fish", count=2):
    return [
        answer.reason if isinstance(answer, Failure) else _grey(answer)
        for answer in archive([prompt] * count, range(count))
    ]


def test_columns_may_have_any_name_and_be_put_together(tmp_path):
    table = "picture,model,subject,style\na/0.png,one,fish,oil\na/1.png,two,fish,oil\n"
    _write(tmp_path, {"list.csv": table, "a/0.png": _png(0), "a/1.png": _png(1)})
    names = {"file": "picture", "generator": "model", "prompt": "a $subject in $style"}
    archive = Archive(str(tmp_path / "list.csv"), generator="two", columns=names)
    assert _greys(archive, "a fish in oil", 1) == [1]
    assert catalogue.parse(repr(archive)) == archive
    sentence = f"the archive {tmp_path / 'list.csv'} lacks the column 'kind'; it has: picture, "
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}model, subject, style$"):
        Archive(str(tmp_path / "list.csv"), columns={**names, "prompt": "$kind"})(["x"], [0])
    with pytest.raises(
        ValueError, match=r"^columns: there is no 'text'; there are: file, prompt, "
    ):
        Archive("x", columns={"text": "prompt"})


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_image_folder_with_metadata_is_an_archive(tmp_path, kind):
    rows = [{"file_name": f"{g}.png", "prompt": p, "seed": s} for _, p, s, g in GREYS]
    text = "file_name,prompt,seed\n" + "".join(",".join(map(str, r.values())) + "\n" for r in rows)
    if kind == "jsonl":
        text = "\n".join(map(json.dumps, rows))
    files = {f"train/{grey}.png": _png(grey) for *_, grey in GREYS}
    _write(tmp_path, {f"train/metadata.{kind}": text, **files})
    assert _greys(Archive(str(tmp_path)), count=3) == [2, 0, 1]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "a parquet that names files"])
def test_a_data_set_that_holds_its_pictures_is_an_archive(tmp_path, kind):
    named = kind == "a parquet that names files"
    for shard, part in enumerate((GREYS, [("one", "a moon", 1, 7), ("one", "a fish", 11, 8)])):
        pictures = [{"bytes": None if named else _png(g), "path": f"../{g}.png"} for *_, g in part]
        table = pa.table(
            {
                "image": pictures,
                "model": [m for m, *_ in part],
                "prompt": [p for _, p, *_ in part],
                "seed": [s for *_, s, _ in part],
            }
        )
        (tmp_path / "data").mkdir(exist_ok=True)
        file = tmp_path / "data" / f"train-{shard}.{'arrow' if kind == 'arrow' else 'parquet'}"
        if kind == "arrow":  # a stream, as datasets saves it
            with pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table, max_chunksize=2)
        else:
            parquet.write_table(table, file, row_group_size=2)
    if named:
        _write(tmp_path, {f"{grey}.png": _png(grey) for grey in (0, 1, 2, 8)})
    archive = Archive(str(tmp_path), generator="one", columns={"generator": "model"})
    assert _greys(archive, count=3) == [0, 1, 8]
    assert _greys(Archive(str(tmp_path)), count=4) == [2, 0, 1, 8]
    moon = "train-1.parquet, row 0 of part 0: there is no such file" if named else 7
    assert _greys(archive, "a moon", 1) == [moon]


def test_a_column_without_a_picture_is_a_failure(tmp_path):
    table = pa.table({"image": [b"", b"x"], "prompt": ["a fish"] * 2})
    parquet.write_table(table, tmp_path / "x.parquet")
    empty, words = _greys(Archive(str(tmp_path / "x.parquet")))
    assert empty == "x.parquet, row 0 of part 0: there is no picture in it"
    assert words.startswith("x.parquet, row 1 of part 0: it is not a picture of a known kind")


LAYOUTS = {
    "folders": (
        {f"{m}/{p}/{s}.png": _png(g) for m, p, s, g in GREYS},
        "files = '(?P<generator>[^/]+)/(?P<prompt>[^/]+)/(?P<seed>[0-9]+).png'",
    ),
    "a text beside each picture": (
        {f"{m}/{g}.png": _png(g) for m, p, s, g in GREYS}
        | {f"{m}/{g}.txt": f"{p}\n" for m, p, s, g in GREYS}
        | {"one/9.png": _png(9)},
        "sidecar = '.txt'\nfiles = '(?P<generator>[^/]+)/(?P<seed>.+)[.]png'",
    ),
    "a table that shares a column with the files": (
        {f"{m}/{s:02}.png": _png(g) for m, p, s, g in GREYS}
        | {"captions.csv": "seed,text\n09,a fish\n10,a fish\n01,a moon\n"},
        "tables = 'captions.csv'\nfiles = '(?P<generator>[^/]+)/(?P<seed>[0-9]+).png'\n"
        "columns = {prompt = 'text'}",
    ),
}


@pytest.mark.parametrize("form", ["folder", "zip", "zip, told beside it"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_told_in_a_few_lines(tmp_path, name, form):
    files, layout = LAYOUTS[name]
    place = _write(tmp_path / "box", files)
    if form == "zip, told beside it":
        (tmp_path / "box.toml").write_text(layout)
    else:
        (place / "archive.toml").write_text(layout)
    if form != "folder":
        place = _zipped(place, tmp_path / "box.zip")
    assert _greys(Archive(str(place), generator="one")) == [0, 1]


def _zipped(folder, file):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted(folder.rglob("*")):
            made.write(path, path.relative_to(folder).as_posix())
    return file


SHIPPED = {
    "faceresyn": ("100people/images/bing/images/firefly/0000{}-0.png", "bing/0000{}"),
    "bc-attr-6": ("references/resynthesis/firefly/bing/0000{}_0.png", "bing/0000{}"),
    "coco-attr": ("references/resynthesis/firefly/bing/0000{}_0.png", "bing/0000{}"),
    "imagen": ("output/renders/panda-{}/firefly-3.png", "panda-{}"),
    "folders": ("panda-{}/firefly-3.png", "panda-{}"),
}
"""A shipped layout → a file, and the prompt that it is of."""


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_layout_reads_what_it_describes(tmp_path, name):
    file, prompt = SHIPPED[name]
    _write(tmp_path, {file.format(n): _png(n) for n in (1, 2)})
    _write(tmp_path, {file.format(1).replace("firefly", "other"): _png(9)})
    every = Archive(str(tmp_path), layout=name)
    assert every.models() == ["firefly", "other"]
    archive = Archive(str(tmp_path), generator="firefly", layout=name)
    assert archive.prompts() == {prompt.format(n): [file.format(n)] for n in (1, 2)}
    assert _greys(archive, prompt.format(2), 1) == [2]


def test_every_shipped_layout_is_tried():
    folder = data_folder() / "catalogue" / "archives"
    assert {path.stem for path in folder.glob("*.toml")} == set(SHIPPED)


def test_a_layout_that_is_named_goes_first_and_may_be_any_file(tmp_path):
    _write(tmp_path / "box", {"a fish/one_1.png": _png(1)})
    (tmp_path / "box" / "archive.toml").write_text("files = 'nothing'")
    mine = tmp_path / "mine.toml"
    mine.write_text(r"files = '(?P<prompt>[^/]+)/(?P<generator>.+)_\d+\.png'")
    archive = Archive(str(tmp_path / "box"), "one", layout=str(mine))
    assert _greys(archive, count=1) == [1]
    assert repr(archive).endswith(f'layout="{mine}")')
    with pytest.raises(LookupError, match=r"^no layout of an archive named 'x'; there are: bc-"):
        Archive(str(tmp_path / "box"), layout="x")(["a fish"], [0])


def test_rows_without_a_model_name_none(folder):
    assert Archive(str(folder)).models() == ["one", "two"]
    (folder / "generations.csv").write_text("file,prompt\n0.png,a fish\n")
    assert Archive(str(folder)).models() == []


@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        ("file = 'x'", "there is no 'file'; there are: tables, files, sidecar, columns"),
        ("files = '('", "is no layout of an archive: missing )"),
        ("files = ", "is no layout of an archive: Invalid value"),
        ("columns = {image = 'x'}", "there is no 'image'; there are: file, prompt, generator"),
        ("files = '(?P<n>.*)[.]png'\ntables = 'generations.csv'", "share no column; files have: n"),
        ("tables = '*.parquet'", "expected a CSV table, or a folder or zip with one: "),
    ],
)
def test_a_layout_that_cannot_be_read_is_told(folder, layout, sentence):
    (folder / "archive.toml").write_text(layout)
    with pytest.raises((ValueError, LookupError), match=re.escape(sentence)):
        Archive(str(folder))(["x"], [0])


def test_a_changed_layout_is_read_again(folder):
    assert _greys(Archive(str(folder), generator="two"), count=1) == [2]
    (folder / "archive.toml").write_text("columns = {generator = 'prompt'}")
    assert _greys(Archive(str(folder), generator="a fish"), count=1) == [2]
    with pytest.raises(ValueError, match="lacks the column 'generators'"):
        Archive(str(folder), "one", columns={"generator": "generators"})(["a fish"], [0])


def test_a_zip_is_known_by_its_pictures(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("zips")
    before = identity(Archive(str(_zipped(folder, place / "one.zip"))))
    assert identity(Archive(str(_zipped(folder, place / "two.zip")))) == before
    Image.new("RGB", (4, 4), "red").save(folder / "0.png")
    assert identity(Archive(str(_zipped(folder, place / "one.zip")))) != before
    (place / "no.zip").write_text("no zip")
    with pytest.raises(ValueError, match=r"no\.zip is no zip: File is not a zip file$"):
        Archive(str(place / "no.zip"))(["x"], [0])


@pytest.mark.parametrize("name", ["../out.png", "/out.png", "C:out.png", "..\\out.png", "a link"])
def test_a_zip_with_a_member_outside_of_it_is_refused(folder, tmp_path_factory, name):
    file = _zipped(folder, tmp_path_factory.mktemp("zips") / "bad.zip")
    member = zipfile.ZipInfo(name)
    if name == "a link":
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(file, "a") as made:
        made.writestr(member, "/etc/hostname")
    what = "is a link" if name == "a link" else "would lie outside of it"
    sentence = f"the zip {file} holds the member {name!r}, which {what}; nothing of it is read"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Archive(str(file))(["a fish"], [0])


@pytest.mark.parametrize("zipped", [False, True])
def test_a_table_that_points_outside_of_the_archive_is_not_followed(tmp_path, zipped):
    outside = _write(tmp_path / "outside", {"x.png": _png(5)})
    names = ["../outside/x.png", str(outside / "x.png"), "a/../../outside/x.png"]
    box = _write(tmp_path / "box", {"a/y.png": _png(6)})
    if not zipped:
        (box / "link.png").symlink_to(outside / "x.png")
        (box / "folder").symlink_to(outside)
        names += ["link.png", "folder/x.png"]
    rows = "".join(f"{name},a fish\n" for name in sorted(names))
    (box / "generations.csv").write_text(f"file,prompt\n{rows}a/y.png,a moon\n")
    archive = Archive(str(_zipped(box, tmp_path / "box.zip") if zipped else box))
    reasons = _greys(archive, count=len(names))
    assert {str(reason).partition(": ")[2] for reason in reasons} == {
        "it lies outside of the archive, and is not read"
    }
    assert _greys(archive, "a moon", 1) == [6]
    assert identity(archive)


def test_bombs_are_not_unpacked(tmp_path, monkeypatch):
    huge = io.BytesIO()
    Image.new("1", (1, 1)).save(huge, "PNG")
    header = bytearray(huge.getvalue())
    header[16:24] = (100_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    names = ("bomb.png", "lies.png", "wide.png")
    table = "file,prompt\n" + "".join(f"{name},a fish\n" for name in names)
    zeros = bytes(3 * 2**20)
    files = {"generations.csv": table, "bomb.png": zeros, "lies.png": zeros, "wide.png": header}
    box = _write(
        tmp_path / "box", {k: v if isinstance(v, str) else bytes(v) for k, v in files.items()}
    )
    file = _zipped(box, tmp_path / "box.zip")
    data = bytearray(file.read_bytes())
    size = len(zeros).to_bytes(4, "little")
    entry = data.rindex(b"lies.png") - 46  # of the central directory, where sizes are read
    assert data[entry + 24 : entry + 28] == size
    data[entry + 24 : entry + 28] = (9).to_bytes(4, "little")
    file.write_bytes(data)
    monkeypatch.setattr(_archive_files, "MAX_BYTES", 2 * 2**20)
    for archive in (Archive(str(file)), Archive(str(box))):
        bomb, lies, wide = _greys(archive, count=3)
        assert bomb == "bomb.png: it has 3 MiB, more than the 2 MiB that are read"
        if archive.source == str(file):
            assert lies == "lies.png: the zip does not give it (Bad CRC-32 for file 'lies.png')"
        assert wide == "wide.png: it has far more than the 80,000,000 pixels that are opened"
