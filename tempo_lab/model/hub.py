"""Find a checkpoint's files: an embedded one, a folder, or a hub name, which is downloaded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from tempo_lab.common.errors import CheckpointError, did_you_mean
from tempo_lab.common.files import EMBEDDED

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.jinja"]
_QUANTIZATION = "quantization_config"
_QUANTIZED = ("quantization_config.json", "quantize_config.json")
_ADAPTERS = ("adapter_config.json", "adapter_model.*", "non_lora_trainables.*")
_HASHED_WHOLE = 64 << 20


def as_path(name: object) -> Path:
    """Return the name of a checkpoint as a path.

    Raises:
        CheckpointError: the name is empty, or neither a string nor a path.
    """
    if isinstance(name, str | os.PathLike) and os.fspath(name):
        return Path(name)
    raise CheckpointError(
        "a checkpoint has a name or a path",
        asked=repr(name),
        found=type(name).__name__,
        fix='tempo_lab.load("nano"), or the path of a folder',
    )


def find_folder(name: str | Path, revision: str | None = None) -> Path:
    """Return the folder of a checkpoint; a hub name is downloaded into the hub's cache."""
    folder = EMBEDDED.get(str(name), as_path(name).expanduser())
    if folder.is_dir():
        if revision is not None:
            raise CheckpointError(
                "only a hub name has revisions",
                asked=f"revision {revision!r} of {name}",
                found=f"the folder {folder}",
                fix="omit revision=, or use the hub name",
            )
        return folder
    # if there is a folder `runs`, `runs/nanox` is a mistyped path, not a hub name
    if not is_hub_name(str(name)) or folder.parent.is_dir():
        raise CheckpointError(
            "no such checkpoint",
            asked=name,
            found="neither an embedded model, nor a folder here, nor a hub name (owner/name)",
            fix=did_you_mean(name, EMBEDDED, "check the path"),
        )
    return fetch(str(name), revision=revision)


def is_hub_name(name: str) -> bool:
    """Whether this looks like `owner/name`."""
    parts = name.split("/")
    return len(parts) == 2 and all(parts) and not name.startswith((".", "/", "~"))


def fetch(
    name: str,
    *,
    revision: str | None = None,
    offline: bool = False,
    patterns: list[str] | None = None,
) -> Path:
    """Return the folder of a hub name, with the hub's own client and cache.

    Args:
        name: `owner/name`.
        revision: branch, tag or commit; by default the main branch.
        offline: whether to use the cache only.
        patterns: names of the files; by default all files of a checkpoint.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=patterns or _PATTERNS,
                local_files_only=offline,
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as err:
        raise CheckpointError(
            "this hub name cannot be downloaded",
            asked=name if revision is None else f"{name}, revision {revision!r}",
            found="no such local folder; the hub says: "
            + (str(err).strip() or type(err).__name__).splitlines()[0],
            fix="check the name and the connection, or download the folder and give its path",
        ) from err


def find_base(folder: Path, names: Sequence[str], base: str | Path | None) -> Path:
    """Return the folder of the base Qwen3-VL.

    Args:
        folder: folder of the Tempo checkpoint.
        names: `mm_vision_tower_aux_list`: hub names, or paths relative to the checkpoint or to the
            working directory.
        base: the user's choice, which has priority.
    """
    if base is not None:
        return find_folder(base)
    tried = []
    for name in names:
        for candidate in (folder / name, folder.parent / name, Path(name)):
            tried.append(str(candidate))
            if candidate.is_dir():
                return candidate
        if is_hub_name(name):
            # the base is downloaded only if the checkpoint itself came from the hub
            return fetch(name, offline=folder.is_dir() and not _in_hub_cache(folder))
    raise CheckpointError(
        "this checkpoint needs its base Qwen3-VL, which was not found",
        asked=f"mm_vision_tower_aux_list = {list(names)}",
        found=f"none of {', '.join(tried) or 'no path'}",
        fix="pass base=<folder of the base Qwen3-VL>",
    )


def _in_hub_cache(folder: Path) -> bool:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE).resolve() in folder.absolute().parents


def commit_of(folder: Path) -> str | None:
    """Return the commit of a folder in the hub's cache (its name); None for other folders."""
    return folder.name if _in_hub_cache(folder) and folder.parent.name == "snapshots" else None


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        OSError, ValueError: the file cannot be read, or does not contain an object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"a {type(values).__name__}, not an object")
    return values


def check_plain(folder: Path, values: dict[str, Any]) -> None:
    """Refuse quantized weights, and folders with an adapter.

    Args:
        folder: folder of the checkpoint.
        values: values of its configuration.

    Raises:
        CheckpointError: says how to make a plain checkpoint.
    """
    parts = [values, *(part for part in values.values() if isinstance(part, dict))]
    quantized = [name for name in _QUANTIZED if (folder / name).exists()]
    if quantized or any(_QUANTIZATION in part for part in parts):
        raise CheckpointError(
            "quantized weights cannot be loaded",
            asked=folder,
            found=", ".join(quantized) or f"{_QUANTIZATION} in config.json",
            fix="use the checkpoint in float32, bfloat16 or float16",
        )
    if adapters := sorted(path.name for name in _ADAPTERS for path in folder.glob(name)):
        raise CheckpointError(
            "an adapter in the checkpoint's folder cannot be applied",
            asked=folder,
            found=", ".join(adapters),
            fix="merge it into the weights (peft: merge_and_unload), or move it to another folder",
        )


def weight_files(folder: Path) -> dict[str, Path]:
    """Return the safetensors file of each key of a checkpoint."""
    index = folder / _INDEX
    try:
        if index.is_file():
            weight_map = dict(read_object(index)["weight_map"])
            if not all(isinstance(name, str) for name in weight_map.values()):
                raise ValueError("weight_map does not map keys to file names")
            paths = sorted(name for name in set(weight_map.values()) if Path(name).name != name)
            if paths:
                raise ValueError(f"file names with a path: {', '.join(paths)}")
            return {key: folder / name for key, name in weight_map.items()}
        with safe_open(folder / _WEIGHTS, framework="pt") as file:
            return dict.fromkeys(file.keys(), folder / _WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as err:
        raise CheckpointError(
            "this checkpoint's weights cannot be read",
            asked=f"{_WEIGHTS} or {_INDEX} in {folder}",
            found=str(err),
            fix="download or copy the folder again",
        ) from None


def digest(paths: Iterable[Path], *more: bytes) -> str:
    """Return a digest of the contents of files, and of further bytes that identify a model.

    Files up to 64 MiB are hashed completely. For larger files the size and 64 evenly spaced blocks
    of 1 MiB (with the header) are hashed, so that a 6B checkpoint takes less than a second.
    """
    sha = hashlib.sha256()
    for part in more:
        sha.update(part)
    for path in paths:
        size = path.stat().st_size
        sha.update(f"{path.name}:{size};".encode())
        with path.open("rb") as file:
            if size <= _HASHED_WHOLE:
                sha.update(file.read())
                continue
            for block in range(64):
                file.seek(block * (size - (1 << 20)) // 63)
                sha.update(file.read(1 << 20))
    return sha.hexdigest()[:16]
