"""Shared fixtures: the tiny recorded checkpoint, loaded once, and small videos."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

GOLDEN = Path(__file__).parent / "golden"

os.environ.setdefault("ACCELERATE_USE_CPU", "true")  # tests of training ask for the same bits again

# A busy machine fails no example. An example that fails is printed so that it can be repeated.
settings.register_profile(
    "tempo-lab", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("tempo-lab")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Recorded outputs and tiny checkpoints of the released implementation."""
    return GOLDEN


@pytest.fixture(scope="session")
def tiny():
    """The tiny released-format checkpoint as a Tempo."""
    import tempo_lab as tl

    return tl.load(GOLDEN / "tempo", base=GOLDEN / "svlm" / "qwen3-vl-tiny", device="cpu")


@pytest.fixture(scope="session")
def words():
    """The embedded model's prompts and tokenizer."""
    from tempo_lab.nano.training.prompt_ids import PromptIds

    return PromptIds()


@pytest.fixture(scope="session")
def frames_file(tmp_path_factory) -> Path:
    """44 sampled frames of noise: five segments of 8 and one of 4."""
    path = tmp_path_factory.mktemp("frames") / "noise.npy"
    noise = np.random.default_rng(0).integers(0, 256, (44, 24, 32, 3), dtype=np.uint8)
    np.save(path, noise)
    return path


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this checkout, built once."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--wheel-dir", folder, Path(__file__).parent.parent],
        check=True,
    )  # fmt: skip
    (built,) = folder.glob("tempo_lab-*.whl")
    return built


@pytest.fixture(scope="session")
def world_rows(tmp_path_factory) -> list[dict]:
    """The rows of a small run of the claims that was never stopped."""
    from tempo_lab.evaluation.runner import run
    from tempo_lab.evaluation.store import Store
    from tempo_lab.nano.claims.answering import answer_video
    from tempo_lab.nano.claims.plan import MAIN
    from tests.small_runs import small_jobs

    store = Store(tmp_path_factory.mktemp("world"), {})
    return run(small_jobs(), answer_video, {MAIN: "nano"}, store)
