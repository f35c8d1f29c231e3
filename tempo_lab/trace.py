"""Trace: everything that happened for one question, labelled, reopened without model or GPU.

The numbers are an xarray Dataset with named axes and units. The ledger is part of it: for each
segment its score, the tokens it wanted and was given, the slots it kept and its timestamp's
tokens; in total the budget, what was used, the text, and the context that is left.
No torch is needed to make, save, load, tabulate or plot one.
"""

from __future__ import annotations

import html
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from tempo_lab.allocation import Allocation
from tempo_lab.errors import TraceError
from tempo_lab.files import write_whole
from tempo_lab.text import visible

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Trace"]

FORMAT, FORMAT_VERSION = "tempo-lab trace", 1

# name: (dimensions, type, unit, what it is)
_VARIABLES: dict[str, tuple[tuple[str, ...], type, str, str]] = {
    "relevance": (("segment",), np.float32, "probability", "that the segment helps to answer"),
    "logit": (("segment",), np.float32, "1", "of Yes over No"),
    "score": (("segment",), np.float32, "1", "that shared the budget: relevance, or a forced one"),
    "wanted": (("segment",), np.int64, "tokens", "before the budget spoke"),
    "tokens": (("segment",), np.int64, "tokens", "memory tokens given"),
    "timestamp_tokens": (("segment",), np.int64, "tokens", "of the timestamp, outside the budget"),
    "start": (("segment",), np.float64, "s", "on the sampled clock"),
    "end": (("segment",), np.float64, "s", "on the sampled clock"),
    "clock": (("segment",), np.float64, "s", "as written in the prompt"),
    "true_start": (("segment",), np.float64, "s", "presentation time of the first frame"),
    "true_end": (("segment",), np.float64, "s", "presentation time of the last frame"),
    "kept": (("segment", "slot"), np.bool_, "1", "memory slots kept; none where merged"),
    "answer_logprob": (("answer_token",), np.float32, "nat", "of each token of the answer"),
}
_TOTALS = (
    "budget",
    "used",
    "timestamp_tokens_total",
    "text_tokens",
    "context",
    "context_left",
    "memory_slots",
    "min_tokens",
    "seed",
    "merged",
)


@dataclass(frozen=True, eq=False)
class Trace:
    """What one question did to one video.

    Attributes:
        question: as asked.
        answer: as generated.
        data: the numbers, by segment, slot and answer token; totals of the ledger in `attrs`.
        prompts: the texts that the models read, by name.
        provenance: versions, device, digests, arguments.
    """

    question: str
    answer: str
    data: xr.Dataset = field(repr=False)
    prompts: dict[str, str] = field(default_factory=dict, repr=False)
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name, (dims, *_) in _VARIABLES.items():
            if name not in self.data or self.data[name].dims != dims:
                raise TraceError(
                    "a trace lacks one of its parts",
                    asked=f"{name} [{', '.join(dims)}]",
                    found=str(self.data[name].dims) if name in self.data else "nothing",
                )
        if missing := [name for name in _TOTALS if name not in self.data.attrs]:
            raise TraceError("a trace lacks totals of its ledger", asked=", ".join(missing))
        for name in ("strategy", "mode"):
            if not isinstance(found := self.data.attrs.get(name), str):
                raise TraceError(
                    "a trace must say how its tokens were shared",
                    asked=f"the name of its {name}",
                    found="nothing" if found is None else repr(found),
                )

    @classmethod
    def from_run(
        cls,
        *,
        question: str,
        answer: str,
        relevance: ArrayLike,
        logit: ArrayLike,
        allocation: Allocation,
        clock: ArrayLike,
        times: ArrayLike,
        true_times: ArrayLike,
        timestamp_tokens: ArrayLike,
        text_tokens: int,
        context: int,
        answer_logprob: ArrayLike = (),
        prompts: Mapping[str, str] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Trace:
        """Make a trace of plain arrays.

        Args:
            relevance, logit: float [segment], probability and its logit.
            allocation: what `allocate` decided.
            clock: float [segment], seconds as written in the prompt.
            times, true_times: float [segment, 2], start and end in seconds, on the sampled
                clock and in presentation time.
            timestamp_tokens: int [segment], tokens of each written timestamp.
            text_tokens: all other text tokens of the prompt that holds the memory tokens.
            context: tokens that the language model can hold.
            answer_logprob: float [answer_token], nat.

        Raises:
            TraceError: an array that has not one entry a segment.
        """
        n = len(allocation)
        pairs = {"times": np.asarray(times), "true_times": np.asarray(true_times)}
        for name, pair in pairs.items():
            if pair.shape != (n, 2):
                raise TraceError(
                    "times must be a start and an end for each segment",
                    asked=f"{name} of shape {(n, 2)}",
                    found=str(pair.shape),
                )
        arrays: dict[str, ArrayLike] = {
            "relevance": relevance,
            "logit": logit,
            "score": allocation.scores,
            "wanted": allocation.wanted,
            "tokens": allocation.tokens,
            "timestamp_tokens": timestamp_tokens,
            "start": pairs["times"][:, 0],
            "end": pairs["times"][:, 1],
            "clock": clock,
            "true_start": pairs["true_times"][:, 0],
            "true_end": pairs["true_times"][:, 1],
            "kept": allocation.kept,
            "answer_logprob": answer_logprob,
        }
        variables = {name: _variable(name, values, n) for name, values in arrays.items()}
        data = xr.Dataset(variables, coords={"segment": np.arange(n)})
        written = int(data["timestamp_tokens"].sum())
        data.attrs = {
            "budget": int(allocation.budget),
            "used": allocation.used,
            "timestamp_tokens_total": written,
            "text_tokens": int(text_tokens),
            "context": int(context),
            "context_left": int(context) - allocation.used - written - int(text_tokens),
            "memory_slots": int(allocation.max_tokens),
            "min_tokens": int(allocation.min_tokens),
            "seed": int(allocation.seed),
            "merged": int(allocation.merged),
            "strategy": allocation.strategy,
            "mode": allocation.mode,
        }
        return cls(question, answer, data, _plain(prompts or {}), _plain(provenance or {}))

    @property
    def totals(self) -> dict[str, int]:
        """The ledger in total, in tokens: the prompt is `used` + timestamps + text."""
        attrs = self.data.attrs
        prompt = attrs["used"] + attrs["timestamp_tokens_total"] + attrs["text_tokens"]
        return {
            "segments": self.data.sizes["segment"],
            "budget": attrs["budget"],
            "used": attrs["used"],
            "timestamps": attrs["timestamp_tokens_total"],
            "text": attrs["text_tokens"],
            "prompt": prompt,
            "answer": self.data.sizes["answer_token"],
            "context": attrs["context"],
            "context_left": attrs["context_left"],
        }

    def to_pandas(self) -> pd.DataFrame:
        """The ledger as a table, a row a segment; `slots` names the kept ones, as in 0-3,9."""
        columns = [name for name, (dims, *_) in _VARIABLES.items() if dims == ("segment",)]
        table = self.data[columns].to_dataframe()[columns]
        table["slots"] = [_slots_text(row) for row in self.data["kept"].to_numpy()]
        if self.data.attrs["merged"]:
            partly = (table["slots"] == "") & (table["tokens"] > 0)
            table.loc[partly, "slots"] = "merged"
        return table

    def top(self, k: int = 5) -> pd.DataFrame:
        """The k most relevant segments, most relevant first."""
        return self.to_pandas().sort_values("relevance", ascending=False, kind="stable").head(k)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a NetCDF file; an older one stays as it was until the new one is complete.

        Raises:
            TraceError: something in it cannot be stored, or the file cannot be written.
        """
        path = Path(path)
        record = {
            "question": self.question,
            "answer": self.answer,
            "prompts": self.prompts,
            "provenance": self.provenance,
        }
        # ASCII JSON carries what NetCDF text cannot: NUL, lone surrogates, nesting.
        header = {"format": FORMAT, "format_version": FORMAT_VERSION, "record": json.dumps(record)}
        data = self.data.assign_attrs(header)
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
                found=f"{type(error).__name__}: {error}",
                fix="save it to a folder that exists, can be written to and has room",
            ) from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read what `save` wrote.

        Raises:
            TraceError: no such file, not a trace, damaged, or written by a later version.
        """
        path = Path(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise TraceError(
                "no trace can be read there",
                asked=str(path),
                found=error.strerror or type(error).__name__,
                fix="name a file that Trace.save or `tempo-lab ask --save` wrote",
            ) from error
        try:
            data = xr.load_dataset(
                io.BytesIO(content), engine="h5netcdf", decode_times=False, mask_and_scale=False
            )
            header = data.attrs
            if header.get("format") != FORMAT:
                raise ValueError("a file of another kind")
            version = int(header["format_version"])
            if version <= FORMAT_VERSION:
                record = json.loads(header["record"])
                names = ("question", "answer", "prompts", "provenance")
                question, answer, prompts, provenance = (record[name] for name in names)
        except Exception as error:
            raise TraceError(
                "the file is not a trace, or is damaged",
                asked=str(path),
                found=f"{len(content)} bytes; {error}".splitlines()[0],
                fix="save the trace again",
            ) from error
        if version > FORMAT_VERSION:
            raise TraceError(
                "the trace was written by a later version of Tempo Lab",
                asked=str(path),
                found=f"format {version}; this version reads up to {FORMAT_VERSION}",
                fix="pip install --upgrade tempo-lab",
            )
        data.attrs = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in header.items()
            if name not in ("format", "format_version", "record")
        }
        return cls(question, answer, data, prompts, provenance)

    def _repr_html_(self) -> str:
        table = self.top(8)[["start", "end", "relevance", "wanted", "tokens", "slots"]]
        ledger = ", ".join(f"{name} {value}" for name, value in self.totals.items())
        cells = table.round(3).to_html(border=0, escape=True)
        lines = {"Question": self.question, "Answer": self.answer, "Tokens": ledger}
        shown = "<br>".join(
            f"<b>{name}</b> {html.escape(visible(text, 2000))}" for name, text in lines.items()
        )
        return f"<div><p>{shown}</p>{cells}</div>"


def _variable(name: str, values: ArrayLike, segments: int) -> xr.Variable:
    dims, dtype, unit, meaning = _VARIABLES[name]
    try:
        array: np.ndarray = np.asarray(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise TraceError(
            "a part of the trace is not made of such numbers",
            asked=f"{name} [{', '.join(dims)}] as {np.dtype(dtype)}",
            found=str(error),
        ) from error
    if array.ndim != len(dims) or (dims[0] == "segment" and len(array) != segments):
        raise TraceError(
            "every segment needs one entry",
            asked=f"{name} [{', '.join(dims)}] of {segments} segments",
            found=f"shape {array.shape}",
        )
    return xr.Variable(dims, array, {"units": unit, "long_name": meaning})


def _encoding(data: xr.Dataset) -> dict[str, dict[str, Any]]:
    """How NetCDF stores each variable: NaN is a number here, and `kept` is mostly runs."""
    floats = (name for name in data.variables if data[name].dtype.kind == "f")
    return {"kept": {"zlib": True}, **{str(name): {"_FillValue": None} for name in floats}}


def _plain(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping as JSON would give it back, so that a saved trace equals the one in memory."""

    def simple(value: Any) -> Any:
        return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else str(value)

    plain: dict[str, Any] = json.loads(json.dumps(dict(mapping), default=simple))
    return plain


def _slots_text(kept: np.ndarray) -> str:
    """Runs of kept slots in words: bool [slot] -> "0-3,9"."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], kept.astype(np.int8), [0]])))
    runs = zip(edges[::2], edges[1::2] - 1, strict=True)
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)
