"""Float images that are stored as the integers they came from: the table that says which float each integer was.

>>> table = Integers.of("image", "x/255", np.arange(256, dtype=np.float32)[None] / np.float32(255))
>>> table.restore(np.array([[0], [255]], np.uint8)).ravel()
array([0., 1.], dtype=float32)

NumPy is imported when a table is there: a manifest without one needs none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping

from tfds_builder.aliases import Array, DType, Json, JsonObject
from tfds_builder.contract.columns import DTYPE_BYTES
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.shards import File
from tfds_builder.contract.untrusted import expect, expect_field, expect_file_name, expect_natural, show
from tfds_builder.errors import ManifestError

FLOATS = ("float16", "bfloat16", "float32", "float64")
"""The dtypes that images of floats have."""
STORED: Mapping[int, str] = {256: "uint8", 65536: "uint16"}
"""The dtype of the integers, by how many floats a channel has."""
SUFFIX = ".floats"
_MOST_CHANNELS = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Integers:
    """The floats of one feature, by the integers that are stored in their place.

    Attributes:
      name: flat name of the feature.
      rule: how the floats come from the integers, in words: `"x/255"`.
      dtype: of the floats, one of `FLOATS`.
      channels: how many rows the table has: one a channel (the last axis of what is stored), or 1 for all of them.
      levels: how many floats each has: 256, or 65,536.
      data: the floats, little-endian, in C order. Empty where they are in a file, and it has not been read.
    """

    name: str
    rule: str
    dtype: str
    channels: int
    levels: int
    data: bytes = b""

    def __post_init__(self) -> None:
        where = f"integers of {self.name!r:.200}"
        if self.dtype not in FLOATS:
            raise ManifestError(f"{where}: dtype must be one of {', '.join(FLOATS)} (got {show(self.dtype)})")
        if self.levels not in STORED or not 0 < self.channels <= _MOST_CHANNELS:
            raise ManifestError(f"{where}: a table has 256 or 65536 floats a channel (got {self.channels} x {self.levels})")
        if self.data:
            if len(self.data) != self.size:
                raise ManifestError(f"{where}: {len(self.data)} bytes of floats, and {self.size} are needed")
            floats = self.floats.astype("float64")
            if not (abs(floats) < math.inf).all():
                raise ManifestError(f"{where}: a float is NaN or infinite")

    @classmethod
    def of(cls, name: str, rule: str, floats: Array) -> Integers:
        """Of a table, shape (channels, levels)."""
        from tfds_builder.contract.decode import to_numpy_dtype

        (channels, levels), dtype = floats.shape, floats.dtype.name
        data = floats.astype(to_numpy_dtype(dtype)).tobytes()
        return cls(name=name, rule=rule, dtype=dtype, channels=channels, levels=levels, data=data)

    @property
    def size(self) -> int:
        """Bytes of the table."""
        return self.channels * self.levels * DTYPE_BYTES[self.dtype]

    @property
    def numpy_dtype(self) -> DType:
        """The dtype of the floats, little-endian."""
        from tfds_builder.contract.decode import to_numpy_dtype

        return to_numpy_dtype(self.dtype)

    @property
    def stored_dtype(self) -> str:
        """The dtype of the integers."""
        return STORED[self.levels]

    @property
    def floats(self) -> Array:
        """The table, shape (channels, levels); it cannot be written to."""
        import numpy as np

        return np.frombuffer(self.data, self.numpy_dtype).reshape(self.channels, self.levels)

    @property
    def file_name(self) -> str:
        """The file that a large table is published in; empty of one that is in the manifest itself."""
        return f"{self.name.replace('/', '-')}{SUFFIX}" if self.levels > 256 else ""

    @property
    def described(self) -> str:
        """What is stored, in words: `float32 images, stored as the uint8 they came from: x/255`."""
        return f"{self.dtype} images, stored as the {self.stored_dtype} they came from: {self.rule}"

    @property
    def line(self) -> tuple[Array, Array]:
        """Factor and offset of each channel, float64, shape (channels,): its floats are about `integer * factor + offset`."""
        floats = self.floats.astype("float64")
        factor = (floats[:, -1] - floats[:, 0]) / (self.levels - 1)
        return factor, floats[:, 0]

    def restore(self, integers: Array, axis: int = -1) -> Array:
        """The floats of integers, an array of the same shape, C-contiguous.

        Args:
          integers: as they are stored.
          axis: of the channels. It is not looked at where all of them have one table.
        """
        import numpy as np

        floats, out = self.floats, np.empty(integers.shape, self.numpy_dtype)
        if self.channels == 1:
            np.take(floats[0], integers, out=out, mode="clip")
            return out
        if integers.shape[axis] != self.channels:
            raise ManifestError(
                f"integers of {self.name!r:.200}: a table of {self.channels} channels, and what is stored has the shape "
                f"{integers.shape}"
            )
        given, found = np.moveaxis(integers, axis, 0), np.moveaxis(out, axis, 0)
        for channel in range(self.channels):
            found[channel] = np.take(floats[channel], given[channel], mode="clip")
        return out

    def to_json(self, *, whole: bool = False) -> JsonObject:
        """As the manifest has it: the floats as numbers, or, unless it is to be whole, the name of the file they are in."""
        content: JsonObject = {key: getattr(self, key) for key in ("name", "rule", "dtype", "channels", "levels")}
        if self.file_name and not whole:
            return {**content, "file": self.file_name}
        return {**content, "floats": self.floats.astype("float64").tolist()}

    @classmethod
    def from_json(cls, content: Json, where: str) -> Integers:
        """What `to_json` gave, of a manifest nobody vouches for."""
        content = expect(content, dict, where)
        name, rule, dtype = (
            expect(expect_field(content, key, where), str, f"{where} {key}") for key in ("name", "rule", "dtype")
        )
        channels, levels = (expect_natural(expect_field(content, key, where), f"{where} {key}") for key in ("channels", "levels"))
        found = cls(name=name, rule=rule, dtype=dtype, channels=channels, levels=levels)
        if found.file_name and "floats" not in content:
            given = expect_file_name(expect_field(content, "file", where), f"{where} file")
            if given != found.file_name:
                raise ManifestError(f"{where} file must be {found.file_name!r:.200} (got {show(given)})")
            return found
        rows = expect(expect_field(content, "floats", where), list, f"{where} floats")
        if len(rows) != channels or any(len(expect(row, list, f"{where} floats")) != levels for row in rows):
            raise ManifestError(f"{where} floats must be {channels} lists of {levels} numbers")
        import numpy as np

        numbers = [_expect_number(value, where) for row in rows for value in row]
        floats = np.array(numbers, np.float64)
        with np.errstate(over="ignore"):
            exact = floats.astype(found.numpy_dtype)
        if not np.array_equal(exact.astype(np.float64), floats):
            raise ManifestError(f"{where} floats: a number that {dtype} does not hold")
        return dataclasses.replace(found, data=exact.tobytes())

    def loaded(self, directory: Directory, files: Iterable[File]) -> Integers:
        """The same with its floats, which a large table has in a file.

        Args:
          directory: of the version.
          files: what the manifest lists.

        Raises:
          DatasetError: the file is not there, or not what was published.
        """
        if self.data:
            return self
        file = next((file for file in files if file.file == self.file_name), None)
        if file is None:
            raise ManifestError(f"{directory.path_of(self.file_name)} is needed, and the manifest does not list it")
        data = directory.read(self.file_name, self.size)
        if hashlib.sha256(data).hexdigest() != file.sha256 or len(data) != self.size:
            raise ManifestError(f"{directory.path_of(self.file_name)} is not what was published")
        return dataclasses.replace(self, data=data)


def _expect_number(value: object, where: str) -> float:
    number = expect(value, (int, float), f"{where} floats")
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) > 2**53) or not math.isfinite(number):
        raise ManifestError(f"{where} floats must be numbers (got {show(value)})")
    return float(number)
