"""Read the base Qwen3-VL of a released checkpoint: its configuration, tokenizer and two rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoTokenizer, PreTrainedConfig, Qwen3VLConfig

from tempo_lab.common.errors import CheckpointError
from tempo_lab.model.config import TempoConfig
from tempo_lab.model.hub import check_plain, find_base, read_object, weight_files
from tempo_lab.model.prompts import Prompts

MAX_LAYERS = 1000


def complete_config(
    config: TempoConfig, folder: str | Path, base: str | Path | None
) -> Path | None:
    """Add the SVLM's configuration to the configuration of a released checkpoint.

    Returns:
        the folder of the base, or None if the checkpoint is self-contained.
    """
    if config.compressor_config is not None and base is None:
        return None
    base_folder = find_base(Path(folder), config.mm_vision_tower_aux_list, base)
    path = base_folder / "config.json"
    try:
        values = read_object(path)
        check_plain(base_folder, values)
        if values.get("model_type") != "qwen3_vl":
            raise ValueError(f"model_type = {values.get('model_type')!r}, not 'qwen3_vl'")
        config.compressor_config = Qwen3VLConfig(**plain_values(values))
    except CheckpointError:
        raise
    except Exception as err:  # transformers raises errors of several kinds
        raise CheckpointError(
            "the base is not a Qwen3-VL",
            asked=path,
            found=str(err),
            fix="pass the base Qwen3-VL's folder as base=",
        ) from None
    config.mm_hidden_size = config.compressor_config.text_config.hidden_size
    return base_folder


def plain_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without entries that choose code to run, and without labels.

    Raises:
        ValueError: more layers than any model has (transformers makes a list of them first), or a
            number that makes every output NaN.
    """
    left_out = ("auto_map", "attn_implementation", "_attn_implementation", "num_labels")
    for name in ("num_hidden_layers", "depth"):
        if not isinstance(depth := values.get(name, 0), int) or depth > MAX_LAYERS:
            raise ValueError(f"{name} must be a whole number up to {MAX_LAYERS}, not {depth}")
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, not {value}")
        if name == "rope_theta" and isinstance(value, int | float) and value <= 0:
            raise ValueError(f"rope_theta must be above 0, not {value}")
    return {
        key: plain_values(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if key not in left_out
    }


def read_yes_no_rows(base_folder: Path) -> torch.Tensor:
    """Return the base's output-embedding rows of Yes and No, [2, hidden]; it reads nothing else."""
    files = weight_files(base_folder)
    tied = read_object(base_folder / "config.json").get("tie_word_embeddings", False)
    names = ["model.language_model.embed_tokens.weight", "model.embed_tokens.weight"]
    names = names if tied else ["lm_head.weight", *names]
    key = next((name for name in names if name in files), None)
    if key is None:
        raise CheckpointError(
            "the base has no output embedding with rows for Yes and No",
            asked=" or ".join(names),
            found=f"{len(files)} other keys in {base_folder}",
            fix="pass the folder of the base Qwen3-VL, with its weights",
        )
    tokenizer = load_tokenizer(base_folder)
    ids = Prompts(tokenizer, tokenizer).yes_no
    with safe_open(files[key], framework="pt") as file:
        rows = file.get_slice(key)
        return torch.cat([rows[i : i + 1] for i in ids])


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a folder, built only from its tokenizer files.

    Raises:
        CheckpointError: they are missing or damaged, or the tokenizer returns no tokens.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder,
            config=PreTrainedConfig(),  # the tokenizer files are enough; config.json is not read
            local_files_only=True,
            trust_remote_code=False,
            use_fast=True,
        )
        if not tokenizer.encode("What color is it?", add_special_tokens=False):
            raise ValueError("the tokenizer has no vocabulary: it returns no tokens")
        return tokenizer
    except Exception as err:  # the tokenizers library raises plain Exceptions
        raise CheckpointError(
            "the tokenizer cannot be read",
            asked=folder,
            found=(str(err).strip() or type(err).__name__).splitlines()[0],
            fix="a checkpoint needs tokenizer.json and tokenizer_config.json",
        ) from err
