"""Attribution methods: against what can be computed by hand."""

from itertools import permutations

import numpy as np
import pytest
import torch

from tempo_lab.allocation.ata import keep_tokens
from tempo_lab.analysis.attribution.methods import METHODS
from tempo_lab.common.errors import TraceError
from tempo_lab.session.scoring import TeacherForced, answer_logprob
from tests.analysis.attribution.explained import ANSWER, QUESTION, explain


@torch.inference_mode()
def by_hand(session, trace, alive):
    """Log-probability of the answer with the memory of some segments only: plainly, one prompt."""
    model, scorer = session.checkpoint.model, TeacherForced(session, trace.question, ANSWER)
    allocation = trace.allocation()
    memory = session.engine.memory_tokens(session.engine.score(trace.question), allocation.needed)
    tokens = np.where(alive, allocation.tokens, 0)
    kept = [keep_tokens(part, allocation, i) for i, part in enumerate(memory) if alive[i]]
    prompt, ids = scorer.prompt(tokens), scorer.ids
    before = model.embed(prompt, [model.project(part) for part in kept])
    inputs = torch.cat([before, model.get_input_embeddings()(ids[None, :-1])], dim=1)
    logits = model(inputs_embeds=inputs).logits[0, -len(ids) :].float()
    return float(logits.log_softmax(-1)[torch.arange(len(ids)), ids].sum())


@pytest.fixture(scope="module")
def worth(session, trace):
    """Of every subset of the three segments."""
    subsets = np.array(np.meshgrid(*[[False, True]] * 3)).T.reshape(-1, 3)
    return {tuple(alive): by_hand(session, trace, alive) for alive in subsets.tolist()}


def test_ablation_is_what_is_lost_without_one_segment(session, trace, worth):
    result = explain(session, trace)
    every, numbers = worth[True, True, True], result.numbers()
    assert numbers["all"] == pytest.approx(every, abs=1e-5)
    assert numbers["all"] == pytest.approx(answer_logprob(session, trace, ANSWER).sum(), abs=1e-5)
    assert numbers["none"] == pytest.approx(worth[False, False, False], abs=1e-5)
    lost = [every - worth[tuple(i != j for j in range(3))] for i in range(3)]
    np.testing.assert_allclose(result.data["value"], lost, atol=2e-5)
    assert np.ptp(lost) > 1e-3  # the test sees differences
    gap = sum(lost) - (every - worth[False, False, False])
    assert numbers["delta"] == pytest.approx(gap, abs=5e-5)


@pytest.mark.parametrize("method", ["shapley_value_sampling", "kernel_shap"])
def test_shapley_values_are_means_over_all_orders(session, trace, worth, method):
    added = []
    for order in permutations(range(3)):
        alive, gains = [False] * 3, [0.0] * 3
        for segment in order:
            before = worth[tuple(alive)]
            alive[segment] = True
            gains[segment] = worth[tuple(alive)] - before
        added.append(gains)
    exact, spread = np.mean(added, axis=0), np.std(added, axis=0)
    result = explain(session, trace, method=method, samples=1000)
    error = np.abs(result.data["value"] - exact)
    assert (error < 5 * spread / np.sqrt(1000) + 1e-4).all()
    # values for single segments alone would not pass
    alone = [worth[tuple(i == j for j in range(3))] - worth[False, False, False] for i in range(3)]
    assert (np.abs(np.array(alone) - exact) > 5 * spread / np.sqrt(1000) + 1e-4).any()
    # Kernel SHAP weighs its two ends a million times, not infinitely
    assert abs(result.numbers()["delta"]) < 2e-3


@pytest.mark.parametrize(
    "options",
    [
        {"units": "segments", "baseline": "mean"},
        {"units": "slots", "baseline": "mean"},
        {"units": "pairs", "target": "yes_no_logit", "baseline": "gray"},
        {"units": "patches", "baseline": "blur"},
    ],
)
def test_integrated_gradients_are_complete(session, trace, options):
    result = explain(session, trace, method="integrated_gradients", samples=24, **options)
    numbers = result.numbers()
    change = abs(numbers["all"] - numbers["none"])
    assert abs(numbers["delta"]) < 0.01 * change
    assert result.caution is None
    assert numbers["delta"] == pytest.approx(
        float(result.data["value"].sum()) - (numbers["all"] - numbers["none"]), abs=1e-6
    )
    # one step is not enough to be complete, and the gap says so
    coarse = explain(session, trace, method="integrated_gradients", samples=1, **options)
    assert abs(coarse.numbers()["delta"]) > abs(numbers["delta"])


def test_gradient_x_activation_is_autograds(session, trace):
    result = explain(session, trace, method="layer_gradient_x_activation", batch=1)
    model, allocation = session.checkpoint.model, trace.allocation()
    memory = session.engine.memory_tokens(session.engine.score(trace.question), allocation.needed)
    kept = [keep_tokens(part.clone(), allocation, i) for i, part in enumerate(memory)]
    whole = torch.cat(kept).requires_grad_()
    scorer = TeacherForced(session, trace.question, ANSWER)
    prompt, ids = scorer.prompt(allocation.tokens), scorer.ids
    before = model.embed(prompt, [model.project(whole)])
    inputs = torch.cat([before, model.get_input_embeddings()(ids[None, :-1])], dim=1)
    logits = model(inputs_embeds=inputs).logits[0, -len(ids) :].float()
    value = logits.log_softmax(-1)[torch.arange(len(ids)), ids].sum()
    (gradient,) = torch.autograd.grad(value, whole)
    parts = (gradient * whole).sum(1).split([len(part) for part in kept])
    expected = [float(part.sum().detach()) for part in parts]
    np.testing.assert_allclose(result.data["value"], expected, atol=1e-6, rtol=1e-4)
    assert result.provenance["baseline"] == "zero"


@pytest.mark.parametrize("method", list(METHODS))
def test_batches_change_nothing(session, trace, method):
    options = {"baseline": "mean"} if method != "layer_gradient_x_activation" else {}
    samples = None if METHODS[method].samples(1) == 0 else 9
    one, many = (
        explain(session, trace, method=method, samples=samples, batch=batch, **options)
        for batch in (1, 7)
    )
    np.testing.assert_allclose(one.data["value"], many.data["value"], atol=5e-5)


def test_seeds_decide_what_is_drawn_and_leave_torch_alone(session, trace):
    before = torch.get_rng_state()
    drawn = [
        explain(session, trace, method="shapley_value_sampling", samples=1, seed=seed)
        for seed in (3, 3, *range(4, 9))
    ]
    assert torch.equal(torch.get_rng_state(), before)
    values = [result.data["value"].to_numpy() for result in drawn]
    np.testing.assert_array_equal(values[0], values[1])
    assert any(not np.allclose(values[0], other) for other in values[2:])


def test_one_unit_alone_has_no_regression(session, trace):
    with pytest.raises(TraceError, match="1 units"):
        kept = session.ask(QUESTION, budget=3, min_tokens=1, max_new_tokens=1)
        explain(session, kept, units="slots", method="kernel_shap")
