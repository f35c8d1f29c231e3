"""Attention rollout: what a row may have seen through all layers, if attention were all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.attention import FRAMES
from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.analysis.validation import check_session, nearest
from tempo_lab.common.errors import CaptureError, TraceError, did_you_mean

if TYPE_CHECKING:
    from tempo_lab.model.token_map import TokenMap
    from tempo_lab.session.session import Session

ROWS = ("decision", "query_last", "memory")
FLOAT = 4


@dataclass(frozen=True, eq=False, repr=False)
class Rollout(Result):
    """Attention rollout of one segment. A heuristic, not a causal effect.

    It follows attention, averaged over heads, and the residual path through the layers, as if
    every layer only copied. What MLPs, values and norms do is left out, and so are the visual
    features that enter again after the first layers (deepstack). `attribution` asks for causes.
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


def rollout(
    session: Session,
    question: str,
    segment: int,
    *,
    rows: str | Sequence[str] = ROWS,
    residual: float = 0.5,
    limit_mib: float = 1024.0,
) -> Rollout:
    """Attention rollout (Abnar and Zuidema 2020) of one segment's prompt with all memory slots.

        R = A_L ... A_2 A_1,    A_l = residual I + (1 - residual) (mean over heads of attention)

    The segment is read once in one pass beside what the session keeps, and the maps are recorded
    beside the fused kernel; nothing of the session changes. It takes layers x L x L numbers for a
    prompt of L positions.

    Args:
        session: the opened video.
        question: the question.
        segment: its number.
        rows: "decision", "query_last", "memory".
        residual: share of the residual path, 0 to 1; the paper's is one half.
        limit_mib: MiB that the maps may take; more is refused before anything runs.

    Raises:
        CaptureError: no such row, or maps beyond the limit.
        TraceError: no such segment, or a share that is none.
        QueryError: the question is no text, or has words that the model does not know.
    """
    from tempo_lab.session.validation import check_texts, check_words

    check_session(session)
    rows = (rows,) if isinstance(rows, str) else tuple(rows)
    for name in rows or ("",):
        if name not in ROWS:
            raise CaptureError(
                "no such row",
                asked=repr(name) if rows else "none",
                found=", ".join(ROWS),
                fix=did_you_mean(name, ROWS, "use one of these"),
            )
    if isinstance(segment, str) or segment not in range(len(session)):
        raise TraceError(
            "there is no such segment",
            asked=f"segment {segment}",
            found=f"{len(session)} segments",
            fix=nearest(segment, len(session)),
        )
    segment = int(segment)
    if not 0 <= residual <= 1:
        raise TraceError("the residual path's share is 0 to 1", asked=f"residual={residual}")
    check_texts(question, ())
    model = session.checkpoint.model.config
    check_words(question, session.checkpoint.prompts.llm, model.example_questions)
    prompt = session.prompt(question, segment)
    check_size(session, len(prompt), limit_mib)
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


def check_size(session: Session, positions: int, limit_mib: float) -> None:
    """Refuse maps of every layer, and the product of them, that are beyond the limit.

    Raises:
        CaptureError: with both numbers.
    """
    layers = session.checkpoint.model.config.compressor_config.text_config.num_hidden_layers
    mib = FLOAT * (layers + 2) * positions**2 / 2**20
    if mib > limit_mib:
        raise CaptureError(
            "the maps of all layers do not fit the limit",
            asked=f"{layers} layers of {positions} x {positions} positions: {mib:.2f} MiB",
            found=f"limit_mib = {limit_mib:g}",
            fix=f"limit_mib={int(mib) + 1}, or smaller frames or a shorter window",
        )


def _maps(session: Session, question: str, segment: int) -> list[np.ndarray]:
    """Mean over heads of every layer's attention, float32 [row, key] each."""
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
    job = AttentionRequest("one pass", every, HeadMean(), positions)
    with torch.inference_mode(), recorder.installed(), recorder.recording(job):
        compressor.in_one_pass(torch.from_numpy(patches), grid, *parts)
    return [job.recorded.pop(layer)[0][0, 0].numpy() for layer in recorder.layers]


def _labelled(
    session: Session, prompt: TokenMap, segment: int, rows: Sequence[str], product: np.ndarray
) -> xr.Dataset:
    from tempo_lab.session.capture.key_groups import SELF, svlm_group_names, svlm_groups

    where = {"decision": prompt.decision, "query_last": int(prompt.positions("query")[-1])}
    slots = {f"memory {i}": int(p) for i, p in enumerate(prompt.positions("memory"))}
    wanted = {name: where[name] for name in rows if name != "memory"}
    wanted |= slots if "memory" in rows else {}
    chosen = product[list(wanted.values())]
    vision = prompt.positions("vision")
    place = [axis[vision] for axis in (prompt.index, prompt.row, prompt.column)]
    grid = [int(axis.max()) + 1 for axis in place]
    patches = np.zeros((len(chosen), *grid), dtype=np.float32)
    patches[:, place[0], place[1], place[2]] = chosen[:, vision]
    names = svlm_group_names(grid[0])
    group = svlm_groups(prompt, names)
    mass = np.zeros((len(chosen), len(names)), dtype=np.float32)
    for row, position in enumerate(wanted.values()):
        own = np.where(np.arange(len(prompt)) == position, names.index(SELF), group)
        np.add.at(mass[row], own, chosen[row])
    start, end = session.video.segment_times[segment]
    first = start + FRAMES / session.video.plan.fps * np.arange(grid[0])
    return xr.Dataset(
        {
            "rollout": (("row", "key"), chosen),
            "key_name": ("key", np.array(prompt.names())),
            "mass": (("row", "key_group"), mass),
            "patch_mass": (("row", "pair", "patch_row", "patch_column"), patches),
            "pair_start": ("pair", first),
            "pair_end": ("pair", np.minimum(first + FRAMES / session.video.plan.fps, end)),
        },
        {"row": list(wanted), "key_group": names},
    )
