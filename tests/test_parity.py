"""The recorded outputs of the released implementation, and that the comparison can fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tempo_lab.model.token_map import TokenMap
from tests import parity, parity_cases, parity_tables

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in (GOLDEN / "cases").glob("*.json"))


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, float]]:
    return parity.compare(GOLDEN)


@pytest.fixture
def copied(tmp_path):
    """A record of one case, to be changed: (folder, its description, its arrays, write)."""
    name = "c15_image_100x75"
    for folder in ("tempo", "tempo_linear", "svlm"):
        (tmp_path / folder).symlink_to(GOLDEN / folder)
    (tmp_path / "cases").mkdir()
    case = json.loads((GOLDEN / "cases" / f"{name}.json").read_text())
    record = dict(np.load(GOLDEN / "cases" / f"{name}.npz"))

    def write(name: str, case: dict[str, Any], record: dict[str, Any]) -> None:
        (tmp_path / "cases" / f"{name}.json").write_text(json.dumps(case))
        np.savez(tmp_path / "cases" / f"{name}.npz", **record)

    return tmp_path, case, record, write


@pytest.mark.parametrize("case", CASES)
def test_every_stage_is_within_tolerance(results, case):
    assert parity.beyond(results[case]) == []
    assert {"ids", "positions", "vision", "memory", "logits", "generated"} <= set(results[case])


@pytest.mark.parametrize("file", parity_tables.CHECKS)
def test_tables_of_cases_are_equal(file):
    assert list(parity_tables.CHECKS[file](GOLDEN / file)) == []


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


def test_stages_after_a_pixel_rounded_otherwise_start_from_the_recorded_pixels(copied):
    folder, case, record, write = copied
    pixels = record["pixel_u8_patches"].copy()
    pixels[0, :20] ^= 1
    write("rounded", case, {**record, "pixel_u8_patches": pixels})
    pixels[0, 0] ^= 2
    write("wrong", case, {**record, "pixel_u8_patches": pixels})
    results = parity.compare(folder)
    assert 0 < results["rounded"]["pixels"] < parity_cases.ROUNDED
    assert ("pixels" in parity.beyond(results["rounded"])) == parity_cases.EXACT
    assert "vision" in parity.beyond(results["rounded"])  # its record is of the other pixels
    assert parity.beyond(results["wrong"]) == ["pixels"]


def test_an_odd_case_is_marked_and_the_others_are_compared(copied, capsys):
    folder, case, record, write = copied
    write("a_broken", {}, {})
    write("b_whole", case, record)
    (folder / "cases" / "c_lone.json").write_text("no json")
    results = parity.compare(folder)
    assert parity.beyond(results["a_broken"]) == parity.beyond(results["c_lone"]) == ["failed"]
    assert parity.beyond(results["b_whole"]) == []
    told = capsys.readouterr().err
    assert "a_broken: KeyError" in told
    assert "c_lone: JSONDecodeError" in told
    assert parity.main(folder) == 1


def test_arrays_that_were_not_recorded_are_not_compared(copied):
    folder, case, record, write = copied
    few = {name: record[name] for name in ("frames_u8", "last_logits")}
    write("few", case, few)
    write("none", case, {"frames_u8": record["frames_u8"]})
    results = parity.compare(folder)
    assert list(results["few"]) == ["logits"]
    assert parity.beyond(results["few"]) == []
    assert parity.beyond(results["none"]) == ["failed"]
    assert parity.main(folder) == 1


def test_the_projector_is_told_by_the_record_and_not_by_loose_words(copied):
    folder, case, record, _ = copied

    def chosen(name: str, note: str, arrays: dict[str, Any]) -> tuple[str, str]:
        asked = {**case, "name": name, "note": note}
        loaded = parity_cases.case_checkpoint(folder, asked, arrays)
        return loaded.model.config.mm_projector_type, loaded.rope

    assert chosen("c_linear", "linear projector", record)[0] == "mlp2x_gelu"
    assert chosen("c_nonlinear", "collinear", {})[0] == "mlp2x_gelu"
    assert chosen("c_linear_x", "", {})[0] == "linear"
    assert chosen("c_grope", "rounds, europe", {})[1] == "correct"
    assert chosen("c_reference_rope_rounding", "", {})[1] == "released"


def test_a_difference_of_nan_is_a_difference():
    assert parity_cases.worst([np.nan, 1.0], [0.0, 1.0]) == float("inf")
    assert parity_cases.worst([np.nan, np.inf], [np.nan, np.inf]) == 0


@pytest.mark.parametrize("file", parity_tables.CHECKS)
def test_an_empty_table_is_a_failure(tmp_path, file):
    (tmp_path / file).write_text("{}")
    assert parity.compare_table(parity_tables.CHECKS[file], tmp_path / file) == [
        parity_tables.EMPTY
    ]
    (tmp_path / file).write_text("[]")
    assert "AttributeError" in parity.compare_table(parity_tables.CHECKS[file], tmp_path / file)[0]


@pytest.mark.parametrize(
    ("whole", "kept"), [(True, [*range(70), *range(90, 100)]), (False, range(96))]
)
def test_a_video_that_was_cut_keeps_its_text(whole, kept):
    """Without dynamic compression the released code cuts the video to context - 16 - text."""
    nothing = np.full(100, -1)
    segment = np.full(100, -1)
    segment[20:90] = 0  # 30 tokens of text around it
    prompt = TokenMap(nothing, nothing, nothing, segment, nothing, nothing)
    embeddings = torch.arange(100.0)[None, :, None]
    found = parity_cases.cut_as_released(embeddings, prompt, 96, whole=whole)
    assert found[0, :, 0].tolist() == [*kept]
    same = parity_cases.cut_as_released(embeddings, prompt, 16384, whole=whole)
    assert torch.equal(same, embeddings)


def test_tokens_are_compared_and_not_what_a_cut_by_them_leaves(tmp_path):
    case = json.loads((GOLDEN / "alloc_cases.json").read_text())["cases"]
    one = next(each for each in case if each["name"] == "one_seg_b0")
    negative = {**one, "max_budget": -5, "allocations": [-5], "result_lens": [123]}
    (tmp_path / "table.json").write_text(json.dumps({"cases": [negative]}))
    assert list(parity_tables.check_allocation(tmp_path / "table.json")) == []


def test_a_refusal_is_counted_and_what_follows_it_is_compared(tmp_path, capsys):
    table = json.loads((GOLDEN / "alloc_cases.json").read_text())
    first, second, third = table["cases"][:3]
    unknown = {**first, "name": "unknown", "strategy": "bogus"}
    odd = {"name": "odd"}
    wrong = {**second, "name": "wrong", "allocations": [0] * len(second["scores"])}
    changed = {**table, "cases": [unknown, odd, wrong, third]}
    (tmp_path / "alloc_cases.json").write_text(json.dumps(changed))
    told = parity.compare_table(parity_tables.check_allocation, tmp_path / "alloc_cases.json")
    assert told == ["unknown: no such allocation strategy", "odd: KeyError: 'n_tokens'", "wrong"]
    assert [isinstance(each, parity_tables.Refused) for each in told] == [True, False, False]
    assert parity.main(tmp_path) == 1
    printed = capsys.readouterr().out
    assert "alloc_cases.json: 1 refused" in printed
    assert "alloc_cases.json: unknown" not in printed  # no difference


@pytest.mark.parametrize("strategy", ["head", "tail", "tome"])
def test_wrongly_kept_features_are_found(tmp_path, strategy):
    table = json.loads((GOLDEN / "alloc_cases.json").read_text())
    results = table["strategy_numeric"]["results"]
    next(r for r in results if r["strategy"] == strategy)["result"][1][0][0] += 1e-3
    (tmp_path / "table.json").write_text(json.dumps(table))
    assert list(parity_tables.check_allocation(tmp_path / "table.json")) == [
        f"features kept by {strategy}"
    ]
