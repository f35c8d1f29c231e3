"""Files of traces and results: NetCDF with the texts beside the numbers. No torch.

A checksum of all bytes stands behind the NetCDF, where other readers do not look. What a file
declares is checked before any of it is read: a file from elsewhere names no other file, and takes
no more memory than it holds.
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
_SEAL, _SEAL_BYTES = b"\nsha256 ", 73
SEALED = "checksum"
"""Attribute of a file that must have one, so that a lost one is noticed."""
MOST_PACKED, UNWRITTEN = 1100, 2**20
"""Bytes that compression makes of one, at most; and bytes that an array may have without any."""
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
    header = {"format": f"{FORMAT} {kind}", "format_version": FORMAT_VERSION, SEALED: "at the end"}
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
        return write_atomic(path, content + _seal(content))
    except OSError as error:
        raise TraceError(
            f"the {kind} could not be saved; nothing that was there has changed",
            asked=str(path),
            found=error.strerror or type(error).__name__,
            fix="save it to a folder that exists, can be written to and has room",
        ) from error


def _seal(content: bytes) -> bytes:
    """The checksum as it stands at the end of a file."""
    return _SEAL + hashlib.sha256(content).hexdigest().encode() + b"\n"


def read_record(
    path: Path, kind: str, names: Mapping[str, type]
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Read what `write_record` wrote: the numbers, and the texts of these names and types.

    A file of an earlier version has no checksum: it is read, with a warning.

    Raises:
        TraceError: no such file, not of this kind, damaged, or written by a later version; or one
            that points to other files, or declares more than it holds or memory can.
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
    body, seal = content[:-_SEAL_BYTES], content[-_SEAL_BYTES:]
    sealed = seal.startswith(_SEAL)
    if sealed and seal != _seal(body):
        raise _unreadable(path, kind, content, "its checksum is another one", damaged=True)
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
            for name, made_of in names.items():
                if not isinstance(texts[name], made_of):
                    raise ValueError(f"{name} is not a {made_of.__name__}")
    except Exception as error:
        raise _unreadable(path, kind, content, error, damaged=True) from error
    if version > FORMAT_VERSION:
        raise TraceError(
            f"the {kind} was written by a later version of Tempo Lab",
            asked=str(path),
            found=f"format {version}; this version reads up to {FORMAT_VERSION}",
            fix="pip install --upgrade tempo-lab",
        )
    if not sealed and SEALED in data.attrs:
        raise _unreadable(path, kind, content, "its checksum is missing", damaged=True)
    if not sealed:
        warnings.warn(
            f"the {kind} has no checksum, as an earlier version saved it: damage to its numbers "
            f"cannot be noticed ({path.name}). Save it again to add one.",
            TempoLabWarning,
            stacklevel=3,
        )
    data.attrs = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in data.attrs.items()
        if name not in ("format", "format_version", "record", SEALED)
    }
    return data, texts


def _read(path: Path) -> bytes:
    """All bytes of a plain file that memory holds.

    Raises:
        OSError: there is none.
    """
    if is_special(path):
        raise OSError(errno.EINVAL, "a device, pipe or socket, not a plain file", str(path))
    if path.stat().st_size > psutil.virtual_memory().available:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), str(path))
    return path.read_bytes()


def _check_declared(content: bytes) -> None:
    """Refuse data that lies elsewhere, and sizes that are only declared, before they are read.

    Raises:
        ValueError: says which.
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
                raise ValueError(f"{name!r} lies in another file")
            stored = array.id.get_storage_size()
            if array.nbytes > MOST_PACKED * stored + UNWRITTEN:
                raise ValueError(f"{name!r} declares {array.nbytes} bytes and holds {stored}")
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
