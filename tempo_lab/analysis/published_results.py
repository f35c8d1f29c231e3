"""The published table: scores of Tempo and other models, and the tokens they use. No torch."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr

from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.common.errors import TraceError
from tempo_lab.common.files import shipped

TABLE = "data/published_results.csv"
BENCHMARKS = {
    "longvideobench": "LongVideoBench",
    "mlvu": "MLVU",
    "videomme_overall": "Video-MME",
    "videomme_long": "Video-MME, long",
    "lvbench": "LVBench",
}
"""Names of benchmarks by column, without the mean seconds."""
USED = re.compile(r"^(.*) \((.*)\) actual tokens/frame$")
"""A row with the tokens per frame that a budget resulted in, in the columns of scores."""


@dataclass(frozen=True, eq=False, repr=False)
class PublishedResults(Result):
    """Scores by model and benchmark, as published."""

    QUANTITIES: ClassVar = {
        "score": Quantity(("model", "benchmark"), "%", "right answers; NaN: not published"),
        "tokens": Quantity(
            ("model", "benchmark"), "tokens per frame", "used, or at most; NaN: not published"
        ),
        "size": Quantity(("model", "benchmark"), "1", "parameters, as written in the source"),
        "group": Quantity(("model",), "1", "group of models, as in the source"),
        "at_most": Quantity(("model",), "1", "whether the tokens are an upper bound"),
        "seconds": Quantity(("benchmark",), "s", "mean length of a video"),
    }
    TABLE: ClassVar = ("model", "benchmark")


def published_results(path: str | os.PathLike[str] | None = None) -> PublishedResults:
    """Read the published table and return it as a result.

    Args:
        path: a file like data/published_results.csv, which is the default.

    Returns:
        a `PublishedResults`; for Tempo, the tokens are those that a budget resulted in.

    Raises:
        TraceError: the file does not exist, or is another table.
    """
    try:
        table = pd.read_csv(shipped(TABLE) if path is None else path, dtype=str)
    except (OSError, ValueError) as err:
        raise TraceError(
            "the published table cannot be read",
            asked=str(path or TABLE),
            found=str(err),
            fix="run in a clone of the repository, or pass the path of a copy",
        ) from None
    columns = [name for name in table if re.fullmatch(r".+_\d+s", str(name))]
    missing = {"model", "group", "size", "tokens_per_frame"} - set(table)
    if missing or not columns:
        raise TraceError(
            "this is not a table of published results",
            asked=str(path or TABLE),
            found=f"no {', '.join(sorted(missing)) or 'column of a benchmark such as mlvu_651s'}",
        )
    is_used = table["model"].str.fullmatch(USED)
    rows, used = table[~is_used], table[is_used]
    cells = [[_cell(text) for text in row] for row in rows[columns].to_numpy()]
    tokens = np.stack(
        [np.full(len(columns), _max_tokens(text)) for text in rows["tokens_per_frame"]]
    )
    names = rows["model"].tolist()
    for model, values in zip(used["model"], used[columns].to_numpy(float), strict=True):
        tokens[names.index(USED.sub(r"\1 (\2 budget)", model))] = values
    sizes = rows["size"].fillna("").tolist()
    both = ("model", "benchmark")
    data: dict[str, Any] = {
        "score": (both, [[score for score, _ in row] for row in cells]),
        "tokens": (both, tokens),
        "size": (both, [[o or s for _, o in row] for s, row in zip(sizes, cells, strict=True)]),
        "group": ("model", rows["group"].tolist()),
        "at_most": ("model", rows["tokens_per_frame"].fillna("").str.startswith("<=").to_numpy()),
        "seconds": ("benchmark", [float(name.rpartition("_")[2][:-1]) for name in columns]),
    }
    titles = [BENCHMARKS.get(stem := name.rpartition("_")[0], stem) for name in columns]
    labels = {"model": names, "benchmark": titles}
    return PublishedResults(xr.Dataset(data, labels), {"table": str(path or TABLE)})


def _cell(text: object) -> tuple[float, str]:
    """Return a score, and the size in brackets of another model of the family that reached it."""
    if not isinstance(text, str):
        return float("nan"), ""
    number, _, size = text.partition(" ")
    return float(number), size.strip("()")


def _max_tokens(text: object) -> float:
    """Return the maximum tokens per frame of "64", "<=640" or "0.5-16"."""
    return float(re.split(r"<=|-", text)[-1]) if isinstance(text, str) else float("nan")
