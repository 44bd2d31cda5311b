"""Names: of checkpoints, plug-ins and zoos, and the way from a name to its object.

A name is a catalogue row (``pocket-blip``), a plug-in without weights (``natural``, ``ssim``) or
a repr (``Cosine("pocket-clip", layer=4)``), which is read back with `ast`, never evaluated.
The rows lie in ``data/catalogue``: one table per role, one row per checkpoint, and the zoos in
presets.toml; over them lie the user's own (`toml`).
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from workbench.catalogue import toml
from workbench.catalogue.rows import ROLES, checkpoint, folder_of, rows_of, unknown
from workbench.paths import data_folder as data_folder
from workbench.plugin import choices, field_types, role_of
from workbench.text import brief, first_line
from workbench.weights.checkpoint import Checkpoint, resolve_class

MAX_REPR = 200_000
"""Characters that a repr may have; one with the longest known prompt fits."""
MAX_DEPTH = 60
"""How deep its syntax may be nested: some ten plug-ins, each within the other."""


def names(role: str) -> list[str]:
    """Return the names a command accepts for a role: rows, and plug-ins without weights.

    >>> "natural" in names("inverter")
    True
    """
    if role in ("attributor", "experiment"):
        return sorted(_files(folder_of(role)))  # they have no rows: a preset or bench fills them
    encoders = rows_of("encoder") if role == "similarity" else {}
    filled = nested(role) if role == "inverter" else []  # see `inverter`
    return sorted({*rows_of(role), *encoders, *_weightless(role), *filled})


def plugin_class(name: str, role: str) -> Any:
    """Import the plug-in class of a file of a role's folder.

    Raises:
        LookupError: there is no such file; the sentence lists what there is.

    >>> plugin_class("regeneration", "attributor").__name__
    'Regeneration'
    """
    files = _files(folder_of(role))
    if name not in files:
        raise unknown(role, name, files)
    return _class(folder_of(role), name)


def load(name: Any, role: str | None = None, /, **fields: Any) -> Any:
    """Return the plug-in that a name stands for; its weights load on first use.

    Args:
        name: catalogue row, plug-in without weights of its own, or repr; a plug-in is answered as
            it is.
        role: ``generator``, ``inverter``, ``encoder``, ``similarity`` or another of `ROLES`, where
            only one will do. An encoder's row as a similarity is the cosine over it.
        **fields: of the plug-in, where they differ from the default or have none.

    Raises:
        LookupError: there is no such name; the sentence lists what there is.
        ValueError: the repr cannot be read, or has a field its class lacks.

    >>> load("pocket-clip", layer=4)
    OpenClip("pocket-clip", layer=4)
    """
    if not isinstance(name, str):
        return name
    if "(" in name and not fields:
        return _as_role(parse(name), role)
    if role == "similarity" and name in rows_of("encoder"):
        return _make(_class("similarities", "cosine"), [name], fields)
    for kind in [role] if role else ROLES:
        if name in (table := rows_of(kind)):
            return _make(resolve_class(table[name].plugin), [_pinned(name)], fields)
        if name in _weightless(kind) or _is_nested(ROLES[kind], name):
            return _make(_class(ROLES[kind], name), [], fields)
    known = names(role) if role else [n for kind in ROLES for n in names(kind)]
    raise unknown(role or "plug-in", name, known)


def parse(text: str, namespace: Mapping[str, Callable[..., Any]] | None = None) -> Any:
    """Read a repr back into its plug-in: class names, literals and nested calls, nothing else.

    A catalogue name in the first place is the class's checkpoint, or the plug-in made from it,
    which then takes the fields that the class itself lacks.

    Args:
        text: such as ``Cosine("pocket-clip", layer=4)``.
        namespace: further classes by name, those of a notebook for example.

    Raises:
        ValueError: anything else stands in the text.
        LookupError: a class or a catalogue row is unknown.

    >>> parse('Cosine("pocket-clip", layer=4)')
    Cosine("pocket-clip", layer=4)
    """
    shown = brief(repr(text), 200)
    if len(text) > MAX_REPR:
        raise ValueError(f"a repr has at most {MAX_REPR:,} characters; seen {len(text):,}: {shown}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f'{shown} is not a repr such as Blip("pocket-blip")') from error
    if not isinstance(tree, ast.Call):
        raise ValueError(f'{shown} is not a repr such as Blip("pocket-blip")')
    if _depth(tree) > MAX_DEPTH:
        raise ValueError(f"{shown} is nested more than {MAX_DEPTH} deep, which no repr is")
    return _read(tree, namespace or {}, shown)


def _depth(tree: ast.AST) -> int:
    """Return the depth of a syntax tree, found without recursion."""
    depth, level = 0, [tree]
    while level and depth <= MAX_DEPTH:
        level = [inner for node in level for inner in ast.iter_child_nodes(node)]
        depth += 1
    return depth


def zoo(names: str | Iterable[Any] | Mapping[str, Any]) -> dict[str, Any]:
    """Return candidate models by name, at least two.

    Args:
        names: a zoo of presets.toml (``pocket``), several models (``pocket-sd,pocket-ld``), a list
            of names or generators, or a mapping of name to generator.

    Returns:
        name → Generator. A model is named by its row, any other generator by its repr.

    Raises:
        LookupError: a name is unknown.
        ValueError: fewer than two models, or one name twice.

    >>> list(zoo("pocket-sd, pocket-ld"))
    ['pocket-sd', 'pocket-ld']
    """
    if isinstance(names, Mapping):
        pairs = list(names.items())
    else:
        if isinstance(names, str):
            known = zoos()
            parts = commas(names)
            if len(parts) == 1 and parts[0] not in rows_of("generator") and "(" not in names:
                if parts[0] not in known:
                    raise unknown("zoo", parts[0], [*known, *rows_of("generator")])
                parts = known[parts[0]]
            names = parts
        pairs = [
            (model, load(model, "generator")) if isinstance(model, str) else (repr(model), model)
            for model in names
        ]
    seen = [name for name, _ in pairs]
    if len(set(seen)) < len(seen):
        raise ValueError(f"a zoo names each model once; seen {', '.join(seen)}")
    if len(seen) < 2:
        raise ValueError(
            f"a zoo has at least two candidate models; seen {', '.join(seen) or 'none'}"
        )
    return dict(pairs)


def zoos() -> dict[str, list[str]]:
    """Return the named zoos and their models."""
    named = dict(toml.read("presets.toml", data_folder()).get("zoos", {}))
    for name, models in named.items():
        toml.check_type(f"the zoo {name!r} in presets.toml", models, tuple[str, ...])
    return named


def weights(*plugins: Any) -> dict[str, str]:
    """Return name → digest of every checkpoint inside plug-ins, sorted by name.

    Raises:
        LookupError: weights are missing.
    """
    checkpoints = {row.name: row for plugin in plugins for row in _inside(plugin)}
    return {name: checkpoints[name].digest() for name in sorted(checkpoints)}


def _inside(plugin: Any) -> list[Checkpoint]:
    """Return the checkpoints of a plug-in and of its inner plug-ins."""
    if isinstance(plugin, Checkpoint):
        return [plugin]
    if dataclasses.is_dataclass(plugin):
        plugin = [getattr(plugin, field.name) for field in dataclasses.fields(plugin)]
    if not isinstance(plugin, (list, tuple)):
        return []
    return [row for value in plugin for row in _inside(value)]


def _files(folder: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Read the plug-in files of a folder without importing any: stem → (class, needed fields).

    Needed are those without a default. The class is the file's only public dataclass; a file
    without one is no plug-in.
    """
    plugins = {}
    for path in sorted(Path(__file__).parents[1].joinpath(folder).glob("[!_]*.py")):
        try:
            state = path.stat()
        except OSError:
            continue  # removed just now
        if plugin := _declared(path, state.st_mtime_ns, state.st_size):
            plugins[path.stem] = plugin
    return plugins


@cache
def _declared(path: Path, _changed: int, _size: int) -> tuple[str, tuple[str, ...]] | None:
    """Read a file's class and needed fields, None for no plug-in; cached until the file changes."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None  # being written just now: its own import will tell
    classes = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]
    if len(classes) != 1:
        return None
    fields = [node for node in classes[0].body if isinstance(node, ast.AnnAssign)]
    fields = [node for node in fields if "ClassVar" not in ast.unparse(node.annotation)]
    needed = tuple(ast.unparse(node.target) for node in fields if not node.value)
    return classes[0].name, needed


def _class(folder: str, stem: str) -> Any:
    """Import the plug-in class of a file."""
    return getattr(import_module(f"workbench.{folder}.{stem}"), _files(folder)[stem][0])


def _weightless(role: str) -> list[str]:
    """Return the stems of a role's plug-ins whose fields all have defaults."""
    return [stem for stem, (_, needed) in _files(folder_of(role)).items() if not needed]


def nested(role: str) -> list[str]:
    """Return the stems of a role's plug-ins that require nothing but other plug-ins."""
    return [stem for stem in _files(folder_of(role)) if _is_nested(folder_of(role), stem)]


def _is_nested(folder: str, stem: str) -> bool:
    """Return whether a file's plug-in needs other plug-ins and nothing else; imports it."""
    _, needed = _files(folder).get(stem, ("", ()))
    if not needed:
        return False
    hints = field_types(_class(folder, stem))
    return all(role_of(hints.get(name)) for name in needed)


def _as_role(plugin: Any, role: str | None) -> Any:
    """Return a plug-in in its role, an encoder as its cosine; ValueError for another role."""
    home = type(plugin).__module__
    if role == "similarity" and home.startswith("workbench.encoders."):
        return _class("similarities", "cosine")(plugin)
    if role and home.startswith("workbench.") and not home.startswith(f"workbench.{ROLES[role]}."):
        raise ValueError(f"{plugin!r} cannot serve as {role}; there are: {', '.join(names(role))}")
    return plugin


def _pinned(name: str) -> Checkpoint:
    """Return a row to load; raise LookupError for a hub's row without a commit."""
    row = checkpoint(name)
    if row.folder is None:
        row.digest()  # raises where no commit is pinned
    return row


def _read(node: ast.expr, classes: Mapping[str, Any], text: str) -> Any:
    """Return the object of a node of a repr."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        kind = classes.get(node.func.id)
        if kind is None and node.func.id == "fitted":
            raise ValueError(
                "what was fitted cannot be read back from a repr, which names it by a digest: "
                "fit it again, or hand over the plug-in itself"
            )
        if kind is None:
            homes = {
                name: (folder, stem)
                for folder in ROLES.values()
                for stem, (name, _) in _files(folder).items()
            }
            if node.func.id not in homes:
                raise unknown("class", node.func.id, [*classes, *homes])
            kind = _class(*homes[node.func.id])
        if any(k.arg is None for k in node.keywords):
            raise ValueError(f"{text} is not a repr: ** does not stand in one")
        args = [_read(a, classes, text) for a in node.args]
        fields = {str(k.arg): _read(k.value, classes, text) for k in node.keywords}
        return _make(kind, args, fields)
    if isinstance(node, (ast.Tuple, ast.List)):
        values = [_read(element, classes, text) for element in node.elts]
        return tuple(values) if isinstance(node, ast.Tuple) else values
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"{text} is not a repr: {brief(ast.unparse(node), 100)} is neither a literal nor a "
            "plug-in"
        ) from error


def _make(kind: Any, args: list[Any], fields: dict[str, Any]) -> Any:
    """Call a plug-in class, with checkpoints and inner plug-ins looked up by their name."""
    label, fields, args = kind.__name__, dict(fields), list(args)
    known = field_types(kind) if dataclasses.is_dataclass(kind) else {}
    for i, (hint, value) in enumerate(zip(known.values(), args, strict=False)):
        if isinstance(value, str) and Checkpoint in choices(hint):
            args[i] = _pinned(value)
        elif isinstance(value, str) and (role := role_of(hint)):
            inner = {name: fields.pop(name) for name in list(fields) if name not in known}
            args[i] = load(value, role, **inner)
    for name, value in fields.items():
        if isinstance(value, str) and Checkpoint in choices(known.get(name)):
            fields[name] = _pinned(value)
        elif isinstance(value, str) and (role := role_of(known.get(name))):
            fields[name] = load(value, role)
    strange = [name for name in fields if name not in known]
    if strange and dataclasses.is_dataclass(kind):
        raise ValueError(
            f"{label} has no field {strange[0]!r}; it has: {', '.join(known) or 'none'}"
        )
    try:
        return kind(*args, **fields)
    except (TypeError, AttributeError, KeyError, OverflowError) as error:
        raise ValueError(f"{label} cannot be made like this: {first_line(error)}") from error


def commas(text: str) -> list[str]:
    """Split at the commas outside brackets and quotes.

    >>> commas('a, Diffusers("b", steps=2)')
    ['a', 'Diffusers("b", steps=2)']
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        depth += 0 if quote else (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
