"""Jobs: their questions and rotations, what a row depends on, and that they can be sent."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

import tempo_lab as tl
from tempo_lab.allocation import Abstain
from tempo_lab.evaluation.answers import answer_video
from tempo_lab.evaluation.arms import at_budgets, find_arms
from tempo_lab.evaluation.jobs import make_jobs, model_name, with_model_name
from tempo_lab.evaluation.presets import Sampling
from tempo_lab.evaluation.store import key_of

TABLE = """video,question,options,answer,start,end
a.npy,Which?,x|y|z,B,0,4
b.npy,What?,,red,,
a.npy,Who?,x|y,,8,12
a.npy,Where?,x|y,A,2,3
"""


@pytest.fixture
def table(tmp_path):
    (tmp_path / "mine.csv").write_text(TABLE)
    for name in "ab":
        (tmp_path / f"{name}.npy").touch()
    return tl.datasets.table(tmp_path / "mine.csv")


def arms(*names):
    return at_budgets(find_arms(names), (8,))


def items(jobs):
    return [[question.id for question in job.questions] for job in jobs]


def test_a_job_has_the_questions_about_one_video(table):
    jobs = make_jobs(table, arms("head", "oracle"))
    assert items(jobs) == [["1", "3", "4"], ["2"]]
    keys = [key[1:] for key in jobs[1].keys({"model": None})]
    assert keys == [("2", "model", "head 8")]  # an oracle needs evidence
    rows = make_jobs(table, arms("head"), model="mine")[1].rows(jobs[1].questions[0])
    assert [row["model"] for row in rows.values()] == ["mine"]
    assert [key_of(row)[1:] for row in rows.values()] == keys  # the name is no part of the key
    assert items(make_jobs(table, arms("head"), limit=2)) == [["1"], ["2"]]
    assert jobs[0].answer_tokens == table.max_new_tokens
    assert make_jobs(table, arms("head"), max_new_tokens=3)[0].answer_tokens == 3


def test_rotations_are_asked_of_questions_with_options_and_answer(table):
    jobs = make_jobs(table, arms("head"), circular=True, limit=3)
    assert items(jobs) == [["1@0", "1@1", "1@2", "3"], ["2"]]
    prompts = [table.prompt(question) for question in jobs[0].questions[:3]]
    assert all(prompt.count(". x\n") == 1 for prompt in prompts)
    truths = [jobs[0].rows(question)["head 8"]["truth"] for question in jobs[0].questions]
    assert truths == [1, 0, 2, None]


def test_a_control_is_about_other_evidence(table):
    (job, _) = make_jobs(table, ())
    assert {name: other.id for name, other in job.others.items()} == {"1": "3", "3": "4", "4": "3"}


def test_a_row_depends_on_its_question_and_the_parameters_of_its_strategy(table):
    def digests(*strategies, dataset=table):
        (job, _) = make_jobs(dataset, arms(*strategies))
        return {key[1:]: digest for key, digest in job.digests().items()}

    low, high = (digests(Abstain(threshold).named("mine")) for threshold in (0.2, 0.8))
    assert low.keys() == high.keys()
    assert all(low[key] != high[key] for key in low)
    assert digests("head")["1", "model", "head 8"] == digests("tail")["1", "model", "tail 8"]
    changed = replace(table, rows=[replace(table.rows[0], answer=0), *table.rows[1:]])
    before, after = digests("head"), digests("head", dataset=changed)
    assert [key for key in before if before[key] != after[key]] == [("1", "model", "head 8")]


def test_jobs_and_what_answers_them_can_be_sent_to_a_process(table):
    jobs = make_jobs(
        table, arms("head", Abstain(0.8), "blind"), circular=True, sampling=Sampling(fps=1)
    )
    received, answer = pickle.loads(pickle.dumps((jobs, answer_video)))
    assert answer is answer_video
    assert [job.digests() for job in received] == [job.digests() for job in jobs]
    assert [job.sampling for job in received] == [Sampling(fps=1)] * 2


def test_a_model_is_named_without_its_folders(tmp_path, monkeypatch):
    (tmp_path / "deep" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    names = ("nano", "Vision-CAIR/Tempo-6B", str(tmp_path / "deep" / "mine"), "deep/mine", ".")
    expected = ["nano", "Vision-CAIR/Tempo-6B", "mine", "mine", tmp_path.name]
    assert [model_name(name) for name in names] == expected


def test_rows_of_older_runs_get_the_name_and_keep_their_key():
    old = {"video": "a.npy", "item": "1", "model": "model", "arm": "head 8"}
    (new,) = with_model_name([old], "/models/mine")
    assert new["model"] == "mine"
    assert key_of(new) == key_of(old)
    assert with_model_name([new], "/models/other") == [new]
