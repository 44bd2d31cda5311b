"""Names and their objects: rows, plug-ins, zoos, presets, and presets settled into settings.

``rows``: tables of checkpoints. ``registry``: name ↔ object. ``presets``: named settings.
``setting``: names → objects, once. ``toml``: the tables on disk. Only ``hub``, ``download`` and
``add`` use a network, and only because a command asked for it.
"""

from workbench.catalogue import presets as presets
from workbench.catalogue import setting as setting
from workbench.catalogue.registry import load as load
from workbench.catalogue.registry import names as names
from workbench.catalogue.registry import parse as parse
from workbench.catalogue.registry import plugin_class as plugin_class
from workbench.catalogue.registry import weights as weights
from workbench.catalogue.registry import zoo as zoo
from workbench.catalogue.registry import zoos as zoos
from workbench.catalogue.rows import ROLES as ROLES
from workbench.catalogue.rows import all_rows as all_rows
from workbench.catalogue.rows import checkpoint as checkpoint
from workbench.catalogue.rows import row_of as row_of
from workbench.catalogue.rows import rows_of as rows_of
