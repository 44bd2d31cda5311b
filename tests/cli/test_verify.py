"""``workbench verify``: what it prints where, and its exit codes."""

from __future__ import annotations

import json

ASKED = ("--model", "tiny-sd", "--n", "3")


def test_it_prints_a_finding_both_p_values_a_ratio_and_what_is_not_proven(run, pictures):
    done = run("verify", pictures / "one.png", *ASKED)
    assert done.exit_code == 0
    told = " ".join(done.stdout.split())
    assert "one.png" in told
    assert 'p of "tiny-sd made it" ' in told
    assert ', of "another did" ' in told
    assert "likelihood ratio " in told
    assert "This does not prove that tiny-sd made it, nor that it did not." in told
    assert "tiny-sd against tiny-ld alone" in told


def test_it_prints_one_object_a_line(run, pictures):
    done = run("verify", pictures, *ASKED, "--json", "--score", "mahalanobis")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert len(records) == 3
    assert {record["compared_by"] for record in records} == {"mahalanobis"}
    assert all(0.25 <= record["p_made"] <= 1 for record in records)  # of three prompts


def test_a_picture_that_failed_ends_with_1_and_what_makes_no_sense_with_2(run, pictures):
    lost = run("verify", pictures / "missing.png", pictures / "one.png", *ASKED)
    assert lost.exit_code == 1
    assert "there is no such file" in lost.stderr
    assert "one.png" in lost.stdout
    for words in (("--model", "nope"), (*ASKED, "--score", "best"), (*ASKED, "--alpha", "2")):
        refused = run("verify", pictures / "one.png", *words)
        assert refused.exit_code == 2
        assert refused.stderr.startswith("workbench: ")


def test_a_reference_draws_nothing(run, pictures, tmp_path):
    from PIL import Image

    for number in range(8):
        Image.new("RGB", (32, 32), (30 * number, 100, 20)).save(tmp_path / f"{number}.png")
    done = run("verify", pictures / "one.png", "--model", "mine", "--reference", tmp_path)
    assert done.exit_code == 0
    assert 'p of "mine made it" ' in done.stdout
    assert "ratio" not in done.stdout
