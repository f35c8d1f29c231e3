"""lmms-eval runs the embedded model through its own command line and evaluator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import tempo_lab as tl
from tempo_lab.common.errors import BudgetError, QueryError, TempoLabError, VideoError

pytest.importorskip(
    "lmms_eval",
    reason="lmms-eval is not installed: pip install 'tempo-lab[lmms]' in its own environment",
)

from lmms_eval.api.instance import Instance
from lmms_eval.models import get_model, get_model_manifest

CLIPS = Path(__file__).parents[3] / "data" / "clips"
QUESTIONS = [
    {"video": f"{clip}.mp4", "question": question, "answer": answer}
    for clip, question, answer in [
        ("voyage", "What color is the hourglass?", "red"),
        ("voyage", "What color is the circle?", "white"),
        ("voyage", "What color is the zebra?", "white"),  # a word that the model does not know
        ("expedition", "What color is the hourglass?", "white"),
        ("expedition", "What color is the triangle?", "purple"),
        ("expedition", "Is the red ring big or small?", "big"),
    ]
]

TASK = """
task: clips
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/clips.jsonl
test_split: test
output_type: generate_until
doc_to_visual: !function clips.video
doc_to_text: question
doc_to_target: answer
generation_kwargs:
  max_new_tokens: 32
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""
VIDEO = "def video(doc):\n    return [doc['video']]\n"


def lmms_eval(folder: Path, *options: str) -> tuple[dict, list[dict]]:
    """Run `python -m lmms_eval` on a task with the questions; return its scores and samples."""
    (folder / "clips.yaml").write_text(TASK.format(folder=folder))
    (folder / "clips.py").write_text(VIDEO)
    rows = [json.dumps({**row, "video": str(CLIPS / row["video"])}) for row in QUESTIONS]
    (folder / "clips.jsonl").write_text("\n".join(rows))
    command = [
        sys.executable, "-m", "lmms_eval", "--model", "tempo_lab", "--tasks", "clips",
        "--include_path", str(folder), "--output_path", str(folder), "--log_samples", *options,
    ]  # fmt: skip
    environment = {**os.environ, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    results = [json.loads(path.read_text()) for path in folder.rglob("*_results.json")]
    assert len(results) == 1, done.stdout + done.stderr
    (written,) = folder.rglob("*_samples_clips.jsonl")
    samples = [json.loads(line) for line in written.read_text().splitlines()]
    return results[0]["results"]["clips"], sorted(samples, key=lambda row: row["doc_id"])


def ours(folder: Path, **options) -> list[str | None]:
    """The answers of `tl.evaluate` to the same questions; None where it failed."""
    rows = [json.dumps(row) for row in QUESTIONS]
    (folder / "table.jsonl").write_text("\n".join(rows))
    table = tl.datasets.table(folder / "table.jsonl", videos=CLIPS)
    assert table.max_new_tokens == 32
    run = tl.evaluate("nano", table, **options, out=folder / "run", progress=False)
    said = {row["item"]: row.get("said") for row in run.rows}
    return [said[str(number)] for number in range(1, len(QUESTIONS) + 1)]


def test_the_command_gives_the_answers_of_our_own_runner(tmp_path):
    settings = "pretrained=nano,budget=24,strategy=uniform"
    (tmp_path / "lmms").mkdir()
    scores, samples = lmms_eval(tmp_path / "lmms", "--model_args", settings, "--device", "cpu")
    said = ours(tmp_path, arms=["uniform"], budgets=[24])
    assert said[2] is None  # the zebra
    assert [row["filtered_resps"] for row in samples] == [one or "" for one in said]
    right = [one == row["answer"] for one, row in zip(said, QUESTIONS, strict=True)]
    assert scores["exact_match,none"] == pytest.approx(sum(right) / len(QUESTIONS))
    # the settings matter for these questions
    (tmp_path / "other").mkdir()
    assert ours(tmp_path / "other", arms=["head"]) != said


# The interface, without the command line


@pytest.fixture(scope="module")
def nano():
    return tl.load("nano", device="cpu")


def make(arguments=""):
    """The model as lmms-eval makes it."""
    lm = get_model("tempo_lab").create_from_arg_string(arguments, {"batch_size": 1})
    lm.task_dict = {"clips": {"test": QUESTIONS}}
    return lm


def request(number, *, visual=None, **options):
    """The request of a task for one of the questions."""

    def messages(doc):
        part = {"type": "video", "url": visual or str(CLIPS / doc["video"])}
        return [{"role": "user", "content": [part, {"type": "text", "text": doc["question"]}]}]

    arguments = (QUESTIONS[number]["question"], messages, options, number, "clips", "test")
    metadata = {"task": "clips", "doc_id": number, "repeats": 1}
    return Instance("generate_until", arguments, 0, metadata=metadata)


@pytest.fixture
def opened(monkeypatch) -> list:
    """Sessions that are opened."""
    from tempo_lab.session.tempo import Tempo

    sessions, open_video = [], Tempo.open

    def spy(self, *arguments, **options):
        sessions.append(open_video(self, *arguments, **options))
        return sessions[-1]

    monkeypatch.setattr(Tempo, "open", spy)
    return sessions


def test_consecutive_questions_share_a_session_that_is_closed(nano, opened):
    asked = [request(number, max_new_tokens=4) for number in (0, 1, 3, 4, 0)]
    results = make("budget=64").generate_until(asked)
    assert [Path(one.video.info.path).stem for one in opened] == ["voyage", "expedition", "voyage"]
    for session in opened:
        with pytest.raises(VideoError, match="closed"):
            session.score("What color is the star?")
    with nano.open(CLIPS / "voyage.mp4", progress=False) as session:
        trace = session.ask(QUESTIONS[1]["question"], budget=64, max_new_tokens=4)
    assert results[1].text == trace.answer
    assert results[0] == results[4]
    assert results[1].token_counts.input_tokens == trace.totals["prompt"]
    assert results[1].token_counts.output_tokens == trace.provenance["answer_tokens"]


def test_the_settings_reach_the_video_and_the_question(opened):
    lm = make("fps=1,max_frames=16,budget=16,strategy=uniform")
    part = {"path": str(CLIPS / "voyage.mp4"), "video_start": 8, "video_end": 16}
    (result,) = lm.generate_until([request(0, visual=part, until=["e"])])
    (session,) = opened
    assert session.video.part == (8, 16)
    assert len(session.video.plan) == 8
    assert "e" not in result.text


def test_an_image_in_memory_is_the_image_of_its_file(nano, opened, tmp_path):
    with nano.open(CLIPS / "voyage.mp4", progress=False) as session:
        frames = [Image.fromarray(segment.frames[4]) for segment in session.video.segments()]
    opened.clear()
    frame, other = frames[4], frames[0]  # only one of them has an hourglass
    frame.save(tmp_path / "frame.png")
    images = [frame, frame.copy(), str(tmp_path / "frame.png"), other]
    said = [one.text for one in make().generate_until([request(0, visual=it) for it in images])]
    assert said[0] == said[1] == said[2] != said[3]
    assert len(opened) == 3  # equal images share a session
    assert all(session.video.is_image for session in opened)


def test_a_question_that_fails_costs_its_own_answer(tmp_path):
    lm = make("budget=64")
    missing = str(tmp_path / "missing.mp4")
    asked = [request(0), request(1, visual=missing), request(2), request(3)]
    said = [one.text for one in lm.generate_until(asked)]
    assert said[1] == said[2] == ""
    assert "" not in (said[0], said[3])
    lm.on_error = "raise"
    for number, error in ((1, VideoError), (2, QueryError)):
        with pytest.raises(error):
            lm.generate_until([asked[number]])


def test_a_task_that_tempo_cannot_do_ends_the_run():
    lm = make()
    with pytest.raises(TempoLabError, match="greedily"):
        lm.generate_until([request(0, do_sample=True)])
    with pytest.raises(TempoLabError, match="generate_until"):
        lm.loglikelihood([])
    with pytest.raises(TempoLabError, match="several rounds"):
        lm.generate_until_multi_round([])


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ("bugdet=64", TempoLabError, "did you mean 'budget'"),
        ("budget=0", BudgetError, "budget"),
        ("min_tokens=-1", BudgetError, "min_tokens"),
        ("strategy=haed", BudgetError, "head"),
        ("mode=lax", BudgetError, "faithful"),
        ("on_error=ignore", TempoLabError, "empty, raise"),
        ("fps=0", VideoError, "fps"),
        ("min_frames=0", VideoError, "min_frames"),
    ],
)
def test_a_wrong_argument_is_refused_before_any_question(arguments, error, said):
    with pytest.raises(error, match=said):
        make(arguments)


def test_batches_are_refused():
    with pytest.raises(TempoLabError, match="--batch_size 1"):
        get_model("tempo_lab").create_from_arg_string("", {"batch_size": "8"})


def test_lmms_eval_knows_the_model_by_its_entry_point():
    manifest = get_model_manifest("tempo_lab")
    assert manifest.chat_class_path.endswith(".TempoLab")
    lm = make()
    assert (lm.rank, lm.world_size) == (0, 1)
    assert lm.device == lm.tempo.model.device
    lm.clean()
    assert not hasattr(lm, "tempo")
