"""The claims as sections of the page: text, figures, tables. No torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from tempo_lab.allocation.arms import PRIOR, quarter
from tempo_lab.apps.reports.html import Section, render_picture
from tempo_lab.apps.reports.world import figures
from tempo_lab.common.statistics import Reliability
from tempo_lab.evaluation.tables import calibration, refused_table
from tempo_lab.nano.claims import tables
from tempo_lab.nano.claims.claims import ALLOCATION, RIVALS, ClaimVerdict
from tempo_lab.nano.claims.measures import ARMS, GROUPS
from tempo_lab.nano.claims.plan import BEFORE, MAIN, PLAIN
from tempo_lab.plots.relevance_noise import relevance_noise


def all_sections(
    frame: pd.DataFrame,
    rows: Iterable[Mapping[str, Any]],
    slots: int,
    missing: Collection[str],
    verdicts: Sequence[ClaimVerdict],
) -> list[Section]:
    """Return one section per claim, and one about wordings.

    Args:
        frame: what `tables.to_frame` returned.
        rows: the same with relevance and evidence by segment.
        slots: K, memory tokens per segment.
        missing: roles of the models that do not exist.
        verdicts: on the registered claims.
    """
    return [
        registered_section(verdicts),
        _prior(frame, calibration(rows), BEFORE in missing),
        _controls(frame, slots, verdicts),
        _allocation(frame, slots),
        _noise(frame, slots),
        _front_loading(frame, slots, PLAIN in missing),
        _strictness(frame),
        _phrasings(frame, slots),
    ]


def registered_section(verdicts: Sequence[ClaimVerdict]) -> Section:
    """Return the claims as they were registered, with the rule of their verdicts."""
    table = pd.DataFrame(
        [
            {"name": each.claim.name, "measure": each.claim.measure, "control": each.claim.control}
            | {"threshold": each.claim.threshold, "estimates": ", ".join(each.claim.estimates)}
            for each in verdicts
        ]
    )
    return Section(
        "The claims",
        [
            "The claims, their thresholds and the rule of their verdicts are in a file of the"
            " package (nano/claims/registered.toml) that was committed before this evaluation. A"
            " claim is shown if the whole 95 % interval is on the claimed side of its threshold,"
            " refuted if the whole interval is on the other side, and else undecided. A claim with"
            " several estimates is shown if all of them are, and refuted if one of them is; the"
            " table of verdicts has the weakest one.",
        ],
        tables={"Measure, control and threshold of each claim": table},
    )


def _prior(
    frame: pd.DataFrame, curves: Mapping[tuple[str, int], Reliability], no_before: bool
) -> Section:
    table = tables.prior_table(frame)
    errors = pd.DataFrame(
        {"model": model, "segments": n, "expected calibration error": curve.error}
        | {"predictions": int(curve.count.sum())}
        for (model, n), curve in curves.items()
    )
    return Section(
        "1. The prior",
        [
            "For each question, the probability that a segment with evidence scores above one"
            " without (ROC-AUC within the video). Control: the question of another video of the"
            " same length is asked about this one, and is measured against the positions of the"
            " evidence in the other video; that is a half unless positions alone reveal something."
            " The embedded models are trained to answer Yes or No to this very sentence: their"
            " relevance is not zero-shot.",
            "No number from before compressor training: no checkpoint from before it was given"
            " (--before FOLDER). The recipe of the embedded models freezes the compressor's SVLM"
            " in that training, so their relevance is the same before and after."
            if no_before
            else "Before compressor training: the checkpoint given by --before, on the same"
            f" questions. {_same_before(frame)}",
        ],
        [render_picture("prior", "AUC and calibration", figures.prior(table, curves))],
        {"AUC by length and kind": table, "Calibration": errors},
    )


def _same_before(frame: pd.DataFrame) -> str:
    """Count the questions with the same AUC before and after: all if the SVLM was frozen."""
    prior = frame[(frame["arm"] == PRIOR) & frame["auc"].notna()].pivot(
        index=["video", "item"], columns="model", values="auc"
    )
    same = int((prior[MAIN] == prior[BEFORE]).sum())
    return f"The AUC is the same as after it for {same} of {len(prior)} questions."


def allocation_sentences(verdicts: Sequence[ClaimVerdict]) -> list[str]:
    """Return what the verdicts say about allocation, kind by kind, each control by name."""
    by_name = {each.claim.name: each for each in verdicts}
    shown = {
        prefix: [group for group in GROUPS if by_name[prefix + group].verdict == "shown"]
        for prefix in (ALLOCATION, RIVALS)
    }
    sentences = [
        "Evidence that allocation by relevance matters: "
        + (_listed(shown[ALLOCATION]) + "." if shown[ALLOCATION] else "for no kind of question."),
        "Evidence that ATA is as good as top-k and the hard router: "
        + (_listed(shown[RIVALS]) + "." if shown[RIVALS] else "for no kind of question."),
    ]
    for group in GROUPS:
        found = by_name[ALLOCATION + group]
        if found.verdict in ("undecided", "refuted"):
            arm = ARMS[found.decided_by.removeprefix(f"{group}_32_ata_minus_")]
            estimate = found.estimate
            numbers = f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"
            sentences.append(
                f"No evidence on {_listed([group])} ({found.verdict}): ATA minus {arm} is"
                f" {numbers} on {estimate.n} questions."
            )
    return sentences


def _listed(groups: Iterable[str]) -> str:
    return ", ".join(tables.QUESTIONS[GROUPS[group]] for group in groups)


def _controls(frame: pd.DataFrame, slots: int, verdicts: Sequence[ClaimVerdict]) -> Section:
    table = tables.controls_table(frame, slots)
    (lead,) = {each.claim.at_least for each in verdicts if each.claim.name.startswith(ALLOCATION)}
    assert lead is not None
    return Section(
        "2. Controls beside every claim about answers",
        [
            f"Each question of 32 segments was asked under every arm at the same budget of"
            f" {quarter(slots)} tokens per segment. Controls share the budget without the relevance"
            " of the question: the same number of first tokens for each segment (uniform head), of"
            " merged tokens (uniform ToMe), all tokens of a few segments that are sampled evenly"
            " (sparse frames) or that represent the video best (facility location), and ATA with"
            " permuted scores (shuffled scores). Rivals use the relevance in another way: the"
            " better half of the segments, evenly (top-k), or all tokens of the best segments (hard"
            " router). Where a control answers as much as ATA, the kind of question is no evidence"
            f" for allocation. Dotted: the lead of {lead:g} that the claims require.",
            *allocation_sentences(verdicts),
        ],
        [
            render_picture(
                "controls", "ATA minus each arm, with 95 % intervals",
                figures.controls(table, [*GROUPS.values()], lead),
            )
        ],
        {"ATA and every other arm by kind of question": table},
    )  # fmt: skip


def _noise(frame: pd.DataFrame, slots: int) -> Section:
    table = tables.noise_table(frame, slots)
    return Section(
        "4. Dose-response",
        [
            "Needles of 32 segments. Gaussian noise is added to the logits of relevance before the"
            " budget is shared; ATA and top-k get the same noise. Uniform head does not read the"
            " relevance. If allocation by relevance is what helps, accuracy falls with the AUC.",
        ],
        [render_picture("noise", "Accuracy over the AUC of relevance", relevance_noise(table))]
        if len(table)
        else [],
        {"Score by noise": table},
    )


def _allocation(frame: pd.DataFrame, slots: int) -> Section:
    table, refused = tables.allocation_table(frame), refused_table(frame)
    return Section(
        "3. Allocation",
        [
            "Score against the memory tokens that were really used. Budgets are tokens per segment,"
            " shared over the video; ATA often uses less than its budget. Sparse frames: all"
            " tokens of as many segments, sampled over the whole video, as fit the budget."
            " Shuffled scores: the same ATA with its scores permuted at random (control). Oracle"
            " routing: score 1 for segments with evidence and 0 for others (ceiling), or the"
            " model's own scores if all segments or none are evidence.",
        ],
        [
            render_picture("allocation", "Needle questions", figures.allocation(table)),
            render_picture("kinds", "Every kind of question", figures.kinds(table, quarter(slots))),
        ],
        {"Score by length, kind and arm": table}
        | ({"Arms that were impossible": refused} if len(refused) else {}),
    )


def _front_loading(frame: pd.DataFrame, slots: int, no_plain: bool) -> Section:
    table = tables.front_loading_table(frame)
    return Section(
        "5. Front-loading",
        [
            f"Every segment of the video keeps the same k of its {slots} memory tokens: the first,"
            f" the last, or random ones; the claim is about a quarter of them, {quarter(slots)}."
            " The log-probability is that of the right answer, with teacher forcing.",
            "No number of the ablation without prefix dropout: this model has no such checkpoint."
            if no_plain
            else "The ablation without prefix dropout was asked the same questions.",
        ],
        [render_picture("front_loading", "k tokens kept", figures.front_loading(table))],
        {"Score and log-probability by k": table},
    )


def _strictness(frame: pd.DataFrame) -> Section:
    table = tables.strictness_table(frame)
    return Section(
        "6. Strictness",
        [
            "Faithful: the released allocator, which always treats some segment as the most"
            " relevant. Abstaining: if no segment's relevance reaches one half, every segment gets"
            " only the minimum. Floor: every segment keeps half of the budget's mean, and ATA"
            " allocates the rest. Questions about present objects and needles show what strictness"
            " costs.",
        ],
        [render_picture("strictness", "Absent, present and needle", figures.strictness(table))],
        {"Score by length, kind and arm": table},
    )


def _phrasings(frame: pd.DataFrame, slots: int) -> Section:
    table = tables.phrasing_table(frame, slots)
    return Section(
        "7. Wording",
        [
            "Score of ATA by the wording of the question, over all lengths. Training never shows"
            " the last phrasing of each kind. If a wording occurs in few questions (n), its"
            " interval says little.",
        ],
        [render_picture("phrasings", "Each phrasing of each kind", figures.phrasings(table))],
        {"Score by kind and phrasing": table},
    )
