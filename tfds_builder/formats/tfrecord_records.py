"""TFRecord framing, checked as the bytes go by: lengths and CRC-32C of every record.

A record is its length (uint64), the masked CRC of those 8 bytes, the data, the masked CRC of the data
(tensorflow/core/lib/io/record_writer.h). Records that follow each other at a known stride are checked
together; the others one by one.
"""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Iterator

import google_crc32c
import numpy as np

from tfds_builder.aliases import Array

HEADER, FOOTER = 12, 4
FRAME = HEADER + FOOTER
"""Bytes of a record around its data: length and CRC before, CRC after."""
_MASK_DELTA = 0xA282EAD8
SMALL_RECORD = 1024
"""Below this many bytes a copy of a record costs less than a NumPy view of it (google_crc32c takes no memoryview)."""
_MAX_FOUND = 100
"""So many bad records of one file are named; whoever has more has no use for a longer list."""


def masked_crc32c(crc: int) -> int:
    """TFRecord's masking of a CRC-32C (tensorflow/tsl/lib/hash/crc32c.h)."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


@functools.lru_cache(maxsize=4096)
def frame_header(length: int) -> bytes:
    """The 12 bytes before the data of a record of that length."""
    size = length.to_bytes(8, "little")
    return size + masked_crc32c(google_crc32c.value(size)).to_bytes(4, "little")


_NOT_THERE = "is not in the file"
_BAD_LENGTH = "has a length whose CRC is wrong, or that is not its own"
_BAD_DATA = "has data whose CRC is wrong"


def damage(data: Array, start: int, stride: int = 0) -> str | None:
    """What is wrong with a record, or None.

    >>> damage(np.frombuffer(frame_header(0) + b"\\xd8\\xea\\x82\\xa3", np.uint8), 0)
    'has data whose CRC is wrong'

    Args:
      data: of the file, uint8.
      start: where the record begins.
      stride: its bytes, if that is known; 0 if not.
    """
    room = len(data) - FRAME
    if not 0 <= start <= room:
        return _NOT_THERE
    head = data[start : start + HEADER].tobytes()
    size = int.from_bytes(head[:8], "little")
    if head != frame_header(size) or size > room - start or (stride and size != stride - FRAME):
        return _BAD_LENGTH
    end = start + HEADER + size
    stored = int.from_bytes(data[end : end + FOOTER].tobytes(), "little")
    return None if masked_crc32c(google_crc32c.value(data[start + HEADER : end])) == stored else _BAD_DATA


def first_damaged(data: Array, starts: Array, stride: int = 0) -> tuple[int, str] | None:
    """`damage` of several records together: the number among them of the first that has any, and what it is.

    Args:
      data: of the file, uint8.
      starts: where the records begin, int64 of shape (n,).
      stride: bytes of each record, if all are of one length; 0 if they are not.
    """
    room = len(data) - FRAME
    outside = np.flatnonzero((starts < 0) | (starts > room))
    if len(outside) or not len(starts):
        return (int(outside[0]), _NOT_THERE) if len(outside) else None
    heads = np.ndarray((len(data) - HEADER + 1,), f"V{HEADER}", data, 0, (1,))[starts]
    sizes = np.ndarray((len(starts),), "<u8", heads, 0, (HEADER,))
    kinds, kind_of = np.unique(sizes, return_inverse=True)
    headers = np.frombuffer(b"".join(frame_header(int(size)) for size in kinds), np.uint8).reshape(-1, HEADER)
    wrong = (heads.view(np.uint8).reshape(-1, HEADER) != headers[kind_of.ravel()]).any(axis=1)
    wrong |= sizes > (room - starts).astype(np.uint64)
    if stride:
        wrong |= sizes != stride - FRAME
    if wrong.any():
        return int(np.argmax(wrong)), _BAD_LENGTH
    first = starts + HEADER
    last = first + sizes.astype(np.int64)
    value = google_crc32c.value
    crcs = np.array([value(data[a:b]) for a, b in zip(first.tolist(), last.tolist(), strict=True)], np.uint32)
    stored = np.ndarray((len(data) - FOOTER + 1,), f"V{FOOTER}", data, 0, (1,))[last].view("<u4")
    wrong = mask_crcs(crcs) != stored
    return (int(np.argmax(wrong)), _BAD_DATA) if wrong.any() else None


def mask_crcs(crcs: Array) -> Array:
    """`masked_crc32c` of several, as they are stored: little-endian uint32."""
    masked: Array = ((crcs >> np.uint32(15)) | (crcs << np.uint32(17))) + np.uint32(_MASK_DELTA)
    return masked.astype("<u4", copy=False)


class Checker:
    """Checks the records of one file, given to `feed` in order and in pieces of any size.

    >>> checker = Checker()
    >>> checker.feed(np.frombuffer(frame_header(0) + b"\\xd8\\xea\\x82\\xa2", np.uint8))
    >>> checker.finish(), checker.problems
    (1, [])

    Args:
      stride: bytes from one record to the next, if all are of one length; 0 if they are not.

    Attributes:
      problems: what is wrong, each with the record's number and where it begins.
    """

    def __init__(self, stride: int = 0) -> None:
        self.problems: list[str] = []
        self._stride = stride
        self._number = self._start = 0
        self._head, self._left, self._crc, self._foot = b"", 0, 0, b""
        self._stopped = False

    def feed(self, data: Array) -> None:
        """Checks the next bytes: uint8, contiguous."""
        position, size = 0, len(data)
        while position < size and not self._stopped:
            if self._head or size - position < HEADER:
                position = self._feed_piece(data, position)
                continue
            before = position
            position += self._check_equal(data[position:]) or self._check_whole(data[position:])
            if position == before:  # a record that is not here to its end
                position = self._feed_piece(data, position)

    def finish(self) -> int:
        """Says that the file ends here; returns the number of records that could be told apart."""
        if not self._stopped and self._head:
            self._report("is cut off")
        return self._number

    @property
    def stopped(self) -> bool:
        """Whether the rest could not be checked: a length cannot be trusted, or too much is wrong."""
        return self._stopped

    def _report(self, message: str, number: int | None = None, start: int | None = None) -> None:
        number, start = (self._number, self._start) if number is None else (number, start)
        self.problems.append(f"record {number} (byte {start}): {message}")
        if len(self.problems) >= _MAX_FOUND and not self._stopped:
            self.problems.append(f"{_MAX_FOUND} bad records so far: the rest was not looked at")
            self._stopped = True

    def _check_equal(self, data: Array) -> int:
        """Checks the whole records at the beginning of the data if they are of one length; returns their bytes."""
        stride, count = self._stride, len(data) // self._stride if self._stride else 0
        size = stride - FRAME
        if count < 2 or size < 0:
            return 0
        records = data[: count * stride].reshape(count, stride)
        header = np.frombuffer(frame_header(size), np.uint8)
        if not (records[:, :HEADER] == header).all():
            return 0  # told apart one by one
        values: Iterator[int]
        if size < SMALL_RECORD:
            pieces = struct.iter_unpack(f"{HEADER}x{size}s{FOOTER}x", records.data)
            values = itertools.starmap(google_crc32c.value, pieces)
        else:
            values = map(google_crc32c.value, records[:, HEADER:-FOOTER])
        crcs = np.fromiter(values, np.uint32, count)
        stored = np.ascontiguousarray(records[:, -FOOTER:]).view("<u4")[:, 0]
        self._compare(crcs, stored, self._start + stride * np.arange(count))
        self._number += count
        self._start += count * stride
        return count * stride

    def _check_whole(self, data: Array) -> int:
        """Checks the whole records at the beginning of the data one by one; returns their bytes."""
        view, size, position = memoryview(data), len(data), 0  # type: ignore[arg-type]  # ndarray is a buffer
        crcs, stored, starts = [], [], []
        while position + HEADER <= size:
            length = int.from_bytes(view[position : position + 8], "little")
            if position + HEADER + length + FOOTER > size or view[position : position + HEADER] != frame_header(length):
                break
            start, end = position + HEADER, position + HEADER + length
            crcs.append(google_crc32c.value(bytes(view[start:end]) if length < SMALL_RECORD else data[start:end]))
            stored.append(int.from_bytes(view[end : end + FOOTER], "little"))
            starts.append(position)
            position = end + FOOTER
        if starts:
            self._compare(np.array(crcs, np.uint32), np.array(stored, np.uint32), self._start + np.array(starts))
            self._number += len(starts)
            self._start += position
        return position

    def _compare(self, crcs: Array, stored: Array, starts: Array) -> None:
        """Reports the records whose CRC is not the one stored."""
        for row in np.flatnonzero(mask_crcs(crcs) != stored).tolist():
            if not self._stopped:
                self._report("the CRC of its data is wrong", self._number + row, int(starts[row]))

    def _feed_piece(self, data: Array, position: int) -> int:
        """Takes the next part of a record that comes in pieces; returns where in the data the part ends."""
        if len(self._head) < HEADER:
            piece = data[position : position + HEADER - len(self._head)].tobytes()
            self._head += piece
            if len(self._head) == HEADER:
                self._left, self._crc, self._foot = int.from_bytes(self._head[:8], "little"), 0, b""
                if self._head != frame_header(self._left):
                    self._report("the CRC of its length is wrong")
                    self._stopped = True
            return position + len(piece)
        if self._left:
            part = data[position : position + self._left]
            self._crc = google_crc32c.extend(self._crc, part)
            self._left -= len(part)
            return position + len(part)
        piece = data[position : position + FOOTER - len(self._foot)].tobytes()
        self._foot += piece
        if len(self._foot) == FOOTER:
            if int.from_bytes(self._foot, "little") != masked_crc32c(self._crc):
                self._report("the CRC of its data is wrong")
            length = int.from_bytes(self._head[:8], "little")
            self._number, self._start, self._head = self._number + 1, self._start + HEADER + length + FOOTER, b""
        return position + len(piece)
