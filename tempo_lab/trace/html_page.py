"""A trace as one HTML file that needs neither Python nor a network. No torch.

The page shows the question, the answer, relevance and tokens over time, the ledger, warnings and
provenance. It allocates other budgets with other strategies by the rule of `tempo_lab.allocate`,
which `page/allocate.js` repeats. Thumbnails need the video, because a trace records no frames.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from tempo_lab.allocation import Abstain, Floor, Threshold
from tempo_lab.common.errors import TraceError
from tempo_lab.common.files import write_atomic
from tempo_lab.common.text import escape_control_chars, one_line
from tempo_lab.video import Video

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

PAGE = Path(__file__).parent / "page"
OFFERED: dict[str, tuple[str, float | None]] = {
    "head": ("ATA, keeps the first slots", None),
    "tail": ("ATA, keeps the last slots", None),
    "uniform": ("the same number for every segment", None),
    "uniform-tail": ("the same number, keeps the last slots", None),
    "topk": ("the better half of the segments, evenly", None),
    "none": ("all slots of every segment", None),
    "abstain": ("ATA if a segment is relevant", Abstain().threshold),
    "floor": ("part evenly, the rest by ATA", Floor().coverage),
    "threshold": ("by relevance, above a threshold", Threshold().threshold),
}
"""Strategies that the page allocates with: what each does, and its parameter."""
LONGER_SIDE, QUALITY = 128, 70
"""Pixels of a thumbnail's longer side, and its JPEG quality."""
SAME_TIME = 1e-3
"""Seconds by which times of the video and of the trace may differ."""


class Record(Protocol):
    """What the page reads of a `Trace`, whose module imports this one."""

    @property
    def asked(self) -> str: ...
    @property
    def read_as(self) -> str | None: ...
    @property
    def data(self) -> xr.Dataset: ...
    @property
    def provenance(self) -> dict[str, Any]: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def scores_only(self) -> bool: ...
    @property
    def totals(self) -> dict[str, int]: ...
    def to_pandas(self) -> pd.DataFrame: ...


def write_page(trace: Record, path: str | os.PathLike[str], video: Any = None) -> Path:
    """Write a trace as one HTML file; an existing file is replaced once the new one is complete.

    Args:
        trace: the trace.
        path: path of the file.
        video: a `Session`, a `Video` or the path of the video, for thumbnails.

    Raises:
        TraceError: the file cannot be written, or the video is not that of the trace.
        VideoError: the video cannot be opened or decoded.
    """
    content = render_page(trace, video).encode("utf-8")
    try:
        return write_atomic(path, content)
    except (OSError, ValueError) as error:
        raise TraceError(
            "the page could not be saved",
            asked=str(path),
            found=getattr(error, "strerror", None) or error,
            fix="give the name of a file in a folder that exists, is writable and has room",
        ) from error


def render_page(trace: Record, video: Any = None) -> str:
    """Return the page as text. See `write_page`."""
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, finalize=_printable,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style = (PAGE / "page.css").read_text(encoding="utf-8")
    script = "".join(
        (PAGE / name).read_text(encoding="utf-8") for name in ("allocate.js", "page.js")
    )
    thumbnails, source = ([], None) if video is None else _thumbnails(trace, video)
    rows = trace.to_pandas().to_dict("records")
    forced = not trace.scores_only and bool(trace.provenance.get("forced_scores"))
    return environment.get_template("page.html.jinja").render(
        trace=trace,
        rows=rows,
        forced=forced,
        totals={} if trace.scores_only else trace.totals,
        attrs=trace.data.attrs,
        thumbnails=thumbnails,
        thumbnails_from=source,
        video=_base_name(str(trace.provenance.get("video", ""))),
        warnings=[_without_folders(trace, text) for text in trace.warnings],
        provenance=_provenance(trace),
        strategies={} if trace.scores_only else _labels(),
        data=_numbers(trace),
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _printable(value: object) -> str:
    """Return the text that the template writes; Jinja escapes it afterward."""
    return value if isinstance(value, Markup) else escape_control_chars(str(value))


def _hash(text: str) -> str:
    """Return the source of an inline style or script for a Content-Security-Policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _labels() -> dict[str, str]:
    return {
        name: f"{name}: {meaning}" + ("" if parameter is None else f" ({parameter:g})")
        for name, (meaning, parameter) in OFFERED.items()
    }


def _numbers(trace: Record) -> dict[str, Any]:
    """Return what the page computes with, as JSON values; numbers that JSON lacks become names."""
    data, attrs = trace.data, trace.data.attrs
    start, end = data["start"].to_numpy(), data["end"].to_numpy()
    numbers: dict[str, Any] = {
        "start": start,
        "end": np.where(end > start, end, start + 1),  # an image is one second wide
        "relevance": data["relevance"].to_numpy(),
        "image": not (end > start).all(),
        "budget": None,
    }
    if not trace.scores_only:
        strategy = attrs["strategy"]
        parameters = list(trace.provenance.get("strategy_parameters", {}).values())
        known = strategy in OFFERED and parameters in ([], [OFFERED[strategy][1]])
        numbers |= {
            "score": data["score"].to_numpy(),
            "wanted": data["wanted"].to_numpy(),
            "tokens": data["tokens"].to_numpy(),
            "budget": attrs["budget"],
            "low": attrs["min_tokens"],
            "high": attrs["memory_slots"],
            "strategy": strategy if known else "",
            "timestamps": None if "memory_from" in data else data["timestamp_tokens"].to_numpy(),
            "text": attrs["text_tokens"],
            "context": attrs["context"],
            "parameters": {name: parameter for name, (_, parameter) in OFFERED.items()},
        }
    return {name: _json(value) for name, value in numbers.items()}


def _json(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return [
        str(each) if isinstance(each, float) and not np.isfinite(each) else each
        for each in value.tolist()
    ]


# What people wrote, without their folders


def _base_name(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _without_folders(trace: Record, text: str) -> str:
    """Return text with the names of the video and the model in place of their absolute paths."""
    for name in ("video", "model"):
        path = str(trace.provenance.get(name, ""))
        if path.startswith(("/", "\\")) or path[1:3] in (":\\", ":/"):
            text = text.replace(path, _base_name(path))
    return text


def _provenance(trace: Record) -> dict[str, str]:
    shown = {}
    for name, value in trace.provenance.items():
        if name in ("warnings", "interventions") or value in (None, [], {}):
            continue
        text = f"{value:g}" if isinstance(value, float) else str(value)
        shown[name.replace("_", " ")] = one_line(_without_folders(trace, text), 2000)
    return shown


# Thumbnails


def _thumbnails(trace: Record, source: Any) -> tuple[list[str], str]:
    """Return the middle frame of each segment as a data URI, and the name of the video.

    Raises:
        TraceError: the frames have other times than those of the trace.
        VideoError: the video cannot be opened or decoded.
    """
    if isinstance(source, str | os.PathLike):
        with _open_as_sampled(trace, source) as video:
            return _thumbnails(trace, video)
    video = getattr(source, "video", source)
    if not isinstance(video, Video):
        raise TraceError(
            "thumbnails need the video of the trace",
            asked=one_line(repr(source), 120),
            found=type(source).__name__,
            fix="give its path, a Video, or the session that answered",
        )
    _check_same(trace, "start and end of its segments", video.segment_times, ("start", "end"))
    uris, times = [], []
    with closing(video.segments()) as segments:
        for segment in segments:
            uris.append(_jpeg(segment.frames[len(segment.frames) // 2]))
            times.append((segment.times[0], segment.times[-1]))
    _check_same(trace, "times of its frames", np.array(times), ("true_start", "true_end"))
    return uris, _base_name(str(video.info.path))


def _open_as_sampled(trace: Record, path: str | os.PathLike[str]) -> Video:
    """Open a video with the sampling that the trace records."""
    recorded: Mapping[str, Any] = trace.provenance
    options: dict[str, Any] = {}
    if "fps" in recorded:
        options["fps"] = recorded["fps"]
    if "frames" in recorded:
        options["max_frames"] = recorded["frames"]
        options["min_frames"] = min(4, recorded["frames"])
    if "window" in recorded:
        options["window"] = recorded["window"]
    if recorded.get("part"):
        options["start"], options["end"] = recorded["part"]
    return Video(path, **options)


def _check_same(trace: Record, what: str, times: np.ndarray, names: tuple[str, str]) -> None:
    expected = np.stack([trace.data[name].to_numpy() for name in names], axis=1)
    if times.shape == expected.shape and np.allclose(times, expected, rtol=0, atol=SAME_TIME):
        return
    found = f"{len(times)} segments, {times[0, 0]:.3f} to {times[-1, 1]:.3f} s"
    raise TraceError(
        f"this is not the video of the trace: the {what} differ",
        asked=f"{len(expected)} segments, {expected[0, 0]:.3f} to {expected[-1, 1]:.3f} s",
        found=found,
        fix="give the session or the Video that answered, or leave out the thumbnails",
    )


def _jpeg(frame: np.ndarray) -> str:
    """Return a frame [row, column, rgb] as the data URI of a small JPEG."""
    image = Image.fromarray(frame)
    image.thumbnail((LONGER_SIDE, LONGER_SIDE))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
