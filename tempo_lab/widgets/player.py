"""What the model saw, as a small film that any browser plays and seeks.

The sampled frames become H.264 on the sampled clock: the seconds of the player are those of the
prompt, whatever the source was (HEVC, a GIF, an array), and a long video stays a few megabytes. A
span is sought by its media fragment (`#t=32,36`), which needs no script in the page.
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
    """A player of the frames that were sampled, silent, and a still of each segment.

    Attributes:
        widget: to be shown; hidden while it is empty.
        stills: a `data:` URL of each segment's middle frame.
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
        """Another film, from its beginning."""
        self.stills, self._url = stills, data_url(film, "video/mp4")
        self.widget.autoplay = False
        self.widget.value = self._url.encode()
        self.widget.layout.display = ""

    def seek(self, start: float, end: float) -> None:
        """Play the seconds from `start` to `end`, and pause there."""
        self.widget.autoplay = True
        self.widget.value = f"{self._url}#t={start:g},{end:g}".encode()

    def clear(self) -> None:
        """Show nothing."""
        self.stills, self._url = [], ""
        self.widget.layout.display = "none"
        self.widget.value = b""


def film(video: Video, step: Callable[[int], object]) -> tuple[bytes, list[str]]:
    """The sampled frames as MP4, and a still of each segment; reads the video once.

    Args:
        video: which one.
        step: called with the number of segments that were just read.

    Raises:
        VideoError: the video cannot be decoded.
    """
    size = fitting(video.info.width, video.info.height, EDGE, multiple=2)
    stills: list[str] = []

    def frames() -> Iterable[np.ndarray]:
        for segment in video.segments(ExactResize(*size)):
            stills.append(_still(segment.frames[len(segment.frames) // 2]))
            yield from segment.frames
            step(1)

    return _encoded(frames(), size, video.plan.fps, video.window), stills


def fitting(width: int, height: int, edge: int, *, multiple: int = 1) -> tuple[int, int]:
    """(width, height) of the same shape with no edge over `edge`, in multiples; never larger.

    >>> fitting(1920, 1080, 320, multiple=2)
    (320, 180)
    """
    scale = min(1.0, edge / max(width, height))
    fit = [max(multiple, round(each * scale / multiple) * multiple) for each in (width, height)]
    return fit[0], fit[1]


def data_url(content: bytes, kind: str) -> str:
    """Bytes as a URL that needs no server."""
    return f"data:{kind};base64,{b64encode(content).decode()}"


def _encoded(frames: Iterable[np.ndarray], size: tuple[int, int], fps: float, window: int) -> bytes:
    import av

    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        # a key frame a segment, so that a seek to its start decodes nothing before it
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
    image.resize(fitting(*image.size, SMALL)).save(file, format="JPEG", quality=80)
    return data_url(file.getvalue(), "image/jpeg")
