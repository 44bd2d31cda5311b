"""The page for people without notebooks: what is wrong is told before anything is served."""

from __future__ import annotations

import socket
import sys

import nbformat

from workbench.cli import serve


def test_what_is_missing_or_wrong_is_a_sentence(run, monkeypatch):
    named = run("app", "--preset", "pockt")
    assert (named.exit_code, "no preset named 'pockt'" in named.stderr) == (2, True)
    wrong = run("app", "--port", 0)
    assert wrong.stderr == "workbench: a port lies between 1 and 65535; seen 0\n"
    monkeypatch.setitem(sys.modules, "voila.app", None)
    absent = run("app")
    assert (absent.exit_code, absent.stderr) == (2, f"workbench: {serve.MISSING}\n")


def test_a_taken_port_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < serve.free(port) < port + serve.TRIED


def test_the_page_is_an_introduction_and_the_widget(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    serve.write_notebook(tmp_path / "app.ipynb", "a'b", 3, ["one", "two"])
    book = nbformat.read(tmp_path / "app.ipynb", 4)
    nbformat.validate(book)
    words, code = (cell.source for cell in book.cells)
    assert "The candidates are `one`, `two`." in words
    assert str(tmp_path / "store") in words
    compile(code, "cell", "exec")
    assert code.endswith("""AttributePicture("a'b", seed=3)""")
