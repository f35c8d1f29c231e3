"""Traces made by hand, for tests of what reads them."""

import numpy as np

from tempo_lab.allocation.ata import allocate
from tempo_lab.trace.trace import Trace


def make_trace(segments=6, *, budget=64, seconds=4.0, slots=16, strategy="head", seed=0, **changes):
    """A trace of a video of `segments` segments of `seconds` each, one of them very relevant."""
    rng = np.random.default_rng(seed)
    relevance = rng.beta(0.6, 4, size=segments)
    relevance[segments // 2] = 0.97
    starts = np.arange(segments) * seconds
    allocation = allocate(relevance, budget, strategy=strategy, max_tokens=slots)
    arguments = {
        "question": "What color is the star?",
        "answer": "red",
        "relevance": relevance,
        "logit": np.log(relevance / (1 - relevance)),
        "allocation": allocation,
        "clock": starts + seconds / 2,
        "times": np.stack([starts, starts + seconds], axis=1),
        "true_times": np.stack([starts + 0.04, starts + seconds - 0.1], axis=1),
        "timestamp_tokens": np.where(allocation.tokens > 0, 7, 0),
        "text_tokens": 30,
        "context": 16384,
        "answer_logprob": [-0.1, -0.02],
        "prompts": {"compressor": "Query:\nWhat color is the star?", "llm": "<2.0 seconds>"},
        "provenance": {"tempo_lab": "0.1.0", "model": "nano", "arguments": {"fps": 2.0}},
    }
    return Trace.from_run(**{**arguments, **changes})
