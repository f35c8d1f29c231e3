"""Rows on disk: what a kill, damage, a full disk or another run leaves of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.evaluation.store import Store
from tests.small_files import with_small_files


def test_a_torn_line_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, {"seed": 1})
    store.append([{"a": 1}, {"b": "ü\n\ud800"}])
    with open(store.path, "ab") as file:
        file.write(b'{"c": ')
    again = Store(tmp_path, {"seed": 1})
    again.append([{"d": 4}])
    rows = list(Store(tmp_path, {"seed": 1}))
    assert [sorted(row) for row in rows] == [["a"], ["b"], ["d"]]


@pytest.mark.parametrize("damage", ["number", "no json", "no text", "half", "no check", "list"])
def test_a_damaged_line_is_set_aside_and_the_rest_kept(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path, {"seed": 1})
    store.append([{"a": 1.5}, {"b": 2.5}, {"c": 3.5}])
    first, second, third, _ = store.path.read_bytes().split(b"\n")
    changed = {
        "number": second.replace(b"2.5", b"2.7"),
        "no json": second.replace(b"{", b"("),
        "no text": b"\xff\xfe" + second,
        "half": second[: len(second) // 2],
        "no check": b'{"b": 2.5}',
        "list": b"[2.5]",
    }[damage]
    store.path.write_bytes(b"\n".join([first, changed, third, b""]))
    with pytest.warns(TempoLabWarning, match="1 of 3 lines .* asked again"):
        again = Store(tmp_path, {"seed": 1})
    assert list(again) == [{"a": 1.5}, {"c": 3.5}]
    assert (tmp_path / "answers.damaged").read_bytes() == changed + b"\n"
    again.append([{"b": 2.5}])
    assert len(list(Store(tmp_path, {"seed": 1}))) == 3  # and without a warning


def test_a_disk_that_fills_up_is_named_and_what_was_written_stays(tmp_path: Path) -> None:
    code = """
from tempo_lab.evaluation.store import Store
from tempo_lab.common.errors import TempoLabError, TempoLabWarning
store = Store(sys.argv[1], {})
try:
    for number in range(1000):
        store.append([{"number": number}])
except TempoLabError as error:
    print(error)
"""
    told = with_small_files(code, tmp_path)
    assert "answers of the evaluation cannot be written" in told
    assert "it continues" in told
    rows = list(Store(tmp_path, {}))
    assert 10 < len(rows) < 1000
    assert rows == [{"number": number} for number in range(len(rows))]


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    Store(tmp_path, {"seed": 1, "size": "quick"})
    with pytest.raises(TempoLabError, match="seed 1 instead of 2"):
        Store(tmp_path, {"seed": 2, "size": "quick"})
    (tmp_path / "file").write_text("")
    with pytest.raises(TempoLabError, match="cannot be written to"):
        Store(tmp_path / "file", {})
