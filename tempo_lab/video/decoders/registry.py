"""Choose the reader of a source: by the content of the file, and by the name of the decoder."""

from __future__ import annotations

import importlib

from tempo_lab.common.errors import VideoError, did_you_mean
from tempo_lab.video.decoders.base import DECODERS, FrameReader, Heartbeat, OpenReader
from tempo_lab.video.decoders.images import open_image_source


def open_source(
    path: str, decoder: str, heartbeat: Heartbeat, stream: int | None = None
) -> FrameReader:
    """Open a file or folder with the reader that fits its content, whatever its name says.

    Args:
        path: absolute path of the source.
        decoder: name of the decoder for a video file.
        heartbeat: called while the reader works.
        stream: number of a video stream in the file; None for the one that players show.

    Raises:
        VideoError: the source cannot be read, or there is no such decoder or stream.
    """
    try:
        images = open_image_source(path, heartbeat)
        if images is None:
            options = {} if stream is None else {"stream": stream}
            return find_decoder(decoder)(path, heartbeat, **options)
    except OSError as error:
        raise VideoError("the file cannot be read", asked=path, found=error) from error
    if stream is not None:
        raise VideoError(
            "only a video file has streams",
            asked=f"stream={stream} of {path}",
            found=images.info.kind,
        )
    return images


def find_decoder(name: str) -> OpenReader:
    """Return the decoder of this name; "module:name" imports the module that registers it.

    Raises:
        VideoError: no decoder has this name, or its module cannot be imported.
    """
    # Here, because PyAV takes 20 MB that a picture or an array does not need.
    from tempo_lab.video.decoders import video_file  # noqa: F401  (registers the built-in ones)

    module, separator, _ = name.partition(":")
    if separator and name not in DECODERS:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise VideoError(
                "the decoder's module cannot be imported", asked=name, found=str(error)
            ) from error
    if name not in DECODERS:
        known = sorted(DECODERS)
        raise VideoError(
            "no decoder has this name",
            asked=name,
            found=", ".join(known),
            fix=did_you_mean(name, known, 'decoder="auto"'),
        )
    return DECODERS[name]
