"""Would an HDF5 library find in a shard what the manifest says is there? Asked without an HDF5 library.

Only the few structures that an exporter writes are known here, and every one of them is checked
against the length of the file before it is read: a file from a stranger is not given to a C library
to find out what it is. Links out of the file, external data, filters and layouts other than one run of
bytes are refused.

Source of the layout: the HDF5 file format specification, version 3.0
(https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html), sections II.A, III.A.1, III.G and IV.A.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from tfds_builder.contract.columns import DTYPE_BYTES, STRINGS, Column, Geometry
from tfds_builder.contract.untrusted import show
from tfds_builder.errors import DamagedFileError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NOWHERE, _WORD = 2**64 - 1, 2**32 - 1
_MAX_BLOCK = 256 * 1024 * 1024
_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL, _LAYOUT, _FILTERS, _CONTINUATION = 1, 2, 3, 6, 7, 8, 11, 16
_INTEGER, _FLOAT, _COMPOUND, _ENUM = 0, 1, 6, 8
_IEEE = {2: (0, 16, 10, 5, 0, 10, 15), 4: (0, 32, 23, 8, 0, 23, 127), 8: (0, 64, 52, 11, 0, 52, 1023)}
"""Bit offset, precision, places and sizes of exponent and mantissa, bias: by bytes of a float."""


def check_structure(stream: BinaryIO, columns: Sequence[Column], geometry: Geometry, rows: int) -> None:
    """Raises DamagedFileError unless an HDF5 shard has the columns of a manifest where its byte table has them.

    Args:
      stream: the shard, open for reading.
      columns: what it holds.
      geometry: where.
      rows: how many rows.
    """
    try:
        reader = _Reader(stream)
        shapes = reader.check(dict(_expect(columns, geometry, rows)))
        for column, *splits in zip(columns, geometry.row_splits, geometry.string_splits, strict=True):
            if column.is_variable:
                _check_bounds(reader, column, rows, shapes, *splits)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise DamagedFileError(f"is not laid out as HDF5: {error}") from error


def _expect(columns: Sequence[Column], geometry: Geometry, rows: int) -> Iterator[tuple[str, tuple[str, tuple[int, ...], int]]]:
    """Name, and (dtype, shape, where it begins), of every dataset of a shard. What has no bytes is nowhere."""
    places = zip(geometry.offsets, geometry.row_splits, geometry.string_splits, strict=True)
    for column, (offset, splits, strings) in zip(columns, places, strict=True):
        if column.is_ragged:
            yield f"{column.name}/row_splits", ("int64", (rows + 1,), splits)
            if column.encoding == STRINGS:
                yield f"{column.name}/values", ("uint8", (-1,), offset)
                yield f"{column.name}/string_splits", ("int64", (-1,), strings)
            else:
                yield f"{column.name}/values", (column.dtype, (-1, *column.item_shape), offset)
        elif column.encoding == STRINGS:
            yield f"{column.name}/values", ("uint8", (-1,), offset)
            yield f"{column.name}/row_splits", ("int64", (rows * column.values + 1,), splits)
        else:
            yield column.name, (column.dtype, (rows, *column.item_shape), offset)


def _check_bounds(
    reader: _Reader, column: Column, rows: int, shapes: Mapping[str, tuple[int, ...]], splits: int, strings: int
) -> None:
    """Raises DamagedFileError unless the bounds of a variable column go from 0 to the end of what they bound."""
    length = shapes[f"{column.name}/values"][0]
    if column.encoding != STRINGS:
        reader.check_splits(column.name, splits, rows, length)
    elif not column.is_ragged:
        reader.check_splits(column.name, splits, rows * column.values, length)
    else:
        items, rest = divmod(shapes[f"{column.name}/string_splits"][0] - 1, column.values)
        if rest or items < 0:
            raise DamagedFileError(f"column {show(column.name)} has an incomplete item")
        reader.check_splits(column.name, splits, rows, items)
        reader.check_splits(column.name, strings, items * column.values, length)


class _Reader:
    """Walks the groups of an HDF5 file."""

    def __init__(self, stream: BinaryIO) -> None:
        self._file, self._size = stream, stream.seek(0, os.SEEK_END)
        self._read_bytes = 0

    def check(self, expected: Mapping[str, tuple[str, tuple[int, ...], int]]) -> dict[str, tuple[int, ...]]:
        """Raises DamagedFileError unless the file has these datasets and no other; returns their shapes."""
        found = dict(self._walk(self._root(), "", set()))
        for name in sorted({*expected, *found}):
            if name not in found:
                raise DamagedFileError(f"has no dataset {show(name)}")
            if name not in expected:
                raise DamagedFileError(f"has a dataset {show(name)} that is no column")
            self._check_dataset(name, found[name], *expected[name])
        return {name: _parse_shape(kinds[_DATASPACE]) for name, kinds in found.items()}

    def check_splits(self, name: str, place: int, count: int, length: int) -> None:
        """Raises DamagedFileError unless so many bounds, and one more, go from 0 to a length."""
        first, last = (struct.unpack("<q", self._at(place + 8 * number, 8))[0] for number in (0, count))
        if (first, last) != (0, length):
            raise DamagedFileError(f"column {show(name)} has bounds from {first} to {last} in {length}")

    def _at(self, start: int, count: int) -> bytes:
        """Bytes of the file. All that is asked for together is bounded: a file cannot send us round in circles."""
        self._read_bytes += count
        if not 0 <= start <= start + count <= self._size or self._read_bytes > _MAX_BLOCK:
            raise DamagedFileError(f"points to bytes {start} to {start + count} of {self._size}")
        self._file.seek(start)
        return self._file.read(count)

    def _root(self) -> int:
        block = self._at(0, 48)
        if block[:8] != _SIGNATURE or block[8] not in (2, 3) or block[9:11] != b"\x08\x08":
            raise DamagedFileError("does not begin as HDF5 1.8 files do")
        base, _, end, root, checksum = struct.unpack("<QQQQI", block[12:48])
        if base or end != self._size or checksum != _lookup3(block[:44]):
            raise DamagedFileError("has a damaged superblock")
        return int(root)

    def _messages(self, address: int) -> list[tuple[int, bytes]]:
        """The messages of an object, each with its type."""
        head = self._at(address, 6)
        if head[:5] != b"OHDR\2":
            raise DamagedFileError(f"has no object at byte {address}")
        flags = head[5]
        start = 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(self._at(address + start, width), "little")
        chunks = [(address, start + width, start + width + size + 4)]
        messages: list[tuple[int, bytes]] = []
        for begin, skip, length in chunks:  # grows as continuations are found; _at bounds it
            block = self._at(begin, length)
            if struct.unpack("<I", block[-4:])[0] != _lookup3(block[:-4]):
                raise DamagedFileError(f"has a damaged header at byte {begin}")
            position, end = skip, length - 4
            while position + 4 <= end:
                kind, size, _ = struct.unpack_from("<BHB", block, position)
                position += 6 if flags & 4 else 4
                body = block[position : position + size]
                if position + size > end:
                    raise DamagedFileError(f"has a damaged header at byte {begin}")
                position += size
                if kind == _CONTINUATION:
                    chunk, count = struct.unpack("<QQ", body)
                    if self._at(chunk, 4) != b"OCHK" or count < 8:
                        raise DamagedFileError(f"has a damaged header at byte {chunk}")
                    chunks.append((chunk, 4, count))
                else:
                    messages.append((kind, body))
        return messages

    def _walk(self, address: int, prefix: str, above: set[int]) -> Iterator[tuple[str, dict[int, bytes]]]:
        """Every dataset below a group, with its messages by type."""
        if address in above or len(above) > 100:
            raise DamagedFileError(f"has a group {show(prefix)} inside itself")
        messages = self._messages(address)
        kinds = dict(messages)
        if _LAYOUT in kinds or _DATASPACE in kinds:
            yield prefix.rstrip("/"), kinds
            return
        names = set()
        for name, target in self._links(messages, kinds):
            if name in names or "/" in name:
                raise DamagedFileError(f"has two links {show(name)} in one group")
            names.add(name)
            yield from self._walk(target, f"{prefix}{name}/", above | {address})

    def _links(self, messages: Sequence[tuple[int, bytes]], kinds: Mapping[int, bytes]) -> Iterator[tuple[str, int]]:
        """Name and target of every link of a group: in its messages if there are few, in a heap otherwise."""
        yield from (_parse_link(body, 0)[:2] for kind, body in messages if kind == _LINK)
        info = kinds.get(_LINK_INFO)
        if info is None:
            raise DamagedFileError("has an object that is neither group nor dataset")
        heap = struct.unpack_from("<Q", info, 10 if info[1] & 1 else 2)[0]
        if heap != _NOWHERE:
            yield from self._heap_links(heap)

    def _heap_links(self, address: int) -> Iterator[tuple[str, int]]:
        """The links in a fractal heap, which lie end to end in its blocks because none was ever removed."""
        head = self._at(address, 146)
        if head[:5] != b"FRHP\0" or struct.unpack("<I", head[142:146])[0] != _lookup3(head[:142]) or head[7:9] != b"\0\0":
            raise DamagedFileError(f"has a damaged heap at byte {address}")
        count = struct.unpack_from("<Q", head, 70)[0]
        width, start, largest, bits, _, root, rows = struct.unpack_from("<HQQHHQH", head, 110)
        offset_bytes, checksummed = (bits + 7) // 8, bool(head[9] & 2)
        blocks = [(root, start)] if not rows else self._heap_blocks(root, rows, width, start, largest, offset_bytes)
        found = 0
        for place, size in blocks:
            block = self._at(place, size)
            position = 13 + offset_bytes + (4 if checksummed else 0)
            if block[:5] != b"FHDB\0":
                raise DamagedFileError(f"has a damaged heap at byte {place}")
            while position < size and block[position]:
                name, target, position = _parse_link(block, position)
                found += 1
                yield name, target
        if found != count:
            raise DamagedFileError(f"has {found} links in a heap that says it has {count}")

    def _heap_blocks(
        self, address: int, rows: int, width: int, start: int, largest: int, offset_bytes: int
    ) -> Iterator[tuple[int, int]]:
        """Place and size of every direct block under an indirect block: two rows of the first size, then twice it a row."""
        if not 0 < start <= largest <= _MAX_BLOCK or rows > 64 or width > 1024:
            raise DamagedFileError(f"has a damaged heap at byte {address}")
        head = 13 + offset_bytes
        block = self._at(address, head + 8 * rows * width)
        if block[:5] != b"FHIB\0":
            raise DamagedFileError(f"has a damaged heap at byte {address}")
        first_indirect = (largest // start).bit_length() + 1
        for number, (child,) in enumerate(struct.iter_unpack("<Q", block[head:])):
            row = number // width
            size = start << max(0, row - 1)
            if child == _NOWHERE:
                continue
            if row < first_indirect:
                yield child, size
            else:
                below = (size // (start * width)).bit_length()
                yield from self._heap_blocks(child, below, width, start, largest, offset_bytes)

    def _check_dataset(self, name: str, kinds: Mapping[int, bytes], dtype: str, shape: tuple[int, ...], offset: int) -> None:
        """Raises DamagedFileError unless a dataset has that dtype and shape and is one run of bytes from `offset` on."""
        where = f"dataset {show(name)}"
        if _FILTERS in kinds or _EXTERNAL in kinds:
            raise DamagedFileError(f"{where} is filtered, or lies in another file")
        for kind in (_DATASPACE, _DATATYPE, _LAYOUT):
            if kind not in kinds:
                raise DamagedFileError(f"{where} has no shape, dtype or place")
        found = _parse_shape(kinds[_DATASPACE])
        if found != shape and not (shape[:1] == (-1,) and len(found) == len(shape) and found[1:] == shape[1:]):
            raise DamagedFileError(f"{where} has shape {show(found)}, the manifest says {show(shape)}")
        _check_dtype(kinds[_DATATYPE], dtype, where)
        size = DTYPE_BYTES[dtype]
        for axis in found:
            size *= axis
        layout = kinds[_LAYOUT]
        if layout[0] not in (3, 4) or layout[1] != 1:
            raise DamagedFileError(f"{where} is not one run of bytes")
        place, room = struct.unpack_from("<QQ", layout, 2)
        if room != size or (size and (place != offset or place + size > self._size)):
            raise DamagedFileError(f"{where} has {room} bytes from byte {place} on, the manifest says {size} from {offset} on")


def _parse_link(block: bytes, position: int) -> tuple[str, int, int]:
    """Name and target of a hard link, and where it ends."""
    version, flags = block[position], block[position + 1]
    position += 2
    kind = 0
    if flags & 8:
        kind, position = block[position], position + 1
    position += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    length = int.from_bytes(block[position : position + width], "little")
    position += width
    name = block[position : position + length].decode()
    if version != 1 or kind:
        raise DamagedFileError(f"has a link {show(name)} that is not to an object of its own")
    (target,) = struct.unpack_from("<Q", block, position + length)
    return name, target, position + length + 8


def _parse_shape(body: bytes) -> tuple[int, ...]:
    version, rank, _, kind = body[:4]
    if version != 2 or (kind != 1 and rank):
        raise DamagedFileError("has a dataset without a shape")
    shape: tuple[int, ...] = struct.unpack_from(f"<{rank}Q", body, 4)
    return shape


def _check_dtype(body: bytes, dtype: str, where: str) -> None:
    """Raises DamagedFileError unless a datatype message is that of a little-endian dtype."""
    kind, order, sign_place, size = body[0] & 15, body[1] & 0x41, body[2], struct.unpack_from("<I", body, 4)[0]
    wanted = _FLOAT if dtype.startswith("float") else _COMPOUND if dtype.startswith("complex") else _INTEGER
    wanted = _ENUM if dtype == "bool" else wanted
    good = kind == wanted and size == DTYPE_BYTES[dtype]
    if kind == _INTEGER:
        signed = bool(body[1] & 8)
        good = good and not order and signed == dtype.startswith("int") and struct.unpack_from("<HH", body, 8) == (0, 8 * size)
    elif kind == _FLOAT:
        good = good and not order and sign_place == 8 * size - 1
        good = good and struct.unpack_from("<HHBBBBI", body, 8) == _IEEE.get(size)
    if not good:
        raise DamagedFileError(f"{where} is not of dtype {dtype}")


def _lookup3(data: bytes) -> int:
    """The checksum of HDF5's metadata (Bob Jenkins, lookup3.c, hashlittle; public domain)."""
    a = b = c = (0xDEADBEEF + len(data)) & _WORD
    size = max(1, -(-len(data) // 12)) * 3
    words = struct.unpack(f"<{size}I", data.ljust(4 * size, b"\0"))
    for i in range(0, size, 3):
        a, b, c = (a + words[i]) & _WORD, (b + words[i + 1]) & _WORD, (c + words[i + 2]) & _WORD
        if i + 3 < size:
            for bits in (4, 6, 8, 16, 19, 4):  # the same step six times, on names that turn round
                a, b, c = b, (c + b) & _WORD, ((a - c) & _WORD) ^ _rotate(c, bits)
    for bits in (14, 11, 25, 16, 4, 14, 24):
        a, b, c = b, ((c ^ b) - _rotate(b, bits)) & _WORD, a
    return b


def _rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _WORD
