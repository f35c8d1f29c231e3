"""Load and save checkpoints: an embedded one, a folder, or a hub name.

A released checkpoint consists of two folders: the Tempo folder and the base Qwen3-VL, of which only
the configuration, the tokenizer and two rows of the output embedding are used. A folder that
Tempo Lab saved is complete. A plain Qwen3-VL is a model without memory (`plain.py`). Only
safetensors are read. Only a hub name is downloaded.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock

import torch
from transformers import GenerationConfig

from tempo_lab.common.errors import CheckpointError, TempoLabError, did_you_mean
from tempo_lab.common.question_forms import QuestionForms
from tempo_lab.common.validation import check_whole
from tempo_lab.model.base_qwen import (
    complete_config,
    load_tokenizer,
    plain_values,
    read_yes_no_rows,
)
from tempo_lab.model.config import TempoConfig
from tempo_lab.model.device import pick_device, pick_dtypes
from tempo_lab.model.hub import (
    as_path,
    check_plain,
    commit_of,
    digest,
    find_folder,
    read_object,
)
from tempo_lab.model.memory import fitting_dtype, free_bytes
from tempo_lab.model.plain import PLAIN_HEAD, PLAIN_TYPE, PlainQwen3VL, plain_config
from tempo_lab.model.prompts import IM_END, Prompts
from tempo_lab.model.question_forms import read_question_forms, write_question_forms
from tempo_lab.model.rope import round_as_released
from tempo_lab.model.tempo import RELEASED_LEFTOVER, TempoForConditionalGeneration
from tempo_lab.model.weights import (
    Header,
    check_depths,
    check_shapes,
    read_headers,
    read_tensors,
)

SVLM_FILES = "compressor"
"""Subfolder with the SVLM's tokenizer in a folder that Tempo Lab saved."""
TOWER = "model.vision_tower_aux_list.0."
ROWS_KEY = f"{TOWER}yes_no_rows"
SLOTS_KEY = f"{TOWER}compression_tokens"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        model: the model, in eval mode, on its device.
        prompts: the prompt builder with the checkpoint's two tokenizers.
        name: the name or path as passed to `load_checkpoint`.
        digest: hexadecimal digest of configuration, weights, tokenizers, relevance rows and rope.
        rope: "correct" or "released".
        revision: commit of a hub name, or the revision as passed; None for a folder.
        question_forms: how the questions are phrased that the model was trained on; None for a
            model with an open vocabulary. They are not part of the digest.
        lock: held while a question is answered, because captures and interventions change the
            model, and the cache of a video grows.
    """

    model: TempoForConditionalGeneration
    prompts: Prompts
    name: str
    digest: str
    rope: str = "correct"
    revision: str | None = None
    question_forms: QuestionForms | None = None
    lock: AbstractContextManager[bool] = field(default_factory=RLock, repr=False, compare=False)

    @property
    def config(self) -> TempoConfig:
        return self.model.config

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype


@dataclass(frozen=True)
class CheckpointFiles:
    """A checkpoint whose files fit together, and whose weights have not been read.

    Attributes:
        name, digest, rope, revision: as in `Checkpoint`.
        folder: of the checkpoint.
        prompts: the prompt builder.
        model: the model without weights, on the meta device.
        headers: of the tensors to read, by key.
        device, dtype: on which and as which the weights are read.
        yes_no_rows: output embedding of Yes and No, [2, hidden].
    """

    name: str
    digest: str
    rope: str
    revision: str | None
    folder: Path
    prompts: Prompts
    model: TempoForConditionalGeneration
    headers: Mapping[str, Header]
    device: torch.device
    dtype: torch.dtype
    yes_no_rows: torch.Tensor

    @property
    def config(self) -> TempoConfig:
        return self.model.config


def find_checkpoint(
    name: str | Path,
    *,
    base: str | Path | None = None,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    rope: str = "correct",
    free: int | None = None,
) -> CheckpointFiles:
    """Find and check the files of a checkpoint; arguments and errors as in `load_checkpoint`."""
    if rope not in ("correct", "released"):
        raise CheckpointError(
            "unknown rope",
            asked=repr(rope),
            found="correct, released",
            fix=did_you_mean(rope, ("correct", "released"), "use one of these"),
        )
    target = pick_device(device)
    folder = find_folder(name, revision)
    config = read_config(folder)
    plain = config.num_compression_tokens == 0
    base_folder = _own_base(folder, base) if plain else complete_config(config, folder, base)
    svlm = svlm_folder(config, folder, base_folder)
    prompts = _prompts(config, folder, svlm)
    headers = read_headers(folder)
    check_depths(config, headers, folder)
    model = _build(config, folder)
    unread = [f"model.{RELEASED_LEFTOVER}"]
    unread += ["lm_head.weight"] if config.tie_word_embeddings else []
    unread += [ROWS_KEY] if base_folder is not None else []
    unread += [SLOTS_KEY, PLAIN_HEAD] if plain else []
    expected = {
        key.removeprefix(_prefix(config)): tensor
        for key, tensor in model.state_dict().items()
        if key not in unread
    }
    headers = check_shapes(expected, headers, unread)
    fitting = fitting_dtype(
        headers.values(),
        pick_dtypes(dtype, target),
        target,
        free_bytes(target) if free is None else free,
    )
    if base_folder is None:
        own = {ROWS_KEY: headers[ROWS_KEY]}
        rows = read_tensors(own, fitting, torch.device("cpu"))[ROWS_KEY]
    else:
        rows = read_yes_no_rows(base_folder).to(fitting)
    files = [
        folder / "config.json",
        *sorted({header.path for header in headers.values()}),
        *(path / "tokenizer.json" for path in (folder, svlm)),
        *([base_folder / "config.json"] if base_folder is not None else []),
    ]
    return CheckpointFiles(
        name=str(name),
        digest=digest(
            [path for path in files if path.is_file()],
            rows.float().numpy().tobytes(),
            rope.encode(),
        ),
        rope=rope,
        revision=commit_of(folder) or revision,
        folder=folder,
        prompts=prompts,
        model=model,
        headers=headers,
        device=target,
        dtype=fitting,
        yes_no_rows=rows,
    )


def load_checkpoint(
    name: str | Path,
    *,
    base: str | Path | None = None,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    rope: str = "correct",
    free: int | None = None,
) -> Checkpoint:
    """Load a Tempo checkpoint, or a plain Qwen3-VL, onto a device.

    Args:
        name: `nano`, a folder, or a hub name such as `Vision-CAIR/Tempo-6B`.
        base: folder or hub name of the base Qwen3-VL. Only released checkpoints whose configuration
            does not name a base that exists need it; a plain Qwen3-VL is its own base.
        revision: branch, tag or commit of a hub name; by default the main branch.
        device: `cpu`, `cuda` or `mps`; by default the best available device.
        dtype: by default float32 on CPU (bfloat16, with a warning, if float32 does not fit into
            memory) and bfloat16 on an accelerator.
        rope: `correct`, or `released` for the rounded rotary frequencies of the released code.
        free: bytes of free memory on the device; by default they are measured.

    Raises:
        CheckpointError: files are missing or unreadable; keys are missing, unexpected or of another
            shape; or the checkpoint does not fit into memory.
    """
    files = find_checkpoint(
        name, base=base, revision=revision, device=device, dtype=dtype, rope=rope, free=free
    )
    model, target = files.model, files.device
    prefix = _prefix(files.config)
    tensors = read_tensors(files.headers, files.dtype, target)
    tensors = {prefix + key: tensor for key, tensor in tensors.items()}
    tensors[ROWS_KEY] = rows = files.yes_no_rows.to(target)
    if prefix:
        tensors[SLOTS_KEY] = rows.new_empty(1, 0, rows.shape[1])
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    _rebuild_rotary(model, target)
    if rope == "released":
        round_as_released(model)
    model.generation_config = _greedy(files.folder, files.prompts, files.config)
    return Checkpoint(
        model.eval(),
        files.prompts,
        files.name,
        files.digest,
        rope,
        files.revision,
        read_question_forms(files.folder),
    )


def _prefix(config: TempoConfig) -> str:
    """Return what a plain Qwen3-VL's keys lack: in the model they are those of the SVLM."""
    return "" if config.num_compression_tokens else f"{TOWER}vlm."


def _own_base(folder: Path, base: str | Path | None) -> Path:
    """Return the folder of a plain Qwen3-VL, which is its own base; refuse another one."""
    if base is None:
        return folder
    raise CheckpointError(
        "a plain Qwen3-VL takes no base",
        asked=f"base={str(base)!r}",
        found=f"model_type = {PLAIN_TYPE!r} in {folder / 'config.json'}",
        fix="pass the Tempo folder, and the base Qwen3-VL as base=; or omit base=",
    )


def _build(config: TempoConfig, folder: Path) -> TempoForConditionalGeneration:
    """Return the model without weights, on the meta device."""
    try:
        with torch.device("meta"):
            kind = TempoForConditionalGeneration if config.num_compression_tokens else PlainQwen3VL
            return kind(config)
    except TempoLabError:
        raise
    except Exception as err:  # transformers raises errors of many kinds for such a configuration
        raise CheckpointError(
            "no model can be built from this configuration",
            asked=folder / "config.json",
            found=f"{type(err).__name__}: {err}",
            fix="use the config.json that belongs to the weights",
        ) from err


def read_config(folder: Path) -> TempoConfig:
    """Return the configuration in a Tempo checkpoint's config.json, or in a plain Qwen3-VL's.

    Raises:
        CheckpointError: there is none, or it is not valid.
    """
    path = folder / "config.json"
    try:
        values = read_object(path)
    except (OSError, ValueError) as err:
        raise CheckpointError(
            "this checkpoint's config.json cannot be read",
            asked=path,
            found=str(err),
            fix="a Tempo checkpoint has config.json, model.safetensors and tokenizer files",
        ) from None
    if values.get("model_type") == PLAIN_TYPE:
        return plain_config(folder, values)
    if values.get("model_type") != TempoConfig.model_type:
        raise CheckpointError(
            "this is neither a Tempo checkpoint nor a plain Qwen3-VL",
            asked=f"model_type = {TempoConfig.model_type!r} or {PLAIN_TYPE!r}",
            found=f"{values.get('model_type')!r} in {path}",
            fix="pass the Tempo folder, and the base Qwen3-VL as base=",
        )
    if "num_compression_tokens" not in values:
        raise CheckpointError(
            "this configuration does not contain the number of memory tokens per segment",
            asked="num_compression_tokens",
            found=f"not in {path}",
            fix="add it (128 in the released checkpoint)",
        )
    try:
        config = TempoConfig(**plain_values(values))
    except Exception as err:  # transformers raises errors of several kinds
        raise CheckpointError(
            "this configuration is not valid", asked=path, found=str(err), fix="correct it"
        ) from err
    check_plain(folder, values)
    return config


def svlm_folder(config: TempoConfig, folder: Path, base_folder: Path | None) -> Path:
    """Return the folder with the SVLM's tokenizer."""
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


def _prompts(config: TempoConfig, folder: Path, svlm: Path) -> Prompts:
    """Return the prompt builder. A tokenizer may not have more tokens than its model embeds."""
    tokenizers = {folder: load_tokenizer(folder)}
    if svlm != folder:
        tokenizers[svlm] = load_tokenizer(svlm)
    sizes = {folder: config.vocab_size, svlm: config.compressor_config.text_config.vocab_size}
    for path, tokenizer in tokenizers.items():
        if (tokens := max(tokenizer.get_vocab().values()) + 1) > sizes[path]:
            raise CheckpointError(
                "the tokenizer has tokens that the model does not know",
                asked=f"at most {sizes[path]} tokens, as many as the model embeds",
                found=f"{tokens} in {path}",
                fix="use the tokenizer files that belong to the checkpoint",
            )
    return Prompts(tokenizers[svlm], tokenizers[folder])


def _greedy(folder: Path, prompts: Prompts, config: TempoConfig) -> GenerationConfig:
    """Return greedy decoding that stops at `<|im_end|>` and at the checkpoint's stop tokens.

    The file's `max_new_tokens` is the longest answer by default, for a model with a small
    vocabulary only: the length of other answers is that of the released evaluation.
    """
    stops, longest = [int(prompts.llm.convert_tokens_to_ids(IM_END))], None
    path = folder / "generation_config.json"
    if path.is_file():
        try:
            values = read_object(path)
            eos = values.get("eos_token_id")
            stops += [eos] if isinstance(eos, int) else [int(i) for i in eos or []]
            if config.example_questions and values.get("max_new_tokens") is not None:
                longest = check_whole(
                    "max_new_tokens", values["max_new_tokens"], 1, error=CheckpointError
                )
        except (OSError, ValueError, TypeError, AttributeError, TempoLabError) as err:
            raise CheckpointError(
                "the stop tokens, or the longest answer, cannot be read",
                asked=path,
                found=str(err),
                fix="correct or delete this file",
            ) from None
    stops = list(dict.fromkeys(stops))
    return GenerationConfig(
        do_sample=False, eos_token_id=stops, pad_token_id=stops[0], max_new_tokens=longest
    )


def _rebuild_rotary(model: TempoForConditionalGeneration, device: torch.device) -> None:
    """Compute the rotary frequencies in float32; they are not in the files."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if hasattr(child, "inv_freq"):
                with torch.device("cpu"):
                    rebuilt = type(child)(child.config)
                setattr(module, name, rebuilt.to(device))


def save_checkpoint(checkpoint: Checkpoint, folder: str | Path) -> None:
    """Write a self-contained folder that can be loaded without a base.

    All files are written to a temporary folder and then moved, so an interrupted or failed call
    does not change `folder`. Older weights in `folder` are deleted.

    Raises:
        CheckpointError: the folder cannot be written, or the model is a plain Qwen3-VL.
    """
    folder = as_path(folder)
    if isinstance(checkpoint.model, PlainQwen3VL):
        raise CheckpointError(
            "a plain Qwen3-VL is not saved as a Tempo checkpoint",
            asked=folder,
            found=checkpoint.name,
            fix="copy its own folder",
        )
    prompts, config = checkpoint.prompts, checkpoint.model.config
    config.shared_tokenizer = prompts.svlm is prompts.llm
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as part:
            checkpoint.model.save_pretrained(part)
            prompts.llm.save_pretrained(part)
            if checkpoint.question_forms is not None:
                write_question_forms(Path(part), checkpoint.question_forms)
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
            fix="use a folder that is writable, on a disk with free space",
        ) from err
