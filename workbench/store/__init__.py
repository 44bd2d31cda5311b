"""Content-addressed store of pictures, prompts and features.

``store.store`` holds `Store`; ``store.index`` its SQLite index.
"""

from workbench.store.index import StoreError as StoreError
from workbench.store.store import Generation as Generation
from workbench.store.store import Store as Store
from workbench.store.store import versions as versions
