"""Ledger of the cost of hosted models, shared by processes and runs, and their budget."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from workbench.paths import user_folder

LEDGER = "spent.sqlite"
MICRO = 1_000_000
"""Money is counted in millionths of a US dollar, so that sums are exact."""


def afford(model: str, count: int, price: int) -> None:
    """Raise PermissionError, with the price, unless WORKBENCH_BUDGET has room for `count` pictures.

    `price` is that of a picture, in millionths of a dollar. What was spent before counts.
    ValueError: WORKBENCH_BUDGET is no number.
    """
    with _opened() as ledger:
        _check(ledger, model, count, price)


def pay(model: str, price: int) -> None:
    """Book a picture before it is asked for; raise what `afford` does where there is no room."""
    with _opened() as ledger:
        _check(ledger, model, 1, price)
        _book(ledger, model, price)


def take_back(model: str, price: int) -> None:
    """Book that a request was refused, and costs nothing."""
    with _opened() as ledger:
        _book(ledger, model, -price)


def correct(model: str, booked: int, cost: int) -> None:
    """Book what a picture cost beside what was booked for it, both in millionths of a dollar."""
    if cost != booked:
        with _opened() as ledger:
            _book(ledger, model, cost - booked)


def _check(ledger: sqlite3.Connection, model: str, count: int, price: int) -> None:
    budget, cost = _budget(), count * price
    ((spent,),) = ledger.execute("SELECT coalesce(sum(micros), 0) FROM spent")
    if budget is not None and spent + cost <= budget:
        return
    what = "1 picture" if count == 1 else f"{count} pictures"
    before = f", and {_dollars(spent)} were spent before" if spent else ""
    seen = "" if budget is None else f" (it is {_dollars(budget)[1:]})"
    raise PermissionError(
        f"{what} of {model} at {_dollars(price)} each cost up to {_dollars(cost)}{before}; set "
        f"WORKBENCH_BUDGET={_dollars(spent + cost)[1:]} to allow it{seen}"
    )


def _book(ledger: sqlite3.Connection, model: str, micros: int) -> None:
    row = (datetime.now(UTC).isoformat(timespec="seconds"), model, micros)
    ledger.execute("INSERT INTO spent VALUES (?, ?, ?)", row)


def _budget() -> int | None:
    """Read WORKBENCH_BUDGET, in millionths of a dollar; None where it is not set."""
    text = os.environ.get("WORKBENCH_BUDGET")
    if not text:
        return None
    try:
        return math.floor(float(text) * MICRO + 0.5)
    except (ValueError, OverflowError):
        raise ValueError(
            f"WORKBENCH_BUDGET is a number of US dollars, such as 5.00; seen {text!r}"
        ) from None


def _dollars(micros: int) -> str:
    """Write millionths of a dollar as dollars, exactly.

    >>> _dollars(160_000), _dollars(5_500), _dollars(12_000_000)
    ('$0.16', '$0.0055', '$12.00')
    """
    whole, rest = divmod(micros, MICRO)
    return f"${whole}.{f'{rest:06d}'.rstrip('0'):0<2}"


@contextmanager
def _opened() -> Iterator[sqlite3.Connection]:
    """Lock the ledger against other processes; after an error nothing is written."""
    file = user_folder() / LEDGER
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        ledger = sqlite3.connect(file, timeout=60, isolation_level=None)
        try:
            ledger.execute("BEGIN IMMEDIATE")
            ledger.execute("CREATE TABLE IF NOT EXISTS spent(at TEXT, model TEXT, micros INTEGER)")
            yield ledger
            ledger.execute("COMMIT")
        finally:
            ledger.close()
    except sqlite3.Error as error:
        raise PermissionError(
            f"what is spent cannot be noted in {file} ({error}); mend the file, or name another "
            "folder with WORKBENCH_CATALOGUE"
        ) from error
