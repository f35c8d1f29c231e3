"""The same numbers on a CUDA device; skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tempo_lab as tl

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
QUESTION = {"question": "What color is the moving square?", "budget": 100, "max_new_tokens": 6}


def ask(tiny_folder, frames_file, **options):
    tempo = tl.load(tiny_folder, **options)
    with tempo.open(frames_file, progress=False) as session:
        return session.ask(**QUESTION)


def test_float32_on_cuda_equals_the_cpu(golden, frames_file):
    cuda = ask(golden / "tempo", frames_file, device="cuda", dtype="float32")
    cpu = ask(golden / "tempo", frames_file, device="cpu")
    np.testing.assert_allclose(cuda.data["logit"], cpu.data["logit"], atol=1e-3)
    assert cuda.data["tokens"].values.tolist() == cpu.data["tokens"].values.tolist()


def test_bfloat16_is_the_default_and_answers(golden, frames_file):
    trace = ask(golden / "tempo", frames_file)
    assert trace.provenance["dtype"] == "bfloat16"
    assert trace.provenance["device"].startswith("cuda")


def test_weights_go_straight_to_the_device(golden):
    torch.cuda.reset_peak_memory_stats()
    tempo = tl.load(golden / "tempo", device="cuda", dtype="float32")
    weights = sum(p.nbytes for p in tempo.model.parameters())
    assert torch.cuda.max_memory_allocated() < 2 * weights + (8 << 20)
