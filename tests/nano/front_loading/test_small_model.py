"""The small model of front-loading: shapes, what the reader gets, equal data, what cutting does."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from tempo_lab.common.errors import TempoLabError
from tempo_lab.nano.front_loading.cuts import ARMS
from tempo_lab.nano.front_loading.small_model import (
    ASKED,
    LEARNED,
    Settings,
    SmallModel,
    order,
    recall,
    right_answers,
    train,
)

FACTS = len(ASKED)
SHORT = Settings(steps=3, batch=8)


@pytest.fixture
def model() -> SmallModel:
    """A model that nothing has trained."""
    torch.manual_seed(0)
    return SmallModel(ASKED).eval()


@pytest.fixture(scope="module")
def items() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(Settings().values, size=(5, FACTS)))


def table_of(right: dict[tuple[int, int], float], asked: tuple[float, ...]) -> pd.DataFrame:
    """A table of recall by (fact, k) with the first tokens; random tokens recall nothing."""
    rows = [
        (fact, asked[fact], tokens, kept, share if kept == "first" else 0.0)
        for (fact, tokens), share in right.items()
        for kept in ("first", "last", "random")
    ]
    return pd.DataFrame(rows, columns=["fact", "asked", "tokens", "kept", "right"])


def test_shares_of_questions_add_up_and_fall() -> None:
    assert sum(ASKED) == pytest.approx(1)
    assert list(ASKED) == sorted(ASKED, reverse=True)


@torch.no_grad()
def test_memory_tokens_have_equal_norms_and_answers_a_logit_per_value(
    model: SmallModel, items: torch.Tensor
) -> None:
    memory, settings = model.write(items), model.settings
    assert memory.shape == (len(items), settings.slots, settings.numbers)
    assert torch.allclose(memory.mean(-1), torch.zeros(()), atol=1e-4)
    assert torch.allclose(memory.square().mean(-1), torch.ones(()), atol=0.01)
    questions = torch.tensor([[0, 3, 3]]).expand(len(items), -1)
    logits = model.read(memory, questions, torch.ones(memory.shape[:2], dtype=torch.bool))
    assert logits.shape == (len(items), 3, settings.values)


@torch.no_grad()
def test_a_memory_token_sees_every_fact_and_no_later_token(
    model: SmallModel, items: torch.Tensor
) -> None:
    before = model.write(items)
    model.slot[3] = -model.slot[3]
    changed = (model.write(items) - before).abs().amax(dim=(0, 2)) > 1e-3
    assert changed.tolist() == [False] * 3 + [True] * 3
    other = items.clone()
    other[:, -1] = (other[:, -1] + 1) % model.settings.values
    assert ((model.write(other) - model.write(items)).abs().amax(dim=2) > 1e-4).all()


@torch.no_grad()
def test_the_reader_gets_only_the_kept_tokens_and_its_own_question(
    model: SmallModel, items: torch.Tensor
) -> None:
    memory = model.write(items)
    kept = torch.tensor([True, False, True, False, False, False]).expand(len(items), -1)
    questions = torch.arange(FACTS).expand(len(items), -1)
    logits = model.read(memory, questions, kept)
    dropped, seen = memory.clone(), memory.clone()
    dropped[:, ~kept[0]] += 1
    seen[:, 2] += 1
    assert torch.allclose(model.read(dropped, questions, kept), logits, atol=1e-5)
    assert not torch.allclose(model.read(seen, questions, kept), logits, atol=1e-2)
    alone = model.read(memory, questions[:, 2:3], kept)
    assert torch.allclose(alone[:, 0], logits[:, 2], atol=1e-5)


def test_training_repeats_itself_and_leaves_torch_as_it_was() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    runs = [train("random", seed=seed, settings=SHORT, progress=False) for seed in (1, 1, 2)]
    first, again, other = (torch.cat([p.flatten() for p in run.parameters()]) for run in runs)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_cuts_of_one_seed_begin_with_the_same_weights_and_end_with_others() -> None:
    still = Settings(steps=1, batch=8, learning_rate=0.0)
    for settings, equal in ((still, True), (SHORT, False)):
        runs = [train(cut, seed=1, settings=settings, progress=False) for cut in ARMS]
        weights = [torch.cat([p.flatten() for p in run.parameters()]) for run in runs]
        assert [torch.equal(weights[0], each) for each in weights[1:]] == [equal] * 3


def test_a_table_has_every_fact_with_every_set_of_tokens(model: SmallModel) -> None:
    table = recall(model, items=400)
    slots = model.settings.slots
    assert len(table) == FACTS * slots * 3 == len(table.drop_duplicates(["fact", "tokens", "kept"]))
    assert set(table["kept"]) == {"first", "last", "random"}
    assert table.groupby("fact")["asked"].first().tolist() == list(ASKED)
    everything = table[table["tokens"] == slots].pivot(index="fact", columns="kept", values="right")
    assert everything.nunique(axis=1).eq(1).all()
    assert table["right"].between(0, 0.4).all()  # a guess is right once in six times
    assert table.equals(recall(model, items=400))


def test_answers_are_weighted_by_how_often_their_fact_is_asked_for() -> None:
    right = {(0, 1): 1.0, (1, 1): 0.0, (0, 2): 1.0, (1, 2): 0.5}
    shares = right_answers(table_of(right, (0.8, 0.2)))
    assert shares["first"].to_dict() == pytest.approx({1: 0.8, 2: 0.9})
    assert shares["random"].to_dict() == pytest.approx({1: 0, 2: 0})


def test_the_order_is_of_learned_facts_alone() -> None:
    right = {(0, 1): 0.9, (0, 2): 0.9, (0, 3): 0.9, (1, 1): 0.2, (1, 2): 0.4, (1, 3): 0.6}
    unknown = {(2, tokens): LEARNED / 2 for tokens in (1, 2, 3)}
    early = order(table_of(right | unknown, (0.5, 0.3, 0.2)))
    assert early.tolist() == pytest.approx([1.0, 0.5, float("nan")], nan_ok=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cut": "prefx"}, "did you mean 'prefix'"),
        ({"asked": (0.5, 0.4)}, "a sum of 0.9"),
        ({"asked": (1.5, -0.5)}, "share is out of range"),
        ({"seed": -1}, "use seed >= 0"),
    ],
)
def test_errors_say_what_to_do(change: dict, message: str) -> None:
    with pytest.raises(TempoLabError, match=message):
        train(**{"cut": "none", "settings": SHORT, "progress": False} | change)


def test_it_needs_nothing_of_the_embedded_model() -> None:
    code = (
        "import sys; import tempo_lab.nano.front_loading.small_model;"
        "print([name for name in sys.modules if name.partition('.')[0] in"
        " ('transformers', 'accelerate') or name.startswith('tempo_lab.nano.training')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("cut", "end", "other"), [("prefix", "first", "last"), ("suffix", "last", "first")]
)
def test_the_most_asked_fact_moves_to_the_end_that_training_keeps(
    cut: str, end: str, other: str
) -> None:
    small = Settings(values=4, slots=4, batch=32, questions=8, steps=150)
    table = recall(train(cut, (0.4, 0.3, 0.2, 0.1), settings=small, progress=False), items=500)
    right = right_answers(table).loc[2]
    assert right[end] > right["random"] + 0.05
    assert right[end] > right[other] + 0.1
    assert order(table, end)[0] > 0.85
    assert order(table, other)[0] < 0.6
