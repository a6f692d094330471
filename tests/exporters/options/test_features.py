"""What is said about features is by their names."""

import pytest

from exporters.errors import ArgumentError
from exporters.options.features import Options


@pytest.mark.parametrize("value", ["image", ["image"], 3])
@pytest.mark.parametrize("key", ["features", "layouts", "unpad"])
def test_no_mapping(key, value):
    """What is no mapping is refused by the name of the argument, with what came."""
    with pytest.raises(ArgumentError) as caught:
        Options(**{key: value})
    assert f"{key}= must be a mapping" in str(caught.value)
    assert repr(value) in str(caught.value)
