"""Frames out of video files of every state of health, and into an MP4."""

import resource
import subprocess
import sys
import textwrap
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.support.folders import moving_square, write_video
from yolact.data import video
from yolact.data.video import VideoError, create_video, open_video

FRAMES, RATE = 20, 5


def read(path):
    with open_video(path) as reader:
        return list(reader), reader


def corner(pixels):
    """Which quarter is white: the builder marks the top left."""
    height, width = pixels.shape[:2]
    bright = {
        (row, column): pixels[y : y + 6, x : x + 6].mean()
        for row, y in (("top", 0), ("bottom", height - 6))
        for column, x in (("left", 0), ("right", width - 6))
    }
    return max(bright, key=bright.__getitem__)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mov", "mpeg4"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "libx264")]
)
def test_every_frame_is_read_in_order(tmp_path, name, codec):
    path = write_video(tmp_path / name, FRAMES, RATE, codec=codec)
    frames, reader = read(path)
    assert reader.fault is None
    assert [frame.number for frame in frames] == list(range(1, FRAMES + 1))
    assert np.diff([frame.time for frame in frames]) == pytest.approx(1 / RATE, abs=2e-3)
    assert reader.rate == RATE
    for frame, drawn in zip(frames, moving_square(FRAMES), strict=True):
        assert frame.pixels.dtype == np.uint8 and frame.pixels.shape == drawn.shape
        assert np.abs(frame.pixels.astype(int) - drawn).mean() < 8


@pytest.mark.parametrize("rotation", [0, 90, 180])
def test_a_frame_owns_its_pixels(tmp_path, rotation):
    """Other threads use them while the decoder goes on; a view would be memory of FFmpeg's."""
    frames, _ = read(write_video(tmp_path / "a.mp4", 3, RATE, rotation=rotation))
    assert all(frame.pixels.flags.owndata and frame.pixels.flags.c_contiguous for frame in frames)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_the_number_of_frames_is_foretold(tmp_path, name):
    assert read(write_video(tmp_path / name, FRAMES, RATE))[1].expected == FRAMES


@pytest.mark.parametrize(
    ("rotation", "expected"),  # counter-clockwise, as the file asks the player for
    [(0, ("top", "left")), (90, ("bottom", "left")), (180, ("bottom", "right")), (270, ("top", "right"))],
)
def test_rotation_is_applied(tmp_path, rotation, expected):
    frames, _ = read(write_video(tmp_path / "a.mp4", 3, RATE, rotation=rotation))
    assert corner(frames[0].pixels) == expected
    assert frames[0].pixels.shape == ((64, 48, 3) if rotation % 180 else (48, 64, 3))


def cut(data, share=0.75):
    return data[: int(len(data) * share)]


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_a_video_that_breaks_off_gives_what_is_there(tmp_path, name):
    whole = write_video(tmp_path / name, FRAMES, RATE, noise=True)
    (tmp_path / "cut").mkdir()
    path = tmp_path / "cut" / name
    path.write_bytes(cut(whole.read_bytes()))
    frames, reader = read(path)
    assert 5 < len(frames) < FRAMES
    if name == "a.mkv":  # a transport stream doesn't say how long it ought to be
        assert "breaks off at" in reader.fault and f"{len(frames)} frames were read" in reader.fault


def test_damage_in_the_middle_is_passed_over_and_told(tmp_path):
    path = write_video(tmp_path / "a.mp4", FRAMES, RATE, noise=True)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + len(data) // 3
    data[start : start + len(data) // 6] = b"\x55" * (len(data) // 6)
    path.write_bytes(data)
    frames, reader = read(path)
    assert 5 < len(frames) <= FRAMES
    assert "damaged" in reader.fault and str(path) in reader.fault


def no_frames(path):
    write_video(path, FRAMES, RATE, noise=True, faststart=True)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])


def sound_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("hello"), "not a video that can be read"),
        (lambda path: path.write_bytes(b""), "not a video that can be read"),
        (lambda path: path.write_text("ffconcat version 1.0\nfile other.mp4\n"), "not a video that can be read"),
        (
            lambda path: path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n"),
            "not a video that can be read",
        ),
        (sound_only, "no video stream"),
    ],
    ids=["text", "empty", "concat list", "playlist", "sound"],
)
def test_what_is_no_video_is_refused(tmp_path, make, message):
    write_video(tmp_path / "other.mp4", 3, RATE)
    write_video(tmp_path / "other.ts", 3, RATE)
    path = tmp_path / "a.mp4"
    make(path)
    with pytest.raises(VideoError, match=rf"a\.mp4: .*{message}"):
        read(path)


def test_a_video_without_frames_says_so(tmp_path):
    no_frames(tmp_path / "a.mp4")
    frames, reader = read(tmp_path / "a.mp4")
    assert not frames and "none of its frames could be decoded" in reader.fault


def test_a_missing_pyav_is_named(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", 3, RATE)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(VideoError, match=r"needs PyAV .*yolact-workbench\[video\]"):
        read(path)


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (1, 1)])
@pytest.mark.parametrize("encoder", ["libx264", "mpeg4"])
def test_what_is_written_can_be_read(tmp_path, monkeypatch, size, encoder):
    monkeypatch.setattr(video, "ENCODERS", ("no such encoder", encoder))
    times = [0.0, 0.2, 0.4, 0.4, 0.3, 1.001]  # the fourth and fifth don't grow, and are moved on
    with create_video(tmp_path / "out", Fraction(5)) as writer:
        for place, time in enumerate(times):
            writer.write(np.full((*size, 3), 40 * place, np.uint8), time)
    frames, _ = read(tmp_path / "out")
    assert len(frames) == len(times)
    assert [frame.time for frame in frames] == pytest.approx([0, 0.2, 0.4, 0.4, 0.4, 1.001], abs=1e-3)
    assert frames[0].pixels.shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    assert [round(frame.pixels.mean() / 40) for frame in frames] == list(range(len(times)))


def test_a_frame_of_another_size_is_fitted_to_the_first(tmp_path):
    with create_video(tmp_path / "out.mp4", Fraction(5)) as writer:
        for place, size in enumerate([(48, 64), (20, 30)]):
            writer.write(np.full((*size, 3), 99, np.uint8), place / 5)
    assert [frame.pixels.shape for frame in read(tmp_path / "out.mp4")[0]] == [(48, 64, 3)] * 2


def test_a_full_disk_is_an_error_of_the_machine(tmp_path):
    """A limit on the file's size stands for the full disk; main.py explains both."""
    code = f"""
        import numpy as np, signal
        from fractions import Fraction
        from pathlib import Path
        from yolact.data.video import create_video
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with create_video(Path({str(tmp_path / "out.mp4")!r}), Fraction(5)) as writer:
                for place in range(50):
                    writer.write(np.random.default_rng(place).integers(0, 256, (96, 96, 3), dtype=np.uint8), place / 5)
        except OSError as error:
            print(error.errno)
    """
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # noqa: E731
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, preexec_fn=limit)
    assert ended.stdout.strip() == "27", ended.stderr  # EFBIG


def test_the_encoder_is_not_set_by_the_machine(tmp_path):
    """x264 writes its settings into the file; by default it takes as many threads, hence slices, as there are cores."""
    with create_video(tmp_path / "a.mp4", Fraction(RATE)) as writer:
        writer.write(np.zeros((320, 64, 3), np.uint8), 0.0)
    settings = (tmp_path / "a.mp4").read_bytes()
    assert f" threads={video.ENCODER_THREADS} ".encode() in settings and b"deterministic" not in settings
