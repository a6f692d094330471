"""Films as strips of frames, sounds that can be played: what a page shows is what is stored, and small."""

import base64
import io
import wave

import numpy as np
import pytest

from tfds_builder.catalog.read import read_manifest
from tfds_builder.contract.directory import Directory
from tfds_builder.site import media
from tfds_builder.site.build import build
from tfds_builder.site.examples import examples_of

Image = pytest.importorskip("PIL.Image")


def played(sound):
    """The samples of an address, from -1 to 1, and how many a second there are."""
    with wave.open(io.BytesIO(base64.b64decode(sound["address"].partition(",")[2]))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767, file.getframerate()


def tone(seconds=1.0, rate=8000, hertz=440.0):
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate) * 0.6


@pytest.mark.parametrize(("stored", "tolerance"), [
    (lambda x: (x * 2**15).astype(np.int16), 1e-4), (lambda x: (x * 2**15).astype(np.int64), 1e-4),
    (lambda x: x.astype(np.float32), 1e-4), (lambda x: (x * 2**7).astype(np.int8), 1e-2),
    (lambda x: (x * 127 + 128).astype(np.uint8), 2e-2), (lambda x: np.stack([x, x], 1).astype(np.float64), 1e-4),
], ids=["int16", "int64", "float32", "int8", "uint8", "stereo"])  # fmt: skip
def test_a_sound_is_played_as_it_is_stored(stored, tolerance):
    """Whatever type samples are stored in, they are heard as loud as they are, at their rate."""
    heard, rate = played(media.sound_of(stored(tone()), 8000))
    assert rate == 8000
    np.testing.assert_allclose(heard, tone(), atol=tolerance)


def test_a_sound_is_cut_and_thinned():
    """Of a long sound of a high rate there is a beginning, thinned: it says how long it is, and a tone stays its tone."""
    found = media.sound_of(tone(20, 48_000).astype(np.float32), 48_000)
    heard, rate = played(found)
    assert (rate, len(heard), found["seconds"], found["of"]) == (
        16_000,
        media.SOUND_BYTES // 2,
        20.0,
        pytest.approx(1.88, abs=0.01),
    )
    spectrum = np.abs(np.fft.rfft(heard))
    assert spectrum.argmax() * rate / len(heard) == pytest.approx(440, abs=2)
    assert media.sound_of(tone(20, 4000), 4000)["of"] == media.SECONDS


@pytest.mark.parametrize("value", [
    np.array([np.nan, np.inf, -np.inf, 0.5]), np.array([1e300, -1e300]), np.zeros(1, np.int16),
    np.array([np.iinfo(np.int64).min, 0]), np.full((3, 2), 5.0),
])  # fmt: skip
def test_hostile_sounds(value):
    """No value makes a page fail: what is not finite is silent, what is too loud is scaled."""
    heard, _ = played(media.sound_of(value, 8000))
    assert np.abs(heard).max() <= 1


@pytest.mark.parametrize(("value", "rate"), [
    (np.zeros(0), 8000), (np.zeros((2, 2, 2)), 8000), (np.zeros(3, bool), 8000), (np.zeros(3), 0), (np.zeros(3), 10**9),
    (np.array([b"x"], object), 8000),
])  # fmt: skip
def test_what_is_no_sound(value, rate):
    """What cannot be played is left out."""
    assert media.sound_of(value, rate) is None


def test_frames():
    """Frames are evenly spaced, the first and the last among them; a short film has all."""
    frames, count = media.frames_of(np.arange(100))
    assert (frames[0], frames[-1], len(frames), count) == (0, 99, media.FRAMES, 100)
    assert media.frames_of([b"a", b"b"]) == ([b"a", b"b"], 2)
    assert media.frames_of([]) == ([], 0)


FILMS = ("video", "frames", "steps")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A dataset a kind of film and of sound: an example's film is as long as 3 plus its number, and as bright as that says."""
    torch = pytest.importorskip("torch")
    import tensorflow_datasets as tfds

    import exporters

    def film(number, length):
        return torch.full((length, 3, 8, 12), 20 * number + 10, dtype=torch.uint8)

    def rows(make):
        return torch.utils.data.DataLoader([make(number) for number in range(6)], batch_size=1)

    data_dir = tmp_path_factory.mktemp("media") / "data"
    image = tfds.features.Image(shape=(8, 12, 3), encoding_format="png")
    steps = tfds.features.Dataset({"image": image, "reward": np.float32})
    sound = tfds.features.Audio(sample_rate=8000, dtype=np.int16, shape=(None,))
    given = {
        "video": ({"film": tfds.features.Video((None, 8, 12, 3), "png")}, lambda i: {"film": film(i, 3 + i)}, {"film": "NTCHW"}),
        "frames": ({}, lambda i: {"film": film(i, 5)}, {"film": "NTCHW"}),
        "steps": (
            {"steps": steps},
            lambda i: {"steps": {"image": film(i, 3 + i), "reward": torch.ones(3 + i)}},
            {"steps/image": "NTCHW"},
        ),
        "sound": (
            {"sound": sound, "label": tfds.features.ClassLabel(names=["low", "high"])},
            lambda i: {"sound": (tone(hertz=220 * (1 + i)) * 2**15).astype(np.int16), "label": i % 2}, {},
        ),
    }  # fmt: skip
    for name, (features, make, layouts) in given.items():
        exporters.export(rows(make), data_dir, name=name, features=features, layouts=layouts, progress=False, on_hazard="ignore")
    return data_dir


def shown(directory, **options):
    return examples_of(Directory.at(directory), read_manifest(directory), **options)


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("name", FILMS)
def test_films(name, data):
    """A film is a strip of its own frames, in order, with how many it has; stored as files or as pixels, in steps or not."""
    found = shown(data / name / "1.0.0")
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["sheet"]["address"].partition(",")[2]))).convert("RGB"))
    assert [film["row"] for film in found["films"]] == list(range(6))
    assert [film["frames"] for film in found["films"]] == [5 if name == "frames" else 3 + row for row in range(6)]
    for film in found["films"]:
        assert len(film["tiles"]) == min(media.FRAMES, film["frames"])
        for tile in film["tiles"]:
            middle = sheet[tile["y"] + tile["top"] + tile["height"] // 2, tile["x"] + tile["left"] + tile["width"] // 2]
            assert np.abs(middle.astype(int) - (20 * film["row"] + 10)).max() <= 3
    assert found["cover"].startswith("data:image/")
    assert shown(data / name / "1.0.0", images=False)["films"] == []


@pytest.mark.needs_tensorflow
def test_sounds(data):
    """Some sounds can be played, each with its class; without images there are none."""
    found = shown(data / "sound" / "1.0.0")
    assert [(sound["row"], sound["label"]) for sound in found["sounds"]] == [
        (0, "low"),
        (1, "high"),
        (2, "low"),
        (3, "high"),
        (4, "low"),
    ]
    for sound in found["sounds"]:
        np.testing.assert_allclose(played(sound)[0], tone(hertz=220 * (1 + sound["row"])), atol=1e-4)
    assert "sound" not in [value["name"] for row in found["rows"] for value in row["values"]]
    assert shown(data / "sound" / "1.0.0", images=False)["sounds"] == []


@pytest.mark.needs_tensorflow
def test_pages(data, tmp_path):
    """The pages have the strips and the players, and the statistics of images within steps."""
    built = build(data, tmp_path / "site")
    assert built.problems == {}
    page = {name: (tmp_path / "site" / name / "1.0.0.html").read_text() for name in (*FILMS, "sound")}
    assert [page[name].count('<div class="film"') for name in FILMS] == [6] * 3
    assert page["sound"].count("<audio controls") == page["sound"].count('src="data:audio/wav;base64,') == 5
    assert "media-src data:" in page["sound"]
    assert "mean 70.6" in page["steps"]
