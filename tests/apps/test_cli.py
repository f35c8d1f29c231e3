"""The command line: its output, its messages and its exit status."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

import tempo_lab
from tempo_lab.allocation import STRATEGIES, allocate
from tempo_lab.apps.cli import app
from tempo_lab.apps.terminal import REFUSED, USAGE
from tempo_lab.common import netcdf
from tempo_lab.nano.front_loading import recall
from tempo_lab.nano.front_loading import training as study
from tempo_lab.nano.training import train
from tempo_lab.session import validation
from tempo_lab.trace.trace import Trace
from tests.traces import make_trace

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = ["--model", str(GOLDEN / "tempo"), "--base", str(GOLDEN / "svlm" / "qwen3-vl-tiny")]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def saved(tmp_path):
    return make_trace(segments=40, budget=400).save(tmp_path / "trace.nc")


@pytest.fixture
def short_answers(monkeypatch):
    """Random weights seldom end an answer by themselves."""
    monkeypatch.setattr(validation, "MAX_NEW_TOKENS", 8)


# ask


def test_ask_answers_and_saves(tmp_path, frames_file, short_answers):
    trace, figure = tmp_path / "t.nc", tmp_path / "f.png"
    result = run(
        *("ask", frames_file, "What is it?", *TINY, "--budget", 60, "--strategy", "tail"),
        *("--device", "cpu", "--dtype", "float32", "--save", trace, "--figure", figure),
    )
    assert result.exit_code == 0, result.output
    loaded = Trace.load(trace)
    assert loaded.question == "What is it?"
    assert loaded.data.attrs["strategy"] == "tail"
    assert loaded.totals["used"] <= 60
    assert "of 60 tokens used" in result.stdout
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert sorted(os.listdir(tmp_path)) == ["f.png", "t.nc"]


def test_ask_json_prints_json_alone(frames_file, short_answers):
    result = run("ask", frames_file, "What?", *TINY, "--budget", 60, "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["question"] == "What?"
    assert len(printed["segments"]) == 6
    assert sum(row["tokens"] for row in printed["segments"]) == printed["totals"]["used"]
    assert printed["provenance"]["device"] == "cpu"


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_message_on_stderr(frames_file, short_answers):
    result = run("ask", frames_file, "What color is the star?")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("tempo-lab: warning: ") == 1
    assert f"tempo-lab: warning: {frames_file.name} does not look like" in result.stderr
    assert str(frames_file) not in result.stderr
    assert "cli.py" not in result.stderr
    assert "warning" not in result.stdout


def test_a_saved_trace_shows_its_warnings_as_text(tmp_path):
    warnings = ["a.mp4 has 2 streams.", "b\x1b[31m is strange."]
    file = make_trace(provenance={"warnings": warnings}).save(tmp_path / "trace.nc")
    for options in ([], ["--json"]):
        result = run("trace", file, *options)
        assert result.exit_code == 0, result.output
        assert result.stderr.splitlines() == [
            "tempo-lab: warning: a.mp4 has 2 streams.",
            "tempo-lab: warning: b\\x1b[31m is strange.",
        ]
    assert json.loads(result.stdout)["provenance"]["warnings"] == warnings


def test_a_tampered_trace_sends_no_terminal_escapes(tmp_path):
    trace = make_trace(provenance={"a\x1b[2Jkey": "a\x1b[2Jvalue", "model": "\x1b]0;title\x07"})
    trace.data.attrs["strategy"] = "\x1b[31mhead"
    for options in ([], ["--all"], ["--json"]):
        result = run("trace", trace.save(tmp_path / "trace.nc"), *options)
        assert result.exit_code == 0, result.output
        assert "\x1b" not in result.output
        assert "\x07" not in result.output
    result = run("trace", tmp_path / "trace.nc")
    assert r"a\x1b[2Jkey" in result.stdout
    assert r"a\x1b[2Jvalue" in result.stdout


FULL_DISK = """import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))
from tempo_lab.apps.cli import app
app(sys.argv[1:])"""


@pytest.mark.parametrize(
    ("option", "name", "older"), [("--save", "kept.nc", True), ("--figure", "kept.png", False)]
)
def test_a_disk_that_fills_up_is_reported_and_leaves_nothing_half_written(
    tmp_path, frames_file, option, name, older
):
    command = ["ask", frames_file, "What color is the star?", "--device", "cpu"]
    place = tmp_path / "out" / name
    place.parent.mkdir()
    if older:
        place.write_bytes(b"older")
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *map(str, command), option, str(place)],
        capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == REFUSED, result.stderr
    assert "tokens used" in result.stdout  # the answer is not lost
    assert "could not be saved" in result.stderr
    assert "found: File too large" in result.stderr
    assert "fix:" in result.stderr
    assert "Traceback" not in result.stderr
    assert os.listdir(place.parent) == ([name] if older else [])
    assert not older or place.read_bytes() == b"older"


@pytest.mark.parametrize("as_json", [True, False])
def test_output_that_cannot_be_written_is_reported(saved, tmp_path, as_json):
    command = [sys.executable, "-c", FULL_DISK, "trace", str(saved), "--all"]
    with open(tmp_path / "out.txt", "wb") as out:
        result = subprocess.run(
            [*command, "--json"] if as_json else command,
            stdout=out, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert result.returncode == REFUSED
    if as_json:
        error = json.loads(result.stderr)
        assert (error["type"], error["found"]) == ("OSError", "File too large")
    else:
        assert result.stderr == "tempo-lab: cannot write the output: File too large\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.mp4", "What?"], ["missing.mp4"]),
        (["{video}", "What?", "--budget", "2"], ["asked: budget 2", "found:", "fix:"]),
        (["{video}", "What?", "--strategy", "haed"], ["did you mean 'head'"]),
        (["{video}", "What?", "--save", "no/such/t.nc"], ["--save", "no folder"]),
        (["{video}", "What?", "--figure", "a.xyz"], [".png"]),
        (["{video}", "What?", "--fps", "-1"], ["fps"]),
    ],
)
def test_refusals_are_one_message_on_stderr(frames_file, arguments, words):
    result = run("ask", *(str(a).format(video=frames_file) for a in arguments), *TINY)
    assert result.exit_code == REFUSED, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("tempo-lab: ")
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("way", ["itself", "link", "hard link", "frame"])
@pytest.mark.parametrize("option", ["--save", "--figure"])
def test_the_video_is_never_written_over(tmp_path, way, option):
    folder = tmp_path / "frames"
    folder.mkdir()
    video, place = tmp_path / "still.png", tmp_path / "place.png"
    for file in (video, folder / "0.png"):
        Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(file)
    before = video.read_bytes()
    if way == "itself":
        place = tmp_path / "frames" / ".." / "still.png"
    elif way == "link":
        place.symlink_to(video)
    elif way == "hard link":
        os.link(video, place)
    else:
        video, place = folder, folder / "0.png"
    result = run("ask", video, "What?", *TINY, option, place)
    assert result.exit_code == REFUSED, result.output
    assert f"{option} would overwrite the input" in result.stderr
    assert place.read_bytes() == before


def test_a_trace_and_its_picture_need_two_names(tmp_path, frames_file):
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    result = run("ask", frames_file, "What?", *TINY, "--save", tmp_path / "a.png",
               "--figure", tmp_path / "b.png")  # fmt: skip
    assert result.exit_code == REFUSED
    assert "name the same file" in result.stderr
    trace = make_trace().save(tmp_path / "trace.png")
    result = run("trace", trace, "--figure", trace)
    assert result.exit_code == REFUSED
    assert "would overwrite the input" in result.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("option", ["--save", "--figure"])
def test_pipes_and_devices_are_refused(tmp_path, frames_file, option):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    link = tmp_path / "link.png"
    link.symlink_to(os.devnull)
    for place in (pipe, link):
        result = run("ask", frames_file, "What?", *TINY, option, place)
        assert result.exit_code == REFUSED
        assert "a device, pipe or socket" in result.stderr
    assert pipe.is_fifo()


@pytest.mark.parametrize("as_json", [True, False])
def test_a_failed_save_loses_neither_answer_nor_ledger(
    tmp_path, frames_file, short_answers, monkeypatch, as_json
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(netcdf, "write_atomic", full)
    figure = tmp_path / "f.png"
    result = run("ask", frames_file, "What?", *TINY, "--budget", 60, "--save", tmp_path / "t.nc",
               "--figure", figure, *(["--json"] if as_json else []))  # fmt: skip
    assert result.exit_code == REFUSED
    assert "No space left" in result.stderr
    assert figure.read_bytes().startswith(b"\x89PNG")
    if as_json:
        assert json.loads(result.stdout)["totals"]["budget"] == 60
    else:
        assert "of 60 tokens used" in result.stdout


def test_no_such_model(frames_file):
    result = run("ask", frames_file, "What?", "--model", "./nowhere")
    assert result.exit_code == REFUSED
    assert "no such checkpoint" in result.stderr


def test_an_interrupt_ends_with_130(monkeypatch, frames_file):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tempo_lab, "load", interrupt, raising=False)
    result = run("ask", frames_file, "What?")
    assert result.exit_code == 130
    assert result.stderr == "tempo-lab: interrupted\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a single process")
def test_ctrl_c_while_it_answers(frames_file):
    code = """
import signal
import torch
from tempo_lab.apps.cli import app

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores SIGINT


def stop(module, inputs, output):
    if isinstance(module, torch.nn.Embedding) and inputs[0].shape[-1] == 1:  # a word of the answer
        signal.raise_signal(signal.SIGINT)


torch.nn.modules.module.register_module_forward_hook(stop)
app()
"""
    command = [sys.executable, "-c", code, "ask", str(frames_file), "What?", *TINY]
    result = subprocess.run(
        [*command, "--budget", "60"], capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 130, result.stderr
    assert result.stderr.endswith("tempo-lab: interrupted\n")
    assert "Traceback" not in result.stderr


def test_ask_about_a_part(tmp_path, frames_file, short_answers):
    result = run(
        *("ask", frames_file, "What is it?", *TINY, "--start", 8, "--end", 16.5),
        *("--device", "cpu", "--dtype", "float32", "--save", tmp_path / "t.nc"),
    )
    assert result.exit_code == 0, result.output
    trace = Trace.load(tmp_path / "t.nc")
    assert trace.data["start"].values.tolist() == [8, 12, 16]
    assert trace.provenance["part"] == [8, 16.5]


# trace and info


def test_trace_shows_what_was_saved(saved):
    result = run("trace", saved)
    assert result.exit_code == 0, result.output
    assert "What color is the star?" in result.stdout
    assert "the 16 most relevant of 40 segments" in result.stdout
    everything = run("trace", saved, "--all").stdout
    assert sum(f" - {4 * (i + 1):.1f}" in everything for i in range(40)) == 40


def test_scores_that_hardly_differ_are_noted_below_the_table(tmp_path):
    scores = 0.9995 + np.linspace(0, 4e-4, 40)
    allocation = allocate(scores, 200, max_tokens=16)
    trace = make_trace(40, relevance=scores, allocation=allocation).save(tmp_path / "t.nc")
    printed = " ".join(run("trace", trace).stdout.split())
    assert "the 16 most relevant of 40 segments scores differ by at most 0.0004" in printed


def test_a_file_that_is_no_trace_is_not_to_be_saved_again(frames_file):
    result = run("trace", frames_file)
    assert result.exit_code == REFUSED
    assert "not a trace" in result.stderr
    assert "fix:   name a file that" in result.stderr


def test_trace_as_json_and_as_a_picture(saved, tmp_path):
    result = run("trace", saved, "--json", "--figure", tmp_path / "f.svg")
    assert len(json.loads(result.stdout)["segments"]) == 40
    assert "<svg" in (tmp_path / "f.svg").read_text()


def test_trace_as_a_page(saved, tmp_path):
    page = tmp_path / "a.html"
    result = run("trace", saved, "--html", page)
    assert result.exit_code == 0, result.output
    assert "What color is the star?" in page.read_text(encoding="utf-8")
    for arguments, words in (
        (["--html", saved], "--html would overwrite the input"),
        (["--html", tmp_path], "--html needs the name of a regular file"),
        (["--html", page, "--video", page], "--html would overwrite the input"),
        (["--html", page, "--figure", page], "name the same file"),
        (["--video", page], "--video is only for thumbnails"),
    ):
        result = run("trace", saved, *arguments)
        assert result.exit_code == REFUSED
        assert words in result.stderr


def test_another_video_is_refused_before_the_trace_is_printed(saved, frames_file, tmp_path):
    result = run("trace", saved, "--html", tmp_path / "a.html", "--video", frames_file)
    assert result.exit_code == REFUSED
    assert result.stdout == ""
    assert not (tmp_path / "a.html").exists()


def test_a_question_that_was_read_differently_is_noted(tmp_path):
    trace = make_trace(question="What is it?", provenance={"asked": "What's it?"})
    result = run("trace", trace.save(tmp_path / "t.nc"))
    assert "What's it?" in result.stdout
    assert "the model read the question as 'What is it?'" in result.stderr


def test_what_a_file_says_never_reaches_the_terminal_raw(tmp_path):
    wild = "\x1b[31m[bold]red[/bold]\x07 \ud800"
    trace = make_trace(question=wild, answer=wild, provenance={"video": wild})
    result = run("trace", trace.save(tmp_path / "t.nc"))
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    assert "\\x1b[31m[bold]red[/bold]\\x07" in result.stdout


def test_missing_numbers_are_null_in_json(tmp_path):
    nothing = [float("nan")] * 6
    path = make_trace(relevance=nothing, logit=nothing).save(tmp_path / "t.nc")
    assert json.loads(run("trace", path, "--json").stdout)["segments"][0]["relevance"] is None
    assert "nan" in run("trace", path).stdout


def test_missing_numbers_are_null_in_json_also_where_it_was_run(tmp_path):
    wild = {"a": float("nan"), "b": [float("inf"), {"c": (float("-inf"), 1.5)}]}
    result = run("trace", make_trace(provenance=wild).save(tmp_path / "t.nc"), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["provenance"] == {"a": None, "b": [None, {"c": [None, 1.5]}]}


def test_info_of_a_video(frames_file):
    printed = json.loads(run("info", frames_file, "--json").stdout)
    assert (printed["width"], printed["height"], printed["frames"]) == (32, 24, 44)
    assert printed["segments"] == "6 of 8 frames"
    assert "kind" in run("info", frames_file).stdout


def test_info_of_a_part(frames_file):
    printed = json.loads(run("info", frames_file, "--start", 4, "--end", 13, "--json").stdout)
    assert printed["sampled_part"] == "4 to 13 s"
    assert (printed["sampled_frames"], printed["frames"], printed["duration"]) == (18, 44, 22)
    refused = run("info", frames_file, "--start", 22)
    assert refused.exit_code == REFUSED
    assert "the video lasts 22 s" in refused.stderr


def test_info_of_a_checkpoint():
    result = run("info", GOLDEN / "tempo")
    assert result.exit_code == 0, result.output
    for word in ("mlp2x_gelu", "128", "3 layers, 80 wide", "0.70 M"):
        assert word in result.stdout


def test_info_of_a_plain_qwen3_vl():
    result = run("info", GOLDEN / "svlm" / "qwen3-vl-tiny")
    assert result.exit_code == 0, result.output
    assert re.search(r"memory tokens per segment +0 *\n", result.stdout)
    assert "a plain Qwen3-VL: session.score works" in result.stdout
    assert "3 layers, 64 wide" in result.stdout
    assert "projector" not in result.stdout


def test_a_plain_qwen3_vl_is_asked_for_scores_only(frames_file, tmp_path):
    folder = GOLDEN / "svlm" / "qwen3-vl-tiny"
    result = run("ask", frames_file, "What is it?", "--model", folder, "--device", "cpu")
    assert result.exit_code == REFUSED
    assert "no memory tokens" in result.stderr
    assert "session.score(question)" in result.stderr
    with tempo_lab.load(folder, device="cpu").open(frames_file, progress=False) as session:
        path = session.score("What is it?").save(tmp_path / "scores.nc")
    shown = run("trace", path)
    assert shown.exit_code == 0, shown.output
    assert "relevance" in shown.stdout
    assert "wanted" not in shown.stdout
    printed = json.loads(run("trace", path, "--json").stdout)
    assert printed["answer"] is None
    assert printed["totals"] is None
    assert len(printed["segments"]) == 6
    refused = run("trace", path, "--figure", tmp_path / "f.png")
    assert refused.exit_code == REFUSED
    assert "no tokens and no answer" in refused.stderr


def test_info_of_nothing(tmp_path):
    assert run("info", tmp_path / "missing.mp4").exit_code == REFUSED
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    result = run("info", tmp_path)
    assert result.exit_code == REFUSED
    assert "neither a Tempo checkpoint nor a plain Qwen3-VL" in result.stderr


# world and train


def test_world_makes_a_video_with_its_truth(tmp_path):
    path = tmp_path / "clips" / "a.mp4"
    result = run("world", "make", "--seed", 3, "--segments", 2, "--out", path)
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [str(path), str(path.with_suffix(".json"))]
    truth = json.loads(path.with_suffix(".json").read_text())
    assert truth["seed"] == 3
    assert truth["questions"]
    assert json.loads(run("info", path, "--json").stdout)["duration"] == pytest.approx(8)


@pytest.mark.parametrize("content", ['{"name": "mine"}', "[1, 2]", "3", "no json", ""])
def test_world_replaces_its_own_truth_only(tmp_path, content):
    video, beside = tmp_path / "a.mp4", tmp_path / "a.json"
    beside.write_text(content)
    result = run("world", "make", "--segments", 1, "--out", video)
    assert result.exit_code == REFUSED
    assert str(beside) in result.stderr
    assert beside.read_text() == content
    assert not video.exists()
    beside.unlink()
    for seed in (1, 2):
        result = run("world", "make", "--seed", seed, "--segments", 1, "--out", video)
        assert result.exit_code == 0, result.output
        assert json.loads(beside.read_text())["seed"] == seed


def test_world_refuses_places_it_cannot_write(tmp_path):
    (tmp_path / "file").write_text("x")
    result = run("world", "make", "--segments", 1, "--out", tmp_path / "file" / "a.mp4")
    assert result.exit_code == REFUSED
    assert f"found: {tmp_path / 'file'} is a file" in result.stderr


@pytest.mark.parametrize(("options", "kept"), [([], "false"), (["--cpu"], "true")])
def test_train_uses_no_gpu_with_cpu(tmp_path, monkeypatch, options, kept):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "false")
    seen = []
    monkeypatch.setattr(
        train,
        "train",
        lambda name, out, **rest: seen.append(os.environ["ACCELERATE_USE_CPU"]),
    )
    assert run("train", "tiny", "--out", tmp_path, *options).exit_code == 0
    assert seen == [kept]


def test_train_refuses_unknown_recipes(tmp_path):
    result = run("train", "nanoo", "--out", tmp_path)
    assert "did you mean 'nano'?" in result.stderr
    result = run("train", "giga", "--out", tmp_path)
    assert result.exit_code == REFUSED
    assert "nano" in result.stderr


def test_train_runs_an_arm_of_the_study(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(study, "train_arm", lambda *a, **rest: seen.append((a, rest)) or "there")
    result = run(
        "train", "front-loading", "--arm", "suffix", "--seed", 3, "--out", tmp_path, "--base", "b"
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == ["there"]
    assert seen == [(("suffix", 3, tmp_path), {"resume": True, "base": ["b"]})]


@pytest.mark.parametrize(
    "arguments",
    [
        ["front-loading"],
        ["front-loading", "--arm", "none"],
        ["front-loading", "--seed", 1],
        ["nano", "--arm", "none", "--seed", 1],
        ["nano", "--seed", 1],
    ],
)
def test_train_wants_an_arm_and_a_seed_for_the_study_only(tmp_path, arguments):
    result = run("train", *arguments, "--out", tmp_path)
    assert result.exit_code == REFUSED
    assert "needs an arm and a seed" in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_arm_and_a_study_without_runs_are_refused(tmp_path):
    result = run("train", "front-loading", "--arm", "middle", "--seed", 1, "--out", tmp_path)
    assert result.exit_code == REFUSED
    assert "none, prefix, suffix, random" in result.stderr
    result = run("evaluate", "front-loading", tmp_path)
    assert result.exit_code == REFUSED
    assert "no finished run" in result.stderr


def test_the_study_is_shown_as_a_table(tmp_path, monkeypatch):
    row = {"arm": "prefix", "seed": "all", "questions": "one word", "tokens": 1, "first": 0.69,
           "last": 0.61, "first_minus_last": 0.08}  # fmt: skip
    row |= {"first_minus_last_low": 0.05, "first_minus_last_high": 0.11}
    monkeypatch.setattr(recall, "evaluate_study", lambda *_: pd.DataFrame([row]))
    result = run("evaluate", "front-loading", tmp_path, "--out", tmp_path / "tables")
    assert result.exit_code == 0, result.output
    assert "+0.08 [+0.05, +0.11]" in result.stdout
    assert result.stdout.split()[-1] == str(tmp_path / "tables")


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [(["app", "--no-browser"], "voila", "lab"), (["train", "tiny"], "accelerate", "train")],
)
def test_a_command_without_its_packages_names_the_extra(monkeypatch, arguments, package, extra):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    result = run(*arguments)
    assert result.exit_code == REFUSED
    assert f"found: no {package}" in result.stderr
    assert f"pip install 'tempo-lab[{extra}]'" in result.stderr


# help


def test_help_and_version_load_no_torch():
    program = (
        "import sys\n"
        "from tempo_lab.apps.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'transformers', 'matplotlib', 'xarray', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)\n"
    )
    for arguments, word in ((["--help"], "ask"), (["ask", "--help"], "--budget"),
                            (["--version"], tempo_lab.__version__)):  # fmt: skip
        result = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
        )
        assert word in result.stdout


def test_help_lists_every_strategy_of_the_library():
    every = {n for n, each in STRATEGIES.items() if type(each).__module__.startswith("tempo_lab.")}
    options = get_command(app).commands["ask"].params
    help_text = next(option.help for option in options if option.name == "strategy")
    assert every <= set(re.findall(r"[a-z-]+", help_text))
    assert len(every) == 15


def test_unknown_commands_and_options_are_usage_errors():
    assert run("aks").exit_code == USAGE
    assert run("ask", "video.mp4").exit_code == USAGE
    assert run("ask", "video.mp4", "What?", "--budget", "many").exit_code == USAGE
