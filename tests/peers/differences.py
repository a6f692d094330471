"""What comes back otherwise than TFDS's own tests of its features expect it, and why that is right."""

from __future__ import annotations

import dataclasses
import fnmatch


@dataclasses.dataclass(frozen=True)
class Difference:
    """Examples that may come back otherwise.

    Attributes:
      test: pattern of `Class.method`.
      reason: why.
      reader: `export`, `verify`, `tfds.load`, `stock`, `data_source`, `as_torch`, or a pattern of these.
      format: or a pattern.
      text: a part of what is said of the difference.
    """

    test: str
    reason: str
    reader: str = "*"
    format: str = "*"
    text: str = ""

    def covers(self, test: str, format: str, reader: str, text: str) -> bool:
        """Whether a difference that was met is one of these."""
        patterns = ((self.test, test), (self.format, format), (self.reader, reader))
        return all(fnmatch.fnmatchcase(value, pattern) for pattern, value in patterns) and self.text in text


NOT_RUN = {
    "ImageFeatureTest.test_images*": "its pictures are not in the wheel",
    "VideoFeatureTest.test_video_concatenated_frames": "its frames are not in the wheel",
    "VideoFeatureTest.test_video_ffmpeg": "it needs ffmpeg",
    "AudioFeatureTest.test_flac_file*": "it needs ffmpeg",
}
"""Tests of TFDS that need what its wheel, or a machine with Python alone, has not."""

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        test="AudioFeatureTest.test_*file*",
        reader="as_torch",
        text="RIFF",
        reason="with lazy_decode=True the file is stored, and as_torch gives its bytes: what was made of it is TensorFlow's",
    ),
    Difference(
        test="BBoxFeatureTest.test_feature",
        reader="export",
        reason="boxes come in pixels, beside their image, as torchvision has them; TFDS's own BBox is refused, not misread",
    ),
    Difference(
        test="FeatureDictTest.test_fdict*",
        reader="export",
        text="has the key 'metadata/path'",
        reason="a key with a slash would be read as a nested feature",
    ),
    Difference(
        test="FeatureTensorTest.test_bool_flat*",
        reader="export",
        text="says dtype bool, and the data is int64",
        reason="TFDS makes True of 2 without a word; what does not come back as it was given is refused",
    ),
    Difference(
        test="FeatureTensorTest.test_shape_dynamic_none_second*",
        reader="export",
        text="use encoding='bytes'",
        reason="without an encoding, readers find a row of one unknown size only where that is the first; the error has the line",
    ),
    Difference(
        test="TextFeatureTest.test_text_encoded",
        reader="export",
        reason="text encoders are deprecated in TFDS, and make numbers of text that do not come back as text",
    ),
    Difference(
        test="TranslationFeatureTest.test_translation_*encode*",
        reader="export",
        reason="text encoders are deprecated in TFDS, and make numbers of text that do not come back as text",
    ),
)
