"""From an `Intervention.patch` to the hidden states that one model is to have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from tempo_lab.common.errors import CaptureError
from tempo_lab.session.capture.hidden_states import Patch
from tempo_lab.session.capture.selection import check_segments, check_slots, pick_layers
from tempo_lab.session.interventions.spec import Intervention

if TYPE_CHECKING:
    from tempo_lab.session.session import Session


def make_patch(one: Intervention, session: Session, question: str) -> Patch:
    """A patch as this model and video take it.

    Args:
        one: of kind "patch".
        session: the session that asks.
        question: what the SVLM reads.

    Raises:
        CaptureError: a layer, position, segment or width that is not there.
    """
    compressor = session.checkpoint.model.compressor
    config = compressor.svlm.config.text_config
    position, given = one.arguments["position"], one.arguments["segments"]
    (layer,) = pick_layers([one.arguments["layer"]], config.num_hidden_layers, "layer of a patch")
    segments = list(range(len(session))) if given == "all" else given
    check_segments(segments, len(session))
    kind, _, number = position.partition(" ")
    if kind == "memory":
        row = int(number)
        check_slots([row], compressor.slots)
    else:
        row = _row(kind, int(number or -1), session, question)
    value = torch.tensor(one.arguments["value"], dtype=torch.float32)
    _check_shape(value, config.hidden_size, segments, f"layer {layer}, {position}")
    device = compressor.compression_tokens.device
    states = value.to(device).expand(len(segments), config.hidden_size)
    values = dict(zip(segments, states, strict=True))
    return Patch(layer, position, row, kind == "memory", given != "all", values)


def _row(kind: str, number: int, session: Session, question: str) -> int:
    """Number of a position among those that the SVLM reads of a question."""
    prompt = session.checkpoint.prompts.question(question)
    if kind == "decision":
        return prompt.decision
    query = prompt.positions("query")
    if number >= len(query):
        raise CaptureError(
            "no such position to patch",
            asked=f"query {number}",
            found=f"{len(query)} tokens of the question, 0 to {len(query) - 1}",
            fix=f"the nearest is query {len(query) - 1}",
        )
    return int(query[number])  # the last one for "query_last"


def _check_shape(value: torch.Tensor, width: int, segments: Sequence[int], where: str) -> None:
    if value.ndim and value.shape[-1] != width:
        raise CaptureError(
            "a patch is as wide as the SVLM's hidden states",
            asked=f"{value.shape[-1]} numbers at {where}",
            found=f"hidden states of {width}",
            fix="what was recorded of this model, or one number for the whole state",
        )
    if value.ndim == 2 and len(value) != len(segments):
        raise CaptureError(
            "a patch of several rows has one for each segment",
            asked=f"{len(value)} rows at {where}",
            found=f"{len(segments)} segments",
            fix=f"segments=[...], {len(value)} numbers in the order of the rows",
        )


def check_apart(patches: Sequence[Patch]) -> None:
    """Refuse two patches of one place: a `CaptureError`."""
    seen: dict[tuple[int, bool, int, int], Patch] = {}
    for patch in patches:
        for segment in patch.values:
            place = patch.layer, patch.is_memory, patch.row, segment
            if place in seen:
                raise CaptureError(
                    "two patches of one place",
                    asked=f"{patch.name} after layer {patch.layer}, segment {segment}",
                    found=f"patched already as {seen[place].name}",
                    fix="one patch a place",
                )
            seen[place] = patch


def check_needed(patches: Sequence[Patch], needed: Sequence[int]) -> None:
    """Refuse patches of memory slots that nobody needs.

    Args:
        patches: all of a run.
        needed: int [segment], memory tokens that its allocation needs.

    Raises:
        CaptureError: a segment named by the patch does not need the slot, or no segment does.
    """
    for patch in patches:
        if not patch.is_memory:
            continue
        without = [segment for segment in patch.values if needed[segment] <= patch.row]
        if len(without) == len(patch.values) or (without and patch.named):
            most = max(needed[segment] for segment in without)
            raise CaptureError(
                "a memory slot that was to be patched is not needed",
                asked=f"{patch.name} of segment"
                + ("s " if len(without) > 1 else " ")
                + ", ".join(map(str, without)),
                found=f"memory tokens needed there: {most} at most",
                fix="a larger budget, Intervention.allocate, an earlier slot, or other segments",
            )
