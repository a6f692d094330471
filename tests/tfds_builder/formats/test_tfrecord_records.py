"""Records of a TFRecord file: counted and checked whatever pieces its bytes come in."""

import google_crc32c
import hypothesis
import hypothesis.strategies as st
import numpy as np

from tfds_builder.formats.tfrecord_records import Checker, frame_header, masked_crc32c


def frame(data):
    return frame_header(len(data)) + data + masked_crc32c(google_crc32c.value(data)).to_bytes(4, "little")


@hypothesis.given(
    st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 3000).map(bytes)), max_size=12), st.integers(1, 5000), st.booleans()
)
def test_records_in_pieces(records, piece, equal):
    """Records of any lengths, given in pieces of any size, are all counted and none is bad; a changed byte is one bad record."""
    if equal and records:
        records = [records[0]] * len(records)
    data = b"".join(map(frame, records))
    stride = len(frame(records[0])) if equal and records else 0

    def check(data):
        checker, array = Checker(stride), np.frombuffer(data, np.uint8)
        for start in range(0, len(data), piece):
            checker.feed(array[start : start + piece])
        return checker.finish(), checker.problems

    assert check(data) == (len(records), [])
    if data:
        place = len(data) * 2 // 3
        assert len(check(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])[1]) == 1
        assert check(data[:-1])[1] == [f"record {len(records) - 1} (byte {len(data) - len(frame(records[-1]))}): is cut off"]


def test_many_bad_records():
    """The list of bad records ends after a hundred, and says that it does."""
    data = (frame(b"x")[:-1] + b"\0") * 500
    checker = Checker()
    checker.feed(np.frombuffer(data, np.uint8))
    assert len(checker.problems) == 101
    assert "the rest was not looked at" in checker.problems[-1]
