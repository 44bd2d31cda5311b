"""The bench of the browser tests itself: it runs cells, asks the kernel, and measures contrast."""

from __future__ import annotations

import pytest

PAGE = """from IPython.display import HTML
total = 1 + 1
HTML('''<p>plain</p><p style="color: #777; background: #666">grey on grey</p>
<p style="color: #fff; background: #000">white on black</p><p style="opacity: .1">faint</p>
<p style="display: none; color: #111">gone</p>''')"""


def test_cells_run_and_unreadable_text_is_found_and_nothing_reaches_the_network(lab):
    notebook = lab.open([PAGE], dark=True)
    notebook.execute("total += 1")
    assert notebook.evaluate("[total, 'é']") == [3, "é"]
    found = notebook.unreadable(".jp-OutputArea-output")
    assert [each.split(":")[0] for each in found] == ["grey on grey", "faint"]

    reach = "fetch('http://192.0.2.1/', {mode: 'no-cors', signal: AbortSignal.timeout(1000)})"
    assert notebook.page.evaluate(f"{reach}.then(() => 'reached', () => 'refused')") == "refused"
    with pytest.raises(AssertionError, match="tests run offline"):
        notebook.execute("import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)")


def test_a_cell_that_fails_fails_the_test(lab):
    with pytest.raises(AssertionError, match="ZeroDivisionError: division by zero"):
        lab.open(["1 / 0"])
