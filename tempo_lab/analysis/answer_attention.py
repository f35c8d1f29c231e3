"""Attention of the answer's tokens to each segment's memory tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.analysis.validation import by_place, check_traces, recorded

if TYPE_CHECKING:
    from tempo_lab.trace.trace import Trace

CALL = 'Capture(attention=["answer"], reduce="key_group")'


@dataclass(frozen=True, eq=False, repr=False)
class AnswerAttention(Result):
    """Attention of the answer's tokens to each segment's memory tokens, and to other tokens.

    A segment without memory tokens has a mass of 0.
    """

    QUANTITIES: ClassVar = {
        "start": Quantity(("segment",), "s", "start of the segment"),
        "end": Quantity(("segment",), "s", "end of the segment"),
        "relevance": Quantity(("segment",), "probability", "relevance of the memory at this place"),
        "tokens": Quantity(("segment",), "tokens", "memory tokens of the segment"),
        "mass": Quantity(
            ("segment",), "probability", "attention on its memory, mean over layers, heads, tokens"
        ),
        "token_mass": Quantity(("segment",), "probability", "attention per memory token, mean"),
        "layer_mass": Quantity(
            ("llm_layer", "segment"), "probability", "attention on its memory by layer"
        ),
        "head_mass": Quantity(
            ("llm_layer", "llm_head", "segment"), "probability", "attention on its memory by head"
        ),
        "answer_mass": Quantity(
            ("answer_token", "segment"), "probability", "attention on its memory by answer token"
        ),
        "rest": Quantity(("rest_group",), "probability", "attention on what is not memory"),
        "on_memory": Quantity((), "probability", "attention on all memory tokens"),
        "looked_at": Quantity((), "1", "the segment with the most attention"),
    }
    TABLE: ClassVar = ("segment",)


def answer_attention(trace: Trace) -> AnswerAttention:
    """Read a trace and return the answer's attention to each segment, with relevance and tokens.

    The row of an answer token is that of the position that predicted it. If segments were swapped
    in the run, segments are places in time, and relevance is that of the segment whose memory is
    at the place.

    Args:
        trace: a trace with attention of the row "answer", reduced to key groups.

    Raises:
        TraceError: no such attention was recorded.
    """
    (trace,) = check_traces([trace])
    attention = recorded(trace, "answer_attention", CALL, ("llm_key_group",)).astype(np.float64)
    names = attention["llm_key_group"].to_numpy().astype(str)
    memory = attention.isel(llm_key_group=np.char.startswith(names, "memory "))
    memory = memory.drop_vars("llm_key_group").rename(llm_key_group="segment")
    others = attention.isel(llm_key_group=~np.char.startswith(names, "memory "))
    rest = others.mean(("llm_layer", "llm_head", "answer_token")).rename(llm_key_group="rest_group")
    mass = memory.mean(("llm_layer", "llm_head", "answer_token"))
    tokens = trace.data["tokens"]
    data = xr.Dataset(
        {
            **{name: trace.data[name] for name in ("start", "end", "tokens")},
            "relevance": by_place(trace, "relevance"),
            "mass": mass,
            "token_mass": (mass / tokens.where(tokens > 0)),
            "layer_mass": memory.mean(("llm_head", "answer_token")),
            "head_mass": memory.mean("answer_token"),
            "answer_mass": memory.mean(("llm_layer", "llm_head")),
            "rest": rest,
            "on_memory": mass.sum(),
            "looked_at": mass.argmax("segment"),
        }
    )
    provenance = {**trace.provenance, "question": trace.question, "answer": trace.answer}
    return AnswerAttention(data.drop_attrs(), provenance)
