"""The three calls are the one pass, and what causality promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tempo_lab.model import qwen
from tempo_lab.model.pixels import patchify
from tempo_lab.model.prompts import pair_seconds

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def seen(tiny):
    """Two segments of noise: compressor, patches, grid, prompt parts, prefix of both."""
    compressor, prompts = tiny.model.compressor, tiny.prompts
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 64, 96, 3), dtype=np.uint8)
    patches, grids = zip(*(patchify(f) for f in frames), strict=True)
    videos = [prompts.video(grids[0], pair_seconds(8 * i + np.arange(8), 2.0)) for i in range(2)]
    patches = torch.from_numpy(np.stack(patches))
    with torch.inference_mode():
        features = compressor.encode_vision(patches, grids[0])
        prefix = compressor.prefix(compressor.system(prompts.system()), videos, features)
    return compressor, patches, grids[0], prompts, videos, features, prefix


@torch.inference_mode()
def test_three_calls_equal_one_pass(seen):
    compressor, patches, grid, prompts, videos, _, prefix = seen
    question = prompts.question("What color?")
    states = compressor.memory(compressor.relevance(prefix, question), compressor.slots)
    for i, state in enumerate(states):
        logit, whole = compressor.in_one_pass(
            patches[i], grid, prompts.system(), videos[i], question
        )
        assert torch.allclose(state.logit, logit, atol=TOLERANCE)
        assert torch.allclose(state.tokens, whole, atol=TOLERANCE)


@torch.inference_mode()
@pytest.mark.parametrize("slots", [1, 5, 64])
def test_the_first_k_memory_tokens_do_not_depend_on_the_rest(seen, slots):
    compressor, _, _, prompts, _, _, prefix = seen
    states = compressor.relevance(prefix, prompts.question("What color?"))
    whole = compressor.memory(states, compressor.slots)
    first = compressor.memory(states, slots)
    alone = compressor.memory(states[1:], slots)
    for some, every in (*zip(first, whole, strict=True), (alone[0], whole[1])):
        assert some.tokens.shape == (slots, every.tokens.shape[1])
        assert torch.allclose(some.tokens, every.tokens[:slots], atol=TOLERANCE)


@torch.inference_mode()
def test_later_memory_tokens_continue_from_those_that_are_there(seen):
    compressor, _, _, prompts, _, _, prefix = seen
    states = compressor.relevance(prefix, prompts.question("What color?"))
    whole = compressor.memory(states, 64)
    grown = states
    for slots in (3, 4, 20, 64):
        grown = compressor.memory(grown, slots)
    for state, at_once, before in zip(grown, whole, states, strict=True):
        assert torch.allclose(state.tokens, at_once.tokens, atol=TOLERANCE)
        assert state.batch_key == at_once.batch_key
        assert len(before.tokens) == 0


@torch.inference_mode()
def test_relevance_does_not_depend_on_the_memory_tokens(seen):
    compressor, _, _, prompts, _, _, prefix = seen
    question = prompts.question("What color?")
    before = compressor.relevance(prefix, question)[0].logit.clone()
    kept = compressor.compression_tokens.data.clone()
    try:
        compressor.compression_tokens.data.normal_()
        assert torch.equal(compressor.relevance(prefix, question)[0].logit, before)
    finally:
        compressor.compression_tokens.data.copy_(kept)


@torch.inference_mode()
def test_a_prefix_answers_many_questions(seen):
    compressor, _, _, prompts, _, _, prefix = seen
    first = compressor.relevance(prefix, prompts.question("What color?"))
    compressor.memory(first, 4)
    other = compressor.relevance(prefix, prompts.question("When does it appear?"))
    again = compressor.relevance(prefix, prompts.question("What color?"))
    assert torch.equal(first[0].logit, again[0].logit)
    assert not torch.equal(first[0].logit, other[0].logit)


@torch.inference_mode()
def test_segments_do_not_see_each_other(seen):
    compressor, patches, grid, prompts, videos, features, prefix = seen
    alone = compressor.encode_vision(patches[1:], grid)
    assert torch.allclose(alone.merged[0], features.merged[1], atol=TOLERANCE)
    system = compressor.system(prompts.system())
    own = compressor.prefix(system, videos[1:], alone)
    question = prompts.question("What color?")
    single = compressor.relevance(own, question)[0].logit
    assert torch.allclose(single, compressor.relevance(prefix, question)[1].logit, atol=TOLERANCE)


@torch.inference_mode()
def test_batched_frames_equal_transformers_own_loop(seen):
    compressor, patches, grid, *_ = seen
    visual = compressor.svlm.visual
    ours = compressor.encode_vision(patches, grid)
    visual.set_attn_implementation("sdpa")
    try:
        loop = compressor.encode_vision(patches, grid)
    finally:
        visual.set_attn_implementation(qwen.FRAMES_SDPA)
    assert torch.allclose(ours.merged, loop.merged, atol=TOLERANCE)
    for a, b in zip(ours.deepstack, loop.deepstack, strict=True):
        assert torch.allclose(a, b, atol=TOLERANCE)
