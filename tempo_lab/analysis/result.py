"""What every analysis gives: labelled numbers, and where they came from. No torch."""

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
    """What one variable of a result is: its dimensions, unit and meaning."""

    dims: tuple[str, ...]
    units: str
    meaning: str


@dataclass(frozen=True, eq=False)
class Result:
    """Labelled numbers of one analysis; subclasses say which.

    Two of a kind with the same labels subtract: numbers as numbers, and `provenance` keeps both.

    Attributes:
        data: the numbers; every variable of `QUANTITIES` that is not in `OPTIONAL` is there, with
            its dimensions. Units and meanings are put on here.
        provenance: seeds, arguments, and what made the traces or models behind the numbers.

    Raises:
        TraceError: a variable is missing, unknown, or has other dimensions.
    """

    data: xr.Dataset = field(repr=False)
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    QUANTITIES: ClassVar[Mapping[str, Quantity]] = {}
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    TABLE: ClassVar[tuple[str, ...]] = ()
    """Dimensions of the rows of `to_pandas`: the variables that have exactly these, or fewer."""
    SAME: ClassVar[tuple[str, ...]] = ()
    """What of the provenance two results must share to subtract, beside the labels."""
    KINDS: ClassVar[dict[str, type[Result]]] = {}

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        Result.KINDS[cls.__name__] = cls

    def __post_init__(self) -> None:
        missing = [n for n in self.QUANTITIES if n not in self.data and n not in self.OPTIONAL]
        if missing or (strange := [str(n) for n in self.data if n not in self.QUANTITIES]):
            raise TraceError(
                f"a {type(self).__name__} is made of other numbers",
                asked=", ".join(self.QUANTITIES),
                found=f"no {', '.join(missing)}" if missing else f"also {', '.join(strange)}",
            )
        data = self.data.copy()
        for name in data:
            quantity = self.QUANTITIES[str(name)]
            if data[name].dims != quantity.dims:
                raise TraceError(
                    f"a part of a {type(self).__name__} has other dimensions",
                    asked=f"{name} [{', '.join(quantity.dims)}]",
                    found=f"[{', '.join(map(str, data[name].dims))}]",
                )
            data[name].attrs |= {"units": quantity.units, "long_name": quantity.meaning}
        object.__setattr__(self, "data", data)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{n} {name}" for name, n in self.data.sizes.items())
        return f"{type(self).__name__}({sizes})"

    def __sub__(self, other: Self) -> Self:
        """The numbers of this less those of the other.

        Raises:
            TraceError: another kind, or other labels (segments, layers, ...).
        """
        if type(other) is not type(self):
            raise TraceError(
                "only two results of a kind subtract",
                asked=type(self).__name__,
                found=type(other).__name__,
            )
        for what in self.SAME:
            if self.provenance.get(what) != other.provenance.get(what):
                raise TraceError(
                    "results that measure something else do not subtract",
                    asked=f"{what}: {self.provenance.get(what)}",
                    found=str(other.provenance.get(what)),
                    fix=f"two results of the same {what}",
                )
        for name in {**self.data.coords, **other.data.coords, **self.data, **other.data}:
            mine, yours = self.data.get(name), other.data.get(name)
            label = name in self.data.coords or (mine is not None and mine.dtype.kind not in "iuf")
            if mine is None or yours is None or (label and not mine.equals(yours)):
                raise TraceError(
                    "results with other labels do not subtract",
                    asked=f"{name}: {_brief(mine)}",
                    found=_brief(yours),
                    fix="compare results about the same segments, layers and questions",
                )
        numbers = [name for name in self.data if self.data[name].dtype.kind in "iuf"]
        with xr.set_options(arithmetic_join="exact"):
            change = {name: self.data[name] - other.data[name] for name in numbers}
        return type(self)(
            self.data.assign(change),
            {
                **{name: self.provenance.get(name) for name in self.SAME},
                "difference": True,
                "of": self.provenance,
                "less": other.provenance,
            },
        )

    def to_pandas(self) -> pd.DataFrame:
        """A table: a row for each point of the dimensions `TABLE`."""
        rows = set(self.TABLE)
        names = [name for name in self.data if set(self.data[name].dims) <= rows]
        most = [name for name in names if self.data[name].dims]
        table = self.data[most].to_dataframe(dim_order=list(self.TABLE) or None)
        return table.reset_index()

    def numbers(self) -> dict[str, float]:
        """The variables without dimensions, by name."""
        alone = {str(name): v for name, v in self.data.items() if not v.dims}
        return {name: float(v) for name, v in alone.items() if v.dtype.kind in "iuf"}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a NetCDF file; an older one stays as it was until the new one is complete.

        Raises:
            TraceError: the file cannot be written.
        """
        texts = {"kind": type(self).__name__, "provenance": self.provenance}
        return write_record(Path(path), "result", self.data, texts)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            TraceError: no such file, damaged, or a result of another kind.
        """
        data, texts = read_record(Path(path), "result", {"kind": str, "provenance": dict})
        kind = cls.KINDS.get(texts["kind"])
        if kind is None or not issubclass(kind, cls):
            raise TraceError(
                "the file holds a result of another kind",
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
