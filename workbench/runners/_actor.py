"""What runs on the machines of a cluster: a process that checks what it is sent, and runs it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from workbench.plugin import identity, source_digest
from workbench.text import brief, first_line

SENT = "sent"
"""The source of a class that came with the work, a notebook's own, in the place of its sha256."""


class Actor:
    """Run the calls of a run's stages, one after the other, and keep their models loaded."""

    def __init__(self) -> None:
        self._name = ""
        self._call: Callable[[list[Any]], Any] = list

    def ready(self) -> None:
        """Answer, once there is a machine."""

    def run(self, name: str, sent: Sequence[Any], inputs: list[Any]) -> Any:
        """Return what the call of a work makes of a batch.

        Args:
            name: of the work. Its call is fetched, and what it runs is checked, when it is new.
            sent: the reference to the call and its plug-ins, alone in a list.
            inputs: of the call.

        Raises:
            LookupError: the weights are missing here, or the code.
            ValueError: what would run here is not what the driver named; see `check`.
        """
        if name != self._name:
            call, plugins = _fetched(sent[0])
            check(plugins, platform.node())
            self._name, self._call = name, call
        return self._call(inputs)


def _fetched(reference: Any) -> Any:
    """Return what the driver sent; LookupError where this machine lacks its code."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RaySystemError as error:
        raise LookupError(
            f"the machine {platform.node()!r} cannot read what it was sent "
            f"({brief(first_line(error), 200)}); install the same version of the workbench and of "
            "its plug-ins there"
        ) from None


def check(plugins: Sequence[tuple[Any, Any]], machine: str) -> None:
    """Compare the identity of each plug-in here with that on the driver's machine.

    Raises:
        ValueError: they differ, in device type, dtype, weights, options or version.
        LookupError: weights are missing.
    """
    for plugin, expected in plugins:
        try:
            seen = identity(plugin, _source)
        except LookupError as error:
            raise LookupError(f"on the machine {machine!r} {error}") from None
        for name, there, here in differences(expected, seen or {}):
            if here == SENT and name == "source":
                continue
            raise ValueError(
                f"the machine {machine!r} cannot take part: {name} of {brief(repr(plugin), 80)} "
                f"is {brief(repr(here), 80)} there, and {brief(repr(there), 80)} where the run was "
                "started; give every machine of the run the same kind of device, weights and "
                "version, or start it on one like them"
            )


def differences(expected: Any, seen: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Return where two identities differ: the name of a part, as expected, as seen.

    >>> list(differences({"a": {"device": "cuda"}, "b": 1}, {"a": {"device": "cpu"}, "b": 1}))
    [('device', 'cuda', 'cpu')]
    """
    if isinstance(expected, Mapping) and isinstance(seen, Mapping):
        for key in {**expected, **seen}:
            yield from differences(expected.get(key), seen.get(key), str(key))
    elif isinstance(expected, list) and isinstance(seen, list) and len(expected) == len(seen):
        for one, other in zip(expected, seen, strict=True):
            yield from differences(one, other, name)
    elif expected != seen:
        yield name, expected, seen


def _source(kind: type) -> str | None:
    """Return the sha256 of a class's source; `SENT` where the class itself came with the work."""
    owner: Any = sys.modules.get(kind.__module__)
    for part in kind.__qualname__.split("."):
        owner = getattr(owner, part, None)
    return source_digest(kind) if owner is kind else SENT
