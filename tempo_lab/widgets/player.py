"""A player of the sampled frames, as a small film that any browser plays and seeks.

The sampled frames are encoded as H.264 at the sampled times: the player's seconds are those in the
prompt, whatever the source is (HEVC, a GIF, an array), and a long video takes a few megabytes. The
player seeks with a media fragment (`#t=32,36`), which needs no script in the page.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from ipywidgets import Layout
from ipywidgets import Video as VideoWidget

from tempo_lab.video.resize import ExactResize

if TYPE_CHECKING:
    from tempo_lab.video.video import Video

EDGE, SMALL = 320, 96
"""Pixels of the longer edge of the film, and of a segment's still."""


class Player:
    """A silent player of the sampled frames, and a still of each segment.

    Attributes:
        widget: the player; hidden while it is empty.
        stills: [segment], a `data:` URL of each segment's middle frame.
    """

    def __init__(self) -> None:
        hidden = Layout(flex="0 1 320px", min_width="0", margin="2px 16px 2px 2px", display="none")
        self.widget = VideoWidget(
            format="url", value=b"", autoplay=False, loop=False, layout=hidden
        )
        self.widget.layout.align_self = "flex-start"
        self.stills: list[str] = []
        self._url = ""

    def show(self, film: bytes, stills: list[str]) -> None:
        """Load a film, at its beginning.

        Args:
            film: MP4.
            stills: [segment], `data:` URLs.
        """
        self.stills, self._url = stills, data_url(film, "video/mp4")
        self.widget.autoplay = False
        self.widget.value = self._url.encode()
        self.widget.layout.display = ""

    def seek(self, start: float, end: float) -> None:
        """Play from second `start` to second `end`, and pause there."""
        self.widget.autoplay = True
        self.widget.value = f"{self._url}#t={start:g},{end:g}".encode()

    def clear(self) -> None:
        """Remove the film and hide the player."""
        self.stills, self._url = [], ""
        self.widget.layout.display = "none"
        self.widget.value = b""


def encode_film(video: Video, step: Callable[[int], object]) -> tuple[bytes, list[str]]:
    """Return the sampled frames as MP4, and a still of each segment; reads the video once.

    Args:
        video: an opened video.
        step: called with the number of segments read since the last call.

    Raises:
        VideoError: the video cannot be decoded.
    """
    size = fit_size(video.info.width, video.info.height, EDGE, multiple=2)
    stills: list[str] = []

    def frames() -> Iterable[np.ndarray]:
        for segment in video.segments(ExactResize(*size)):
            stills.append(_still(segment.frames[len(segment.frames) // 2]))
            yield from segment.frames
            step(1)

    return _encode(frames(), size, video.plan.fps, video.window), stills


def fit_size(width: int, height: int, edge: int, *, multiple: int = 1) -> tuple[int, int]:
    """Return (width, height) of the same shape with no edge over `edge`, never enlarged.

    Both are rounded to multiples of `multiple`.

    >>> fit_size(1920, 1080, 320, multiple=2)
    (320, 180)
    """
    scale = min(1.0, edge / max(width, height))
    fit = [max(multiple, round(each * scale / multiple) * multiple) for each in (width, height)]
    return fit[0], fit[1]


def data_url(content: bytes, kind: str) -> str:
    """Return bytes of a media type as a `data:` URL."""
    return f"data:{kind};base64,{b64encode(content).decode()}"


def _encode(frames: Iterable[np.ndarray], size: tuple[int, int], fps: float, window: int) -> bytes:
    import av

    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        # one key frame per segment, so that a seek to its start decodes nothing before it
        options = {"crf": "26", "preset": "veryfast", "threads": "1", "g": str(window)}
        rate = Fraction(fps).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for image in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _still(frame: np.ndarray) -> str:
    from PIL import Image

    image = Image.fromarray(frame)
    file = BytesIO()
    image.resize(fit_size(*image.size, SMALL)).save(file, format="JPEG", quality=80)
    return data_url(file.getvalue(), "image/jpeg")
