"""A small model, three segments of noise, and a trace of one question."""

import numpy as np
import pytest

from tests.analysis.attribution.explained import QUESTION


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """20 frames of noise: segments of 8, 8 and 4."""
    frames = np.random.default_rng(1).integers(0, 256, (20, 24, 32, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("noise") / "noise.npy"
    np.save(path, frames)
    return path


@pytest.fixture(scope="module")
def session(tiny, noise):
    with tiny.open(noise, progress=False) as session:
        yield session


@pytest.fixture(scope="module")
def trace(session):
    return session.ask(QUESTION, budget=18, max_new_tokens=3)
