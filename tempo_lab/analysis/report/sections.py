"""The analyses in words and figures: what was done, the control, what came out. No torch.

Every sentence about a result is chosen by an interval, and its numbers are filled in.
"""

from __future__ import annotations

import pandas as pd

from tempo_lab import plots
from tempo_lab.analysis.front_loading_result import CONTROL, HEAD, RANDOM, TAIL, TOME
from tempo_lab.analysis.prompt_sensitivity import LEFT_OUT, RELEASED
from tempo_lab.analysis.report import measure
from tempo_lab.analysis.report.findings import Finding, Findings
from tempo_lab.analysis.report.measure import MULTI, NEEDLE, Measured
from tempo_lab.evaluation.arms import MAIN_BUDGET, quarter
from tempo_lab.evaluation.report import Section, picture


def all_sections(measured: Measured, told: Findings) -> list[Section]:
    """One section an analysis, in the order in which a question runs through the model."""
    return [
        relevance(measured, told),
        prompts(measured, told),
        allocation(measured, told),
        front_loading(measured, told),
        attention(measured, told),
        agreement(measured, told),
    ]


def relevance(measured: Measured, told: Findings) -> Section:
    """Routing and calibration, and at which depth the decision is there."""
    auc, gain = told("relevance", "AUC"), told("relevance", "AUC less shuffled")
    sure = told("relevance", "scores below .1 or above .9")
    layers = measured.by_layer.data["layer"].to_numpy()
    by_layer = [told("relevance_by_layer", f"AUC, layer {layer}") for layer in layers]
    agreed = [
        told("relevance_by_layer", f"agreement with the last layer, layer {layer}")
        for layer in layers
    ]
    alone = told("relevance_by_layer", "agreement of one answer for all")
    depth = ", ".join(f"layer {n}: {each}" for n, each in zip(layers, by_layer, strict=True))
    signs = ", ".join(f"layer {n}: {each}" for n, each in zip(layers, agreed, strict=True))
    return Section(
        "1. Relevance: routing and calibration",
        [
            f"Done: {auc.n} questions about one segment, each asked about its own video. AUC is the"
            " chance that a segment with the evidence scores above one without. Control: a question"
            " of another video is asked in its place, and measured against the evidence of the"
            " original one.",
            f"Came out: AUC {auc}, shuffled {told('relevance', 'AUC, shuffled question')}; the"
            f" difference is {gain}. "
            + gain.reading(
                "The zero-shot answer Yes or No finds the segments that hold the answer, and it"
                " reads the question to do so.",
                "It ranks segments worse than with another question, against the paper.",
                "It cannot be told from the ranking for another question: the paper's prior is not"
                " seen here.",
            ),
            f"As a probability: expected calibration error"
            f" {told('relevance', 'calibration error').value:.3f} (shuffled question:"
            f" {told('relevance', 'calibration error, shuffled question').value:.3f})."
            f" {sure.value:.0%} of all scores lie below .1 or above .9"
            + (
                ": the model is nearly always sure, and the curve says little about what is between."
                if sure.value > 0.9
                else "."
            ),
            f"Depth: AUC read from each layer with the last layer's norm and rows (logit lens) is"
            f" {depth}. The sign agrees with the last layer's in this share of segments: {signs};"
            f" saying the same of every segment would agree in {alone} (control).",
        ],
        [
            picture(
                "relevance",
                "Above, one question; below, all of them, shuffled ones in grey",
                plots.relevance(measured.relevance),
            ),
            picture(
                "relevance_by_layer",
                "The decision, read from each layer",
                plots.relevance_by_layer(measured.by_layer),
            ),
        ],
        {"Ranking and calibration": _table(told, "relevance")}
        | {"By layer": _table(told, "relevance_by_layer")},
    )


def prompts(measured: Measured, told: Findings) -> Section:
    """Whether the words that ask matter."""
    name = "prompt_sensitivity"
    wordings = [str(w) for w in measured.prompts[0].data["wording"].to_numpy() if w != RELEASED]
    blank = told(name, "memory distance, blank question")
    lines = []
    for wording in wordings:
        worse = told(name, f"AUC less released, {wording}")
        lines.append(
            f"“{wording}”: AUC {told(name, f'AUC, {wording}')}, "
            + worse.reading(
                "better than released", "worse than released", "no difference that can be seen"
            ).removesuffix(".")
        )
    stored = told(name, f"memory distance, {LEFT_OUT}")
    changed = told(name, f"answer changed at the same tokens, {LEFT_OUT}")
    ratio = stored.value / blank.value
    return Section(
        "2. Prompt sensitivity",
        [
            f"Done: of each video one question ({len(measured.prompts)}), its relevance asked for in"
            " other words, the other way round, and not at all, as in training. Of an inverted"
            " wording, the AUC is that of No. Scale: the memory for a blank question.",
            "Came out, of routing: " + "; ".join(lines) + ".",
            f"Of what is stored: with the sentence left out, memory moves by {stored} of its length,"
            f" which is {ratio:.0%} of what a blank question moves it by ({blank}). At the same"
            f" numbers of tokens, this share of answers changes: {changed}. "
            + changed.reading(
                "Asking for relevance changes what is compressed, and that reaches the answer.",
                "",
                "That it reaches the answer cannot be shown with so few questions."
                if changed.value
                else "No answer changed.",
            ),
        ],
        [
            picture(
                name,
                "One of the questions in every wording",
                plots.prompt_sensitivity(measured.prompts[0]),
            )
        ],
        {"By wording": _table(told, name)},
    )


def allocation(measured: Measured, told: Findings) -> Section:
    """Where tokens go, what strategies are sensitive to, and what strictness is worth."""
    name = "allocation"
    gain = told(name, "on evidence less shuffled, head")
    arms = [str(arm) for arm in measured.strictness.data["arm"].to_numpy()]
    kinds = [str(kind) for kind in measured.strictness.data["kind"].to_numpy()]
    lines = []
    for kind in kinds:
        tokens = ", ".join(
            f"{arm}: {told('strictness', f'tokens, {arm}, {kind}').value:.1f}" for arm in arms
        )
        gains = ", ".join(
            f"{arm} {found} ({_worth(found)})"
            for arm in arms[1:]
            for found in [told("strictness", f"gain over the first arm, {arm}, {kind}")]
        )
        first = told("strictness", f"score, {arms[0]}, {kind}")
        lines.append(
            f"{kind} ({first.n} questions): {arms[0]} scores {first}. Gains over it: {gains}."
            f" Memory tokens a segment: {tokens}."
        )
    return Section(
        "3. Allocation and strictness",
        [
            f"Done, without a model: the scores of section 1 share {MAIN_BUDGET} tokens a segment by"
            " each strategy. Control: the scores for the shuffled question, and uniform sharing.",
            f"Came out: ATA puts {told(name, 'on evidence, head')} of its tokens on the evidence;"
            f" with shuffled scores {told(name, 'on evidence, shuffled question, head')}, uniform"
            f" {told(name, 'on evidence, uniform')}. Own less shuffled: {gain}. "
            + gain.reading(
                "Relevance sends tokens where the answer is.",
                "Relevance sends tokens away from where the answer is.",
                "That relevance sends tokens to the answer cannot be seen.",
            )
            + " One outlier, a segment that seems certain, takes"
            f" {told(name, 'outlier, head')} of the others' tokens from them (abstaining"
            f" {told(name, 'outlier, abstain')}, threshold {told(name, 'outlier, threshold')}).",
            "Done, with answers: three questions about absent things, one about the whole video and"
            " two needles of each video, under allocators of other strictness; the first is the"
            " released rule, with which the others are paired (control).",
            *lines,
        ],
        [
            picture(
                "strictness",
                "Score, gain over the released rule, tokens used",
                plots.strictness(measured.strictness),
            )
        ],
        {"By strategy": _table(told, name), "By arm and kind": _table(told, "strictness")},
    )


def front_loading(measured: Measured, told: Findings) -> Section:
    """What the first tokens carry."""
    return Section(
        "4. Front-loading",
        [
            f"Done: every segment keeps the same k of its {measured.slots} memory tokens: the first,"
            " the last, random ones, or all merged to k (ToMe). Once for questions about one"
            " segment, once for questions of several parts. Controls: the first k that were"
            " compressed for another question about the same video, and a model with random"
            " weights. The paper's claim is that the first tokens carry the most.",
            _led(measured, told, NEEDLE),
            _led(measured, told, MULTI),
            _by_chance(measured, told),
            _looked_at(measured, told),
        ],
        [
            picture(
                f"front_loading_{of.replace(' ', '_')}",
                f"Questions: {of}. Bands: 95 % intervals",
                plots.front_loading(measured.front_loading[of]),
            )
            for of in (NEEDLE, MULTI)
        ]
        + [
            picture(
                "front_loading_slots",
                f"What the slots are like (questions: {MULTI})",
                plots.front_loading_slots(measured.front_loading[MULTI]),
            )
        ],
        {
            f"Curves, leads, areas and attention by slot: {of}": _table(
                told, f"front_loading, {of}"
            )
            for of in measured.front_loading
        },
    )


def _led(measured: Measured, told: Findings, of: str) -> str:
    """At a quarter of the tokens: accuracy by arm, and the head's leads."""
    name, k, slots = f"front_loading, {of}", quarter(measured.slots), measured.slots
    right = ", ".join(
        f"{told_as} {told(name, f'accuracy, {arm}, k={k}')}"
        for arm, told_as in (
            (HEAD, "the first"), (TAIL, "the last"), (RANDOM, "random"), (TOME, "merged"),
        )
    )  # fmt: skip
    leads = []
    for arm in (TAIL, RANDOM, TOME):
        for of_what in ("accuracy", "logprob"):
            lead = told(name, f"lead in {of_what} over {arm}, k={k}")
            leads.append(f"over {arm} in {of_what} {lead} ({against_paper(lead)})")
    other = told(name, f"lead in accuracy over {CONTROL}, k={k}")
    every = told(name, f"accuracy, {HEAD}, k={slots}")
    return (
        f"Questions, {of} ({every.n}): with {k} of {slots} tokens the accuracy is {right}; with all"
        f" {every}. Lead of the first {k}: {'; '.join(leads)}. Over the memory for another question"
        f" {other}: "
        + other.reading(
            "what is stored depends on the question.",
            "memory for another question answers better.",
            "that what is stored depends on the question cannot be seen.",
        )
    )


def _by_chance(measured: Measured, told: Findings) -> str:
    name, k = f"front_loading, {measure.RANDOM}", quarter(measured.slots)
    lead = told(name, f"lead in logprob over {TAIL}, k={k}")
    right = told(name, f"accuracy, {HEAD}, k={measured.slots}")
    return (
        f"Random weights: accuracy with all tokens {right}, lead of the first {k} over the last in"
        f" log-probability {lead}: "
        + lead.reading(
            "even without training the first tokens are ahead.",
            "without training the first tokens are behind.",
            "without training neither end is ahead.",
        )
    )


def _looked_at(measured: Measured, told: Findings) -> str:
    """Attention by slot of the questions of several parts."""
    name, slots, equal = f"front_loading, {MULTI}", measured.slots, 1 / measured.slots
    shares = [told(name, f"attention share, slot {slot}") for slot in range(slots)]
    some = shares[: quarter(slots)]
    first, last = (
        sum(s.value for s in shares[i]) for i in (slice(len(some)), slice(-len(some), None))
    )
    above, below = sum(s.low > equal for s in some), sum(s.high < equal for s in some)
    if above == len(some):
        reading = "The first slots are looked at more than others, as front-loading suggests."
    elif below == len(some):
        reading = "The first slots are looked at less than others, against front-loading."
    else:
        reading = "The first slots do not stand out, where front-loading suggests that they do."
    values = [share.value for share in shares]
    return (
        f"Attention: of what the language model gives to memory tokens, the first {len(some)} slots"
        f" get {first:.1%} and the last {last:.1%}; equal shares are {len(some) / slots:.1%}. Single"
        f" slots get {min(values):.1%} to {max(values):.1%} (equal: {equal:.1%}). Of the first"
        f" {len(some)}, {above} lie above an equal share by their interval and {below} below."
        f" {reading}"
    )


def attention(measured: Measured, told: Findings) -> Section:
    """Mass by key group."""
    name, groups = "attention", [str(g) for g in measured.attention.data["group"].to_numpy()]
    lines = []
    for row, what in (("decision", "The token that says Yes or No"), ("memory", "Memory tokens")):
        order = sorted(groups, key=lambda g: -told(name, f"{row} on {g}").value)  # noqa: B023
        masses = ", ".join(f"{g} {told(name, f'{row} on {g}')}" for g in order[:4])
        learnt = [(g, told(name, f"{row} on {g} less random")) for g in groups]
        more = [f"{g} {found}" for g, found in learnt if found.low > 0]
        less = [f"{g} {found}" for g, found in learnt if found.high < 0]
        apart = told(name, f"{row} on evidence less elsewhere")
        lines.append(
            f"{what}: most goes to {masses}. More than with random weights: "
            f"{', '.join(more) or 'nothing'}; less: {', '.join(less) or 'nothing'}. On frames of"
            f" segments with the evidence less on those of others: {apart} (random weights:"
            f" {told(name, f'{row} on evidence less elsewhere, random weights')}). "
            + apart.reading(
                "It looks more at the frames where the evidence is.",
                "It looks less at the frames where the evidence is.",
                "It does not look more at the frames where the evidence is.",
            )
        )
    return Section(
        "5. Attention by key group",
        [
            f"Done: {measured.attention.data.sizes['question']} questions about one segment;"
            " attention of the compressor's decision token and of all memory tokens, mean of"
            " segments, layers and heads, summed by what the keys are. Control: the same questions"
            " asked of a model with random weights, which shows what the number of keys alone gives."
            " Attention says what was mixed, not what mattered: see section 6.",
            *lines,
        ],
        [picture(name, "Mass by key group", plots.attention_groups(measured.attention))],
        {"By row and group": _table(told, name)},
    )


def agreement(measured: Measured, told: Findings) -> Section:
    """Relevance, attention and effect of segments in one table."""
    name = "compare"
    rows = []
    for pair in map(str, measured.comparison.data["pair"].to_numpy()):
        rho = told(name, f"rank correlation, {pair}")
        other = told(name, f"rank correlation, other question, {pair}")
        gain = told(name, f"rank correlation less other question, {pair}")
        same = told(name, f"same first segment, {pair}")
        rows.append(
            f"{pair.replace(', ', ' and ')}: rank correlation {rho}, same first segment in"
            f" {same.value:.0%} of questions; with another question about the same video {other},"
            f" difference {gain}: "
            + gain.reading(
                "they agree about the question.",
                "they agree less than with another question.",
                "what they share is not about the question.",
            )
        )
    table = measured.comparison.disagreements(10)
    effect = measured.comparison.provenance["effect"]
    return Section(
        "6. Agreement of relevance, attention and causal effect",
        [
            f"Done: of {len(measured.comparison.provenance['questions'])} questions about one"
            " segment, three rankings of the same segments: the compressor's relevance; the"
            " attention of the answer's tokens to each segment's memory; and what the"
            f" {effect['target']} loses when a segment's memory is taken away ({effect['method']},"
            f" {effect['baseline']}). Control: one of the two rankings is that of another question"
            " about the same video.",
            *rows,
        ],
        [picture(name, "Ranks of all segments", plots.compare(measured.comparison))],
        {"Agreement": _table(told, name), "Segments that they disagree on": table},
    )


def against_paper(lead: Finding) -> str:
    """What a lead of the first tokens says of the paper's front-loading."""
    return lead.reading("as in the paper", "the opposite of the paper", "not seen here")


def _worth(gain: Finding) -> str:
    return gain.reading("a gain", "a loss", "no difference that can be seen").removesuffix(".")


def _table(told: Findings, analysis: str) -> pd.DataFrame:
    table = told.to_pandas()
    return table[table["analysis"] == analysis].drop(columns=["analysis", "seed"])
