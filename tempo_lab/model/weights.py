"""Read the weights of a checkpoint; check their headers before anything is read or built."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from tempo_lab.common.errors import CheckpointError
from tempo_lab.model.config import TempoConfig
from tempo_lab.model.hub import weight_files

FLOATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


@dataclass(frozen=True)
class Header:
    """Header of one tensor in a safetensors file.

    Attributes:
        path: path of the file.
        kind: safetensors' name of the dtype.
        shape: shape of the tensor.
    """

    path: Path
    kind: str
    shape: tuple[int, ...]

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype; None if it is not a plain float type."""
        return FLOATS.get(self.kind)


def read_headers(folder: Path) -> dict[str, Header]:
    """Return the header of each tensor of a checkpoint, also of tensors that the index lacks.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    headers: dict[str, Header] = {}
    files = weight_files(folder)
    for path in sorted(set(files.values())):
        try:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118
                    if files.get(key, path) == path:
                        part = file.get_slice(key)
                        headers[key] = Header(path, part.get_dtype(), tuple(part.get_shape()))
        except (OSError, SafetensorError) as err:
            raise _mismatch([f"unreadable: {path.name}: {err}"], len(files)) from None
    missing = [
        f"missing: {key}, in {path.name}" for key, path in files.items() if key not in headers
    ]
    if missing:
        raise _mismatch(missing, len(files))
    return headers


def check_depths(config: TempoConfig, headers: Mapping[str, Header], folder: Path) -> None:
    """Refuse a configuration whose numbers of layers differ from those of the weights.

    Building a model with a wrong number of layers could take unlimited memory and time.

    Raises:
        CheckpointError: they differ.
    """
    text, vision = config.compressor_config.text_config, config.compressor_config.vision_config
    levels = len(vision.deepstack_visual_indexes)
    for what, depth, pattern in (
        ("LLM layers", config.num_hidden_layers, r"model\.layers\.(\d+)\."),
        ("SVLM layers", text.num_hidden_layers, r".*\.language_model\.layers\.(\d+)\."),
        ("vision layers", vision.depth, r".*\.visual\.blocks\.(\d+)\."),
        ("deepstack levels", levels, r".*\.visual\.deepstack_merger_list\.(\d+)\."),
    ):
        numbers = {match[1] for key in headers if (match := re.match(pattern, key))}
        if depth != len(numbers):
            raise CheckpointError(
                "the weights do not fit the configuration",
                asked=f"{depth} {what}, by config.json",
                found=f"weights of {len(numbers)} in {folder}",
                fix="use weights and config.json of one checkpoint",
            )


def check_shapes(
    expected: Mapping[str, torch.Tensor], headers: Mapping[str, Header], ignored: Iterable[str]
) -> dict[str, Header]:
    """Return the headers of the tensors that the model needs.

    Args:
        expected: the tensors according to the configuration.
        headers: the headers in the files.
        ignored: keys that may be in the files and are not read.

    Raises:
        CheckpointError: keys are missing or unexpected, or have another shape or dtype.
    """
    headers = {key: header for key, header in headers.items() if key not in set(ignored)}
    problems = [f"missing: {key}" for key in expected if key not in headers]
    problems += [f"extra: {key}" for key in headers if key not in expected]
    for key in expected.keys() & headers.keys():
        header, shape = headers[key], tuple(expected[key].shape)
        if header.shape != shape:
            problems.append(f"wrong shape: {key} is {header.shape}, not {shape}")
        elif header.dtype is None:
            problems.append(f"no plain floats: {key} is {header.kind}, not {', '.join(FLOATS)}")
    if problems:
        raise _mismatch(problems, len(expected))
    return headers


def read_tensors(
    headers: Mapping[str, Header], dtype: torch.dtype, device: torch.device
) -> dict[str, torch.Tensor]:
    """Read tensors directly onto the device.

    Raises:
        CheckpointError: a file cannot be read, or there is not enough memory.
    """
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted({header.path for header in headers.values()}):
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                for key in (key for key, header in headers.items() if header.path == path):
                    tensors[key] = file.get_tensor(key).to(dtype)
        except (OSError, SafetensorError) as err:
            raise _mismatch([f"unreadable: {path.name}: {err}"], len(headers)) from None
        except (RuntimeError, MemoryError) as err:
            raise CheckpointError(
                "the weights could not be read into memory",
                asked=f"{len(headers)} tensors as {dtype} on {device}",
                found=(str(err).strip() or type(err).__name__).splitlines()[0],
                fix='free some memory, or load the model with dtype="bfloat16"',
            ) from err
    return tensors


def _mismatch(problems: list[str], tensors: int) -> CheckpointError:
    shown = problems[:12] + ([f"... and {len(problems) - 12} more"] if problems[12:] else [])
    return CheckpointError(
        "the weights do not fit the configuration",
        asked=f"{tensors} tensors as config.json describes them",
        found="\n         ".join(shown),
        fix="use weights and config.json of one checkpoint",
    )
