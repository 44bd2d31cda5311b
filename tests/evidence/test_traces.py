"""Traces of past compression and of enlarging are observed, at the error rates that are told."""

from __future__ import annotations

import io
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from tests.evidence.making import bytes_of
from tests.evidence.test_watermark import unmarked
from workbench import evidence
from workbench.evidence import quantisation, traces
from workbench.evidence.quantisation import compressed, compressed_twice, tables
from workbench.evidence.resampling import resampled
from workbench.evidence.traces import luminance_in, luminance_of, measured, read_traces
from workbench.paths import data_folder
from workbench.pocket import traces as measuring
from workbench.pocket.traces import decoded, jpeg, leaves, sized

LEAST = measured()["threshold"]


@pytest.fixture(scope="module")
def ours() -> list[Image.Image]:
    """Open the pictures that come with the project, none of which was ever compressed."""
    files = sorted(
        path for name in ("samples", "world") for path in (data_folder() / name).iterdir()
    )
    return [Image.open(path).convert("RGB") for path in files if path.suffix == ".png"]


@pytest.fixture(scope="module")
def large() -> list[Image.Image]:
    return list(leaves("evaluation", 4))


def steps_in(picture: Image.Image) -> tuple[float, int, tuple[int, int]]:
    return compressed(luminance_in(picture))


def twice(data: bytes) -> tuple[float, int]:
    return compressed_twice(*luminance_of(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 98])
def test_tables_are_those_that_libjpeg_writes(ours, quality):
    table = Image.open(io.BytesIO(jpeg(ours[0], quality))).quantization[0]
    np.testing.assert_array_equal(tables()[quantisation.QUALITIES.index(quality)], table)


def test_no_picture_that_was_never_compressed_seems_so(ours):
    assert len(ours) == 112
    plain = [steps_in(picture)[0] for picture in ours]
    larger = [steps_in(picture.resize((150, 150)))[0] for picture in ours[:20]]
    drawn = (each for number, each in enumerate(unmarked(18)) if number % 6)  # no photographs
    patterns = [steps_in(picture)[0] for picture in drawn]
    assert max(*plain, *larger, *patterns) < LEAST["compressed"]


@pytest.mark.parametrize("quality", [50, 75, 90, 97])
@pytest.mark.parametrize("cut", [(0, 0), (3, 0), (5, 7)])
def test_a_picture_that_was_compressed_is_seen_wherever_it_was_cut(ours, quality, cut):
    for picture in ours[::28]:
        left, top = cut
        seen = decoded(jpeg(picture, quality)).crop((left, top, *picture.size))
        strength, guess, place = steps_in(seen)
        assert strength >= LEAST["compressed"]
        assert abs(guess - quality) <= 2
        assert place == (-top % 8, -left % 8)


def test_what_repeats_itself_is_no_trace():
    wave = np.sin(np.arange(320) / 3.7) * 90 + 128
    stripes = np.broadcast_to(wave[:, None], (256, 320, 3)).astype(np.uint8).copy()
    assert steps_in(Image.fromarray(stripes))[0] < LEAST["compressed"]
    assert steps_in(Image.new("RGB", (64, 64), "teal"))[0] == 0
    assert steps_in(Image.new("RGB", (5, 5)))[0] == 0
    assert steps_in(Image.new("RGB", (15, 15)))[0] == 0


def test_a_jpeg_that_was_one_before_is_seen_with_its_quality_and_others_are_not(large):
    for before, now in ((60, 90), (75, 95), (85, 95)):
        for picture in large:
            strength, guess = twice(jpeg(picture, before, now))
            assert strength >= LEAST["twice"]
            assert abs(guess - before) <= 2
            assert max(twice(jpeg(picture, x))[0] for x in (before, now)) < LEAST["twice"]
    assert twice(jpeg(Image.new("RGB", (64, 64), "teal"), 75, 90))[0] == 0
    assert twice(jpeg(Image.new("RGB", (5, 5), "teal"), 75))[0] == 0


def test_a_jpeg_cut_off_its_grid_and_saved_as_a_better_one_is_seen(large):
    for picture in large:
        both, once = jpeg(picture, 75, 98, cut=0), jpeg(picture, 98)
        grey = luminance_of(Image.open(io.BytesIO(both)))[0]
        strength, guess, place = compressed(grey, elsewhere=True)
        assert strength >= LEAST["cropped"]
        assert (guess, place) == (pytest.approx(75, abs=2), (0, 7))
        grey = luminance_of(Image.open(io.BytesIO(once)))[0]
        assert compressed(grey, elsewhere=True)[0] < LEAST["cropped"]


@pytest.mark.parametrize(("factor", "frequency"), [(1.2, 1 / 6), (1.5, 1 / 3), (2.5, 0.4)])
def test_an_enlarged_picture_has_the_period_of_its_factor(large, factor, frequency):
    for picture in large:
        strength, found = resampled(luminance_in(sized(picture, factor, "BICUBIC")))
        assert strength >= LEAST["resampled"]
        twice_it = abs(2 * frequency - round(2 * frequency))  # its first harmonic
        assert min(abs(found - frequency), abs(found - twice_it)) < 0.005
        assert resampled(luminance_in(picture))[0] < LEAST["resampled"]
    assert resampled(luminance_in(large[0].crop((0, 0, 127, 256)))) == (0, 0)
    assert resampled(np.full((200, 200), 7.0))[0] == 0


def test_periods_of_two_four_and_eight_pixels_are_not_looked_for(large):
    for factor in (2, 4):
        enlarged = luminance_in(sized(large[0].crop((0, 0, 128, 128)), factor, "BILINEAR"))
        assert resampled(enlarged)[0] < LEAST["resampled"]


def test_the_rates_that_are_told_are_those_that_can_be_measured_again():
    """Where all or none of the drawings looked so, the first ones do as they did."""
    rows = {(r["trace"], r["case"], r["pictures"]): r for r in measured()["rate"]}
    some = {"drawings": list(islice(measuring.drawings("evaluation"), 3))}
    for case in measuring.CASES:
        row = rows[case.trace, case.text, "all"]
        assert row["present"] == case.present
        assert 0 <= row["low"] <= row["seen"] / row["n"] <= row["high"] <= 1
        if "drawings" not in case.pictures:
            continue
        row = rows[case.trace, case.text, "drawings"]
        if row["seen"] in (0, row["n"]):
            found = measuring.strengths(case, "evaluation", some)["drawings"]
            assert ((found >= LEAST[case.trace]) == bool(row["seen"])).all(), case.text


@pytest.mark.parametrize("name", ["compressed", "cropped", "twice", "resampled"])
def test_a_sentence_holds_the_rates_of_the_file(name):
    told = traces.rates(name)
    for row in measured()["rate"]:
        if row["trace"] == name and row["pictures"] == "all":
            assert f"of {row['n']:,} pictures {row['case']}, {row['seen']:,} looked so (" in told
    false = [r for r in measured()["rate"] if r["trace"] == name and not r["present"]]
    assert max(row["seen"] / row["n"] for row in false if row["pictures"] == "all") < 0.01


def test_inspect_tells_each_trace_as_an_observation(ours, large, tmp_path):
    def told(data: bytes) -> list[str]:
        (tmp_path / "it").write_bytes(data)
        found = [each for each in evidence.inspect(tmp_path / "it") if each.kind == "traces"]
        assert {(each.state, each.source) for each in found} <= {("observed", None)}
        assert all("Measured: of " in each.text for each in found)
        return [each.text for each in found]

    once = decoded(jpeg(ours[0], 75))
    (text,) = told(bytes_of(once))
    assert text.startswith("The pixels look as if compressed as JPEG before, at a quality of about")
    assert "though the file is PNG. Measured" in text
    (text,) = told(bytes_of(once.crop((1, 2, 64, 64)), "BMP"))
    assert "though the file is BMP; its blocks begin at column 7, row 6: cut since. " in text
    (text,) = told(jpeg(large[0], 75, 95))
    assert text.startswith("The coefficients look as those of a JPEG that was one before, of a")
    (text,) = told(bytes_of(sized(large[0], 1.5, "BICUBIC")))
    assert "has a period of 3.00 pixels across and down, as enlarging leaves it" in text
    for data in (bytes_of(ours[0]), jpeg(ours[0], 75), bytes_of(once, "WEBP", quality=90)):
        assert told(data) == []


def test_steps_are_looked_at_before_colours_are_converted(ours):
    once = decoded(jpeg(ours[0], 75))
    assert read_traces(bytes_of(once), ours[0], converted=False) == []
    assert len(read_traces(bytes_of(once), ours[0], converted=True)) == 1


def test_of_a_large_picture_the_middle_is_looked_at_on_the_same_grid(large):
    wide = Image.new("RGB", (2700, 2304), "teal")
    for left in range(0, 2700, 256):
        for top in range(0, 2304, 256):
            wide.paste(large[(left + top) // 256 % 4], (left, top))
    once = decoded(jpeg(wide, 75)).crop((3, 5, 2700, 2304))
    texts = [each.text for each in read_traces(bytes_of(once, "BMP"), once)]
    assert "its blocks begin at column 5, row 3: cut since" in texts[0]


def test_without_the_measured_rates_nothing_is_told(ours, monkeypatch):
    def missing():
        raise FileNotFoundError

    monkeypatch.setattr(traces, "measured", missing)
    (found,) = read_traces(bytes_of(ours[0]), ours[0])
    assert (found.state, found.text) == ("unchecked", traces.MISSING)
