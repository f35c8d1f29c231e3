"""A video, decoded lazily into segments: which frames are sampled, what they show, and when.

METHOD section 1. Which frames are sampled is arithmetic (`plan_sampling`); decoding them happens in
a child process (`tempo_lab.video.decoder_process`) that is killed when it hangs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import Self

import numpy as np

from tempo_lab.common.errors import VideoError
from tempo_lab.video.decoder_process import DecoderProcess
from tempo_lab.video.decoders.base import VideoInfo, check_source
from tempo_lab.video.resize import Resize

__all__ = ["SamplingPlan", "Segment", "Video", "VideoInfo", "plan_sampling"]

MAX_FPS = 1_000_000
"""Sampled frames per second at most; no camera has more."""


@dataclass(frozen=True, eq=False)
class SamplingPlan:
    """Which frames of a source are sampled.

    Attributes:
        indices: int64 [frame] ascending 0-based source frame numbers; may repeat one.
        total_frames: how many frames the source has.
        source_fps: source frames a second.
        fps: sampled frames a second of the source's length, the clock that prompts are written in.
    """

    indices: np.ndarray
    total_frames: int
    source_fps: float
    fps: float

    def __len__(self) -> int:
        return len(self.indices)


def plan_sampling(
    total_frames: int,
    source_fps: float | None,
    *,
    fps: float = 2.0,
    min_frames: int = 4,
    max_frames: int = 1024,
) -> SamplingPlan:
    """Evenly spread frames, `fps` a second, but `min_frames` to `max_frames` of them.

    As the released code: rounds half to even both times; `max_frames` wins over `min_frames`; a
    single sample of a longer video is its last frame; a source without a frame rate is taken as
    sampled already; an empty source still gives frame 0.

    Args:
        total_frames: frames in the source.
        source_fps: frames a second in the source; None, 0 or less where it is not known.
        fps: samples a second that are wanted.

    Raises:
        VideoError: `fps` is not a positive number, or a frame count is negative or not whole.

    >>> plan_sampling(60, 30.0).indices.tolist()
    [0, 20, 39, 59]
    """
    check_sampling(fps, min_frames, max_frames)
    _check_count("total_frames", total_frames, least=0)
    rate = float(source_fps or 0)
    if not (math.isfinite(rate) and rate > 0):
        rate = float(fps)
    seconds = total_frames / rate
    wanted = min(round(seconds * fps), max_frames)
    count = min(max(wanted, min_frames), max_frames)
    if total_frames <= 1:
        indices = np.zeros(1, dtype=np.int64)
    elif count == 1:
        indices = np.array([total_frames - 1], dtype=np.int64)
    else:
        indices = np.round(np.linspace(0, total_frames - 1, count)).astype(np.int64)
    real_fps = len(indices) / seconds if seconds else float(fps)
    return SamplingPlan(indices, int(total_frames), rate, real_fps)


def check_sampling(fps: float, min_frames: int, max_frames: int) -> None:
    """Refuses settings with which nothing can be sampled.

    Raises:
        VideoError: `fps` is not a positive number, or a frame count is below 1 or not whole.
    """
    if isinstance(fps, bool) or not isinstance(fps, int | float | np.number):
        raise VideoError("fps must be a number", asked=f"fps={fps!r}", fix="fps=2.0")
    if not 0 < fps <= MAX_FPS:
        raise VideoError(
            "fps must be a positive number of frames per second",
            asked=f"fps={fps:.3g}" if abs(fps) < 2**63 else "fps above 2**63",
            found=f"at most {MAX_FPS:,}",
            fix="fps=2.0",
        )
    _check_count("min_frames", min_frames, least=1)
    _check_count("max_frames", max_frames, least=1)


def _check_count(name: str, value: object, *, least: int) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:  # type: ignore[operator]
        raise VideoError(
            f"{name} must be a whole number of at least {least}", asked=f"{name}={value!r}"
        )


@dataclass(frozen=True, eq=False)
class Segment:
    """A few consecutive sampled frames, read together by the compressor.

    Attributes:
        index: 0-based number of the segment.
        frames: uint8 [frame, row, column, rgb].
        positions: int64 [frame] 0-based number of each frame among the sampled ones.
        times: float64 [frame] true presentation times in seconds.
    """

    index: int
    frames: np.ndarray
    positions: np.ndarray
    times: np.ndarray


class Video:
    """A video file, a folder of frames, a .npy array, a GIF or an image, cut into segments.

    Folders and arrays (uint8 [frame, row, column, rgb]) are taken as sampled at `fps` already: all
    their frames are used. Nothing but the plan is held in memory.

    Args:
        source: path of a file or folder.
        fps: sampled frames a second.
        min_frames, max_frames: bounds on the number of sampled frames of a video or GIF.
        window: sampled frames in a segment; the last one may be shorter.
        decoder: "auto" (PyAV), "pyav", "decord" (for files that it reads right; `info.reason` says
            where it does not), or "module:name" of one that the module registers.
        timeout: seconds without progress after which the decoder is taken for hung and killed.
            Opening as a whole may take five times as long, and 3 GiB of memory.
        on_wait: called several times per second while this process waits for the decoder. An
            exception that it raises ends the decoder and reaches the caller unchanged.
        stream: number of a video stream in the file, as ffprobe counts; by default the file's own
            default stream, or else the largest. `info.notes` names the others.

    Raises:
        VideoError: the source cannot be opened, or a setting has no meaning.

    The child process that opened the source decodes the first pass over it; each further pass
    starts a new one. A pass that fails leaves the video usable.
    """

    def __init__(
        self,
        source: str | PathLike[str],
        *,
        fps: float = 2.0,
        min_frames: int = 4,
        max_frames: int = 1024,
        window: int = 8,
        decoder: str = "auto",
        timeout: float = 60.0,
        on_wait: Callable[[], object] | None = None,
        stream: int | None = None,
    ) -> None:
        check_sampling(fps, min_frames, max_frames)
        _check_count("window", window, least=1)
        if not isinstance(decoder, str):
            raise VideoError(
                "a decoder is chosen by its name",
                asked=f"decoder={decoder!r}",
                fix='decoder="auto"',
            )
        if not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
            raise VideoError("timeout must be a positive number of seconds", asked=timeout)
        if stream is not None:
            _check_count("stream", stream, least=0)
        self._path = str(check_source(source))
        number = None if stream is None else int(stream)
        self._start = partial(DecoderProcess, self._path, decoder, timeout, on_wait, number)
        self._waiting: DecoderProcess | None = self._start()
        self._closed = False
        self._opened = info = self._waiting.info
        self.window = int(window)
        if info.kind in ("frames", "array", "image"):
            rate = 1.0 if info.kind == "image" else float(fps)
            everything = np.arange(info.frames, dtype=np.int64)
            self.plan = SamplingPlan(everything, info.frames, rate, rate)
            info = replace(info, fps=rate, duration=info.frames / rate)
        else:
            self.plan = plan_sampling(
                info.frames,
                info.fps,
                fps=fps,
                min_frames=min_frames,
                max_frames=max_frames,
            )
        self.info: VideoInfo = info

    @property
    def is_image(self) -> bool:
        """Whether this is a single picture, which is read without timestamps."""
        return self.info.kind == "image"

    def __len__(self) -> int:
        """The number of segments."""
        return math.ceil(len(self.plan) / self.window)

    def __repr__(self) -> str:
        info = self.info
        return (
            f"Video({info.path!r}: {info.kind}, {info.width}x{info.height}, {info.frames} frames, "
            f"{len(self.plan)} sampled in {len(self)} segments, {info.decoder})"
        )

    @property
    def segment_times(self) -> np.ndarray:
        """float64 [segment, 2] start and end of each segment in seconds of the sampled clock."""
        starts = np.arange(len(self)) * self.window
        ends = np.minimum(starts + self.window, len(self.plan))
        return np.stack([starts, ends], axis=1) / self.plan.fps

    def segments(self, resize: Resize | None = None, start: int = 0) -> Generator[Segment]:
        """Decodes the segments from number `start` on, one after the other.

        The child resizes each frame as soon as it is decoded and works ahead by a bounded amount
        (`tempo_lab.video.decoder_process.PREFETCH_BYTES`). It ends with the iterator.

        Args:
            resize: what a frame becomes before it leaves the child; None keeps its size.
            start: first segment, 0 to `len(video)`.

        Raises:
            VideoError: while iterating: damaged, fewer frames than announced, decoder hung or
                crashed, the file changed since it was opened, or this video was closed.
        """
        if not 0 <= start <= len(self):
            raise VideoError(
                "there is no such segment", asked=f"start={start}", found=f"{len(self)} segments"
            )
        return self._segments(resize, start)

    def _segments(self, resize: Resize | None, start: int) -> Generator[Segment]:
        if start == len(self):
            return
        indices = self.plan.indices[start * self.window :]
        distinct, number = np.unique(indices, return_inverse=True)
        decoded = self._process().frames(distinct.tolist(), resize)
        at, time, frame = -1, math.nan, np.empty(0)
        try:
            for segment in range(start, len(self)):
                first = segment * self.window
                positions = np.arange(first, min(first + self.window, len(self.plan)))
                frames, times = [], []
                for position in positions:
                    # A source slower than `fps` is sampled with repeats, which are decoded once.
                    while at < number[position - start * self.window]:
                        time, frame = next(decoded)
                        at += 1
                    frames.append(frame)
                    times.append(position / self.plan.fps if math.isnan(time) else time)
                yield Segment(segment, _stack(frames, self._path), positions, np.array(times))
        finally:
            decoded.close()

    def _process(self) -> DecoderProcess:
        if self._closed:
            raise VideoError("this video was closed", asked=self._path, fix="open it again")
        process, self._waiting = self._waiting, None
        if process is None:
            process = self._start()
            if process.info != self._opened:
                process.close()
                raise VideoError(
                    "the file changed since it was opened",
                    asked=self._opened,
                    found=process.info,
                    fix="open it again",
                )
        return process

    def close(self) -> None:
        """Ends the waiting child process. Segments can no longer be read."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _stack(frames: list[np.ndarray], path: str) -> np.ndarray:
    shapes = {frame.shape for frame in frames}
    if len(shapes) > 1:
        raise VideoError(
            f"the frames of {path} change their size",
            asked="one size",
            found=sorted(f"{width}x{height}" for height, width, _ in shapes),
            fix="resize them to one size first",
        )
    return np.stack(frames)
