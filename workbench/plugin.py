"""What a plug-in is: its repr is its name, its options, its identity in keys, what it learned."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench.weights import device
from workbench.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    import numpy as np


class Fitted:
    """Hold named arrays, read-only copies, and how many pictures they were learned from.

    Equal, hashed and shown by the sha256 of the names, shapes, dtypes and bytes.

    Args:
        pictures: training pictures behind it, at least 1.
        arrays: name → array of numbers or text; no objects.

    >>> import numpy as np
    >>> found = Fitted(8, {"mean": np.zeros(3), "labels": np.array(["a", "b"])})
    >>> found
    fitted("ce511de6e244", pictures=8)
    >>> found["labels"].tolist(), found == Fitted(8, dict(found.arrays))
    (['a', 'b'], True)
    """

    def __init__(self, pictures: int, arrays: Mapping[str, np.ndarray]) -> None:
        import numpy as np

        if pictures < 1:
            raise ValueError(f"something is learned from at least 1 picture; seen {pictures}")
        self.pictures = pictures
        self.arrays: dict[str, np.ndarray] = {}
        for name, value in sorted(arrays.items()):
            kept = np.array(value, order="C")
            if kept.dtype.hasobject:
                raise ValueError(f"the fitted array {name!r} holds objects, not numbers or text")
            kept.setflags(write=False)
            self.arrays[name] = kept

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one array; LookupError where there is none of that name."""
        if name not in self.arrays:
            raise LookupError(
                f"nothing named {name!r} was fitted; there are: {', '.join(self.arrays)}"
            )
        return self.arrays[name]

    @cached_property
    def digest(self) -> str:
        """The sha256, 64 hex digits, of everything in it."""
        found = hashlib.sha256(str(self.pictures).encode())
        for name, value in self.arrays.items():
            found.update(f"\n{name} {value.dtype.str} {value.shape}\n".encode())
            found.update(value.tobytes())
        return found.hexdigest()

    def __eq__(self, other: object) -> bool:
        """Compare by digest."""
        return isinstance(other, Fitted) and other.digest == self.digest

    def __hash__(self) -> int:
        """Hash the digest."""
        return hash(self.digest)

    def __repr__(self) -> str:
        return f'fitted("{self.digest[:12]}", pictures={self.pictures})'


def call_options(checkpoint: Checkpoint, **fields: Any) -> dict[str, Any]:
    """Return the settings of a call: a field that is not None, else the option of the row.

    What neither tells is left out. Raises ValueError for an option that is no field.

    >>> row = Checkpoint("x", "generator", "", "/weights", options={"guidance": 3.0})
    >>> call_options(row, guidance=None, steps=None), call_options(row, guidance=1.0, steps=4)
    ({'guidance': 3.0}, {'guidance': 1.0, 'steps': 4})
    """
    for name, _ in checkpoint.options:
        if name not in fields:
            known = ", ".join(sorted(fields))
            raise ValueError(f"{checkpoint.name!r} has no option {name!r}; there are: {known}")
    found = {n: checkpoint.option(n) if value is None else value for n, value in fields.items()}
    return {name: value for name, value in found.items() if value is not None}


def options_of(plugin: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a plug-in by its fields beside `checkpoint`: see `chosen`.

    What neither a field nor the row tells is the default of that name.
    """
    names = [each.name for each in dataclasses.fields(plugin) if each.name != "checkpoint"]
    fields = {name: getattr(plugin, name) for name in names}
    return {**defaults, **call_options(plugin.checkpoint, **fields)}


class Plugin:
    """Give a frozen dataclass its repr: required fields by place, others where not the default."""

    def __repr__(self) -> str:
        """Return the name used in tables, legends and keys; it reads back as the same plug-in."""
        return f"{type(self).__name__}({', '.join(arguments(self))})"


def arguments(plugin: Any, without: str = "") -> list[str]:
    """Write the fields of a plug-in, but one, that tell it from its default, as source text."""
    written = []
    for field in dataclasses.fields(plugin):
        value = getattr(plugin, field.name)
        if not field.repr or field.name == without:
            continue
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            written.append(_literal(value))
        elif value != field.default:
            written.append(f"{field.name}={_literal(value)}")
    return written


def short(plugin: Any) -> str:
    """Write an inner plug-in as its catalogue row's quoted name where that says it all.

    What differs from the row, or has none, is written by its repr. `catalogue.parse` reads both.
    """
    if isinstance(getattr(plugin, "checkpoint", None), Checkpoint):
        first, *others = arguments(plugin)
        return repr(plugin) if others else first
    return repr(plugin)


def _literal(value: Any) -> str:
    """Write a value so that `ast` reads it back; a checkpoint as its quoted name."""
    if isinstance(value, Checkpoint):
        return json.dumps(value.name, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def identity(plugin: Any) -> dict[str, Any] | None:
    """Collect what a store key must name about a plug-in; None when it cannot be cached.

    repr, `revision`, and for each checkpoint inside: weights, options, dtype, device and, on the
    CPU, shape. A plug-in whose answers come from files offers `contents() -> dict`, which replaces
    its repr (a path is no identity); of a hosted one nothing else counts. A class from outside
    `workbench` adds the sha256 of its source; without source, or with a repr that is only an
    address, it is not cached.
    """
    if isinstance(plugin, Checkpoint):
        return _weights_identity(plugin)
    name = repr(plugin)
    parts: dict[str, Any] = {"revision": getattr(type(plugin), "revision", 0), "repr": name}
    if hasattr(plugin, "contents"):
        parts["repr"] = plugin.contents()
    if type(plugin).__module__.split(".")[0] != "workbench":
        source = _source(type(plugin))
        if source is None or " at 0x" in name:
            return None
        parts["source"] = source
    if getattr(type(plugin), "hosted", False):
        return parts  # how things run here is nothing to a model that runs elsewhere
    for field, value in sorted(getattr(plugin, "__dict__", {}).items()):
        held = value if isinstance(value, tuple) else (value,)
        if held and all(isinstance(each, Checkpoint) or callable(each) for each in held):
            inner = [identity(each) for each in held]
            if None in inner:
                return None
            parts[field] = inner if isinstance(value, tuple) else inner[0]
    return parts


def _weights_identity(checkpoint: Checkpoint) -> dict[str, Any]:
    """Name weights and how they run."""
    where = device.kind()
    parts: dict[str, Any] = {
        "weights": checkpoint.digest(),
        "class": checkpoint.class_name,
        "options": [list(pair) for pair in checkpoint.options],
        "size": checkpoint.size,
        "device": where,
        "dtype": "float32" if where == "cpu" else checkpoint.dtype,
    }
    if where == "cpu":
        parts["shape"] = [checkpoint.batch, checkpoint.threads]
    return parts


def _source(kind: type) -> str | None:
    """Hash the source of a class and of its bases outside `workbench`; None without source."""
    texts = []
    for cls in kind.__mro__:
        if cls.__module__.split(".")[0] in ("builtins", "typing", "abc", "workbench"):
            continue
        try:
            texts.append(inspect.getsource(cls))
        except (OSError, TypeError):  # a class of a notebook: its methods have source, it has not
            code = [f for f in vars(cls).values() if inspect.isfunction(f)]
            code = [f for f in code if f.__code__.co_filename != "<string>"]
            try:
                texts.extend(inspect.getsource(function) for function in code)
            except (OSError, TypeError):
                return None
            if not code:
                return None
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
