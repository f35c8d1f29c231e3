"""What a released checkpoint needs of its base Qwen3-VL: configuration, tokenizer, two rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoTokenizer, Qwen3VLConfig

from tempo_lab.errors import CheckpointError
from tempo_lab.model.config import TempoConfig
from tempo_lab.model.files import find_base, weight_files
from tempo_lab.model.prompts import Prompts


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
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get("model_type") != "qwen3_vl":
            raise ValueError(f"model_type = {found.get('model_type')!r}, not 'qwen3_vl'")
        config.compressor_config = Qwen3VLConfig(**plain_values(found))
    except (OSError, ValueError, TypeError, AttributeError) as err:
        raise CheckpointError(
            "the base is not a Qwen3-VL",
            asked=path,
            found=str(err),
            fix="give the base Qwen3-VL's folder as base=",
        ) from None
    config.mm_hidden_size = config.compressor_config.text_config.hidden_size
    return base_folder


def plain_values(values: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what would choose code to run: kernels and remote classes."""
    code = ("auto_map", "attn_implementation", "_attn_implementation")
    return {
        key: plain_values(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if key not in code
    }


def read_yes_no_rows(base_folder: Path) -> torch.Tensor:
    """The output-embedding rows of Yes and No of the base, [2, hidden]; nothing else is read."""
    files = weight_files(base_folder)
    tied = json.loads((base_folder / "config.json").read_text()).get("tie_word_embeddings", False)
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
    """The tokenizer of a folder, from its files alone."""
    try:
        return AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_fast=True
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise CheckpointError(
            "the tokenizer cannot be read",
            asked=folder,
            found=(str(err).strip() or type(err).__name__).splitlines()[0],
            fix="a checkpoint needs tokenizer.json and tokenizer_config.json",
        ) from err
