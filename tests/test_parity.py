"""The recorded outputs of the released implementation, and that the comparison can fail."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests import parity

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in (GOLDEN / "cases").glob("*.json"))


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, float]]:
    return parity.compare(GOLDEN)


@pytest.mark.parametrize("case", CASES)
def test_every_stage_is_within_tolerance(results, case):
    assert parity.beyond(results[case]) == []
    assert {"ids", "positions", "vision", "memory", "logits", "generated"} <= set(results[case])


@pytest.mark.parametrize("file", parity.CHECKS)
def test_tables_of_cases_are_equal(file):
    assert list(parity.CHECKS[file](GOLDEN / file)) == []


def test_a_planted_difference_is_found(tmp_path):
    case = "c15_image_100x75"
    for name in ("tempo", "svlm"):
        (tmp_path / name).symlink_to(GOLDEN / name)
    (tmp_path / "cases").mkdir()
    shutil.copy(GOLDEN / "cases" / f"{case}.json", tmp_path / "cases")
    record = dict(np.load(GOLDEN / "cases" / f"{case}.npz"))
    record["compression_features"] = record["compression_features"] + 1e-3
    record["pixel_u8_patches"] = record["pixel_u8_patches"] ^ 1
    np.savez(tmp_path / "cases" / f"{case}.npz", **record)
    assert set(parity.beyond(parity.compare(tmp_path)[case])) == {"pixels", "memory"}
    assert parity.main(tmp_path) == 1
