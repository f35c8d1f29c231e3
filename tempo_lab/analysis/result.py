"""The result of an analysis: labeled numbers and their provenance. No torch."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import xarray as xr

from tempo_lab.common.errors import TraceError
from tempo_lab.common.netcdf import read_record, write_record

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd


class Quantity(NamedTuple):
    """Dimensions, unit and meaning of one variable of a result."""

    dims: tuple[str, ...]
    units: str
    meaning: str


def with_interval(
    name: str, dims: tuple[str, ...], units: str, meaning: str
) -> dict[str, Quantity]:
    """Return the quantities NAME, NAME_low and NAME_high: a mean and its bootstrap interval."""
    ends = {"": "", "_low": ", 2.5 % of resampled videos", "_high": ", 97.5 % of them"}
    return {f"{name}{end}": Quantity(dims, units, meaning + note) for end, note in ends.items()}


@dataclass(frozen=True, eq=False)
class Result:
    """Labeled numbers of one analysis; each analysis has a subclass.

    Two results of the same class and labels can be subtracted; `provenance` keeps that of both.

    Attributes:
        data: the numbers; it has every variable of `QUANTITIES` that is not in `OPTIONAL`, with
            its dimensions. Units and meanings are added when the result is made.
        provenance: seeds, arguments, and the provenance of traces and models.

    Raises:
        TraceError: a variable is missing, unknown, or has other dimensions.
    """

    data: xr.Dataset = field(repr=False)
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    QUANTITIES: ClassVar[Mapping[str, Quantity]] = {}
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    TABLE: ClassVar[tuple[str, ...]] = ()
    """Dimensions of the rows of `to_pandas`, which shows variables with no other dimensions."""
    SAME: ClassVar[tuple[str, ...]] = ()
    """Keys of the provenance, besides the labels, that must be equal to subtract two results."""
    KINDS: ClassVar[dict[str, type[Result]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Result.KINDS[cls.__name__] = cls

    def __post_init__(self) -> None:
        missing = [n for n in self.QUANTITIES if n not in self.data and n not in self.OPTIONAL]
        if missing or (unknown := [str(n) for n in self.data if n not in self.QUANTITIES]):
            raise TraceError(
                f"these are not the variables of a {type(self).__name__}",
                asked=", ".join(self.QUANTITIES),
                found=f"no {', '.join(missing)}" if missing else f"also {', '.join(unknown)}",
            )
        data = self.data.copy()
        for name in data:
            quantity = self.QUANTITIES[str(name)]
            if data[name].dims != quantity.dims:
                raise TraceError(
                    f"a variable of a {type(self).__name__} has other dimensions",
                    asked=f"{name} [{', '.join(quantity.dims)}]",
                    found=f"[{', '.join(map(str, data[name].dims))}]",
                )
            data[name].attrs |= {"units": quantity.units, "long_name": quantity.meaning}
        object.__setattr__(self, "data", data)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{n} {name}" for name, n in self.data.sizes.items())
        return f"{type(self).__name__}({sizes})"

    def __sub__(self, other: Self) -> Self:
        """Return the numbers of this result minus those of the other.

        Raises:
            TraceError: the other result is of another class, or has other labels (segments,
                layers, ...).
        """
        if type(other) is not type(self):
            raise TraceError(
                "only results of the same class can be subtracted",
                asked=type(self).__name__,
                found=type(other).__name__,
            )
        for key in self.SAME:
            if self.provenance.get(key) != other.provenance.get(key):
                raise TraceError(
                    "results of different measurements cannot be subtracted",
                    asked=f"{key}: {self.provenance.get(key)}",
                    found=str(other.provenance.get(key)),
                    fix=f"use two results with the same {key}",
                )
        for name in {**self.data.coords, **other.data.coords, **self.data, **other.data}:
            own, others = self.data.get(name), other.data.get(name)
            label = name in self.data.coords or (own is not None and own.dtype.kind not in "iuf")
            if own is None or others is None or (label and not own.equals(others)):
                raise TraceError(
                    "results with different labels cannot be subtracted",
                    asked=f"{name}: {_brief(own)}",
                    found=_brief(others),
                    fix="compare results about the same segments, layers and questions",
                )
        numbers = [name for name in self.data if self.data[name].dtype.kind in "iuf"]
        with xr.set_options(arithmetic_join="exact"):
            differences = {name: self.data[name] - other.data[name] for name in numbers}
        return type(self)(
            self.data.assign(differences),
            {
                **{name: self.provenance.get(name) for name in self.SAME},
                "difference": True,
                "of": self.provenance,
                "less": other.provenance,
            },
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with one row per point of the dimensions `TABLE`."""
        rows = set(self.TABLE)
        names = [name for name in self.data if set(self.data[name].dims) <= rows]
        columns = [name for name in names if self.data[name].dims]
        table = self.data[columns].to_dataframe(dim_order=list(self.TABLE) or None)
        return table.reset_index()

    def numbers(self) -> dict[str, float]:
        """Return the numbers without dimensions, by name."""
        scalars = {str(name): v for name, v in self.data.items() if not v.dims}
        return {name: float(v) for name, v in scalars.items() if v.dtype.kind in "iuf"}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a NetCDF file; an existing file is replaced only when the new one is complete.

        Raises:
            TraceError: the file cannot be written.
        """
        texts = {"kind": type(self).__name__, "provenance": self.provenance}
        return write_record(Path(path), "result", self.data, texts)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a result that `save` wrote.

        Raises:
            TraceError: the file does not exist, is damaged, or holds a result of another class.
        """
        data, texts = read_record(Path(path), "result", {"kind": str, "provenance": dict})
        kind = cls.KINDS.get(texts["kind"])
        if kind is None or not issubclass(kind, cls):
            raise TraceError(
                "the file holds a result of another class",
                asked=f"{cls.__name__} in {path}",
                found=texts["kind"],
            )
        return kind(data, texts["provenance"])

    def _repr_html_(self) -> str:
        lines = ", ".join(f"{name} {value:.3g}" for name, value in self.numbers().items())
        table = self.to_pandas().head(10).round(3).to_html(border=0, escape=True, index=False)
        return f"<div><p><b>{type(self).__name__}</b> {html.escape(lines)}</p>{table}</div>"


def _brief(values: xr.DataArray | None) -> str:
    if values is None:
        return "nothing"
    shown = np.array2string(values.to_numpy(), threshold=6, edgeitems=2)
    return f"{dict(values.sizes)} {shown}".replace("\n", " ")[:200]
