"""Files of traces and results: NetCDF with numbers, and texts as JSON in an attribute. No torch.

A checksum of all bytes follows the NetCDF, where other readers do not look. Declarations in a file
are checked before its data are read, so that an untrusted file cannot refer to other files, or use
more memory than it contains data.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import xarray as xr

from tempo_lab.common.errors import TempoLabWarning, TraceError
from tempo_lab.common.files import is_special, write_atomic
from tempo_lab.common.text import one_line

FORMAT, FORMAT_VERSION = "tempo-lab", 1
_HDF5 = b"\x89HDF\r\n\x1a\n"
_CHECKSUM, _CHECKSUM_BYTES = b"\nsha256 ", 73
CHECKSUM_ATTRIBUTE = "checksum"
"""Attribute of a file with a checksum, so that a lost checksum is noticed."""
MAX_COMPRESSION, MAX_UNWRITTEN = 1100, 2**20
"""Maximum ratio of compression; maximum bytes of an array of which no byte is stored."""
_FIX = {
    "trace": "name a file that Trace.save or `tempo-lab ask --save` wrote",
    "result": "name a file that a result's save wrote",
}


def plain_json(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping after a round trip through JSON: a loaded record equals the saved one."""

    def simple(value: Any) -> Any:
        return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else str(value)

    plain: dict[str, Any] = json.loads(json.dumps(dict(mapping), default=simple))
    return plain


def write_record(path: Path, kind: str, data: xr.Dataset, texts: dict[str, Any]) -> Path:
    """Write a NetCDF file atomically: an older file is unchanged until the new one is complete.

    Args:
        path: path of the file.
        kind: "trace" or "result".
        data: the numbers.
        texts: everything else by name, as plain JSON values.

    Raises:
        TraceError: a value cannot be stored, or the file cannot be written.
    """
    # ASCII JSON can contain what NetCDF text cannot: NUL, lone surrogates, nesting.
    header = {
        "format": f"{FORMAT} {kind}",
        "format_version": FORMAT_VERSION,
        CHECKSUM_ATTRIBUTE: "at the end",
    }
    data = data.assign_attrs(**header, record=json.dumps(texts))
    try:
        # Written to memory first: a full disk is then an OSError of `write_atomic`.
        content = bytes(data.to_netcdf(engine="h5netcdf", encoding=_encoding(data)))
    except Exception as error:
        raise TraceError(
            f"something in the {kind} cannot be stored as NetCDF; nothing was written",
            asked=str(path),
            found=f"{type(error).__name__}: {error}",
            fix="names without NUL, and whole numbers of 64 bits at most",
        ) from error
    try:
        return write_atomic(path, content + checksum(content))
    except OSError as error:
        raise TraceError(
            f"the {kind} could not be saved; nothing that was there has changed",
            asked=str(path),
            found=error.strerror or type(error).__name__,
            fix="save it to a folder that exists, can be written to and has room",
        ) from error


def checksum(content: bytes) -> bytes:
    """Return the checksum as it is written at the end of a file."""
    return _CHECKSUM + hashlib.sha256(content).hexdigest().encode() + b"\n"


def read_record(
    path: Path, kind: str, names: Mapping[str, type]
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Read a file of `write_record`; return the numbers, and the texts of these names and types.

    A file of an earlier version has no checksum: it is read with a warning.

    Raises:
        TraceError: the file does not exist, is not of this kind, is damaged or was written by a
            later version; or it refers to other files, or declares more data than it contains or
            than fit into memory.
    """
    try:
        content = _read(path)
    except OSError as error:
        raise TraceError(
            f"no {kind} can be read there",
            asked=str(path),
            found=error.strerror or type(error).__name__,
            fix=_FIX[kind],
        ) from error
    body, stored = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    has_checksum = stored.startswith(_CHECKSUM)
    if has_checksum and stored != checksum(body):
        raise _unreadable(path, kind, content, "its checksum does not match", damaged=True)
    try:
        _check_declared(content)
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
            for name, expected in names.items():
                if not isinstance(texts[name], expected):
                    raise ValueError(f"{name} is not a {expected.__name__}")
    except Exception as error:
        raise _unreadable(path, kind, content, error, damaged=True) from error
    if version > FORMAT_VERSION:
        raise TraceError(
            f"the {kind} was written by a later version of Tempo Lab",
            asked=str(path),
            found=f"format {version}; this version reads up to {FORMAT_VERSION}",
            fix="pip install --upgrade tempo-lab",
        )
    if not has_checksum and CHECKSUM_ATTRIBUTE in data.attrs:
        raise _unreadable(path, kind, content, "its checksum is missing", damaged=True)
    if not has_checksum:
        warnings.warn(
            f"The {kind} has no checksum, because an earlier version saved it ({path.name}). "
            "Damage to its numbers cannot be detected. Save it again to add a checksum.",
            TempoLabWarning,
            stacklevel=3,
        )
    data.attrs = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in data.attrs.items()
        if name not in ("format", "format_version", "record", CHECKSUM_ATTRIBUTE)
    }
    return data, texts


def _read(path: Path) -> bytes:
    """Return all bytes of a regular file.

    Raises:
        OSError: there is no such file, or it does not fit into memory.
    """
    if is_special(path):
        raise OSError(errno.EINVAL, "a device, pipe or socket, not a plain file", str(path))
    if path.stat().st_size > psutil.virtual_memory().available:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), str(path))
    return path.read_bytes()


def _check_declared(content: bytes) -> None:
    """Refuse data in other files, and sizes that are only declared, before any data are read.

    Raises:
        ValueError: names the array.
    """
    total = 0
    with h5py.File(io.BytesIO(content), "r") as file:
        for name in file:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name!r} is a link to something else")
            array = file[name]
            if not isinstance(array, h5py.Dataset):
                raise ValueError(f"{name!r} is not an array")
            if array.is_virtual or array.external:
                raise ValueError(f"{name!r} is stored in another file")
            stored = array.id.get_storage_size()
            if array.nbytes > MAX_COMPRESSION * stored + MAX_UNWRITTEN:
                raise ValueError(f"{name!r} declares {array.nbytes} bytes and contains {stored}")
            total += array.nbytes
    if total > (free := psutil.virtual_memory().available):
        raise ValueError(f"its numbers need {total} bytes of memory; {free} are free")


def _unreadable(
    path: Path, kind: str, content: bytes, found: object, *, damaged: bool
) -> TraceError:
    return TraceError(
        f"the {kind} is damaged" if damaged else f"the file is not a {kind}",
        asked=str(path),
        found=one_line(f"{len(content)} bytes; {found}", 300),
        fix="use another copy, or create it and save again" if damaged else _FIX[kind],
    )


def _encoding(data: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Return how NetCDF stores each variable: NaN is a value, and booleans are compressed."""
    encoding: dict[str, dict[str, Any]] = {}
    for name in map(str, data.variables):
        if data[name].dtype.kind == "f":
            encoding[name] = {"_FillValue": None}
        elif data[name].dtype.kind == "b" and data[name].ndim:
            encoding[name] = {"zlib": True}
    return encoding
