"""What libraries say is logged at debug, and never reaches the screen."""

from __future__ import annotations

import os
import warnings

import pytest

from workbench import quiet


def test_warnings_are_logged_whatever_the_filters_are(caplog):
    with warnings.catch_warnings(record=True) as seen, caplog.at_level("DEBUG", "workbench.quiet"):
        warnings.simplefilter("error")
        with quiet.warnings_logged():
            warnings.warn("tempered", UserWarning, stacklevel=1)
        with pytest.raises(UserWarning):
            warnings.warn("as before", UserWarning, stacklevel=1)
    assert seen == []
    assert "UserWarning: tempered" in caplog.text


def test_what_c_writes_on_stderr_is_logged_and_python_goes_on(caplog, capfd):
    with caplog.at_level("DEBUG", "workbench.quiet"), quiet.stderr_logged():
        os.write(2, b"a remark of C\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
    assert caplog.messages == ["a remark of C"]


def test_stderr_is_given_back_after_an_error(capfd):
    with pytest.raises(KeyError), quiet.stderr_logged():
        raise KeyError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
