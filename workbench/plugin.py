"""Plug-ins: their repr, options, identity in keys, and fitted arrays."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from workbench.text import brief
from workbench.weights import device
from workbench.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    import numpy as np


class Fitted:
    """Named arrays, read-only copies, and how many pictures they were learned from.

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
            copy = np.array(value, order="C")
            if copy.dtype.hasobject:
                raise ValueError(f"the fitted array {name!r} holds objects, not numbers or text")
            copy.setflags(write=False)
            self.arrays[name] = copy

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
        sha256 = hashlib.sha256(str(self.pictures).encode())
        for name, value in self.arrays.items():
            sha256.update(f"\n{name} {value.dtype.str} {value.shape}\n".encode())
            sha256.update(value.tobytes())
        return sha256.hexdigest()

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
    values = {n: checkpoint.option(n) if value is None else value for n, value in fields.items()}
    return {name: value for name, value in values.items() if value is not None}


def options_of(plugin: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a plug-in by its fields beside `checkpoint`: see `chosen`.

    What neither a field nor the row tells is the default of that name.
    """
    names = [field.name for field in dataclasses.fields(plugin) if field.name != "checkpoint"]
    fields = {name: getattr(plugin, name) for name in names}
    return {**defaults, **call_options(plugin.checkpoint, **fields)}


class Plugin:
    """Give a frozen dataclass its repr: required fields by place, others where not the default.

    A field that holds a plug-in or a checkpoint takes its name too, as the tables print it. One
    that checks more begins its own `__post_init__` with ``super().__post_init__()``.
    """

    def __post_init__(self) -> None:
        """Load what is given by name.

        Raises LookupError for a name that there is not, TypeError for what cannot be held.
        """
        kind: Any = type(self)
        for field, (role, several) in held_fields(kind).items():
            value, optional = getattr(self, field), getattr(kind, field, ...) is None
            label = f"{field} of {kind.__name__}"
            if several and not isinstance(value, (list, tuple)):
                raise TypeError(f"{label} are several, in a tuple; seen {brief(repr(value), 80)}")
            if several:
                held: Any = tuple(_held(each, role, label) for each in value)
            else:
                held = None if value is None and optional else _held(value, role, label)
            object.__setattr__(self, field, held)

    def __repr__(self) -> str:
        """Return the name used in tables, legends and keys; it reads back as the same plug-in."""
        return f"{type(self).__name__}({', '.join(arguments(self))})"


def _held(value: Any, role: str, label: str) -> Any:
    """Return a plug-in, loaded if it is named; a checkpoint where the role is ""."""
    if isinstance(value, str):
        import workbench as wb  # names are the façade's: the catalogue stands above

        return wb.load(value, role) if role else wb.catalogue.checkpoint(value)
    plain = type(value).__module__ == "builtins" and not callable(value)
    fits = not (plain or isinstance(value, type)) if role else isinstance(value, Checkpoint)
    if not fits:
        raise TypeError(
            f"{label} takes, as {role or 'checkpoint'}, one or the name of one, as wb.load takes "
            f"it; seen {brief(repr(value), 80)}"
        )
    return value


@lru_cache(maxsize=256)
def held_fields(kind: Any) -> dict[str, tuple[str, bool]]:
    """Return the fields of a plug-in that hold plug-ins, or a checkpoint.

    Returns:
        field → its role, "" for a checkpoint, and whether it holds a tuple of such.
    """
    held = {}
    for name, hint in field_types(kind).items():
        several = typing.get_origin(hint) is tuple and typing.get_args(hint)[1:] == (...,)
        inner = typing.get_args(hint)[0] if several else hint
        if role := role_of(inner):
            held[name] = role, several
        elif choices(inner) == [Checkpoint]:
            held[name] = "", several
    return held


def field_types(kind: Any) -> dict[str, Any]:
    """Return field → type of a dataclass; None for a type imported for type checkers alone."""
    scope: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        scope |= vars(sys.modules.get(base.__module__, types.SimpleNamespace()))
    hints: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        holder = types.SimpleNamespace(__annotations__={field.name: field.type})
        hints[field.name] = None
        with contextlib.suppress(NameError, AttributeError, TypeError, SyntaxError):
            hints |= typing.get_type_hints(holder, scope)
    return hints


def choices(hint: Any) -> list[Any]:
    """Return the types of a union but None, or the one type that is no union."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    parts = typing.get_args(hint) if union else [hint]
    return [part for part in parts if part is not type(None)]


def role_of(hint: Any) -> str | None:
    """Return the role whose Protocol a field's type is: `Encoder`, or ``Encoder | None``.

    The Protocol of a role stands in the package of its folder.
    """
    kinds = choices(hint)
    if len(kinds) != 1 or not getattr(kinds[0], "_is_protocol", False):
        return None
    package, _, folder = kinds[0].__module__.partition(".")
    return kinds[0].__name__.lower() if package == "workbench" and "." not in folder else None


def arguments(plugin: Any, without: str = "") -> list[str]:
    """Return the fields of a plug-in that differ from the default, as source text."""
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
    """Return an inner plug-in as its catalogue row's quoted name, or its repr where fields differ.

    What differs from the row, or has none, is written by its repr. `catalogue.parse` reads both.
    """
    if isinstance(getattr(plugin, "checkpoint", None), Checkpoint):
        first, *others = arguments(plugin)
        return repr(plugin) if others else first
    return repr(plugin)


def _literal(value: Any) -> str:
    """Return a value as source text for `ast`; a checkpoint as its quoted name."""
    if isinstance(value, Checkpoint):
        return json.dumps(value.name, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def identity(
    plugin: Any, source: Callable[[type], str | None] | None = None
) -> dict[str, Any] | None:
    """Return what a store key names about a plug-in; None when it cannot be cached.

    repr, `revision`, and for each checkpoint inside: weights, options, dtype, device and, on the
    CPU, shape. A plug-in whose answers come from files offers `contents() -> dict`, which replaces
    its repr (a path is no identity); of a hosted one nothing else counts. A class from outside
    `workbench` adds the sha256 of its source, by `source` or as it is read from its file; without
    source, or with a repr that is only an address, it is not cached.
    """
    if isinstance(plugin, Checkpoint):
        return _weights_identity(plugin)
    name = repr(plugin)
    parts: dict[str, Any] = {"revision": getattr(type(plugin), "revision", 0), "repr": name}
    if hasattr(plugin, "contents"):
        parts["repr"] = plugin.contents()
    if type(plugin).__module__.split(".")[0] != "workbench":
        text = (source or source_digest)(type(plugin))
        if text is None or " at 0x" in name:
            return None
        parts["source"] = text
    if getattr(type(plugin), "hosted", False):
        return parts  # how things run here is nothing to a model that runs elsewhere
    for field, value in sorted(getattr(plugin, "__dict__", {}).items()):
        held = value if isinstance(value, tuple) else (value,)
        if held and all(isinstance(part, Checkpoint) or callable(part) for part in held):
            inner = [identity(part, source) for part in held]
            if None in inner:
                return None
            parts[field] = inner if isinstance(value, tuple) else inner[0]
    return parts


def _weights_identity(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the identity of weights: digest, class, options, size, device, dtype, shape."""
    where = device.kind()
    parts: dict[str, Any] = {
        "weights": checkpoint.digest(),
        "class": checkpoint.class_name,
        "options": [list(pair) for pair in checkpoint.options],
        "size": checkpoint.size,
        "device": where,
        "dtype": device.precision(checkpoint),
    }
    if where == "cpu":
        parts["shape"] = [checkpoint.batch, checkpoint.threads]
    return parts


def source_digest(kind: type) -> str | None:
    """Return a sha256 of the source of a class and its bases outside `workbench`; else None."""
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
