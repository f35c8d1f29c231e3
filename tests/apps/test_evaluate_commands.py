"""`tempo-lab evaluate`: what its commands offer, ask, print, write and return."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

import tempo_lab
from tempo_lab.apps import evaluate_commands
from tempo_lab.apps.cli import app
from tempo_lab.apps.evaluate_commands import DATASETS, SOME_HAVE
from tempo_lab.apps.terminal import INTERRUPTED, REFUSED, SOME_FAILED, USAGE
from tempo_lab.evaluation import datasets
from tempo_lab.evaluation.measured import VARYING
from tests.evaluation.datasets.made_up import write_videos
from tests.evaluation.datasets.test_benchmarks import VIDEOS, write_all
from tests.evaluation.runs import answers_run
from tests.media import write_video

CLIPS = Path(__file__).parents[2] / "data" / "clips"
TABLE = """video,question,answer,start,end,kind
voyage.mp4,What color is the hourglass?,red,16,20,color
voyage.mp4,What color is the circle?,white,20,24,color
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *(str(argument) for argument in arguments)])


def options_of(command: str) -> dict[str, Any]:
    group: Any = get_command(app)
    params = group.commands["evaluate"].commands[command].params
    return {param.name: param for param in params if param.name != "help"}


# What is offered


def test_help_is_fast_and_lists_every_command():
    program = (
        "import sys\n"
        "from tempo_lab.apps.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'xarray', 'pandas', 'ray'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)\n"
    )
    for arguments, words in (
        (["--help"], [*DATASETS, "compare", "rescore", "report", "world"]),
        (["nextgqa", "--help"], ["--split", "--prior-only", "--engine"]),
    ):
        command = [sys.executable, "-c", program, "evaluate", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert set(words) <= set(re.findall(r"[a-z-]+", done.stdout))


def test_every_dataset_has_a_command_with_its_own_options():
    assert set(DATASETS) == {
        name
        for name, loader in datasets.DATASETS.items()
        if loader.__module__.startswith("tempo_lab.")
    }
    for name in DATASETS:
        keywords = set(datasets.DATASETS[name].__kwdefaults__)
        own = {option for option in ("subtitles", "split") if name in SOME_HAVE[option]}
        assert keywords == {"damaged", *own}


def test_all_datasets_share_their_options_and_each_has_a_help():
    shared = set(options_of("table"))
    assert {"budgets", "arms", "preset", "circular", "blind", "fps", "max_frames"} <= shared
    assert {"engine", "workers", "ray_address", "damaged", "limit", "prior_only"} <= shared
    for name in DATASETS:
        options = options_of(name)
        assert set(options) - set(SOME_HAVE) == shared
        assert all(option.help for option in options.values())


# What is asked

GIVEN = {
    "--preset": ("preset", "paper-4k"), "--fps": ("fps", 1.5), "--max-frames": ("max_frames", 64),
    "--limit": ("limit", 3), "--engine": ("engine", "ray"), "--workers": ("workers", 2),
    "--ray-address": ("ray_address", "auto"),
}  # fmt: skip
FLAGS = {"--prior-only": "prior_only", "--circular": "circular", "--blind": "blind"}


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The calls of `tl.evaluate`, each of which returns a finished run."""
    calls: list[dict[str, Any]] = []

    def evaluate(model, dataset, **settings):
        calls.append({"model": model, "dataset": dataset, **settings})
        return answers_run(tmp_path, dataset.name)

    monkeypatch.setattr(tempo_lab, "evaluate", evaluate, raising=False)
    monkeypatch.setattr(evaluate_commands, "_write_report", lambda run: None)
    return calls


def test_every_option_reaches_the_evaluation(asked, tmp_path):
    words = [word for option, (_, value) in GIVEN.items() for word in (option, value)]
    words += [*FLAGS, "--arms", "head, all", "--budget", 24, "--budget", 48, "--model", "m"]
    data = write_all(tmp_path)["nextgqa"]
    (data / "val.csv").write_bytes((data / "test.csv").read_bytes())
    (data / "gsub_val.json").write_bytes((data / "gsub_test.json").read_bytes())
    (data / "test.csv").unlink()
    (tmp_path / "490.mp4").write_bytes(b"video")
    place = ["--data", data, "--videos", tmp_path, "--out", tmp_path / "run", "--split", "val"]
    result = run("nextgqa", *place, *words)
    assert result.exit_code == SOME_FAILED, result.output
    (call,) = asked
    assert call.pop("dataset").name == "nextgqa"
    assert call == {
        "model": "m",
        "out": tmp_path / "run",
        "arms": ["head", "all"],
        "budgets": [24, 48],
        **dict(GIVEN.values()),
        **dict.fromkeys(FLAGS.values(), True),
    }


def test_an_option_that_is_not_given_has_the_default_of_the_library(asked, tmp_path):
    (tmp_path / "mine.csv").write_text("video,question\na.mp4,What?\nb.mp4,\n")
    (tmp_path / "a.mp4").write_bytes(b"video")
    words = ["table", tmp_path / "mine.csv", "--out", tmp_path / "run"]
    refused = run(*words)
    assert refused.exit_code == REFUSED
    assert "line 3" in refused.stderr
    assert run(*words, "--damaged", "skip").exit_code == SOME_FAILED
    (call,) = asked
    defaults = inspect.signature(sys.modules["tempo_lab.evaluation.evaluate"].evaluate).parameters
    for name, value in call.items():
        if name in defaults and name not in ("model", "dataset", "out"):
            assert value == defaults[name].default, name
    assert [row.video for row in call["dataset"]] == [tmp_path / "a.mp4"]
    assert [one.reason for one in call["dataset"].skipped] == ["damaged"]


def test_a_download_is_asked_for_and_read_from_where_it_is(asked, tmp_path, monkeypatch):
    (tmp_path / "hub").mkdir()
    data = write_all(tmp_path / "hub")["mlvu"]
    fetched = []
    monkeypatch.setattr(
        datasets, "download", lambda name, folder: fetched.append((name, folder)) or data
    )
    place = ["--data", tmp_path / "mine", "--videos", tmp_path, "--out", tmp_path / "run"]
    assert run("mlvu", *place).exit_code == REFUSED
    assert fetched == []
    write_videos(tmp_path, *VIDEOS)
    assert (
        run("mlvu", *place, "--download").exit_code == SOME_FAILED
    )  # the rows that stand in for a run
    assert fetched == [("mlvu", tmp_path / "mine")]
    assert asked[0]["dataset"].rows[0].id.startswith("order")


def test_the_base_of_a_checkpoint_is_loaded_with_it(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(tempo_lab, "load", lambda *a, **b: (a, b), raising=False)
    (tmp_path / "mine.csv").write_text("video,question\na.mp4,What?\n")
    (tmp_path / "a.mp4").write_bytes(b"video")
    run("table", tmp_path / "mine.csv", "--out", tmp_path / "run", "--model", "m", "--base", "b")
    assert asked.pop()["model"] == (("m",), {"base": "b"})
    words = ["table", tmp_path / "mine.csv", "--out", tmp_path / "run", "--base", "b"]
    for more in (["--workers", 2], ["--engine", "ray"]):  # a worker loads the model by its name
        refused = run(*words, *more)
        assert refused.exit_code == REFUSED
        assert "save_pretrained" in refused.stderr
    assert asked == []


def test_a_refusal_a_usage_error_and_an_interrupt_have_their_exit_codes(monkeypatch, tmp_path):
    (tmp_path / "mine.csv").write_text("video,question\na.mp4,What?\n")
    (tmp_path / "a.mp4").write_bytes(b"video")
    words = ["table", tmp_path / "mine.csv", "--out", tmp_path / "run"]
    refused = run(*words, "--arms", "unifrom")
    assert refused.exit_code == REFUSED
    assert "did you mean 'uniform'" in refused.stderr
    assert run("table", tmp_path / "none.csv", "--out", tmp_path / "run").exit_code == REFUSED
    assert run("lvbench", "--data", tmp_path, "--out", tmp_path / "run").exit_code == USAGE
    assert run("rescore", tmp_path).exit_code == run("report", tmp_path).exit_code == REFUSED
    assert not (tmp_path / "run").exists()

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tempo_lab, "evaluate", interrupt, raising=False)
    result = run(*words)
    assert result.exit_code == INTERRUPTED
    assert result.stderr == "tempo-lab: interrupted\n"


# A table of your own, with the embedded model


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A folder with a table, its video, and the finished run `run` of it."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(CLIPS / "voyage.mp4", folder)
    (folder / "mine.csv").write_text(TABLE)
    result = run(*words(folder), "--out", folder / "run")
    assert result.exit_code == 0, result.output
    (folder / "printed.txt").write_text(result.stdout)
    return folder


def words(folder: Path) -> list[Any]:
    return ["table", folder / "mine.csv", "--arms", "uniform,all", "--budget", 24, "--budget", 48]


def test_a_table_is_asked_and_shown_and_the_same_command_continues(own):
    folder = own / "run"
    answers = (folder / "answers.jsonl").read_bytes()
    rows = [json.loads(line) for line in answers.splitlines()]
    assert [row["arm"] for row in rows] == ["uniform 24", "uniform 48", "all"] * 2
    printed = (own / "printed.txt").read_text()
    table, _, last = printed.rstrip().rpartition("\n\n")
    assert last == str(folder / "report.html")
    heads, *lines = table.splitlines()
    assert heads.split()[:3] == ["arm", "budget", "accuracy"]
    assert [line.split()[0] for line in lines] == ["all", "uniform", "uniform"]
    again = run(*words(own), "--out", folder)
    assert again.exit_code == 0, again.output
    assert again.stdout == printed
    assert (folder / "answers.jsonl").read_bytes() == answers


def test_rescore_and_report_need_no_model(own, tmp_path, monkeypatch):
    copy = shutil.copytree(own / "run", tmp_path / "run")
    page = (copy / "report.html").read_bytes()
    for name in ("summary.csv", "report.html"):
        (copy / name).unlink()
    monkeypatch.setattr(tempo_lab, "load", None, raising=False)
    result = run("rescore", copy)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:-1] == (own / "printed.txt").read_text().splitlines()[:-1]
    assert (copy / "summary.csv").read_bytes() == (own / "run" / "summary.csv").read_bytes()
    record = json.loads(run("rescore", copy, "--json").stdout)
    assert (record["report"], record["headline"]) == (str(copy / "report.html"), "accuracy")
    arms = {(arm["arm"], arm["budget"]): arm for arm in record["arms"]}
    assert set(arms) == {("all", None), ("uniform", 24), ("uniform", 48)}
    assert all(arm["questions"] == 2 for arm in arms.values())
    shown = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line}
    assert f"{arms['all', None]['accuracy']:.3f}" in shown["all"]
    assert record["failed"] == record["skipped"] == []
    (copy / "report.html").unlink()
    result = run("report", copy)
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [str(copy / "report.html")]
    assert (copy / "report.html").read_bytes() == page


def test_two_runs_are_compared_question_by_question(own, tmp_path):
    out = tmp_path / "run"
    done = run("table", own / "mine.csv", "--out", out, "--arms", "uniform,all", "--budget", 24)
    assert done.exit_code == 0, done.output
    result = run("compare", own / "run", out)
    assert result.exit_code == 0, result.output
    first, *_ = result.stdout.splitlines()
    assert first == "accuracy on the 2 questions that are the same in both runs"
    heads, *lines = result.stdout.split("\n\n")[1].splitlines()
    assert heads.split() == ["arm", "budget", "first", "second", "diff", "n"]  # one video
    assert [line.split()[0] for line in lines] == ["all", "uniform"]
    for line in lines:
        assert line.split()[-2:] == ["0.000", "2"]
    assert (
        "arms: all, uniform 24, uniform 48\n  in the second run: all, uniform 24" in result.stdout
    )
    table = run("compare", own / "run", out, "--csv").stdout.splitlines()
    assert table[0].startswith("arm,budget,group,measure,first,second,difference")
    assert any(line.startswith("all,,kind=color,accuracy") for line in table)
    record = json.loads(run("compare", own / "run", out, "--json").stdout)
    assert (record["shared"], record["second"]) == (2, str(out))
    assert {"measure", "difference", "low", "high"} <= set(record["differences"][0])
    assert len(record["differences"]) == len(table) - 1
    assert len(record["settings"]["arms"]["first"]) == 3
    assert len(record["settings"]["arms"]["second"]) == 2
    assert run("compare", own / "run", tmp_path).exit_code == REFUSED


def test_missing_videos_and_failed_rows_have_an_exit_code_and_are_counted(own, tmp_path):
    shutil.copy(own / "voyage.mp4", tmp_path)
    (tmp_path / "mine.csv").write_text(
        TABLE + "absent.mp4,What color is the star?,red,0,4,color\n"
        "voyage.mp4,Is the zebra big or small?,small,0,4,size\n"
    )
    result = run("table", tmp_path / "mine.csv", "--out", tmp_path / "run", "--arms", "all")
    assert result.exit_code == SOME_FAILED, result.output
    assert "1 rows failed" in result.stderr
    assert "1 rows of the dataset were skipped" in result.stderr
    words = ["table", tmp_path / "mine.csv", "--out", tmp_path / "run", "--arms", "all"]
    again = run(*words, "--json", "--quiet")
    assert again.exit_code == SOME_FAILED
    record, error = json.loads(again.stdout), json.loads(again.stderr)
    assert (len(record["failed"]), len(record["skipped"])) == (1, 1)
    assert (error["type"], error["exit_code"]) == ("FailedRows", SOME_FAILED)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Failed rows (1 row)" in page
    assert "absent.mp4" in page


# Every dataset, on made-up rows, with the tiny recorded checkpoint


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory) -> tuple[dict[str, Path], Path]:
    """The data of every benchmark, and a folder of short videos with the names in it."""
    folder = tmp_path_factory.mktemp("benchmarks")
    (short := folder / "videos").mkdir()
    video = write_video(folder / "video.mp4", frames=40, fps=10)
    for name in VIDEOS:
        (short / name).parent.mkdir(exist_ok=True)
        shutil.copy(video, short / name)
    return write_all(folder), short


def ask_tiny(monkeypatch, tiny, benchmarks, name: str, out: Path, *more: object) -> Result:
    data, videos = benchmarks
    monkeypatch.setattr(tempo_lab, "load", lambda *_, **__: tiny, raising=False)
    place = ["--data", data[name], "--videos", videos, "--out", out, "--base", "b"]
    return run(name, *place, *more)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "table"])
def test_every_dataset_is_asked(monkeypatch, tiny, benchmarks, name, tmp_path):
    result = ask_tiny(
        monkeypatch,
        tiny,
        benchmarks,
        name,
        tmp_path,
        "--arms",
        "head",
        "--budget",
        16,
        "--limit",
        1,
    )
    assert result.exit_code == 0, result.output
    (row,) = map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines())
    assert row["used"] <= 16
    assert json.loads((tmp_path / "config.json").read_text())["dataset"] == name
    assert "Arms" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "table"])
def test_the_embedded_model_refuses_a_benchmark_row_by_row(benchmarks, name, tmp_path):
    """The published prompts have words that it does not know."""
    data, videos = benchmarks
    place = ["--data", data[name], "--videos", videos, "--out", tmp_path]
    result = run(name, *place, "--arms", "head", "--limit", 1)
    assert result.exit_code == 3, result.output
    (row,) = map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines())
    assert "this model does not know every word" in row["failed"]
    assert "Failed rows (1 row)" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("model", ["nano", "saved"])
def test_ray_gives_the_table_of_the_local_engine(own, tiny, tmp_path, model):
    pytest.importorskip("ray")
    if model == "saved":
        tiny.save_pretrained(tmp_path / "saved")
    name = "nano" if model == "nano" else tmp_path / "saved"
    rows = []
    for engine in ("local", "ray"):
        out = tmp_path / engine
        result = run(*words(own), "--out", out, "--model", name, "--engine", engine)
        assert result.exit_code == 0, result.output
        asked = tempo_lab.EvaluationRun.open(out).rows
        rows.append([{key: row[key] for key in row if key not in VARYING} for row in asked])
    local, on_ray = rows
    assert len(local) == 6
    assert on_ray == local


@pytest.mark.parametrize(
    "name", [name for name, (head, _) in DATASETS.items() if "evidence" in head] + ["lvbench"]
)
def test_evidence_is_compared_with_relevance_without_answers(
    monkeypatch, tiny, benchmarks, name, tmp_path
):
    result = ask_tiny(monkeypatch, tiny, benchmarks, name, tmp_path, "--prior-only", "--limit", 1)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert {"prior", "shuffled in time", "blank question"} <= {row["arm"] for row in rows}
    assert all("said" not in row and len(row["logit"]) == 1 for row in rows)
    assert "The relevance prior and its controls" in (tmp_path / "report.html").read_text()
