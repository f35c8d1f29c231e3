"""Front-loading: curves are what asking again would give, and both controls fail as they must."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot
import numpy as np
import pytest
import torch
import xarray as xr

import tempo_lab as tl
from tempo_lab import plots
from tempo_lab.analysis import Case, FrontLoading, Result, with_random_weights
from tempo_lab.analysis.front_loading import front_loading
from tempo_lab.analysis.front_loading.curves import all_memory_tokens, question_curves
from tempo_lab.analysis.front_loading.front_loading import control_case, tokens_tried
from tempo_lab.common.errors import BudgetError, QueryError, TempoLabWarning, TraceError
from tempo_lab.session.capture import attention
from tempo_lab.session.scoring import SPARE_TOKENS, TeacherForced, answer_logprob

matplotlib.use("agg")

QUESTIONS = ("What color is the star?", "Where is the moving square?")
KS = [1, 5, 128]
SEED = 3
STRATEGIES = {
    "head": "uniform",
    "tail": "uniform-tail",
    "random": "uniform-random",
    "tome": "uniform-tome",
}
VOYAGE = Path(__file__).parents[3] / "data" / "clips" / "voyage"


@pytest.fixture(autouse=True)
def _nothing_remains():
    yield
    assert not attention.active_recorders
    matplotlib.pyplot.close("all")


@pytest.fixture(scope="module")
def session(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        yield session


@pytest.fixture(scope="module")
def cases(session):
    """Two questions, of which the model's own answers with all tokens are the right ones."""
    everything = 128 * len(session)
    ask = {"budget": everything, "strategy": "none", "max_new_tokens": 4}
    answers = [session.ask(question, **ask).answer for question in QUESTIONS]
    return [
        Case(session, question, answer, np.zeros(len(session)), video="noise")
        for question, answer in zip(QUESTIONS, answers, strict=True)
    ]


@pytest.fixture(scope="module")
def result(cases):
    return front_loading(cases, KS, draws=2, seed=SEED, progress=False)


@pytest.fixture(scope="module")
def short(tiny, tmp_path_factory):
    """One segment."""
    path = tmp_path_factory.mktemp("short") / "short.npy"
    np.save(path, np.random.default_rng(1).integers(0, 256, (8, 24, 32, 3), dtype=np.uint8))
    with tiny.open(path, progress=False) as session:
        yield session


@pytest.fixture(scope="module")
def brief(short):
    """Two questions about it."""
    return [Case(short, question, "red", [True], video="brief") for question in QUESTIONS]


@pytest.mark.parametrize(
    ("arm", "k"), [*((arm, 5) for arm in STRATEGIES), ("head", 1), ("random", 128)]
)
def test_a_point_is_what_asking_again_gives(result, session, cases, arm, k):
    each = {
        name: result.data[f"{name}_each"].sel(arm=arm, k=k).to_numpy()
        for name in ("accuracy", "logprob")
    }
    for number, case in enumerate(cases):
        right, logprob = [], []
        for draw in range(2):
            trace = session.ask(
                case.question,
                budget=k * len(session),
                strategy=STRATEGIES[arm],
                seed=(SEED * len(cases) + number) * 2 + draw,
                max_new_tokens=len(TeacherForced(session, case.question, case.answer).ids) + 7,
            )
            right.append(case.scored(trace.answer))
            logprob.append(answer_logprob(session, trace, case.answer).sum())
        assert each["accuracy"][number] == np.mean(right)
        assert each["logprob"][number] == pytest.approx(np.mean(logprob), abs=1e-3)


def test_a_video_that_exceeds_the_context_is_left_out_and_the_others_asked(
    cases, brief, monkeypatch
):
    config = brief[0].session.checkpoint.model.config
    monkeypatch.setattr(config, "tokenizer_model_max_length", 300)  # two segments, not six
    with pytest.warns(TempoLabWarning, match="is left out: 2 x the context"):
        result = front_loading([*cases, *brief], [1, 128], progress=False)
    assert result.data["video"].values.tolist() == ["brief", "brief"]
    assert [left["video"] for left in result.provenance["left_out"]] == ["noise", "noise"]
    with pytest.raises(BudgetError, match="the context cannot hold this video"):
        front_loading(cases, [1, 128], progress=False)


def test_divergence_is_that_of_the_next_tokens(result, session, cases):
    memory = all_memory_tokens(cases[0])
    scorer = TeacherForced(session, cases[0].question, cases[0].answer)
    every = scorer.distributions(scorer.embed([memory]))[0].double()
    last = scorer.distributions(scorer.embed([[tokens[-5:] for tokens in memory]]))[0].double()
    by_hand = torch.nn.functional.kl_div(last, every, log_target=True, reduction="sum")
    values = result.data["kl_each"].sel(question=0, arm="tail", k=5)
    assert float(values) == pytest.approx(float(by_hand) / len(scorer.ids), rel=1e-3)
    assert float(values) > 0
    assert (result.data["kl_each"].sel(k=128).drop_sel(arm="other question") < 1e-6).all()


def test_the_control_answers_from_memory_of_the_other_question(result, session, cases):
    assert result.data["other"].to_numpy().tolist() == list(QUESTIONS[::-1])
    others = all_memory_tokens(cases[1])
    scorer = TeacherForced(session, cases[0].question, cases[0].answer)
    for k in KS:
        kept = [tokens[:k] for tokens in others]
        logprob = scorer.of_answer(scorer.distributions(scorer.embed([kept]))).sum()
        values = result.data["logprob_each"].sel(question=0, arm="other question", k=k)
        assert float(values) == pytest.approx(float(logprob), abs=1e-3)
    own = result.data["logprob_each"].sel(question=0, arm="head", k=128)
    assert float(own) != pytest.approx(float(logprob), abs=1e-3)


def test_the_control_takes_the_question_that_shares_least(session, short):
    def case(question, answer, *evidence, of=session):
        return Case(of, question, answer, np.isin(np.arange(len(of)), evidence))

    first = case("A?", "red", 0, 1)
    same = case("B?", "red", 2)
    near = case("C?", "blue", 1)
    far = case("D?", "blue", 3)
    elsewhere = case("E?", "green", of=short)

    assert control_case([first, same, near, far, elsewhere], 0) is far
    assert control_case([first, same, near, elsewhere], 0) is near
    assert control_case([first, first, same, elsewhere], 0) is same


def test_attention_is_that_of_a_capture(session, cases):
    case, slots = cases[0], 128
    spec = tl.Capture(attention=tl.Rows(["answer"]), reduce="none")
    ask = {"budget": slots * len(session), "strategy": "none", "max_new_tokens": 1}
    trace = session.ask(case.question, **ask, capture=spec)
    recorded = trace.data["answer_attention"].isel(answer_token=0)
    names = trace.data["llm_key_name"].to_numpy()
    slot = np.array([int(n[:-1].split(", ")[1]) if n.startswith("memory") else -1 for n in names])
    memory = all_memory_tokens(case)
    scorer = TeacherForced(session, case.question, case.answer)
    with scorer.record_slot_attention([slots] * len(session)) as job:
        scorer.distributions(scorer.embed([memory]))
    for layer, (values,) in job.recorded.items():
        wanted = [recorded[layer].to_numpy()[:, slot == s].sum(axis=1) for s in range(slots)]
        np.testing.assert_allclose(values[0, :, 0, :slots].numpy().T, wanted, atol=1e-5)


def test_numbers_by_slot(result, session, cases):
    data = result.data
    np.testing.assert_allclose(data["attention_share"].sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(data["attention_by_layer"].sum("slot"), 1, rtol=1e-5)
    assert 0 < result.numbers()["attention_to_memory"] < 1
    memory = [all_memory_tokens(case) for case in cases]
    norms = np.mean([[tokens.norm(dim=1).numpy() for tokens in one] for one in memory], axis=(0, 1))
    np.testing.assert_allclose(data["norm"].sel(stage="memory"), norms, rtol=1e-4)
    near = data["similarity"].to_numpy()
    np.testing.assert_allclose(np.diagonal(near, axis1=1, axis2=2), 1, atol=1e-5)
    np.testing.assert_allclose(near, near.swapaxes(1, 2), atol=1e-5)
    rank = data["effective_rank"].to_numpy()
    np.testing.assert_allclose(rank[:, 0], 1)
    assert (rank <= np.arange(1, 129) + 1e-6).all()
    table = result.by_slot()
    assert len(table) == 2 * 128
    np.testing.assert_allclose(table["similarity_to_last"][1], near[0, 0, 1])


def test_the_random_arm_follows_the_seed(brief):
    def drawn(seed):
        result = front_loading(brief[0], [4, 128], control=False, seed=seed, progress=False)
        return result.data["logprob"].sel(arm="random", k=4).item()

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_leads_are_paired_differences(result):
    each = result.data["kl_each"]
    wanted = (each.sel(arm="tail") - each.sel(arm="head")).mean("question")
    np.testing.assert_allclose(result.lead("kl")["lead"], wanted)
    each = result.data["logprob_each"]
    wanted = (each.sel(arm="head") - each.sel(arm="tome")).mean("question")
    np.testing.assert_allclose(result.lead("logprob", "tome")["lead"], wanted)
    for call in (lambda: result.lead("accurracy"), lambda: result.lead(over="tial")):
        with pytest.raises(TraceError, match=r"did you mean '(accuracy|tail)'"):
            call()


def test_results_are_labelled_saved_and_subtract(result, tmp_path):
    assert result.provenance["seed"] == SEED
    assert list(result.provenance["videos"]) == ["noise"]
    again = Result.load(result.save(tmp_path / "front.nc"))
    assert type(again) is FrontLoading
    np.testing.assert_array_equal(again.data["kl"], result.data["kl"])
    assert np.abs((result - again).data["logprob"]).max() == 0
    assert len(result.to_pandas()) == 5 * len(KS)


def test_videos_are_resampled_whole(result, brief):
    assert np.isnan(result.data["accuracy_low"]).all()  # one video says nothing about others
    two = [Case(c.session, c.question, c.answer, c.evidence, video=c.question) for c in brief]
    data = front_loading(two, [1, 128], progress=False).data
    each = data["logprob_each"]
    assert (data["logprob_low"] >= each.min("question") - 1e-9).all()
    assert (data["logprob_low"] < data["logprob"]).all()
    assert (data["logprob"] < data["logprob_high"]).all()


@torch.inference_mode()
def greedy(scorer, embedding, tokens):
    """Text and least lead of the greedy answer, token by token."""
    model, ids, leads = scorer.model, [], []
    ends = model.generation_config.eos_token_id
    while len(ids) < tokens and not (ids and ids[-1] in ends):
        written = model.get_input_embeddings()(torch.tensor([ids], dtype=torch.long))
        logits = model(inputs_embeds=torch.cat([embedding, written], dim=1)).logits[0, -1]
        first, second = logits.topk(2).values.tolist()
        ids.append(int(logits.argmax()))
        leads.append(first - second)
    return scorer.prompts.llm.decode(ids, skip_special_tokens=True).strip(), min(leads)


def test_an_answer_says_how_near_it_was_to_another_one(cases):
    case = cases[0]
    scorer = TeacherForced(case.session, case.question, case.answer)
    memories = [all_memory_tokens(case), all_memory_tokens(cases[1])]
    rows = scorer.embed([[slots[:1] for slots in memory] for memory in memories])
    right, _ = greedy(scorer, rows[:1], 3)
    for answer in (right, "no"):  # one that is read as the right one, and written out
        scorer = TeacherForced(case.session, case.question, answer)
        texts, margins = scorer.generate(rows, scorer.distributions(rows))
        for text, margin, row in zip(texts, margins, rows, strict=True):
            plain = greedy(scorer, row[None], len(scorer.ids) - 1 + SPARE_TOKENS)
            assert (text, margin) == (plain[0], pytest.approx(plain[1], abs=1e-4))


def test_a_margin_leaves_out_what_another_processor_may_answer_differently(result, cases):
    run = {"draws": 2, "seed": SEED, "progress": False}
    pairs = zip(cases, reversed(cases), range(2), strict=True)
    margins = [
        question_curves(case, other, KS, range(4 * SEED + 2 * n, 4 * SEED + 2 * n + 2), int)[
            "margin"
        ]
        for case, other, n in pairs
    ]
    between = float(np.mean(margins))
    few = front_loading(cases, KS, margin=between, **run)
    kept = int(np.argmax(margins))
    assert few.data["text"].to_numpy().tolist() == [cases[kept].question]
    assert few.data["other"].to_numpy().tolist() == [cases[1 - kept].question]
    np.testing.assert_array_equal(few.data["kl_each"], result.data["kl_each"][[kept]])
    assert len(few.provenance["left_out"]) == 1
    with pytest.raises(TraceError, match=r"margin=1000 nat\n.*2 questions"):
        front_loading(cases, KS, margin=1000, **run)


def test_one_segment_is_enough(brief):
    result = front_loading(brief[0], [1, 128], control=False, progress=False)
    assert np.isfinite(result.data["logprob"]).all()
    assert "other question" not in result.data["arm"]
    plots.front_loading(result)[0].canvas.draw()


def test_an_interrupted_call_leaves_the_session_usable(brief):
    def stop(said):
        raise KeyboardInterrupt

    case, run = brief[0], {"ks": [1, 128], "control": False, "progress": False}
    before = front_loading(case, **run)
    broken = Case(case.session, case.question, case.answer, case.evidence, score=stop)
    with pytest.raises(KeyboardInterrupt):
        front_loading(broken, **run)
    again = front_loading(case, **run)
    np.testing.assert_array_equal(again.data["kl"], before.data["kl"])


@pytest.mark.parametrize(
    ("ks", "words"),
    [
        ([1, 200], "200.*\n.*128 memory tokens.*\n.*128]"),
        ([1, 64], r"the largest k must.*\n.*\[1, 64\].*\n.*128.*\n.*ks=\[1, 64, 128\]"),
        (64, "the largest k must"),
        ([], "the largest k must"),
        ([0, 128], "use k >= 1"),
        ([1.5, 128], "whole number"),
        ([True, 128], "whole number"),
        (["all"], "whole number"),
    ],
)
def test_numbers_of_tokens_that_are_none_are_refused(cases, ks, words):
    with pytest.raises(BudgetError, match=words):
        front_loading(cases, ks, progress=False)


@pytest.mark.parametrize("options", [{"draws": 0}, {"seed": -1}, {"seed": 0.5}])
def test_draws_and_seeds_that_are_none_are_refused(cases, options):
    with pytest.raises(BudgetError, match=r"use (draws >= 1|seed >= 0)"):
        front_loading(cases, **options, progress=False)


def test_cases_that_are_none_are_refused(cases, tiny, frames_file, monkeypatch):
    with pytest.raises(TraceError, match="found: none"):
        front_loading([])
    with pytest.raises(TraceError, match="found: str"):
        front_loading(["What color is the star?"])
    with pytest.raises(TraceError, match=r"two questions about noise\n.*only.*\n.*control=False"):
        front_loading(cases[:1])
    with with_random_weights(tiny).open(frames_file, progress=False) as other:
        stranger = Case(other, QUESTIONS[0], "red", np.zeros(len(other)))
        with pytest.raises(TraceError, match=r"one model.*\n.*random weights"):
            front_loading([*cases, stranger])
    monkeypatch.setattr(tiny.config, "num_compression_tokens", 1)
    with pytest.raises(BudgetError, match=r"2 memory tokens.*\n.*found: 1"):
        front_loading(cases)


def test_a_context_that_holds_not_all_tokens_is_an_error(cases, tiny, monkeypatch):
    monkeypatch.setattr(tiny.config, "tokenizer_model_max_length", 300)
    with pytest.raises(BudgetError, match="context of 300 tokens"):
        front_loading(cases, progress=False)


def test_many_slots_are_tried_in_equal_ratios():
    tried = tokens_tried(None, 128)
    assert (tried[0], tried[-1]) == (1, 128)
    assert len(tried) <= 32
    assert tokens_tried(None, 16) == list(range(1, 17))


def test_on_nano_memory_of_the_question_carries_what_that_of_another_does_not():
    truth = json.loads(VOYAGE.with_suffix(".json").read_text())["questions"]
    texts = ["What color is the star?", "What color is the circle?", "What color is the hourglass?"]
    questions = {question["text"]: question for question in truth if question["text"] in texts}
    with tl.load("nano").open(VOYAGE.with_suffix(".mp4"), progress=False) as session:
        cases = [
            Case(session, text, q["answer"], np.isin(range(len(session)), q["evidence"]))
            for text, q in questions.items()
        ]
        data = front_loading(cases, [1, 16], progress=False).data
        with pytest.raises(QueryError, match="unknown: chartreuse"):
            wrong = Case(session, texts[0], "chartreuse", cases[0].evidence)
            front_loading(wrong, control=False)
    own = data.sel(arm="head", k=16)
    assert float(own["accuracy"]) >= 2 / 3
    assert float(own["logprob"]) > float(data["logprob"].sel(arm="other question", k=16)) + 1
    assert float(own["logprob"]) > float(data["logprob"].sel(arm="tail", k=1)) + 1


def test_curves_are_drawn_as_counted(result):
    figure, axes = plots.front_loading(result)
    figure.canvas.draw()
    for each, measure in zip(axes, ("accuracy", "logprob", "kl"), strict=True):
        lines = [line for line in each.lines if len(line.get_xdata()) == len(KS)]
        np.testing.assert_array_equal([line.get_xdata() for line in lines], [KS] * 5)
        np.testing.assert_allclose([line.get_ydata() for line in lines], result.data[measure])
        assert each.get_xlabel() == "memory tokens\nper segment, k"
    assert [("nat" in each.get_ylabel()) for each in axes] == [False, True, True]
    assert "2 questions about 1 video" in figure.get_suptitle()
    knee_line = [line.get_xdata()[0] for line in axes[2].lines if line.get_linestyle() == ":"]
    assert knee_line == [result.numbers()["kl_knee"]]


def test_slots_are_drawn_as_counted(result):
    figure, (share, norm, rank, similarity) = plots.front_loading_slots(result)
    figure.canvas.draw()
    drawn = [line.get_ydata() for line in share.lines]
    assert any(np.array_equal(line, result.data["attention_share"]) for line in drawn)
    for axes, name in ((norm, "norm"), (rank, "effective_rank")):
        np.testing.assert_allclose([line.get_ydata() for line in axes.lines], result.data[name])
    image = similarity.images[0].get_array()
    np.testing.assert_allclose(image, result.data["similarity"].sel(stage="projected"))


def test_differences_are_drawn_without_knee_and_bands(result):
    figure, axes = plots.front_loading(result - result)
    figure.canvas.draw()
    assert figure.get_suptitle().startswith("Difference in answers from k of 128")
    assert axes[2].get_title("left") == ""
    assert not any(len(each.collections) for each in axes)
    figure, axes = plots.front_loading_slots(result - result)
    figure.canvas.draw()
    assert not [line for line in axes[0].lines if line.get_label() == "equal"]


@pytest.mark.parametrize("draw", [plots.front_loading, plots.front_loading_slots])
def test_what_is_no_result_is_refused(draw):
    with pytest.raises(TraceError, match="of type FrontLoading"):
        draw(xr.Dataset())


@pytest.mark.parametrize("given", [None, "cases", 3])
def test_what_is_no_case(given):
    with pytest.raises(TraceError, match="this analysis takes cases"):
        front_loading(given)
