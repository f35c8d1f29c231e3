"""One recorded case of the released implementation, compared stage by stage."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tempo_lab.allocation.ata import allocate, keep_tokens
from tempo_lab.model import Checkpoint, load_checkpoint
from tempo_lab.model.generate import answer
from tempo_lab.model.prompts import segment_seconds
from tempo_lab.model.token_map import TokenMap, concatenate, rope_positions
from tempo_lab.session.engine import CompressorEngine
from tempo_lab.session.session import Session
from tempo_lab.video.video import Video

ROUNDED = 5e-3
"""Share of pixel values that may be rounded otherwise; instruction sets differ in up to 0.0014."""
EXACT = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
"""Whether this processor's resize gives the recorded pixels; both of these do."""
SPARE = 16
"""Tokens that the released code leaves free where it cuts a video."""


@lru_cache
def checkpoint(folder: Path, base: Path, rope: str) -> Checkpoint:
    """A checkpoint of the record, loaded once."""
    return load_checkpoint(folder, base=base, device="cpu", dtype="float32", rope=rope)


def case_checkpoint(root: Path, case: dict[str, Any], record: Any) -> Checkpoint:
    """The checkpoint that a case was recorded with.

    Which projector it was, the record itself shows where it holds a memory token before and after;
    otherwise, and for the rounding of rope, the words of the case's name and note say it.
    """
    about = f"{case.get('name', '')} {case.get('note', '')}".replace("_", " ").lower()
    words = set(re.findall(r"\w+", about))
    rounded = "rope" in words and words & {"rounding", "rounded"}
    folders = ["tempo_linear", "tempo"] if "linear" in words else ["tempo", "tempo_linear"]
    base = root / "svlm" / "qwen3-vl-tiny"
    there = [root / name for name in folders if (root / name).is_dir()]
    if len(there) > 1 and (pair := projected_pair(record)) is not None:
        there.sort(key=lambda folder: projector_error(folder, base, *pair))
    folder = there[0] if there else root / folders[0]
    return checkpoint(folder, base, "released" if rounded else "correct")


def projected_pair(record: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """The first kept memory token of a case and what the projector made of it."""
    if not has(record, "compression_features", "projected_features"):
        return None
    memory, projected = record["compression_features"], record["projected_features"]
    kept = np.flatnonzero(record["allocations"]) if "allocations" in record else [0]
    if not len(kept) or not projected.size or kept[0] >= len(memory):
        return None
    return memory[kept[0], 0], projected.reshape(-1, projected.shape[-1])[0]


def projector_error(folder: Path, base: Path, token: np.ndarray, projected: np.ndarray) -> float:
    """How far a checkpoint's projector is from the recorded one; infinite where it cannot be it."""
    with suppress(Exception), torch.inference_mode():
        project = checkpoint(folder, base, "correct").model.project
        return worst(project(torch.from_numpy(token)[None])[0], projected)
    return float("inf")


def has(record: Any, *names: str) -> bool:
    """Whether a record holds all of these arrays; it has fewer where a stage does not apply."""
    return all(name in record for name in names)


def worst(found: Any, recorded: Any) -> float:
    """Largest absolute difference; infinite if the shapes differ or one alone is no number."""
    found, recorded = np.asarray(found), np.asarray(recorded)
    if found.shape != recorded.shape:
        return float("inf")
    found, recorded = found.astype(np.float64), recorded.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.abs(found - recorded)
    difference[(found == recorded) | (np.isnan(found) & np.isnan(recorded))] = 0
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))


def open_case(case: dict[str, Any], frames: np.ndarray, folder: Path) -> Video:
    """The recorded frames as a source that needs no decoding."""
    if case.get("data_type") == "image":
        Image.fromarray(frames.reshape(frames.shape[-3:])).save(folder / "image.png")
        return Video(folder / "image.png")
    np.save(folder / "frames.npy", frames)
    return Video(
        folder / "frames.npy", fps=case.get("fps") or 1.0, window=case.get("frame_windows") or 8
    )


def cut_as_released(
    embeddings: torch.Tensor, prompt: TokenMap, context: int, *, whole: bool
) -> torch.Tensor:
    """The LLM's input as the released code cuts it; Tempo Lab refuses it instead.

    Args:
        embeddings: [1, position, hidden].
        prompt: what each position is.
        context: tokens that the LLM can hold.
        whole: whether all memory tokens are kept: then the end of the video is cut, so that text
            and `SPARE` more tokens fit, and not the end of the prompt.
    """
    if whole:
        visual = prompt.segment >= 0
        room = context - SPARE - int((~visual).sum())
        embeddings = embeddings[:, torch.from_numpy(~visual | (visual.cumsum() <= room))]
    return embeddings[:, :context]


def run_case(root: Path, path: Path) -> Iterator[tuple[str, float]]:
    """Yield (stage, worst absolute difference) of one case."""
    case = json.loads(path.read_text())
    record = np.load(path.with_suffix(".npz"))
    loaded = case_checkpoint(root, case, record)
    if (case.get("frame_stride") or 8) != (case.get("frame_windows") or 8):
        raise ValueError("overlapping windows are not part of the method")
    with (
        tempfile.TemporaryDirectory() as folder,
        open_case(case, record["frames_u8"], Path(folder)) as video,
        Session(CompressorEngine(loaded, video, cache="kv"), progress=False) as session,
        torch.inference_mode(),
    ):
        yield from compare_reading(session, case, record)
        yield from compare_answer(session, loaded, case, record)


def use_recorded_pixels(session: Session, recorded: np.ndarray) -> float:
    """The share of pixel values that differ; infinite if one differs by more than a level.

    The resize ends on a half now and then, and the last bit of a float decides how that is rounded.
    Where nothing else differs, the stages after it start from the recorded pixels, so that they are
    compared on any processor.
    """
    batches = session.engine.batches
    computed = [batches.patches(each) for each in session.video.segments(batches.resize)]
    pixels = np.concatenate([patches for patches, _ in computed])
    if worst(pixels, recorded) > 1:
        return float("inf")
    share = float((pixels != recorded).mean())
    if share <= ROUNDED:
        cuts = np.cumsum([len(patches) for patches, _ in computed])[:-1]
        grids = (grid for _, grid in computed)
        pairs = list(zip(np.split(recorded, cuts), grids, strict=True))
        batches.patches = lambda segment: pairs[segment.index]
    return share


def compare_reading(
    session: Session, case: dict[str, Any], record: Any
) -> Iterator[tuple[str, float]]:
    """Pixels, prompts, positions and visual features."""
    prompts, compressor = session.engine.prompts, session.engine.compressor
    batches = session.engine.batches
    slots = compressor.slots
    merged, deepstack = [], []
    ids, positions = [], []
    if "pixel_u8_patches" in record:
        yield "pixels", use_recorded_pixels(session, record["pixel_u8_patches"])
    for segment in session.video.segments(batches.resize):
        patches, grid = batches.patches(segment)
        prompt = concatenate(
            [
                prompts.system(),
                prompts.video(grid, batches.seconds(segment)),
                prompts.question(case["query"]),
            ]
        )
        length = len(prompt)
        if "vlm_attention_mask" in record:
            length = int(record["vlm_attention_mask"][segment.index].sum())
        if "vlm_input_ids" in record:
            ids.append(worst(prompt.ids, record["vlm_input_ids"][segment.index, :length]))
        placed, following = rope_positions(prompt)
        placed = np.concatenate([placed, np.tile(following + np.arange(slots), (3, 1))], axis=1)
        # the record pads shorter prompts on the right, after their memory tokens
        if "svlm_position_ids" in record:
            recorded = record["svlm_position_ids"][:, segment.index, : length + slots]
            positions.append(worst(placed, recorded))
        features = compressor.encode_vision(torch.from_numpy(patches)[None], grid)
        merged.append(features.merged[0].numpy())
        deepstack.append([level[0].numpy() for level in features.deepstack])
    yield from (("ids", found) for found in ids)
    yield from (("positions", found) for found in positions)
    levels = [
        np.concatenate(merged),
        *(np.concatenate(level) for level in zip(*deepstack, strict=True)),
    ]
    names = ["vit_merged", *(f"vit_deepstack{i}" for i in range(len(levels) - 1))]
    for name, level in zip(names, levels, strict=True):
        if name in record:
            yield "vision", worst(level, record[name])
        elif has(record, "vit_rows_idx", f"{name}_rows"):
            yield "vision", worst(level[record["vit_rows_idx"]], record[f"{name}_rows"])


def compare_answer(
    session: Session, loaded: Checkpoint, case: dict[str, Any], record: Any
) -> Iterator[tuple[str, float]]:
    """Scores, memory tokens, allocation, the LLM's input, its logits and what it wrote."""
    engine, model = session.engine, loaded.model
    reading = engine.score(case["query"])
    n, slots = len(session.video), model.config.num_compression_tokens
    scores = torch.sigmoid(torch.from_numpy(reading.logit)).numpy()
    if "relevance_scores_natural" in record:
        yield "scores", worst(scores, record["relevance_scores_natural"])
    memory = engine.memory_tokens(reading, np.full(n, slots))
    if "compression_features" in record:
        yield "memory", worst(torch.stack(list(memory)), record["compression_features"])

    dynamic = case.get("dynamic_compress", True) and not session.video.is_image
    if case.get("forced_scores") is not None:
        scores = np.asarray(case["forced_scores"], dtype=np.float32)
    allocation = allocate(
        scores,
        case["budget"] if dynamic else n * slots,
        strategy="head" if dynamic else "none",
        mode="faithful",
        max_tokens=slots,
    )
    if "allocations" in record:
        yield "allocation", worst(allocation.tokens, record["allocations"])
    kept = [model.project(keep_tokens(memory[i], allocation, i)) for i in range(n)]
    if "projected_features" in record:
        recorded = record["projected_features"]
        yield "projected", worst(torch.cat(kept), recorded.reshape(-1, recorded.shape[-1]))

    clocks, video = None, session.video
    if not video.is_image:
        seconds = segment_seconds(n, video.plan.fps, video.window)
        clocks = [loaded.prompts.timestamp(each) for each in seconds]
    prompt = loaded.prompts.conversation(clocks, allocation.tokens, case["query"], ())
    embeddings = model.embed(prompt, kept)
    if context := case.get("tokenizer_model_max_length"):
        embeddings = cut_as_released(embeddings, prompt, context, whole=not dynamic)
    if "inputs_embeds" in record:
        yield "embeddings", worst(embeddings, record["inputs_embeds"])
    if not {"generated_ids", "last_logits", "step_logits"} & set(record):
        return
    ids = record["generated_ids"] if "generated_ids" in record else record.get("step_logits", [0])
    wrote = answer(
        model, loaded.prompts.llm, embeddings, max_new_tokens=max(len(ids), 1), logits=True
    )
    if "last_logits" in record:
        yield "logits", worst(wrote.logits[0], record["last_logits"])
    if "generated_ids" in record:
        yield "generated", worst(wrote.ids, ids)
    if "step_logits" in record:
        steps = min(len(wrote.logits), len(record["step_logits"]))
        yield "logits", worst(wrote.logits[:steps], record["step_logits"][:steps])
