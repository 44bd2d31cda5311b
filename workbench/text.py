"""Text made safe to show: on a terminal, in a table, in one line."""

from __future__ import annotations


def plain(text: str) -> str:
    """Return text with lone surrogates, which UTF-8 cannot encode, written as escapes.

    >>> plain("a \\ud800 b")
    'a \\\\ud800 b'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shown(value: object) -> str:
    """Return text with control, bidirectional and line-break characters written as escapes.

    >>> shown("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))


def brief(value: object, longest: int = 1000) -> str:
    """Return text as `shown`, cut after a number of characters.

    >>> brief("a red star on snow", 10)
    'a red sta…'
    """
    text = shown(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def first_line(error: BaseException) -> str:
    """Return the first line of an error, or the name of its class where it says nothing.

    A KeyError's text comes without the quotes around it.

    >>> first_line(ValueError("too long\\nat line 1")), first_line(MemoryError())
    ('too long', 'MemoryError')
    """
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0]
