"""Attention rollout: what a row may have seen through all layers, if attention were all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.attention import FRAMES_PER_PAIR
from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.analysis.validation import check_session
from tempo_lab.common.deprecation import renamed_keywords
from tempo_lab.common.errors import CaptureError, TraceError, did_you_mean
from tempo_lab.common.validation import check_number, check_whole

if TYPE_CHECKING:
    from tempo_lab.model.token_map import TokenMap
    from tempo_lab.session.session import Session

ROWS = ("decision", "query_last", "memory")
FLOAT = 4


@dataclass(frozen=True, eq=False, repr=False)
class Rollout(Result):
    """Attention rollout of one segment. It is a heuristic, not a causal effect.

    It follows attention, averaged over heads, and the residual path through the layers, as if
    every layer only copied. It ignores MLPs, values and norms, and the visual features that are
    added after the first layers (deepstack). Use `attribution` for causal effects.
    """

    QUANTITIES: ClassVar = {
        "rollout": Quantity(("row", "key"), "1", "share of the row that comes from the position"),
        "key_name": Quantity(("key",), "1", "what the position is"),
        "mass": Quantity(("row", "key_group"), "1", "share that comes from the group"),
        "patch_mass": Quantity(
            ("row", "pair", "patch_row", "patch_column"), "1", "share that comes from the patch"
        ),
        "pair_start": Quantity(("pair",), "s", "start of the frame pair"),
        "pair_end": Quantity(("pair",), "s", "end of the frame pair"),
    }
    TABLE: ClassVar = ("row", "key_group")


@renamed_keywords(limit_mib=("max_bytes", lambda mib: int(mib * 2**20)))
def rollout(
    session: Session,
    question: str,
    segment: int,
    *,
    rows: str | Sequence[str] = ROWS,
    residual: float = 0.5,
    max_bytes: int = 2**30,
) -> Rollout:
    """Run the model on a session and return attention rollout (Abnar and Zuidema 2020)::

        R = A_L ... A_2 A_1,    A_l = residual I + (1 - residual) (mean over heads of attention)

    The prompt of one segment with all memory slots goes through the SVLM in a single pass; the
    session's cache is neither used nor changed. The attention maps are computed in addition to
    the fused kernel. They hold layers x L x L numbers for a prompt of L positions.

    Args:
        session: the opened video.
        question: the question.
        segment: the number of the segment.
        rows: "decision", "query_last", "memory".
        residual: share of the residual path, 0 to 1; the paper uses one half.
        max_bytes: bytes that the maps may need; a larger request is refused before the model runs.

    Raises:
        CaptureError: a row does not exist, or the maps need more than `max_bytes`.
        TraceError: there is no such segment, or `residual` is not between 0 and 1.
        QueryError: the question is not text, or has words that the model does not know.
    """
    from tempo_lab.session.validation import check_texts, check_words

    check_session(session)
    rows = (rows,) if isinstance(rows, str) else tuple(rows)
    for name in rows or ("",):
        if name not in ROWS:
            raise CaptureError(
                "there is no such row",
                asked=repr(name) if rows else "none",
                found=", ".join(ROWS),
                fix=did_you_mean(name, ROWS, "use one of these"),
            )
    segment = check_whole("segment", segment, 0, len(session) - 1, error=TraceError)
    residual = check_number("residual", residual, 0, 1, error=TraceError)
    check_texts(question, ())
    config = session.checkpoint.model.config
    check_words(question, session.checkpoint.prompts.llm, config.example_questions)
    prompt = session.prompt(question, segment)
    _check_size(session, len(prompt), max_bytes)
    maps = _maps(session, question, segment)
    product: np.ndarray = np.eye(len(prompt), dtype=np.float32)
    while maps:
        layer = (1 - residual) * maps.pop(0)
        layer[np.diag_indices_from(layer)] += residual
        product = layer @ product
    provenance = {
        "method": "attention rollout (Abnar and Zuidema 2020), a heuristic, not a causal effect",
        "model": session.checkpoint.name,
        "model_digest": session.checkpoint.digest,
        "video": str(session.video.info.path),
        "question": question,
        "segment": segment,
        "residual": residual,
    }
    return Rollout(_labelled(session, prompt, segment, rows, product), provenance)


def _check_size(session: Session, positions: int, max_bytes: int) -> None:
    """Refuse maps of all layers, and their product, that need more than `max_bytes`."""
    layers = session.checkpoint.model.config.compressor_config.text_config.num_hidden_layers
    needed = FLOAT * (layers + 2) * positions**2
    if needed > check_whole("max_bytes", max_bytes, 1, error=CaptureError):
        raise CaptureError(
            "the attention maps of all layers need more than max_bytes",
            asked=f"{layers} layers of {positions} x {positions} positions: {needed} bytes",
            found=f"max_bytes={max_bytes}",
            fix=f"use max_bytes={needed}, smaller frames or a shorter window",
        )


def _maps(session: Session, question: str, segment: int) -> list[np.ndarray]:
    """Return every layer's attention, mean over heads, float32 [row, key] each."""
    import torch

    from tempo_lab.session.capture.attention import AttentionRecorder, AttentionRequest
    from tempo_lab.session.capture.key_groups import HeadMean

    compressor, prompts = session.checkpoint.model.compressor, session.checkpoint.prompts
    batches, text = session.engine.batches, compressor.svlm.language_model
    with closing(session.video.segments(batches.resize, segment)) as decoded:
        frames = next(decoded)
    patches, grid = batches.patches(frames)
    parts: tuple[Any, ...] = (
        prompts.system(),
        prompts.video(grid, batches.seconds(frames)),
        prompts.question(question),
    )
    positions = sum(map(len, parts)) + compressor.slots
    recorder = AttentionRecorder(text, range(text.config.num_hidden_layers), "SVLM")
    every = torch.arange(positions, device=compressor.compression_tokens.device)
    request = AttentionRequest("one pass", every, HeadMean(), positions)
    with torch.inference_mode(), recorder.installed(), recorder.recording(request):
        compressor.in_one_pass(torch.from_numpy(patches), grid, *parts)
    return [request.recorded.pop(layer)[0][0, 0].numpy() for layer in recorder.layers]


def _labelled(
    session: Session, prompt: TokenMap, segment: int, rows: Sequence[str], product: np.ndarray
) -> xr.Dataset:
    from tempo_lab.session.capture.key_groups import SELF, svlm_group_names, svlm_groups

    single = {"decision": prompt.decision, "query_last": int(prompt.positions("query")[-1])}
    slots = {f"memory {i}": int(p) for i, p in enumerate(prompt.positions("memory"))}
    position_of = {name: single[name] for name in rows if name != "memory"}
    position_of |= slots if "memory" in rows else {}
    selected = product[list(position_of.values())]
    vision = prompt.positions("vision")
    index = [axis[vision] for axis in (prompt.index, prompt.row, prompt.column)]
    grid = [int(axis.max()) + 1 for axis in index]
    patches = np.zeros((len(selected), *grid), dtype=np.float32)
    patches[:, index[0], index[1], index[2]] = selected[:, vision]
    names = svlm_group_names(grid[0])
    group = svlm_groups(prompt, names)
    mass = np.zeros((len(selected), len(names)), dtype=np.float32)
    for row, position in enumerate(position_of.values()):
        own = np.where(np.arange(len(prompt)) == position, names.index(SELF), group)
        np.add.at(mass[row], own, selected[row])
    start, end = session.video.segment_times[segment]
    first = start + FRAMES_PER_PAIR / session.video.plan.fps * np.arange(grid[0])
    return xr.Dataset(
        {
            "rollout": (("row", "key"), selected),
            "key_name": ("key", np.array(prompt.names())),
            "mass": (("row", "key_group"), mass),
            "patch_mass": (("row", "pair", "patch_row", "patch_column"), patches),
            "pair_start": ("pair", first),
            "pair_end": ("pair", np.minimum(first + FRAMES_PER_PAIR / session.video.plan.fps, end)),
        },
        {"row": list(position_of), "key_group": names},
    )
