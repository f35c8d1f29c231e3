"""A video, decoded lazily into segments of sampled frames (docs/method.md section 1).

`plan_sampling` chooses the frames. A child process (`tempo_lab.video.decoder_process`) decodes
them; it is killed when it hangs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import Any, Self

import numpy as np

from tempo_lab.common.errors import VideoError
from tempo_lab.common.validation import check_number, check_whole
from tempo_lab.video.decoder_process import DecoderProcess
from tempo_lab.video.decoders.base import VideoInfo, check_source
from tempo_lab.video.part import Part, check_part, frames_between, make_part
from tempo_lab.video.resize import Resize
from tempo_lab.video.sampling import SamplingPlan, check_sampling, plan_part, plan_sampling


@dataclass(frozen=True, eq=False)
class Segment:
    """Consecutive sampled frames that the compressor reads together.

    Attributes:
        index: 0-based number of the segment.
        frames: uint8 [frame, row, column, rgb].
        positions: int64 [frame] 0-based number of each frame among the sampled frames.
        times: float64 [frame] presentation times in seconds, according to the file.
    """

    index: int
    frames: np.ndarray
    positions: np.ndarray
    times: np.ndarray


class Video:
    """A video file, a folder of frames, a .npy array, a GIF or an image, cut into segments.

    Folders and arrays (uint8 [frame, row, column, rgb]) count as already sampled at `fps`: all
    their frames are used. Only the plan is kept in memory.

    Args:
        source: path of a file or folder.
        fps: sampled frames per second.
        min_frames, max_frames: limits on the number of sampled frames of a video or GIF.
        window: sampled frames per segment; the last segment may be shorter.
        decoder: "auto" (PyAV), "pyav", "decord" (only for files that it reads correctly;
            `info.reason` says why not), or "module:name" of a decoder that the module registers.
        timeout: seconds without progress after which the decoder counts as hung and is killed.
            Opening as a whole may take five times as long, and 3 GiB of memory.
        on_wait: called several times per second while this process waits for the decoder. An
            exception that it raises ends the decoder and reaches the caller unchanged.
        stream: number of a video stream in the file, as ffprobe counts; by default the file's own
            default stream, or else the largest. `info.notes` names the others.
        start, end: seconds of the file: only frames with `start` <= time < `end` are sampled, by
            the same rule as a video of that length. An `end` beyond the end of the video is cut to
            it, and `info.notes` says so. A single image has no part.

    Attributes:
        info: properties of the whole source, also if only a part is sampled.
        plan: the sampled frames.
        part: (start, end) in seconds of the file; None if the whole source is sampled.
        source_clock: number of source frames in the part or in the whole source, frames per second
            of them, and the second of the file at which they begin.
        options: the arguments from `fps` to `max_frames` and from `decoder` to `end`, by name.
            `Tempo.open` takes them, too: it opens the source again in the same way.

    Raises:
        VideoError: the source cannot be opened, or an argument is not valid.

    Times of frames and segments are always seconds of the file. The timestamps in the prompts count
    the sampled frames from 0 (docs/method.md sections 2 and 6), so they are relative to the part,
    as if it were a file of its own: add `plan.offset` to them for seconds of the file.

    The child process that opened the source decodes the first pass over it. Each further pass
    starts a new child process. After a pass that fails the video can still be used.
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
        start: float | None = None,
        end: float | None = None,
    ) -> None:
        check_sampling(fps, min_frames, max_frames)
        self.options: dict[str, Any] = {
            "fps": fps, "min_frames": min_frames, "max_frames": max_frames, "decoder": decoder,
            "timeout": timeout, "on_wait": on_wait, "stream": stream, "start": start, "end": end,
        }  # fmt: skip
        self.window = check_whole("window", window, 1, error=VideoError)
        timeout = check_number("timeout", timeout, above=0, error=VideoError)
        if stream is not None:
            stream = check_whole("stream", stream, 0, error=VideoError)
        if not isinstance(decoder, str):
            raise VideoError(
                "a decoder is chosen by its name",
                asked=f"decoder={decoder!r}",
                fix='decoder="auto"',
            )
        self._path = str(check_source(source))
        self._start = partial(DecoderProcess, self._path, decoder, timeout, on_wait, stream)
        self._waiting: DecoderProcess | None = self._start()
        self._closed = False
        self._opened = info = self._waiting.info
        self._all_frames = info.kind in ("frames", "array", "image")
        if self._all_frames:
            rate = 1.0 if info.kind == "image" else float(fps)
            info = replace(info, fps=rate, duration=info.frames / rate)
        self.info: VideoInfo = info
        self.part: tuple[float, float] | None = None
        self.source_clock = info.frames, info.fps or float(fps), 0.0
        try:
            part = self._find_part(start, end, float(fps))
        except BaseException:
            self.close()
            raise
        self.plan = self._plan(part, fps=fps, min_frames=min_frames, max_frames=max_frames)

    def _find_part(self, start: float | None, end: float | None, fps: float) -> Part | None:
        """Return the part to sample, or None for the whole source; note what was cut off.

        Raises:
            VideoError: the values are impossible, or no frame is in the part.
        """
        if start is None and end is None:
            return None
        info = self.info
        if not info.fps > 0:  # a decoder without a clock: its frames count as sampled at `fps`
            info = replace(info, fps=fps, duration=info.frames / fps)
        first, last = check_part(info, start, end)
        assert self._waiting is not None
        between = None if self._all_frames else self._waiting.between(first, last)
        if between is None:
            between = frames_between(np.arange(info.frames) / info.fps, first, last)
        part = make_part(info, first, last, between, frame_clock=self._all_frames)
        if part.note:
            self.info = replace(self.info, notes=(*self.info.notes, part.note))
        if part.whole:
            return None
        self.part = part.start, part.end
        count = part.stop - part.first
        self.source_clock = count, count / part.seconds, part.origin
        return part

    def _plan(
        self, part: Part | None, *, fps: float, min_frames: int, max_frames: int
    ) -> SamplingPlan:
        info = self.info
        if self._all_frames:
            first, stop = (0, info.frames) if part is None else (part.first, part.stop)
            offset = 0.0 if part is None else part.origin
            indices = np.arange(first, stop, dtype=np.int64)
            return SamplingPlan(indices, info.frames, info.fps, info.fps, offset)
        limits: dict[str, Any] = {"fps": fps, "min_frames": min_frames, "max_frames": max_frames}
        if part is None:
            return plan_sampling(info.frames, info.fps, **limits)
        return plan_part(info.frames, info.fps, part, **limits)

    @property
    def is_image(self) -> bool:
        """Whether this is a single image; its prompt has no timestamps."""
        return self.info.kind == "image"

    def __len__(self) -> int:
        """The number of segments."""
        return math.ceil(len(self.plan) / self.window)

    def __repr__(self) -> str:
        info = self.info
        part = "" if self.part is None else "from {:g} to {:g} s, ".format(*self.part)
        return (
            f"Video({info.path!r}: {info.kind}, {info.width}x{info.height}, {info.frames} frames, "
            f"{part}{len(self.plan)} sampled in {len(self)} segments, {info.decoder})"
        )

    @property
    def segment_times(self) -> np.ndarray:
        """float64 [segment, 2]: start and end of each segment on the sampled clock.

        They are seconds of the file: the clock begins at `plan.offset`.
        """
        starts = np.arange(len(self)) * self.window
        ends = np.minimum(starts + self.window, len(self.plan))
        return np.stack([starts, ends], axis=1) / self.plan.fps + self.plan.offset

    def read_ahead(self, resize: Resize | None = None) -> None:
        """Start decoding now what `segments(resize)` will yield, by a bounded amount.

        Only before the first pass over the video; later it does nothing.

        Raises:
            VideoError: the decoder crashed.
        """
        if self._waiting is not None:
            self._waiting.request(np.unique(self.plan.indices).tolist(), resize)

    def segments(self, resize: Resize | None = None, start: int = 0) -> Generator[Segment]:
        """Decode the segments from number `start` on, one after the other.

        The child resizes each frame as soon as it is decoded and works ahead by a bounded amount
        (`tempo_lab.video.decoder_process.PREFETCH_BYTES`). It ends with the iterator.

        Args:
            resize: applied to each frame before it leaves the child; None keeps the frame's size.
            start: first segment, 0 to `len(video)`.

        Raises:
            VideoError: while iterating: the file is damaged, has fewer frames than announced or
                changed since it was opened; the decoder hung or crashed; the video was closed.
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
        distinct, rank = np.unique(indices, return_inverse=True)
        decoded = self._take_process(distinct.tolist(), resize).frames(distinct.tolist(), resize)
        at, time, frame = -1, math.nan, np.empty(0)  # of the last decoded frame
        try:
            for index in range(start, len(self)):
                first = index * self.window
                positions = np.arange(first, min(first + self.window, len(self.plan)))
                frames, times = [], []
                for position in positions:
                    # A source slower than `fps` is sampled with repeats, which are decoded once.
                    while at < rank[position - start * self.window]:
                        time, frame = next(decoded)
                        at += 1
                    frames.append(frame)
                    counted = position / self.plan.fps + self.plan.offset
                    times.append(counted if math.isnan(time) else time)
                yield Segment(index, _stack(frames, self._path), positions, np.array(times))
        finally:
            decoded.close()

    def _take_process(self, indices: list[int], resize: Resize | None) -> DecoderProcess:
        """Return the waiting child process, or a new one if that decodes something else already."""
        if self._closed:
            raise VideoError("this video was closed", asked=self._path, fix="open it again")
        process, self._waiting = self._waiting, None
        if process is not None and not process.can_decode(indices, resize):
            process.close()
            process = None
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
        """End the waiting child process. Segments can no longer be read."""
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
