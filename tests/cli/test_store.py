"""The command `workbench store`."""

from __future__ import annotations


def test_store_info_verify_and_gc(run, tmp_path, pictures, monkeypatch):
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    run("attribute", pictures / "one.png", "--prompt", "p", "--gamma", 1)
    assert "generations      2" in run("store", "info").stdout
    assert run("store", "verify").stdout == "good\n"
    png = next((tmp_path / "store" / "pictures").glob("*/*.png"))
    png.write_bytes(b"")
    damaged = run("store", "verify")
    assert damaged.exit_code == 1
    assert "is damaged" in damaged.stdout
    assert run("store", "gc").exit_code == 0
    assert run("store", "verify").stdout == "good\n"
