"""Reading and writing checkpoints: the embedded one, a folder, or a hub name.

A released checkpoint is two folders: the Tempo one, and the base Qwen3-VL, of which only the
configuration, the tokenizer and two rows of the output embedding are used. A folder that we saved
holds all of it. Only safetensors are read, and nothing is fetched unless a hub name was given.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import GenerationConfig

from tempo_lab.errors import CheckpointError, TempoLabError, did_you_mean
from tempo_lab.model.base import (
    complete_config,
    load_tokenizer,
    plain_values,
    read_yes_no_rows,
)
from tempo_lab.model.config import TempoConfig
from tempo_lab.model.device import pick_device, pick_dtype
from tempo_lab.model.files import commit_of, digest, find_folder, weight_files
from tempo_lab.model.prompts import IM_END, Prompts
from tempo_lab.model.rope import round_as_released
from tempo_lab.model.tempo import RELEASED_LEFTOVER, TempoForConditionalGeneration

SVLM_FILES = "compressor"
"""Where a folder that we saved keeps the SVLM's tokenizer."""
ROWS_KEY = "model.vision_tower_aux_list.0.yes_no_rows"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        model: the model, in eval mode, on its device.
        prompts: the prompts of its two tokenizers.
        name: what was asked for.
        digest: hexadecimal digest of configuration, weights, tokenizers, relevance rows and rope.
        rope: "correct" or "released".
        revision: of a hub name: the commit, or what was asked for; None of a folder.
    """

    model: TempoForConditionalGeneration
    prompts: Prompts
    name: str
    digest: str
    rope: str = "correct"
    revision: str | None = None


def load_checkpoint(
    name: str | Path,
    *,
    base: str | Path | None = None,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    rope: str = "correct",
) -> Checkpoint:
    """Load a Tempo onto a device.

    Args:
        name: `nano`, a folder, or a hub name such as `Vision-CAIR/Tempo-6B`.
        base: folder or hub name of the base Qwen3-VL; only needed by released checkpoints whose
            configuration does not lead to it.
        revision: of a hub name; by default its main branch.
        device: `cpu`, `cuda` or `mps`; by default the best there is.
        dtype: by default float32 on CPU and bfloat16 on an accelerator.
        rope: `correct`, or `released` for the rounded rotary frequencies of the released code.

    Raises:
        CheckpointError: files are missing or unreadable; keys are missing, extra or misshapen.
    """
    if rope not in ("correct", "released"):
        raise CheckpointError(
            "unknown rope",
            asked=repr(rope),
            found="correct, released",
            fix=did_you_mean(rope, ("correct", "released"), "use one of these"),
        )
    place = pick_device(device)
    folder = find_folder(name, revision)
    config = read_config(folder)
    base_folder = complete_config(config, folder, base)
    svlm = svlm_folder(config, folder, base_folder)
    model = _build(config, folder)
    tensors = _read_weights(model, folder, place, pick_dtype(dtype, place), base_folder)
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    _rebuild_rotary(model, place)
    if rope == "released":
        round_as_released(model)
    llm_tokenizer = load_tokenizer(folder)
    svlm_tokenizer = llm_tokenizer if svlm == folder else load_tokenizer(svlm)
    prompts = Prompts(svlm_tokenizer, llm_tokenizer)
    model.generation_config = _greedy(folder, prompts)
    files = [
        folder / "config.json",
        *sorted(set(weight_files(folder).values())),
        *(path / "tokenizer.json" for path in (folder, svlm)),
        *([base_folder / "config.json"] if base_folder is not None else []),
    ]
    rows = model.compressor.yes_no_rows.float().cpu().numpy().tobytes()
    identity = digest([path for path in files if path.is_file()], rows, rope.encode())
    commit = commit_of(folder) or revision
    return Checkpoint(model.eval(), prompts, str(name), identity, rope, commit)


def _build(config: TempoConfig, folder: Path) -> TempoForConditionalGeneration:
    """The model without its weights."""
    try:
        with torch.device("meta"):
            return TempoForConditionalGeneration(config)
    except TempoLabError:
        raise
    except Exception as err:  # whatever transformers makes of a configuration without meaning
        raise CheckpointError(
            "this configuration describes no model",
            asked=folder / "config.json",
            found=f"{type(err).__name__}: {err}",
            fix="use the config.json that belongs to the weights",
        ) from err


def read_config(folder: Path) -> TempoConfig:
    """config.json of a Tempo checkpoint."""
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"a {type(values).__name__}, not an object")
    except (OSError, ValueError) as err:
        raise CheckpointError(
            "this checkpoint's config.json cannot be read",
            asked=path,
            found=str(err),
            fix="a Tempo checkpoint has config.json, model.safetensors and tokenizer files",
        ) from None
    if values.get("model_type") != TempoConfig.model_type:
        raise CheckpointError(
            "this is not a Tempo checkpoint",
            asked=f"model_type = {TempoConfig.model_type!r}",
            found=f"{values.get('model_type')!r} in {path}",
            fix="give the Tempo folder, and the base Qwen3-VL as base=",
        )
    if "num_compression_tokens" not in values:
        raise CheckpointError(
            "this configuration does not say how many memory tokens a segment has",
            asked="num_compression_tokens",
            found=f"not in {path}",
            fix="add it (128 in the released checkpoint)",
        )
    try:
        return TempoConfig(**plain_values(values))
    except Exception as err:  # transformers checks with kinds of errors of its own
        raise CheckpointError(
            "this configuration is not valid", asked=path, found=str(err), fix="correct it"
        ) from err


def svlm_folder(config: TempoConfig, folder: Path, base_folder: Path | None) -> Path:
    """Where the SVLM's tokenizer is."""
    if base_folder is not None:
        return base_folder
    if config.shared_tokenizer:
        return folder
    if not (folder / SVLM_FILES).is_dir():
        raise CheckpointError(
            "this checkpoint lacks the SVLM's tokenizer",
            asked=folder / SVLM_FILES,
            found="no such folder",
            fix="copy the whole folder that was saved, or pass base=",
        )
    return folder / SVLM_FILES


def _greedy(folder: Path, prompts: Prompts) -> GenerationConfig:
    """Greedy decoding that stops at `<|im_end|>` and at the checkpoint's own stop tokens."""
    stops = [int(prompts.llm.convert_tokens_to_ids(IM_END))]
    path = folder / "generation_config.json"
    if path.is_file():
        try:
            written = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
            stops += [written] if isinstance(written, int) else [int(i) for i in written or []]
        except (OSError, ValueError, TypeError, AttributeError) as err:
            raise CheckpointError(
                "the stop tokens cannot be read",
                asked=path,
                found=str(err),
                fix="correct or delete this file",
            ) from None
    stops = list(dict.fromkeys(stops))
    return GenerationConfig(do_sample=False, eos_token_id=stops, pad_token_id=stops[0])


def _read_weights(
    model: TempoForConditionalGeneration,
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    base_folder: Path | None,
) -> dict[str, torch.Tensor]:
    """Check every key, then read the tensors straight onto the device."""
    files = weight_files(folder)
    wanted = model.state_dict()
    if model.config.tie_word_embeddings:
        wanted.pop("lm_head.weight")
        files.pop("lm_head.weight", None)
    files.pop(f"model.{RELEASED_LEFTOVER}", None)
    if base_folder is not None:
        wanted.pop(ROWS_KEY)
        files.pop(ROWS_KEY, None)
    problems = [f"missing: {key}" for key in wanted if key not in files]
    problems += [f"extra: {key}" for key in files if key not in wanted]
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(set(files.values())):
        keys = [key for key, file in files.items() if file == path and key in wanted]
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                for key in keys:
                    shape = tuple(file.get_slice(key).get_shape())
                    if shape != tuple(wanted[key].shape):
                        asked = tuple(wanted[key].shape)
                        problems.append(f"misshapen: {key} is {shape}, not {asked}")
                    elif not problems:
                        tensors[key] = file.get_tensor(key).to(dtype)
        except (OSError, SafetensorError) as err:
            problems.append(f"unreadable: {path.name}: {err}")
    if problems:
        shown = problems[:12] + ([f"... and {len(problems) - 12} more"] if problems[12:] else [])
        raise CheckpointError(
            "the weights do not fit the configuration",
            asked=f"{len(wanted)} tensors as config.json describes them",
            found="\n         ".join(shown),
            fix="use weights and config.json of one checkpoint",
        )
    if base_folder is not None:
        tensors[ROWS_KEY] = read_yes_no_rows(base_folder).to(device, dtype)
    return tensors


def _rebuild_rotary(model: TempoForConditionalGeneration, device: torch.device) -> None:
    """Compute the rotary frequencies, which no file holds, in float32."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if hasattr(child, "inv_freq"):
                with torch.device("cpu"):
                    rebuilt = type(child)(child.config)
                setattr(module, name, rebuilt.to(device))


def save_checkpoint(checkpoint: Checkpoint, folder: str | Path) -> None:
    """Write a self-contained folder: no base is needed to load it again.

    Everything is written beside `folder` first and then moved, so an interrupted or failed call
    leaves what was there. Weights of a checkpoint that was there before do not survive.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    folder = Path(folder)
    prompts, config = checkpoint.prompts, checkpoint.model.config
    config.shared_tokenizer = prompts.svlm is prompts.llm
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as part:
            checkpoint.model.save_pretrained(part)
            prompts.llm.save_pretrained(part)
            if not config.shared_tokenizer:
                prompts.svlm.save_pretrained(Path(part) / SVLM_FILES)
            folder.mkdir(exist_ok=True)
            for old in folder.glob("model*.safetensors*"):
                old.unlink()
            for file in sorted(path for path in Path(part).rglob("*") if path.is_file()):
                target = folder / file.relative_to(part)
                target.parent.mkdir(exist_ok=True)
                os.replace(file, target)
    except OSError as err:
        raise CheckpointError(
            "the checkpoint cannot be saved",
            asked=folder,
            found=err.strerror or str(err),
            fix="name a folder that can be written and has room",
        ) from err
