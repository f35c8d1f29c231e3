"""Files of traces and results: NetCDF with the texts beside the numbers. No torch."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tempo_lab.errors import TraceError
from tempo_lab.files import write_whole

FORMAT, FORMAT_VERSION = "tempo-lab", 1
TEXTS = ("question", "answer", "prompts", "provenance")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_FIX = {
    "trace": "name a file that Trace.save or `tempo-lab ask --save` wrote",
    "result": "name a file that a result's save wrote",
}


def plain_json(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping as JSON would give it back, so that a saved record equals the one in memory."""

    def simple(value: Any) -> Any:
        return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else str(value)

    plain: dict[str, Any] = json.loads(json.dumps(dict(mapping), default=simple))
    return plain


def write_record(path: Path, kind: str, data: xr.Dataset, texts: dict[str, Any]) -> Path:
    """Write a NetCDF file; an older one stays as it was until the new one is complete.

    Args:
        path: where.
        kind: "trace" or "result".
        data: the numbers.
        texts: what else there is, by name, as plain JSON values.

    Raises:
        TraceError: something in it cannot be stored, or the file cannot be written.
    """
    # ASCII JSON carries what NetCDF text cannot: NUL, lone surrogates, nesting.
    header = {"format": f"{FORMAT} {kind}", "format_version": FORMAT_VERSION}
    data = data.assign_attrs(**header, record=json.dumps(texts))
    try:
        # Made in memory first: a disk that fills up is then a plain OSError.
        content = bytes(data.to_netcdf(engine="h5netcdf", encoding=_encoding(data)))
    except Exception as error:
        raise TraceError(
            f"something in the {kind} cannot be stored as NetCDF; nothing was written",
            asked=str(path),
            found=f"{type(error).__name__}: {error}",
            fix="names without NUL, and whole numbers of 64 bits at most",
        ) from error
    try:
        return write_whole(path, content)
    except OSError as error:
        raise TraceError(
            f"the {kind} could not be saved; nothing that was there has changed",
            asked=str(path),
            found=error.strerror or type(error).__name__,
            fix="save it to a folder that exists, can be written to and has room",
        ) from error


def read_record(path: Path, kind: str, names: Collection[str]) -> tuple[xr.Dataset, dict[str, Any]]:
    """Read what `write_record` wrote: the numbers, and the texts of these names.

    Raises:
        TraceError: no such file, not of this kind, damaged, or written by a later version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TraceError(
            f"no {kind} can be read there",
            asked=str(path),
            found=error.strerror or type(error).__name__,
            fix=_FIX[kind],
        ) from error
    try:
        data = xr.load_dataset(
            io.BytesIO(content), engine="h5netcdf", decode_times=False, mask_and_scale=False
        )
    except Exception as error:
        raise _unreadable(path, kind, content, error, damaged=content.startswith(_HDF5)) from error
    if data.attrs.get("format") != f"{FORMAT} {kind}":
        raise _unreadable(path, kind, content, "NetCDF or HDF5 of another kind", damaged=False)
    texts: dict[str, Any] = {}
    try:
        version = int(data.attrs["format_version"])
        if version <= FORMAT_VERSION:
            record = json.loads(data.attrs["record"])
            texts = {name: record[name] for name in names}
    except Exception as error:
        raise _unreadable(path, kind, content, error, damaged=True) from error
    if version > FORMAT_VERSION:
        raise TraceError(
            f"the {kind} was written by a later version of Tempo Lab",
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


def _unreadable(
    path: Path, kind: str, content: bytes, found: object, *, damaged: bool
) -> TraceError:
    return TraceError(
        f"the {kind} is damaged" if damaged else f"the file is not a {kind}",
        asked=str(path),
        found=f"{len(content)} bytes; {found}".splitlines()[0],
        fix="take another copy of it, or make it and save again" if damaged else _FIX[kind],
    )


def _encoding(data: xr.Dataset) -> dict[str, dict[str, Any]]:
    """How NetCDF stores each variable: NaN is a number here, and truth values are mostly runs."""
    how: dict[str, dict[str, Any]] = {}
    for name in map(str, data.variables):
        if data[name].dtype.kind == "f":
            how[name] = {"_FillValue": None}
        elif data[name].dtype.kind == "b" and data[name].ndim:
            how[name] = {"zlib": True}
    return how
