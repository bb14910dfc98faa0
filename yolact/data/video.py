"""Video through PyAV: frames of a file in, frames of an MP4 out.

Only plain container formats are opened, and only local files: playlists, which name other files, are refused. A rotation
that the file asks for is applied in quarter turns, so that frames stand upright.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolact.errors import UserError

FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg"
"""FFmpeg's names of the containers that are read."""
ENCODERS = ("libx264", "libopenh264", "mpeg4")
"""The first that this PyAV carries writes; its own wheels carry the first."""
_TICKS = 60_000
"""Time base of what is written, per second: MPEG-4 allows no more than 65535."""
ENCODER_THREADS = 4
"""Fixed, since x264 cuts a frame into a slice for each thread: by default the file would depend on the machine's cores."""
_ACCESS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}


class VideoError(UserError):
    """A video can't be read, or PyAV is not installed. The message names the file."""


@dataclass(frozen=True)
class Frame:
    """One picture of a video."""

    number: int
    """Counted from 1 in the order shown."""
    time: float
    """Seconds since the video's clock was 0."""
    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB, upright; owns its memory, so that other threads may use it while the decoder goes on."""


class VideoReader:
    """A video file, to be iterated over once. Damaged parts are passed over and told of in `fault`.

    Attributes:
        expected: how many frames the file says it has, or what its length makes likely; None where neither is known.
        rate: frames per second, on average.
        fault: after the last frame, what was wrong with the file; None for a sound one.
    """

    def __init__(self, path: Path, container: Any) -> None:
        self.path = path
        self.fault: str | None = None
        self._container = container
        self._stream = container.streams.video[0]
        self.rate = Fraction(self._stream.average_rate or 25)
        self.seconds = _seconds(container, self._stream)
        self.expected = self._stream.frames or (round(self.seconds * self.rate) if self.seconds else None)

    def __iter__(self) -> Iterator[Frame]:
        number, damaged, last = 0, 0, 0.0
        for picture in self._pictures():
            if picture is None:
                damaged += 1
                continue
            number += 1
            last = float(picture.time) if picture.time is not None else float((number - 1) / self.rate)
            damaged += picture.is_corrupt
            yield Frame(number, last, _upright(picture))
        self.fault = self._explain(number, damaged, last)

    def _pictures(self) -> Iterator[Any]:
        """Decoded frames; None for each packet that could not be decoded."""
        from av import FFmpegError

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except FFmpegError:  # the container itself breaks off
                yield None
                return
            try:
                yield from packet.decode()
            except FFmpegError:
                yield None

    def _explain(self, frames: int, damaged: int, last: float) -> str | None:
        if not frames:
            return f"{self.path}: none of its frames could be decoded; the file is broken, or its codec is unknown here"
        start = float(self._stream.start_time * self._stream.time_base) if self._stream.start_time else 0.0
        ends = last - start + float(1 / self.rate)
        short = self.seconds is not None and ends < self.seconds - max(0.5, 0.02 * self.seconds)
        parts = [f"{damaged} damaged parts were passed over"] if damaged else []
        parts += [f"it breaks off at {ends:.1f} of {self.seconds:.1f} s"] if short else []
        return f"{self.path}: {' and '.join(parts)}; {frames} frames were read" if parts else None


@contextmanager
def open_video(path: Path) -> Iterator[VideoReader]:
    """Open a video file.

    Raises:
        VideoError: PyAV is missing, or the file is not a video of a kind that is read, or holds no picture.
    """
    av = _pyav()
    try:
        container = av.open(str(path.absolute()), options=_ACCESS)
    except av.FFmpegError as error:
        raise VideoError(
            f"{path}: not a video that can be read ({error.strerror}); is it whole, and of a usual format?"
        ) from None
    with container:
        if not container.streams.video:
            raise VideoError(f"{path}: the file holds no video stream; give one that has pictures")
        yield VideoReader(path, container)


class VideoWriter:
    """An MP4 under way; every frame is fitted to the size of the first, rounded up to even sides."""

    def __init__(self, container: Any, rate: Fraction) -> None:
        self._container, self._rate = container, rate
        self._stream: Any = None
        self._converter = _pyav().video.reformatter.VideoReformatter()
        self._last = -1

    def write(self, pixels: NDArray[np.uint8], time: float) -> None:
        """Add (H, W, 3) RGB `pixels`, shown `time` seconds after the start; times that don't grow are moved on."""
        av = _pyav()
        if self._stream is None:
            self._stream = self._open(*pixels.shape[:2])
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = self._converter.reformat(frame, self._stream.width, self._stream.height, self._stream.pix_fmt, threads=1)
        self._last = frame.pts = max(self._last + 1, round(time * _TICKS))
        frame.time_base = Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder holds back."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))

    def _open(self, height: int, width: int) -> Any:
        stream = self._container.add_stream(_encoder(), rate=self._rate)
        stream.height, stream.width = height + height % 2, width + width % 2  # 4:2:0 halves both
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.codec_context.thread_count = ENCODER_THREADS
        return stream


@contextmanager
def create_video(path: Path, rate: Fraction) -> Iterator[VideoWriter]:
    """Write an MP4 to `path`, whatever its suffix; `rate` in frames per second guides the encoder."""
    with _pyav().open(str(path.absolute()), "w", format="mp4", options={"movflags": "faststart"}) as container:
        writer = VideoWriter(container, rate)
        yield writer
        writer.finish()


def _pyav() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise VideoError(f"video needs PyAV ({error}): pip install 'yolact-workbench[video]'") from None
    return av


def _encoder() -> str:
    av = _pyav()
    for name in ENCODERS:
        try:
            av.codec.Codec(name, "w")
        except av.codec.codec.UnknownCodecError:
            continue
        return name
    raise VideoError(f"this PyAV has none of the encoders {', '.join(ENCODERS)}: install PyAV's own wheel")


def _seconds(container: Any, stream: Any) -> float | None:
    """Length of the video stream; the container's length counts only where nothing else can have set it."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration and len(container.streams) == 1 else None


def _upright(picture: Any) -> NDArray[np.uint8]:
    quarter_turns = round(picture.rotation / 90)  # counter-clockwise, as `rot90` counts
    pixels = picture.to_ndarray(format="rgb24", threads=1)  # a view of FFmpeg's memory
    return np.array(np.rot90(pixels, quarter_turns), order="C")
