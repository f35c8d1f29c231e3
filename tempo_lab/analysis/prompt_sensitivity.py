"""Sensitivity to the relevance prompt: scores, memory tokens and answers under other wordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import xarray as xr

from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.analysis.stacking import Truth, check_ranked, sources
from tempo_lab.analysis.validation import check_session
from tempo_lab.common.errors import QueryError, TraceError
from tempo_lab.common.progress import progress_bar
from tempo_lab.common.statistics import auc, correlation, spearman
from tempo_lab.evaluation.cases import check_truth

if TYPE_CHECKING:
    import torch

    from tempo_lab.session.session import Session
    from tempo_lab.trace.trace import Trace


class Wording(NamedTuple):
    """A sentence that asks the SVLM for Yes or No, after its instructions.

    Attributes:
        sentence: plain text that starts with a blank; "" for no sentence.
        inverted: whether Yes means that the segment is not relevant.
    """

    sentence: str
    inverted: bool = False


RELEASED, LEFT_OUT = "released", "left out"
WORDINGS = {
    "other words": Wording(
        " Does this segment show something that helps to answer the Query? Say 'Yes' or 'No'."
    ),
    "short": Wording(" Is this segment relevant to the Query? Yes or No?"),
    "No or Yes": Wording(
        " Now, before compressing, answer exactly 'No' or 'Yes': is this segment relevant to the"
        " Query?"
    ),
    "inverted": Wording(
        " Now, before compressing, answer exactly 'Yes' or 'No': is this segment irrelevant to the"
        " Query?",
        inverted=True,
    ),
    LEFT_OUT: Wording(""),
}
"""For models with an open vocabulary; the released sentence is always added as the reference."""

SMALL_WORDINGS = {
    "other words": Wording(" say yes or no: can the thing be seen in this segment?"),
    "short": Wording(" is it here, yes or no?"),
    "No or Yes": Wording(" say no or yes: can the thing be seen in this segment?"),
    "inverted": Wording(" say yes or no: is the thing not shown in this segment?", inverted=True),
    LEFT_OUT: Wording(""),
}
"""For the embedded model, in words that it knows from questions. It was never trained to answer Yes
or No to these words: the released sentence is a single token of its vocabulary."""

_SEGMENT, _WORDING = ("wording", "segment"), ("wording",)


@dataclass(frozen=True, eq=False, repr=False)
class PromptSensitivity(Result):
    """Relevance of one question under several wordings, each compared with the released one.

    `data` has coordinates `question` (its text), `wording` (names; the first is "released"),
    `sentence` and `inverted` of each, and `start`, `end` of each segment in seconds. Answers are in
    `provenance`.
    """

    QUANTITIES: ClassVar = {
        "score": Quantity(
            _SEGMENT, "probability", "probability of Yes; an inverted wording inverts it"
        ),
        "logit": Quantity(_SEGMENT, "1", "Yes-versus-No logit"),
        "correlation": Quantity(_WORDING, "1", "correlation of logits with the released wording"),
        "rank_agreement": Quantity(_WORDING, "1", "rank correlation with the released wording"),
        "same_sign": Quantity(_WORDING, "1", "share of segments with the same sign; inverted: 0"),
        "change": Quantity(_WORDING, "probability", "mean absolute change of the score"),
        "cosine": Quantity(("wording", "segment", "slot"), "1", "cosine of the memory tokens"),
        "distance": Quantity(_SEGMENT, "1", "distance of the memory, relative to its norm"),
        "question_distance": Quantity(("segment",), "1", "the same, for a blank question"),
        "answer_changed": Quantity(_WORDING, "1", "whether the answer changed"),
        "answer_changed_same_tokens": Quantity(
            _WORDING, "1", "whether it changed with the released wording's tokens per segment"
        ),
        "truth": Quantity(("segment",), "1", "whether the segment holds the evidence"),
        "auc": Quantity(_WORDING, "1", "area under the ROC curve of Yes; inverted: below 0.5"),
    }
    OPTIONAL: ClassVar = frozenset({"truth", "auc"})
    TABLE: ClassVar = _WORDING


def prompt_sensitivity(
    session: Session,
    question: str,
    wordings: Mapping[str, Wording | str] | None = None,
    *,
    truth: Truth | None = None,
    budget: int | None = None,
    max_new_tokens: int | None = None,
    progress: bool = True,
) -> PromptSensitivity:
    """Run the model on a session under several relevance prompts, and return what changes.

    Wordings can be paraphrased, inverted or left out. The sentence comes before the video in the
    SVLM's prompt and memory tokens come after it, so the sentence can change what they store. The
    measure is the relative distance `|a - b| / |a|` of a segment's memory (all slots) from that of
    the released wording; for scale, `question_distance` is that of the memory for a blank question
    ("Describe this content."). The answer shows whether the change matters: once with each
    wording's own allocation, and once with the released wording's tokens per segment, where only
    the content of the memory can differ.

    The SVLM reads the video again for each wording, from cached visual features if the session's
    `cache_bytes` is large enough. The session's own cache does not change.

    Args:
        session: the opened video, with three segments or more.
        question: the question.
        wordings: sentences by name, each a `Wording` or plain text; by default `WORDINGS`, or
            `SMALL_WORDINGS` for a model that does not know all their words.
        truth: which segments hold the evidence, bool [segment].
        budget, max_new_tokens: as in `Session.ask`.
        progress: show a progress bar.

    Raises:
        QueryError: there is no wording, a wording is named "released", or the model does not know
            a word.
        TraceError: the video has fewer than three segments, or truth has another length.
    """
    import torch

    from tempo_lab.model.prompts import BLANK_QUERY, RELEVANCE_SENTENCE
    from tempo_lab.session.session import Session

    check_session(session)
    if len(session) < 3:
        raise TraceError(
            "a correlation over segments needs three segments",
            asked="3 segments or more",
            found=str(len(session)),
            fix="use a longer video",
        )
    flags = None if truth is None else check_truth(np.asarray(truth), len(session))
    by_name = {RELEASED: Wording(RELEVANCE_SENTENCE), **_check_wordings(session, wordings)}
    traces: list[Trace] = []
    fixed: list[str] = []  # answers with the released wording's tokens per segment
    memories: list[torch.Tensor] = []
    engine = session.engine
    options: dict[str, Any] = {"budget": budget, "max_new_tokens": max_new_tokens}
    for wording in progress_bar(by_name.values(), desc="wordings", disable=not progress):
        # each engine starts from the visual features of the last one
        engine = engine.with_instruction(wording.sentence)
        view = Session(engine, progress=False)  # not closed: the video belongs to the session
        traces.append(view.ask(question, **options))
        check_ranked(traces[0])
        released = traces[0].data["relevance"].to_numpy()
        fixed.append(view.ask(question, scores=released, **options).answer)
        memories.append(_memory(view, question))
        if len(traces) == 1:
            blank = _memory(view, BLANK_QUERY)

    first = memories[0]
    cosine = [torch.cosine_similarity(first, memory, dim=-1).numpy() for memory in memories]
    logits = np.array([trace.data["logit"].to_numpy() for trace in traces], dtype=float)
    scores = np.array([trace.data["relevance"].to_numpy() for trace in traces], dtype=float)
    answers = [trace.answer for trace in traces]
    data: dict[str, Any] = {
        "score": (_SEGMENT, scores),
        "logit": (_SEGMENT, logits),
        "correlation": (_WORDING, [correlation(logits[0], row) for row in logits]),
        "rank_agreement": (_WORDING, [spearman(logits[0], row) for row in logits]),
        "same_sign": (_WORDING, ((logits > 0) == (logits[0] > 0)).mean(axis=1)),
        "change": (_WORDING, np.abs(scores - scores[0]).mean(axis=1)),
        "cosine": (("wording", "segment", "slot"), np.array(cosine)),
        "distance": (_SEGMENT, np.array([_distance(first, memory) for memory in memories])),
        "question_distance": (("segment",), _distance(first, blank)),
        "answer_changed": (_WORDING, [float(a != answers[0]) for a in answers]),
        "answer_changed_same_tokens": (_WORDING, [float(a != fixed[0]) for a in fixed]),
    }
    if flags is not None:
        data |= {"truth": (("segment",), flags)}
        data |= {"auc": (_WORDING, [auc(row, flags) for row in logits])}
    coords = {
        "question": question,
        "wording": list(by_name),
        "sentence": (_WORDING, [wording.sentence for wording in by_name.values()]),
        "inverted": (_WORDING, [wording.inverted for wording in by_name.values()]),
        "segment": np.arange(len(session)),
        "slot": np.arange(first.shape[1]),
        **{name: traces[0].data[name] for name in ("start", "end")},
    }
    provenance = {
        **sources(traces[:1]),
        "budget": traces[0].data.attrs["budget"],
        "answers": dict(zip(by_name, answers, strict=True)),
        "answers_same_tokens": dict(zip(by_name, fixed, strict=True)),
    }
    return PromptSensitivity(xr.Dataset(data, coords), provenance)


def _memory(session: Session, question: str) -> torch.Tensor:
    """Return all memory tokens of a question, float32 [segment, slot, hidden], on the CPU."""
    import torch

    engine, slots = session.engine, session.checkpoint.model.config.num_compression_tokens
    memory = engine.memory_tokens(engine.score(question), np.full(len(session), slots))
    return torch.stack([tokens[:slots] for tokens in memory]).float().cpu()


def _distance(first: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    """Return |first - other| / |first| of each segment."""
    return ((first - other).norm(dim=(1, 2)) / first.norm(dim=(1, 2))).numpy()


def _check_wordings(
    session: Session, wordings: Mapping[str, Wording | str] | None
) -> dict[str, Wording]:
    """Return the wordings to compare with the released one, in words that the model knows."""
    from tempo_lab.model.prompts import unknown_words

    tokenizer = session.checkpoint.prompts.svlm

    def unknown(by_name: Mapping[str, Wording]) -> list[str]:
        words = [unknown_words(tokenizer, wording.sentence) for wording in by_name.values()]
        return list(dict.fromkeys(word for each in words for word in each))

    if wordings is None:
        return dict(SMALL_WORDINGS if unknown(WORDINGS) else WORDINGS)
    pairs = wordings.items() if isinstance(wordings, Mapping) else [(repr(wordings), None)]
    by_name = {name: Wording(w) if isinstance(w, str) else w for name, w in pairs}
    invalid = [name for name, wording in by_name.items() if not isinstance(wording, Wording)]
    if not by_name or RELEASED in by_name or invalid:
        raise QueryError(
            "wordings must be sentences by name",
            asked=", ".join(invalid or by_name) or "none",
            fix=f'use {{"short": " yes or no?"}}; {RELEASED!r} is always added',
        )
    if words := unknown(by_name):
        raise QueryError(
            "this model does not know every word of the wordings",
            asked=" |".join(wording.sentence for wording in by_name.values()),
            found=f"unknown: {', '.join(words)}",
            fix="use words that it knows, such as" + SMALL_WORDINGS["other words"].sentence,
        )
    return by_name
