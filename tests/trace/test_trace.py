"""A trace says what happened, survives its file, and opens without torch."""

import io
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from tempo_lab.allocation.ata import allocate
from tempo_lab.common.errors import TempoLabWarning, TraceError
from tempo_lab.common.netcdf import CHECKSUM_ATTRIBUTE, checksum
from tempo_lab.trace.tables import facts
from tempo_lab.trace.trace import Trace
from tests.traces import make_trace


def same(a: Trace, b: Trace) -> None:
    assert (a.question, a.answer, a.prompts) == (b.question, b.answer, b.prompts)
    assert a.provenance == b.provenance
    xr.testing.assert_identical(a.data, b.data)


# What it says


def test_the_ledger_adds_up():
    trace = make_trace(segments=6, budget=64)
    table, totals = trace.to_pandas(), trace.totals
    assert len(table) == totals["segments"] == 6
    assert table["tokens"].sum() == totals["used"] <= totals["budget"] == 64
    assert table["timestamp_tokens"].sum() == totals["timestamps"] == 42
    assert totals["prompt"] == totals["used"] + 42 + 30
    assert totals["context_left"] == 16384 - totals["prompt"]
    assert totals["answer"] == 2
    assert (table["tokens"] == trace.data["kept"].sum("slot").to_numpy()).all()
    assert table["slots"].iloc[0] == f"0-{table['tokens'].iloc[0] - 1}"


def test_every_number_has_a_name_and_a_unit():
    data = make_trace().data
    for name in data.data_vars:
        assert data[name].attrs["units"]
        assert data[name].attrs["long_name"]
    assert set(data.sizes) == {"segment", "slot", "answer_token"}
    assert data["start"].attrs["units"] == "s"
    assert data["relevance"].attrs["units"] == "probability"


def test_kept_slots_are_said_in_words():
    trace = make_trace(strategy="random", budget=40)
    for text, kept in zip(trace.to_pandas()["slots"], trace.data["kept"].to_numpy(), strict=True):
        named = set()
        for run in text.split(","):
            first, _, last = run.partition("-")
            named |= set(range(int(first), int(last or first) + 1))
        assert named == set(np.flatnonzero(kept))
    assert "merged" in set(make_trace(strategy="tome", budget=40).to_pandas()["slots"])
    dropped = make_trace(strategy="topk", budget=40).to_pandas()
    assert (dropped.loc[dropped["tokens"] == 0, "slots"] == "").all()


def test_top_ranks_by_relevance():
    top = make_trace(segments=9).top(3)
    assert len(top) == 3
    assert top.index[0] == 4
    assert top["relevance"].is_monotonic_decreasing


def test_warnings_are_shown_as_text():
    plain = make_trace()
    assert plain.warnings == ()
    assert "warnings" not in repr(plain)
    assert "Warnings" not in plain._repr_html_()
    warned = make_trace(provenance={"warnings": ["<script>.mp4 has 2 streams.", "It is strange."]})
    assert warned.warnings == ("<script>.mp4 has 2 streams.", "It is strange.")
    assert "warnings=('<script>.mp4 has" in repr(warned)
    assert "<b>Warnings</b> &lt;script&gt;.mp4 has 2 streams. It is" in warned._repr_html_()


@pytest.mark.parametrize("warnings", [5, None, [1], [[]]])
def test_warnings_that_are_no_texts_are_damage(tmp_path, warnings):
    path = make_trace(provenance={"warnings": warnings}).save(tmp_path / "a.nc")
    with pytest.raises(TraceError, match="damaged: its interventions, subtitles or warnings"):
        Trace.load(path)


def test_arrays_of_another_length_are_refused():
    for name, value in {
        "relevance": np.zeros(5),
        "times": np.zeros((6, 3)),
        "true_times": np.zeros(6),
        "clock": np.zeros((6, 1)),
        "timestamp_tokens": [],
    }.items():
        with pytest.raises(TraceError) as error:
            make_trace(segments=6, **{name: value})
        assert name in str(error.value)


def test_a_trace_without_its_parts_is_refused():
    trace = make_trace()
    with pytest.raises(TraceError, match="relevance"):
        Trace("q", "a", trace.data.drop_vars("relevance"))
    with pytest.raises(TraceError, match="budget"):
        Trace("q", "a", trace.data.drop_attrs(deep=False))


@pytest.mark.parametrize("name", ["strategy", "mode"])
@pytest.mark.parametrize("value", [None, 3])
def test_a_trace_must_name_its_strategy_and_mode(tmp_path, name, value):
    trace = make_trace()
    path = trace.save(tmp_path / "a.nc")
    with xr.load_dataset(path, engine="h5netcdf") as data:
        del data.attrs[name], data.attrs[CHECKSUM_ATTRIBUTE]
        if value is not None:
            data.attrs[name] = value
        data.to_netcdf(path, engine="h5netcdf")
    no_checksum = pytest.warns(TempoLabWarning, match="no checksum")
    with pytest.raises(TraceError, match=f"the name of its {name}"), no_checksum:
        Trace.load(path)


def test_numbers_that_fit_no_array_are_refused():
    with pytest.raises(TraceError, match="timestamp_tokens"):
        make_trace(timestamp_tokens=[10**30] * 6)
    with pytest.raises(TraceError, match="clock"):
        make_trace(clock=["soon"] * 6)


# Its file


@pytest.mark.parametrize("segments", [1, 6, 300])
@pytest.mark.parametrize("strategy", ["head", "tome"])
def test_saved_and_loaded_it_is_the_same(tmp_path, segments, strategy):
    trace = make_trace(segments=segments, budget=8 * segments, strategy=strategy)
    assert trace.save(tmp_path / "a.nc") == tmp_path / "a.nc"
    same(Trace.load(tmp_path / "a.nc"), trace)
    assert os.listdir(tmp_path) == ["a.nc"]


@pytest.mark.parametrize(
    "text",
    ["", "nul \0 inside", "lone \ud800 half", "<|im_end|>\x07\x1b[31m", "x" * 200_000, "ü 💥"],
)
def test_any_text_survives(tmp_path, text):
    trace = make_trace(
        question=text, answer=text, prompts={"llm": text}, provenance={"path": text, "n": [1, 2.5]}
    )
    same(Trace.load(trace.save(tmp_path / "a.nc")), trace)


def test_numbers_that_are_missing_survive(tmp_path):
    trace = make_trace(true_times=np.full((6, 2), np.nan), answer_logprob=[])
    loaded = Trace.load(trace.save(tmp_path / "a.nc"))
    assert np.isnan(loaded.data["true_start"]).all()
    assert loaded.totals["answer"] == 0


def test_provenance_of_any_kind_becomes_plain(tmp_path):
    provenance = {"path": tmp_path, "count": np.int64(3), "list": np.arange(2), "deep": {"x": None}}
    trace = make_trace(provenance=provenance)
    assert trace.provenance == {
        "path": str(tmp_path),
        "count": 3,
        "list": [0, 1],
        "deep": {"x": None},
    }
    same(Trace.load(trace.save(tmp_path / "a.nc")), trace)


def test_plain_xarray_opens_it(tmp_path):
    path = make_trace().save(tmp_path / "a.nc")
    with xr.open_dataset(path) as data:
        assert data.attrs["budget"] == 64
        assert data["tokens"].sum() == data.attrs["used"]
        assert data["end"].dtype == np.float64


def test_it_loads_where_torch_is_not_installed(tmp_path):
    path = make_trace().save(tmp_path / "a.nc")
    program = (
        "import sys\n"
        "for name in ('torch', 'transformers'): sys.modules[name] = None\n"
        "from tempo_lab.trace.trace import Trace\n"
        "trace = Trace.load(sys.argv[1])\n"
        "trace.save(sys.argv[2])\n"
        "assert len(trace.to_pandas()) == 6 and trace._repr_html_()\n"
        "print(trace.answer)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path, tmp_path / "b.nc"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "red\n"
    same(Trace.load(tmp_path / "b.nc"), Trace.load(path))


# Bad files


def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path, monkeypatch):
    path = make_trace().save(tmp_path / "a.nc")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TraceError, match="No space left"):
        make_trace(answer="blue").save(path)
    monkeypatch.undo()
    assert Trace.load(path).answer == "red"
    assert os.listdir(tmp_path) == ["a.nc"]


@pytest.mark.parametrize(("name", "value"), [("strategy", "he\0ad"), ("budget", 10**30)])
def test_what_netcdf_cannot_hold_is_not_called_a_full_disk(tmp_path, name, value):
    trace = make_trace()
    trace.data.attrs[name] = value
    with pytest.raises(TraceError) as error:
        trace.save(tmp_path / "a.nc")
    assert "cannot be stored as NetCDF" in str(error.value)
    assert "room" not in str(error.value)
    assert os.listdir(tmp_path) == []


def test_a_link_stays_a_link_and_its_file_is_written(tmp_path):
    path = make_trace().save(tmp_path / "a.nc")
    link = tmp_path / "folder" / "link.nc"
    link.parent.mkdir()
    link.symlink_to(path)
    make_trace(answer="blue").save(link)
    assert link.is_symlink()
    assert Trace.load(path).answer == "blue"
    assert os.listdir(link.parent) == ["link.nc"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TraceError, match="pipe or socket"):
        make_trace().save(tmp_path / "pipe")
    assert os.listdir(tmp_path) == ["pipe"]


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = make_trace().save(tmp_path / "a.nc")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_trace(answer="blue").save(path)
    monkeypatch.undo()
    assert Trace.load(path).answer == "red"
    assert os.listdir(tmp_path) == ["a.nc"]


def test_places_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "no" / "a.nc", tmp_path, tmp_path / "file" / "a.nc", ""):
        with pytest.raises(TraceError) as error:
            make_trace().save(place)
        assert str(place) in str(error.value)
        assert ".part" not in str(error.value)
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(TraceError, match=f"there is no folder {tmp_path / 'no'}"):
        make_trace().save(tmp_path / "no" / "a.nc")


@pytest.mark.parametrize("part", [0, 7, 1000, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, part):
    content = make_trace().save(tmp_path / "a.nc").read_bytes()
    kept = int(len(content) * part) if isinstance(part, float) else part
    (tmp_path / "b.nc").write_bytes(content[:kept])
    with pytest.raises(TraceError) as error:
        Trace.load(tmp_path / "b.nc")
    assert f"{kept} bytes" in str(error.value)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.nc").write_text("question: what?\n" * 100)
    xr.Dataset({"a": ("x", [1, 2])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    for name in ("text.nc", "other.nc", "missing.nc", "."):
        with pytest.raises(TraceError) as error:
            Trace.load(tmp_path / name)
        assert "Trace.save" in error.value.fix
        assert "again" not in error.value.fix


@pytest.mark.parametrize("part", [100, 0.9])
def test_only_a_part_of_a_trace_is_to_be_saved_again(tmp_path, part):
    content = make_trace().save(tmp_path / "a.nc").read_bytes()
    (tmp_path / "b.nc").write_bytes(content[: part if part > 1 else int(len(content) * part)])
    with pytest.raises(TraceError, match="damaged") as error:
        Trace.load(tmp_path / "b.nc")
    assert "save again" in error.value.fix


def test_a_later_format_says_so(tmp_path):
    path = make_trace().save(tmp_path / "a.nc")
    data = xr.load_dataset(path, engine="h5netcdf")
    data.attrs["format_version"] = 99
    data.to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    with pytest.raises(TraceError, match="later version"):
        Trace.load(tmp_path / "b.nc")


@pytest.mark.parametrize("bits", [1, 3])
def test_a_tampered_file_is_refused_or_the_same(tmp_path, bits):
    """Of 150 files with flipped bits each; without a checksum one in fifteen was another trace."""
    trace = make_trace(segments=12)
    content = np.frombuffer(trace.save(tmp_path / "a.nc").read_bytes(), np.uint8)
    path, rng, refused = tmp_path / "b.nc", np.random.default_rng(bits), 0
    for _ in range(150):
        flipped = content.copy()
        for place in rng.integers(8 * len(content), size=bits):
            flipped[place // 8] ^= 1 << (place % 8)
        path.write_bytes(flipped.tobytes())
        try:
            same(Trace.load(path), trace)
        except TraceError:
            refused += 1
    assert refused == 150


def test_a_lost_checksum_is_noticed_and_an_earlier_file_said(tmp_path):
    trace = make_trace()
    content = trace.save(tmp_path / "a.nc").read_bytes()
    (tmp_path / "b.nc").write_bytes(content[:-73])
    with pytest.raises(TraceError, match="checksum is missing"):
        Trace.load(tmp_path / "b.nc")
    with h5py.File(tmp_path / "b.nc", "r+") as file:
        del file.attrs[CHECKSUM_ATTRIBUTE]
    with pytest.warns(TempoLabWarning, match="no checksum"):
        same(Trace.load(tmp_path / "b.nc"), trace)


def elsewhere(file, secret):
    """The clock lies in another file."""
    del file["clock"]
    file.create_dataset("clock", (6,), "f8", external=[(str(secret), 0, 48)])


def linked(file, secret):
    """The clock is a link to an array of another file."""
    del file["clock"]
    file["clock"] = h5py.ExternalLink(str(secret), "/clock")


def virtual(file, secret):
    """The clock is put together from another file."""
    del file["clock"]
    layout = h5py.VirtualLayout(shape=(6,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(secret), "clock", shape=(6,))
    file.create_virtual_dataset("clock", layout)


def huge(file, secret):
    """The clock declares a terabyte, and holds nothing."""
    del file["clock"]
    file.create_dataset("clock", (2**37,), "f8", chunks=(2**20,))


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (elsewhere, "is stored in another file"),
        (linked, "link to something else"),
        (virtual, "is stored in another file"),
        (huge, "declares 1099511627776 bytes and contains 0"),
    ],
)
def test_a_file_names_no_other_file_and_takes_no_more_than_it_holds(tmp_path, tamper, words):
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(6.0).tobytes())
    content = make_trace().save(tmp_path / "a.nc").read_bytes()[:-73]
    (tmp_path / "b.nc").write_bytes(content)
    with h5py.File(tmp_path / "b.nc", "r+") as file:
        tamper(file, secret)
    content = (tmp_path / "b.nc").read_bytes()
    for name, seal in (("open", b""), ("sealed", checksum(content))):
        (tmp_path / name).write_bytes(content + seal)
        with pytest.raises(TraceError, match=words):
            Trace.load(tmp_path / name)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("question", ["why?"]),
        ("provenance", ["a"]),
        ("prompts", "none"),
        ("provenance", {"interventions": "all"}),
        ("provenance", {"interventions": [{"segments": [1]}]}),
    ],
)
def test_texts_of_another_kind_are_refused(tmp_path, part, value):
    path = make_trace().save(tmp_path / "a.nc")
    (tmp_path / "b.nc").write_bytes(path.read_bytes()[:-73])
    with h5py.File(tmp_path / "b.nc", "r+") as file:
        record = json.loads(file.attrs["record"])
        file.attrs["record"] = json.dumps({**record, part: value})
    content = (tmp_path / "b.nc").read_bytes()
    (tmp_path / "c.nc").write_bytes(content + checksum(content))
    with pytest.raises(TraceError, match="damaged"):
        Trace.load(tmp_path / "c.nc")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TraceError, match="pipe"):
        Trace.load(tmp_path / "pipe")


# What its reader should know


def test_scores_that_hardly_differ_are_called_so():
    scores = 0.9995 + np.linspace(0, 4e-4, 6)
    close = {"relevance": scores, "allocation": allocate(scores, 60, max_tokens=16)}
    trace = make_trace(**close)
    tokens = trace.data["tokens"].to_numpy()
    assert tokens.max() > tokens.min()
    assert trace.caution == (
        "scores differ by at most 0.0004, and were still allocated "
        f"{tokens.min()} to {tokens.max()} tokens per segment"
    )
    assert "scores differ by at most 0.0004" in trace._repr_html_()


@pytest.mark.parametrize(
    ("scores", "strategy"),
    [
        ([0.1, 0.9, 0.4], "head"),  # they do differ
        ([0.5, 0.5, 0.5], "head"),  # nothing was amplified
        ([0.5, 0.5001, 0.5002], "uniform"),  # nor here
        ([0.97, 0.971, 0.972], "temperature"),  # nor is anything relative here
        ([0.5], "head"),
    ],
)
def test_other_scores_need_no_word_of_caution(scores, strategy):
    allocation = allocate(scores, 30, strategy=strategy, max_tokens=16)
    trace = make_trace(len(scores), relevance=scores, logit=scores, allocation=allocation)
    assert trace.caution is None


# Its page


def test_the_page_escapes_what_users_wrote():
    page = make_trace(
        question="<script>alert(1)</script> & \x1b[31m \ud800", answer='"><img src=x>' + "y" * 9999
    )._repr_html_()
    assert "<script>" not in page
    assert "<img" not in page
    assert "\x1b" not in page
    assert "\\x1b[31m" in page
    assert "&lt;script&gt;" in page
    assert "y" * 3000 not in page
    page.encode("utf-8")


def test_names_in_its_provenance_reach_no_terminal_raw():
    """They come from a file, as the values do."""
    wild = {"\x1b]0;title\x07 [bold]x": "\x1b[31m"}
    console = Console(file=io.StringIO(), width=100, markup=True)
    console.print(facts(make_trace(provenance=wild).provenance))
    printed = console.file.getvalue()
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert "\\x1b]0;title\\x07 [bold]x" in printed


def test_an_allocation_is_shown_as_it_was():
    allocation = allocate([0.2, 0.9], 20, strategy="tail", max_tokens=8)
    trace = make_trace(segments=2, allocation=allocation)
    assert trace.data.attrs["strategy"] == "tail"
    assert trace.data.attrs["memory_slots"] == 8
    assert trace.to_pandas()["slots"].tolist() == ["4-7", "0-7"]


@pytest.mark.parametrize("strategy", ["head", "random", "tome", "topk"])
def test_a_saved_trace_returns_its_allocation(tmp_path, strategy):
    scores = [0.2, 0.9, 0.5]
    allocation = allocate(scores, 20, strategy=strategy, min_tokens=2, max_tokens=8, seed=3)
    trace = make_trace(3, relevance=scores, logit=scores, allocation=allocation)
    loaded = Trace.load(trace.save(tmp_path / "a.nc")).allocation()
    for name in ("budget", "strategy", "mode", "min_tokens", "max_tokens", "seed", "merged"):
        assert getattr(loaded, name) == getattr(allocation, name)
    for name in ("scores", "wanted", "tokens", "needed", "kept"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(allocation, name))
