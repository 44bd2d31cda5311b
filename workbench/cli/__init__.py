"""The ``workbench`` command: one noun a file."""

from __future__ import annotations


def main() -> None:
    """Run the command; a signal is answered in a sentence from the first moment on."""
    from workbench.cli import entry

    entry.run()
