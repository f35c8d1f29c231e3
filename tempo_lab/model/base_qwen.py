"""What a released checkpoint needs of its base Qwen3-VL: configuration, tokenizer, two rows."""

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

MOST_LAYERS = 1000


def complete_config(
    config: TempoConfig, folder: str | Path, base: str | Path | None
) -> Path | None:
    """Fill in the SVLM's configuration of a released checkpoint.

    Returns:
        the base's folder, or None where the checkpoint is self-contained.
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
    except Exception as err:  # transformers checks with kinds of errors of its own
        raise CheckpointError(
            "the base is not a Qwen3-VL",
            asked=path,
            found=str(err),
            fix="give the base Qwen3-VL's folder as base=",
        ) from None
    config.mm_hidden_size = config.compressor_config.text_config.hidden_size
    return base_folder


def plain_values(values: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what would choose code to run, and without labels, which it makes.

    Raises:
        ValueError: more layers than any model has (a list is made of them before they are built),
            or a number that makes every output NaN.
    """
    left_out = ("auto_map", "attn_implementation", "_attn_implementation", "num_labels")
    for name in ("num_hidden_layers", "depth"):
        if not isinstance(depth := values.get(name, 0), int) or depth > MOST_LAYERS:
            raise ValueError(f"{name} must be a whole number up to {MOST_LAYERS}, not {depth}")
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
    """The output-embedding rows of Yes and No of the base, [2, hidden]; nothing else is read."""
    files = weight_files(base_folder)
    tied = read_object(base_folder / "config.json").get("tie_word_embeddings", False)
    names = ["model.language_model.embed_tokens.weight", "model.embed_tokens.weight"]
    names = names if tied else ["lm_head.weight", *names]
    key = next((name for name in names if name in files), None)
    if key is None:
        raise CheckpointError(
            "the base has no output embedding to read the Yes and No rows from",
            asked=" or ".join(names),
            found=f"{len(files)} other keys in {base_folder}",
            fix="give the folder of the base Qwen3-VL, weights included",
        )
    tokenizer = load_tokenizer(base_folder)
    ids = Prompts(tokenizer, tokenizer).yes_no
    with safe_open(files[key], framework="pt") as file:
        rows = file.get_slice(key)
        return torch.cat([rows[i : i + 1] for i in ids])


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, from its files alone.

    Raises:
        CheckpointError: they are missing or damaged, or make a tokenizer that reads nothing.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder,
            config=PreTrainedConfig(),  # its own files say what it is; config.json was checked
            local_files_only=True,
            trust_remote_code=False,
            use_fast=True,
        )
        if not tokenizer.encode("What color is it?", add_special_tokens=False):
            raise ValueError("a tokenizer without words: it reads nothing")
        return tokenizer
    except Exception as err:  # the tokenizers library has no kind of error of its own
        raise CheckpointError(
            "the tokenizer cannot be read",
            asked=folder,
            found=(str(err).strip() or type(err).__name__).splitlines()[0],
            fix="a checkpoint needs tokenizer.json and tokenizer_config.json",
        ) from err
