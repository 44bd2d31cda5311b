"""Names that people read: a plug-in's repr in the words of a figure, a table or a report."""

from __future__ import annotations

import ast
import re

from workbench.catalogue.rows import rows_of

WORDS = {
    "NegativeMSE": "MSE",
    "Pez": "PEZ",
    "ReferenceBank": "reference bank",
    "Regeneration": "regeneration",
}
"""Classes that are called otherwise in the field."""
ENCODERS = ("OpenClip", "Timm", "Transformers", "Cosine", "Hybrid")
"""Classes that are not told beside what they stand for: an encoder, or several similarities."""
CAPTIONERS = ("Blip", "Captioner", "Chat")
"""Classes that are not told beside the checkpoint they load."""
LETTERS = {"clip": "CLIP", "blip": "BLIP", "blip2": "BLIP-2", "git": "GIT", "vit": "ViT"}


def readable(name: object) -> str:
    """Return a plug-in's repr in words; any other name as it is.

    It names what differs from the default, and two reprs that differ read differently. It cannot
    be read back: where that matters, as in a CSV, the repr stands.

    >>> readable('Cosine("pocket-clip", layer=1, pooling="mean")'), readable('Blip("pocket-blip")')
    ('CLIP, layer 1, mean', 'BLIP')
    >>> readable("JPEG()"), readable('PGD(OpenClip("pocket-clip", layer=2))'), readable("pocket-sd")
    ('JPEG', 'PGD, CLIP, layer 2', 'pocket-sd')
    """
    text = str(name)
    if not re.match(r"[A-Za-z]\w*\(", text):
        return text
    try:
        tree = ast.parse(text, mode="eval").body
        return _words(tree) if isinstance(tree, ast.Call) else text
    except (SyntaxError, ValueError, RecursionError):
        return text


def in_words(text: str) -> str:
    """Return a sentence with every repr of a plug-in in it in words.

    >>> in_words('By Cosine("pocket-clip", layer=1) (n = 8) 83.2 % are right.')
    'By CLIP, layer 1 (n = 8) 83.2 % are right.'
    """
    return re.sub(r"\b[A-Z]\w*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", _match, text)


def _match(call: re.Match[str]) -> str:
    return readable(call[0])


def _words(node: ast.expr) -> str:
    """Return a node of a repr in words."""
    if isinstance(node, ast.Call):
        return _call(node)
    if isinstance(node, (ast.Tuple, ast.List)):
        return " + ".join(map(_words, node.elts))
    value = ast.literal_eval(node)
    return _checkpoint(value) if isinstance(value, str) else str(value)


def _call(node: ast.Call) -> str:
    """Return a plug-in in words: what it is, then what it works with and its fields."""
    kind = ast.unparse(node.func)
    first = [_words(each) for each in node.args]
    fields = [_field(each.arg or "", each.value) for each in node.keywords]
    if first and kind in (*ENCODERS, *CAPTIONERS):
        return ", ".join([*first, *fields])
    between = "; " if any("," in each for each in first) and len(first) > 1 else ", "
    parts = between.join([*first, *fields])
    word = WORDS.get(kind, kind)
    if not parts:
        return word
    return f"{word}: {parts}" if between == "; " else f"{word}, {parts}"


def _field(name: str, node: ast.expr) -> str:
    """Return a field in words; those whose value says what they are go without their name."""
    value = _words(node)
    if name in ("aggregate", "pooling", "intensity"):
        return value
    return f"{'γ' if name == 'gamma' else name.replace('_', ' ')} {value}"


def _checkpoint(name: str) -> str:
    """Return a checkpoint of an encoder or an inverter in words; any other name as it is.

    The row of the pocket zoo is told by its kind alone, the others with their size too.
    """
    row = rows_of("encoder").get(name) or rows_of("inverter").get(name)
    if row is None:
        return name
    plain = name.removeprefix("pocket-")
    family = row.family
    if family and plain.startswith(family.lower()):
        rest = plain[len(family) :].strip("-")
    else:
        family, _, rest = plain.partition("-")
        family = LETTERS.get(family, family)
    rest = re.sub(r"^vit-([a-z])-", lambda size: f"ViT-{size[1].upper()}/", rest)
    return f"{family} {rest}".strip() if family in LETTERS.values() or row.family else name
