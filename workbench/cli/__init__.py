"""The ``workbench`` command: one noun a file."""
