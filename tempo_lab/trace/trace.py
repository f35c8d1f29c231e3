"""Trace: the record of one question, labeled, which opens without a model or a GPU.

The numbers are an xarray Dataset with named axes and units. The ledger is part of it: per segment,
its score, the tokens it wanted and was given, the slots it kept and the tokens of its timestamp; in
total, the budget, the tokens used, the text, and the context that is left. A trace of
`Session.score` has relevance and times only.
No torch is needed to make, save, load, tabulate or plot a trace.
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from tempo_lab.allocation import STRATEGIES, Allocation
from tempo_lab.common.errors import TraceError
from tempo_lab.common.netcdf import plain_json, read_record, write_record
from tempo_lab.common.text import escape_control_chars, format_call

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Trace"]

CLOSE_SCORES = 0.01
"""Scores whose range is below this are nearly equal; docs/method.md section 5 has an example."""

# name: (dimensions, type, unit, meaning)
_VARIABLES: dict[str, tuple[tuple[str, ...], type, str, str]] = {
    "relevance": (("segment",), np.float32, "probability", "that the segment helps to answer"),
    "logit": (("segment",), np.float32, "1", "of Yes over No"),
    "score": (
        ("segment",),
        np.float32,
        "1",
        "relevance or a forced score; decides",
    ),
    "wanted": (("segment",), np.int64, "tokens", "before the budget is applied"),
    "tokens": (("segment",), np.int64, "tokens", "memory tokens given"),
    "timestamp_tokens": (("segment",), np.int64, "tokens", "of the timestamp, outside the budget"),
    "start": (("segment",), np.float64, "s", "on the sampled clock"),
    "end": (("segment",), np.float64, "s", "on the sampled clock"),
    "clock": (("segment",), np.float64, "s", "as written in the prompt"),
    "true_start": (("segment",), np.float64, "s", "presentation time of the first frame"),
    "true_end": (("segment",), np.float64, "s", "presentation time of the last frame"),
    "kept": (("segment", "slot"), np.bool_, "1", "memory slots kept; none where slots are merged"),
    "answer_logprob": (("answer_token",), np.float32, "nat", "of each token of the answer"),
}
# name: the same; only in traces of questions with subtitles
_OPTIONAL: dict[str, tuple[tuple[str, ...], type, str, str]] = {
    "subtitle_lines": (("segment",), np.int64, "lines", "of the prompt's subtitles, shown then"),
}
_SCORED = ("relevance", "logit", "start", "end", "clock", "true_start", "true_end")
"""Variables of a trace without an allocation and an answer."""
_SCORES_ONLY = "scores_only"  # marks such a trace, in `attrs`
_TEXTS = {"question": str, "answer": str, "prompts": dict, "provenance": dict}  # name: type
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
    """The record of one question about one video.

    Attributes:
        question: the question as the models read it, after the subtitles if there are any; see
            `asked` and `read_as`.
        answer: the answer as generated; "" where the question was only scored.
        data: the numbers, by segment, slot and answer token; the ledger's totals are in `attrs`.
            Where the question was only scored: relevance, logit and times, and no totals.
        prompts: the texts that the models read, by name.
        provenance: versions, device, digests, arguments.
    """

    question: str
    answer: str
    data: xr.Dataset = field(repr=False)
    prompts: dict[str, str] = field(default_factory=dict, repr=False)
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name in _SCORED if self.scores_only else _VARIABLES:
            dims = _VARIABLES[name][0]
            if name not in self.data or self.data[name].dims != dims:
                raise TraceError(
                    "a variable of the trace is missing",
                    asked=f"{name} [{', '.join(dims)}]",
                    found=str(self.data[name].dims) if name in self.data else "nothing",
                )
        for name, (dims, *_) in _OPTIONAL.items():
            if name in self.data and self.data[name].dims != dims:
                raise TraceError(
                    "a variable of the trace has other dimensions",
                    asked=f"{name} [{', '.join(dims)}]",
                    found=str(self.data[name].dims),
                )
        if self.has_subtitles and "subtitle_tokens" not in self.data.attrs:
            raise TraceError("totals of the trace's ledger are missing", asked="subtitle_tokens")
        if self.scores_only:
            return
        if missing := [name for name in _TOTALS if name not in self.data.attrs]:
            raise TraceError("totals of the trace's ledger are missing", asked=", ".join(missing))
        for name in ("strategy", "mode"):
            if not isinstance(value := self.data.attrs.get(name), str):
                raise TraceError(
                    "a trace must name the strategy and mode of its allocation",
                    asked=f"the name of its {name}",
                    found="nothing" if value is None else repr(value),
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
        subtitle_lines: ArrayLike | None = None,
        subtitle_tokens: int = 0,
    ) -> Trace:
        """Make a trace from plain arrays.

        Args:
            relevance, logit: float [segment], probability and its logit.
            allocation: the allocation.
            clock: float [segment], seconds as written in the prompt.
            times, true_times: float [segment, 2], start and end in seconds, on the sampled
                clock and in presentation time.
            timestamp_tokens: int [segment], tokens of each timestamp in the prompt.
            text_tokens: all other text tokens of the LLM's prompt.
            context: tokens that the LLM can hold.
            answer_logprob: float [answer_token], nat.
            subtitle_lines: int [segment], subtitles of the prompt that are shown then; None for a
                prompt without subtitles.
            subtitle_tokens: how many of `text_tokens` are subtitles.

        Raises:
            TraceError: an array does not have one entry per segment.
        """
        n = len(allocation)
        arrays: dict[str, ArrayLike] = {
            "relevance": relevance,
            "logit": logit,
            "score": allocation.scores,
            "wanted": allocation.wanted,
            "tokens": allocation.tokens,
            "timestamp_tokens": timestamp_tokens,
            **_spans(times, true_times, clock, n),
            "kept": allocation.kept,
            "answer_logprob": answer_logprob,
            **_subtitles(subtitle_lines),
        }
        data = _dataset(arrays, n)
        timestamps = int(data["timestamp_tokens"].sum())
        data.attrs = {
            "budget": int(allocation.budget),
            "used": allocation.used,
            "timestamp_tokens_total": timestamps,
            "text_tokens": int(text_tokens),
            "context": int(context),
            "context_left": int(context) - allocation.used - timestamps - int(text_tokens),
            "memory_slots": int(allocation.max_tokens),
            "min_tokens": int(allocation.min_tokens),
            "seed": int(allocation.seed),
            "merged": int(allocation.merged),
            "strategy": allocation.strategy,
            "mode": allocation.mode,
            **_subtitle_total(subtitle_lines, subtitle_tokens),
        }
        return cls(question, answer, data, plain_json(prompts or {}), plain_json(provenance or {}))

    @classmethod
    def from_scores(
        cls,
        *,
        question: str,
        relevance: ArrayLike,
        logit: ArrayLike,
        clock: ArrayLike,
        times: ArrayLike,
        true_times: ArrayLike,
        prompts: Mapping[str, str] | None = None,
        provenance: Mapping[str, Any] | None = None,
        subtitle_lines: ArrayLike | None = None,
        subtitle_tokens: int = 0,
    ) -> Trace:
        """Make a trace without an allocation and an answer.

        Args:
            relevance, logit: float [segment], probability and its logit.
            clock, times, true_times, subtitle_lines: see `from_run`.
            subtitle_tokens: tokens of the SVLM's prompt that are subtitles.

        Raises:
            TraceError: an array does not have one entry per segment.
        """
        n = len(np.asarray(logit))
        spans = _spans(times, true_times, clock, n)
        arrays = {"relevance": relevance, "logit": logit, **spans, **_subtitles(subtitle_lines)}
        data = _dataset(arrays, n)
        data.attrs = {_SCORES_ONLY: 1, **_subtitle_total(subtitle_lines, subtitle_tokens)}
        return cls(question, "", data, plain_json(prompts or {}), plain_json(provenance or {}))

    @property
    def scores_only(self) -> bool:
        """Whether the question was only scored, so that there are no tokens and no answer."""
        return bool(self.data.attrs.get(_SCORES_ONLY, 0))

    def check_answered(self) -> None:
        """Refuse a trace without an allocation and an answer.

        Raises:
            TraceError: the question was only scored.
        """
        if self.scores_only:
            raise TraceError(
                "this trace has no tokens and no answer",
                asked="the allocation or the answer",
                found=f"the relevance of {self.data.sizes['segment']} segments for "
                f"{self.question!r}, from Session.score",
                fix="use the trace of session.ask(question); a model without memory tokens can "
                "only score",
            )

    def allocation(self) -> Allocation:
        """Return the allocation that the trace records.

        Raises:
            TraceError: the question was only scored.
        """
        self.check_answered()
        data, attrs = self.data, self.data.attrs
        chosen = None
        if not attrs["merged"]:
            chosen = tuple(np.flatnonzero(slots) for slots in data["kept"].to_numpy())
        return Allocation(
            scores=data["score"].to_numpy(),
            wanted=data["wanted"].to_numpy(),
            tokens=data["tokens"].to_numpy(),
            budget=attrs["budget"],
            strategy=attrs["strategy"],
            mode=attrs["mode"],
            min_tokens=attrs["min_tokens"],
            max_tokens=attrs["memory_slots"],
            seed=attrs["seed"],
            chosen=chosen,
        )

    @property
    def has_subtitles(self) -> bool:
        """Whether the models read subtitles, or that there are none, before the question."""
        return "subtitle_lines" in self.data

    @property
    def asked(self) -> str:
        """The question as asked, without the subtitles before it."""
        return str(self.provenance.get("asked", self._read))

    @property
    def read_as(self) -> str | None:
        """The question as the models read it, without subtitles; None if that is `asked`."""
        return None if self._read == self.asked else self._read

    @property
    def _read(self) -> str:
        subtitles = self.provenance.get("subtitles", {})
        return self.question[subtitles.get("characters", 0) :]

    @property
    def totals(self) -> dict[str, int]:
        """The ledger's totals in tokens; the prompt is `used` + timestamps + text.

        With subtitles in the prompt, "subtitles" is how many tokens of the text they are.

        Raises:
            TraceError: the question was only scored.
        """
        self.check_answered()
        attrs = self.data.attrs
        subtitles = {"subtitles": attrs["subtitle_tokens"]} if self.has_subtitles else {}
        prompt = attrs["used"] + attrs["timestamp_tokens_total"] + attrs["text_tokens"]
        return {
            "segments": self.data.sizes["segment"],
            "budget": attrs["budget"],
            "used": attrs["used"],
            "timestamps": attrs["timestamp_tokens_total"],
            "text": attrs["text_tokens"],
            **subtitles,
            "prompt": prompt,
            "answer": self.data.sizes["answer_token"],
            "context": attrs["context"],
            "context_left": attrs["context_left"],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return the ledger as a table, a row per segment; `slots` lists kept slots, as in 0-3,9.

        Where the question was only scored, it has the relevance and the times.
        """
        optional = [name for name in _OPTIONAL if name in self.data]
        if self.scores_only:
            scored = [*_SCORED, *optional]
            return self.data[scored].to_dataframe()[scored]
        columns = [name for name, (dims, *_) in _VARIABLES.items() if dims == ("segment",)]
        columns += optional
        table = self.data[columns].to_dataframe()[columns]
        table["slots"] = [slots_text(row) for row in self.data["kept"].to_numpy()]
        if self.data.attrs["merged"]:
            merged = (table["slots"] == "") & (table["tokens"] > 0)
            table.loc[merged, "slots"] = "merged"
        return table

    def top(self, k: int = 5) -> pd.DataFrame:
        """Return the k most relevant segments, most relevant first."""
        return self.to_pandas().sort_values("relevance", ascending=False, kind="stable").head(k)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a NetCDF file; an existing file is replaced once the new one is complete.

        Raises:
            TraceError: the trace cannot be stored, or the file cannot be written.
        """
        texts = {name: getattr(self, name) for name in _TEXTS}
        return write_record(Path(path), "trace", self.data, texts)

    def to_html(self, path: str | os.PathLike[str], *, video: Any = None) -> Path:
        """Write one HTML file to give away: it needs neither Python nor a network.

        The page shows the question, the answer, relevance and tokens over time and the ledger, and
        allocates other budgets by the rule of `tempo_lab.allocate`. Folders of the video and of the
        model are left out. An existing file is replaced once the new one is complete.

        Args:
            path: path of the file.
            video: a session, a `Video` or the path of the video, for thumbnails. A trace records no
                frames; without a video the page has none.

        Raises:
            TraceError: the file cannot be written, or the video is not that of the trace.
            VideoError: the video cannot be opened or decoded.
        """
        from tempo_lab.trace.html_page import write_page

        return write_page(self, path, video)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read a file that `save` wrote.

        Raises:
            TraceError: the file does not exist, is not a trace, is damaged, or was written by a
                later version.
        """
        data, texts = read_record(Path(path), "trace", _TEXTS)
        loaded = cls(data=data, **texts)
        try:
            _ = loaded.interventions, loaded.asked
            if not all(isinstance(text, str) for text in loaded.warnings):
                raise TypeError("a warning is not text")
        except (AttributeError, KeyError, TypeError) as error:
            raise TraceError(
                "the trace is damaged: its interventions, subtitles or warnings cannot be read",
                asked=str(path),
                found=f"{type(error).__name__}: {error}",
                fix="use another copy, or ask again and save the new trace",
            ) from error
        return loaded

    @property
    def caution(self) -> str | None:
        """A warning in one line where nearly equal scores were allocated very different tokens.

        Min-max allocation depends on differences only (docs/method.md section 5): scores that
        hardly differ are still spread over the whole range of tokens, and noise decides.
        """
        if self.scores_only:
            return None
        scores, tokens = self.data["score"].to_numpy(), self.data["tokens"].to_numpy()
        strategy = STRATEGIES.get(self.data.attrs["strategy"])
        spread = float(scores.max() - scores.min())
        if strategy is None or not (strategy.uses_scores and strategy.scale_invariant):
            return None
        if not 0 < spread < CLOSE_SCORES:
            return None
        if tokens.min() == tokens.max():
            return None
        return (
            f"scores differ by at most {spread:.1g}, and were still allocated "
            f"{tokens.min()} to {tokens.max()} tokens per segment"
        )

    @property
    def interventions(self) -> tuple[str, ...]:
        """The interventions of this run, one short line each (see `Intervention`)."""
        return interventions_of(self.provenance)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about this answer: those about the video, then those about the model."""
        return tuple(self.provenance.get("warnings", ()))

    def __repr__(self) -> str:
        notes = f", interventions={self.interventions}" if self.interventions else ""
        notes += f", warnings={self.warnings}" if self.warnings else ""
        answer = "scores_only=True" if self.scores_only else f"answer={self.answer!r}"
        return f"Trace(question={self.asked!r}, {answer}{notes})"

    def _repr_html_(self) -> str:
        columns, lines = ["start", "end", "relevance"], {"Question": self.asked}
        if self.read_as is not None:
            lines["Read as"] = self.read_as
        if self.has_subtitles:
            columns.append("subtitle_lines")
        if not self.scores_only:
            columns += ["wanted", "tokens", "slots"]
            ledger = ", ".join(f"{name} {value}" for name, value in self.totals.items())
            lines |= {"Answer": self.answer, "Tokens": ledger}
        cells = self.top(8)[columns].round(3).to_html(border=0, escape=True)
        if self.interventions:
            lines["Interventions"] = "; ".join(self.interventions)
        if self.warnings:
            lines["Warnings"] = " ".join(self.warnings)
        shown = "<br>".join(
            f"<b>{name}</b> {html.escape(escape_control_chars(text, 2000))}"
            for name, text in lines.items()
        )
        caution = f"<p>{html.escape(self.caution)}</p>" if self.caution else ""
        return f"<div><p>{shown}</p>{cells}{caution}</div>"


def interventions_of(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the interventions that provenance records, one short line each."""
    records = ({**record} for record in provenance.get("interventions", ()))
    return tuple(format_call(record.pop("kind"), record) for record in records)


def _spans(
    times: ArrayLike, true_times: ArrayLike, clock: ArrayLike, segments: int
) -> dict[str, ArrayLike]:
    """Return the variables of a trace that are in seconds, from arrays [segment, 2] and a clock."""
    pairs = {"times": np.asarray(times), "true_times": np.asarray(true_times)}
    for name, pair in pairs.items():
        if pair.shape != (segments, 2):
            raise TraceError(
                "times must have a start and an end per segment",
                asked=f"{name} of shape {(segments, 2)}",
                found=str(pair.shape),
            )
    return {
        "start": pairs["times"][:, 0],
        "end": pairs["times"][:, 1],
        "clock": clock,
        "true_start": pairs["true_times"][:, 0],
        "true_end": pairs["true_times"][:, 1],
    }


def _subtitles(lines: ArrayLike | None) -> dict[str, ArrayLike]:
    return {} if lines is None else {"subtitle_lines": lines}


def _subtitle_total(lines: ArrayLike | None, tokens: int) -> dict[str, int]:
    return {} if lines is None else {"subtitle_tokens": int(tokens)}


def _dataset(arrays: Mapping[str, ArrayLike], segments: int) -> xr.Dataset:
    variables = {name: _variable(name, values, segments) for name, values in arrays.items()}
    return xr.Dataset(variables, coords={"segment": np.arange(segments)})


def _variable(name: str, values: ArrayLike, segments: int) -> xr.Variable:
    dims, dtype, unit, meaning = {**_VARIABLES, **_OPTIONAL}[name]
    try:
        array: np.ndarray = np.asarray(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise TraceError(
            "a variable of the trace has values of another type",
            asked=f"{name} [{', '.join(dims)}] as {np.dtype(dtype)}",
            found=str(error),
        ) from error
    if array.ndim != len(dims) or (dims[0] == "segment" and len(array) != segments):
        raise TraceError(
            "a variable of the trace needs one entry per segment",
            asked=f"{name} [{', '.join(dims)}] of {segments} segments",
            found=f"shape {array.shape}",
        )
    return xr.Variable(dims, array, {"units": unit, "long_name": meaning})


def slots_text(kept: np.ndarray) -> str:
    """Return runs of kept slots as text: bool [slot] -> "0-3,9"."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], kept.astype(np.int8), [0]])))
    runs = zip(edges[::2], edges[1::2] - 1, strict=True)
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)
