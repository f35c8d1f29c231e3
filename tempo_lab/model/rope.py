"""The rotary rounding of the released inference code, to reproduce its exact numbers."""

from __future__ import annotations

import torch

from tempo_lab.model.tempo import TempoForConditionalGeneration


def round_as_released(model: TempoForConditionalGeneration) -> None:
    """Round the rotary frequencies in place, as the casts of the released code do.

    SVLM and vision tower: float32 -> float16 -> bfloat16; LLM: float32 -> bfloat16 (docs/method.md
    section 7). Everything else keeps its dtype, and positions are still multiplied in float32.
    """
    tower = set(model.compressor.modules())
    for module in model.modules():
        frequencies = getattr(module, "inv_freq", None)
        if isinstance(frequencies, torch.Tensor):
            rounded = frequencies.to(torch.float16) if module in tower else frequencies
            frequencies.copy_(rounded.to(torch.bfloat16).float())
