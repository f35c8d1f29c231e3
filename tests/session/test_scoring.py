"""The log-probability of an answer, read as if the model had written it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tempo_lab as tl
from tempo_lab.session.scoring import answer_logprob

CLIP = Path(__file__).parents[2] / "data" / "clips" / "voyage.mp4"


def test_what_the_model_says_is_as_probable_as_its_own_trace_says() -> None:
    tempo = tl.load("nano")
    with tempo.open(CLIP, progress=False) as session:
        for strategy in ("head", "tome"):
            trace = session.ask("What color is the star?", budget=40, strategy=strategy)
            assert trace.provenance["stopped"] == "end"
            found = answer_logprob(session, trace, trace.answer)
            np.testing.assert_allclose(found, trace.data["answer_logprob"], atol=1e-4)
        worse = answer_logprob(session, trace, f"{trace.answer} {trace.answer}")
        assert worse.sum() < found.sum()
