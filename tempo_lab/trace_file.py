"""A trace's file: NetCDF with the texts beside the numbers. No torch."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tempo_lab.errors import TraceError
from tempo_lab.files import write_whole

FORMAT, FORMAT_VERSION = "tempo-lab trace", 1
TEXTS = ("question", "answer", "prompts", "provenance")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_FIX = "name a file that Trace.save or `tempo-lab ask --save` wrote"


def write_trace(path: Path, data: xr.Dataset, texts: dict[str, Any]) -> Path:
    """Write a NetCDF file; an older one stays as it was until the new one is complete.

    Args:
        path: where.
        data: the numbers.
        texts: what else there is, by the names `TEXTS`, as plain JSON values.

    Raises:
        TraceError: something in it cannot be stored, or the file cannot be written.
    """
    # ASCII JSON carries what NetCDF text cannot: NUL, lone surrogates, nesting.
    header = {"format": FORMAT, "format_version": FORMAT_VERSION, "record": json.dumps(texts)}
    data = data.assign_attrs(header)
    try:
        # Made in memory first: a disk that fills up is then a plain OSError.
        content = bytes(data.to_netcdf(engine="h5netcdf", encoding=_encoding(data)))
    except Exception as error:
        raise TraceError(
            "something in the trace cannot be stored as NetCDF; nothing was written",
            asked=str(path),
            found=f"{type(error).__name__}: {error}",
            fix="names without NUL, and whole numbers of 64 bits at most",
        ) from error
    try:
        return write_whole(path, content)
    except OSError as error:
        raise TraceError(
            "the trace could not be saved; nothing that was there has changed",
            asked=str(path),
            found=error.strerror or type(error).__name__,
            fix="save it to a folder that exists, can be written to and has room",
        ) from error


def read_trace(path: Path) -> tuple[xr.Dataset, dict[str, Any]]:
    """Read what `write_trace` wrote: the numbers, and the texts by their names.

    Raises:
        TraceError: no such file, not a trace, damaged, or written by a later version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TraceError(
            "no trace can be read there",
            asked=str(path),
            found=error.strerror or type(error).__name__,
            fix=_FIX,
        ) from error
    try:
        data = xr.load_dataset(
            io.BytesIO(content), engine="h5netcdf", decode_times=False, mask_and_scale=False
        )
    except Exception as error:
        raise _unreadable(path, content, error, damaged=content.startswith(_HDF5)) from error
    if data.attrs.get("format") != FORMAT:
        raise _unreadable(path, content, "NetCDF or HDF5 of another kind", damaged=False)
    texts: dict[str, Any] = {}
    try:
        version = int(data.attrs["format_version"])
        if version <= FORMAT_VERSION:
            record = json.loads(data.attrs["record"])
            texts = {name: record[name] for name in TEXTS}
    except Exception as error:
        raise _unreadable(path, content, error, damaged=True) from error
    if version > FORMAT_VERSION:
        raise TraceError(
            "the trace was written by a later version of Tempo Lab",
            asked=str(path),
            found=f"format {version}; this version reads up to {FORMAT_VERSION}",
            fix="pip install --upgrade tempo-lab",
        )
    data.attrs = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in data.attrs.items()
        if name not in ("format", "format_version", "record")
    }
    return data, texts


def _unreadable(path: Path, content: bytes, found: object, *, damaged: bool) -> TraceError:
    return TraceError(
        "the trace is damaged" if damaged else "the file is not a trace",
        asked=str(path),
        found=f"{len(content)} bytes; {found}".splitlines()[0],
        fix="take another copy of it, or ask and save again" if damaged else _FIX,
    )


def _encoding(data: xr.Dataset) -> dict[str, dict[str, Any]]:
    """How NetCDF stores each variable: NaN is a number here, and `kept` is mostly runs."""
    floats = (name for name in data.variables if data[name].dtype.kind == "f")
    return {"kept": {"zlib": True}, **{str(name): {"_FillValue": None} for name in floats}}
