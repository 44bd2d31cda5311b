"""Keys: a digest of fields written before is that of their mapping."""

from __future__ import annotations

import pytest

from workbench import keys


@pytest.mark.parametrize(
    "value",
    [{"plugin": {"z": [1, 2.5, None], "a": "é"}, "picture": "ab", "size": 64}, {}, {"é": 1}],
)
def test_a_digest_of_fields_is_that_of_their_mapping(value):
    fields = {name: keys.canonical(field) for name, field in value.items()}
    assert keys.digest_fields(fields) == keys.digest(value)
