"""Export the parts of a run as a self-contained checkpoint folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import Qwen3VLConfig

from tempo_lab.common.errors import CheckpointError
from tempo_lab.common.files import atomic_file, write_atomic
from tempo_lab.model.config import TempoConfig
from tempo_lab.model.out_of_distribution import FeatureStatistics
from tempo_lab.model.question_forms import write_question_forms
from tempo_lab.nano.training.prompt_ids import PromptIds
from tempo_lab.nano.training.recipes import FRAME, PATCHES, WINDOW, Sizes
from tempo_lab.nano.world import KINDS, WORLD_VERSION, draw_scene
from tempo_lab.nano.world.recognition import FORMS
from tempo_lab.nano.world.seeds import TRAINING

MIN_TOKENS = 2
LONGEST_ANSWER = 32
"""Tokens of an answer by default; the longest right answer of the world has 18, and its end."""
TOWER = "model.vision_tower_aux_list.0"
VISUAL, SVLM = f"{TOWER}.vlm.model.visual.", f"{TOWER}.vlm.model.language_model."
FAMILIAR = "model.familiar."
SEEN = 4096
"""Segments of the bank from which the checkpoint's statistics of training frames are computed."""


def example_questions() -> list[str]:
    """Return a question of each kind, in the plain phrasing, from the first scenes that have one.

    Kind "absence" is left out, as its questions have the phrasings of other kinds.
    """
    found: dict[str, str] = {}
    kinds = [kind for kind in KINDS if kind != "absence"]
    for seed in TRAINING.seeds(0):
        scene = draw_scene(seed, 8, held_out=False)
        for kind in kinds:
            plain = [q.text for q in KINDS[kind](scene) if not any(n.color for n in q.nouns)]
            if plain and kind not in found:
                found[kind] = plain[0]
        if len(found) == len(kinds):
            break
    return [found[kind] for kind in kinds]


def familiar_tensors(bank: Path) -> dict[str, Tensor]:
    """Return statistics of the bank's visual features, by tensor name; empty without a bank."""
    if not bank.exists():
        return {}
    with safe_open(bank, framework="pt") as file:
        merged = file.get_slice("merged")[:SEEN]
    familiar = FeatureStatistics.of(merged.unflatten(1, (PATCHES, -1)).flatten(0, 1))
    return {f"{FAMILIAR}{name}": value for name, value in familiar.state_dict().items()}


def tempo_config(
    sizes: Sizes, words: PromptIds, training: dict[str, Any], *, familiar: bool
) -> TempoConfig:
    """Return the configuration of a trained model."""

    def token(text: str) -> int:
        return int(words.tokenizer.convert_tokens_to_ids(text))

    compressor = Qwen3VLConfig(
        text_config=sizes.text_config(len(words)),
        vision_config=sizes.vision_config(),
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    return TempoConfig(
        **sizes.llm_config(len(words)),
        compressor_config=compressor.to_dict(),
        mm_projector_type="mlp2x_gelu",
        mm_hidden_size=sizes.width,
        num_compression_tokens=sizes.memory,
        dynamic_compress=True,
        tokenizer_model_max_length=16384,
        frame_size=[FRAME, FRAME],
        segment_frames=WINDOW,
        min_tokens=MIN_TOKENS,
        shared_tokenizer=True,
        training=training,
        example_questions=example_questions(),
        familiar=familiar,
        eos_token_id=words.end,
        pad_token_id=words.pad,
        architectures=["TempoForConditionalGeneration"],
    )


def released_keys(
    visual: dict[str, Tensor],
    svlm: dict[str, Tensor],
    llm: dict[str, Tensor],
    memory: dict[str, Tensor],
    yes_no_rows: Tensor,
) -> dict[str, Tensor]:
    """Return all tensors under the names of the released format (docs/method.md section 7)."""
    tensors = {f"{VISUAL}{k}": v for k, v in visual.items()}
    tensors |= {f"{SVLM}{k}": v for k, v in svlm.items()}
    tensors |= {f"model.{k}": v for k, v in llm.items()}
    tensors[f"{TOWER}.compression_tokens"] = memory["compression_tokens"]
    tensors |= {f"model.{k}": v for k, v in memory.items() if k.startswith("mm_projector")}
    tensors[f"{TOWER}.yes_no_rows"] = yes_no_rows
    return tensors


def parts(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Split a checkpoint's tensors into visual, svlm, llm and memory, in float32."""

    def named(*names: str, cut: str) -> dict[str, Tensor]:
        found = {k: v for k, v in tensors.items() if k.startswith(names)}
        return {k.removeprefix(cut): v.float() for k, v in found.items()}

    rows = named(f"{TOWER}.compression_tokens", cut=f"{TOWER}.")
    return {
        "visual": named(VISUAL, cut=VISUAL),
        "svlm": named(SVLM, cut=SVLM),
        "llm": named("model.layers.", "model.embed_tokens.", "model.norm.", cut="model."),
        "memory": rows | named("model.mm_projector.", cut="model."),
    }


def export(
    folder: Path,
    sizes: Sizes,
    tensors: dict[str, Tensor],
    training: dict[str, Any],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write configuration, weights and tokenizer; each file appears once it is complete.

    Raises:
        CheckpointError: a weight is not a finite number in `dtype`; nothing is written.
    """
    plain = {k: v.detach().to("cpu", dtype).contiguous().clone() for k, v in tensors.items()}
    if damaged := [name for name, weights in plain.items() if not weights.isfinite().all()]:
        raise CheckpointError(
            "weights that are not finite numbers cannot be exported",
            asked=f"{len(plain)} tensors in {str(dtype).removeprefix('torch.')}",
            found=f"NaN or infinity in {len(damaged)} of them, first {damaged[0]}",
            fix="train again from the last stage whose weights are finite, with another seed",
        )
    folder.mkdir(parents=True, exist_ok=True)
    words = PromptIds()
    words.tokenizer.save_pretrained(folder)
    familiar = any(key.startswith(FAMILIAR) for key in tensors)
    training = {**training, "data_version": WORLD_VERSION}
    config = tempo_config(sizes, words, training, familiar=familiar)
    config.dtype = dtype
    config.save_pretrained(folder)
    write_question_forms(folder, FORMS)
    generation = {"max_new_tokens": LONGEST_ANSWER}
    write_atomic(folder / "generation_config.json", (json.dumps(generation) + "\n").encode())
    with atomic_file(folder / "model.safetensors") as part:
        save_file(plain, part, metadata={"format": "pt"})
        part.chmod(0o644)  # safetensors lets only the owner read; anyone may read a package
