"""The one error of pictures that cannot be opened."""

from __future__ import annotations


class ImageError(ValueError):
    """A picture that cannot be opened; the message is one sentence for the user, without path."""
