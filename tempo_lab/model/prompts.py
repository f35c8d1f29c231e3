"""The exact prompts of the SVLM and the LLM, with a map of what each position is.

Texts and positions are those of docs/method.md sections 2 and 6. A prompt is built as token ids,
piece by piece, together with its token map, so no code has to search for a token. Text from a user
is plain text: a control token in a question is read as its characters.
"""

from __future__ import annotations

import re
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from tempo_lab.common.errors import CheckpointError
from tempo_lab.model.pixels import PatchGrid
from tempo_lab.model.token_map import (
    ANSWER,
    DECISION,
    MEMORY,
    QUERY,
    SYSTEM,
    TEXT,
    TIMESTAMP,
    VISION,
    VISION_MARK,
    MapBuilder,
    TokenMap,
    concatenate,
)

COMPRESSOR_SYSTEM = (
    "You are a query-conditioned visual compressor. Store in the provided memory tokens the minimal"
    " visual information needed to answer the Query. Ignore irrelevant details."
)
RELEVANCE_SENTENCE = (
    " Now, before compressing, answer exactly 'Yes' or 'No': is this segment relevant to the Query?"
)
LLM_SYSTEM = "You are a helpful assistant."
BLANK_QUERY = "Describe this content."

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
VIDEO_PAD, IMAGE_PAD = "<|video_pad|>", "<|image_pad|>"


def pair_seconds(positions: np.ndarray, fps: float) -> np.ndarray:
    """Return the seconds written before each temporal patch: mean position of its frames / fps.

    Args:
        positions: numbers of the segment's frames among the sampled frames. If their number is odd,
            the repeated last frame counts as the next position.
        fps: frames per second of the sampled clock.

    Returns:
        float [pair].
    """
    positions = np.asarray(positions)
    if len(positions) % 2:
        positions = np.append(positions, positions[-1] + 1)
    return positions.reshape(-1, 2).mean(axis=1) / fps


def segment_seconds(
    segments: int, fps: float, window: int = 8, stride: int | None = None
) -> np.ndarray:
    """Return the seconds written before each segment's memory tokens: the middle of a full window.

    Args:
        segments: number of segments.
        fps: frames per second of the sampled clock.
        window: sampled frames per segment.
        stride: sampled frames from one segment's start to the next one's; `window` by default.

    Returns:
        float64 [segment].
    """
    return (np.arange(segments) * (stride or window) + window / 2) / (fps or 1.0)


def timestamp(seconds: float) -> str:
    """Return `<2.0 seconds>`: released weights were trained with it, not with `<t=2.0s>`."""
    return f"<{seconds:.1f} seconds>"


def encode_text(tokenizer: Any, trusted: str, plain: str = "") -> list[int]:
    """Return the token ids of `trusted + plain`, where nothing in `plain` is a control token.

    The name of a control token (`<|im_end|>`, `<think>`, ...) in `plain`, in any case, is split
    after its first character, so that the tokenizer reads it as ordinary text.
    """
    if not plain:
        return list(tokenizer.encode(trusted, add_special_tokens=False))
    added = tokenizer.get_added_vocab()
    added.pop(tokenizer.unk_token, None)  # the token of unknown words controls nothing
    controls = sorted((t for t in added if t[0] == "<" and t[-1] == ">"), key=len, reverse=True)
    pieces = [trusted + plain]
    if controls:
        matches = re.finditer("|".join(map(re.escape, controls)), plain, re.IGNORECASE)
        cuts = [0, *(len(trusted) + match.start() + 1 for match in matches), len(trusted + plain)]
        pieces = [(trusted + plain)[a:b] for a, b in pairwise(cuts)]
    ids: list[int] = []
    for piece in pieces:
        ids += tokenizer.encode(piece, add_special_tokens=False)
    if not {added[token] for token in controls}.isdisjoint(ids):
        # the tokenizer changes text before it looks for control tokens: encode letter by letter
        return [i for piece in (trusted, *plain) for i in encode_text(tokenizer, piece)]
    return ids


def unknown_words(tokenizer: Any, text: str) -> list[str]:
    """Return the words (runs of letters) without a token, in their order, each once.

    A tokenizer that can spell any word has none. Markup and punctuation are not words.
    """
    known = known_words(tokenizer, text)
    return [word for word in _words(tokenizer, text) if word not in known]


def known_words(tokenizer: Any, text: str) -> list[str]:
    """Return the words that have a token, in their order, each once."""
    unknown = tokenizer.unk_token_id
    return [word for word, token in _words(tokenizer, text).items() if token != unknown]


def _words(tokenizer: Any, text: str) -> dict[str, int]:
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    pieces = {
        text[first:stop].strip(): token
        for token, (first, stop) in zip(
            encoded["input_ids"], encoded["offset_mapping"], strict=True
        )
    }
    return {piece: token for piece, token in pieces.items() if piece.isalpha()}


def _opening(tokenizer: Any, system: str, sentence: str = "") -> TokenMap:
    """Return the system turn, with `sentence` as plain text, and the start of the user's turn."""
    start, end = (int(tokenizer.convert_tokens_to_ids(token)) for token in (IM_START, IM_END))
    ids = [start, *encode_text(tokenizer, f"system\n{system}", sentence), end]
    ids += [*encode_text(tokenizer, "\n"), start, *encode_text(tokenizer, "user\n")]
    build = MapBuilder()
    build.add(ids, SYSTEM)
    return build.build()


class Prompts:
    """Builds the prompts of one model.

    Args:
        svlm_tokenizer: tokenizer of the base Qwen3-VL.
        llm_tokenizer: tokenizer of the Tempo checkpoint.
        sentence: the sentence that asks the SVLM for Yes or No, plain text after its instructions;
            "" for none, as in training.
    """

    def __init__(
        self, svlm_tokenizer: Any, llm_tokenizer: Any, sentence: str = RELEVANCE_SENTENCE
    ) -> None:
        self.svlm, self.llm, self.sentence = svlm_tokenizer, llm_tokenizer, sentence
        for tokenizer, whose in ((self.svlm, "SVLM"), (self.llm, "LLM")):
            known = tokenizer.get_vocab()
            needed = [IM_START, IM_END]
            if tokenizer is self.svlm:
                needed += [VISION_START, VISION_END, VIDEO_PAD, IMAGE_PAD]
            missing = [token for token in needed if token not in known]
            if missing:
                raise CheckpointError(
                    f"the {whose}'s tokenizer lacks control tokens that the prompts need",
                    asked=", ".join(needed),
                    found=f"no {', '.join(missing)}",
                    fix="use the tokenizer files that belong to the checkpoint",
                )

    @cached_property
    def yes_no(self) -> tuple[int, int]:
        """Token ids of `Yes` and `No` in the SVLM's vocabulary."""
        ids = [self.svlm.encode(word, add_special_tokens=False) for word in ("Yes", "No")]
        if any(len(word) != 1 for word in ids):
            raise CheckpointError(
                "the relevance prior needs `Yes` and `No` as single tokens",
                found=f"Yes = {ids[0]}, No = {ids[1]}",
                fix="use the tokenizer files of the base Qwen3-VL",
            )
        return ids[0][0], ids[1][0]

    def _svlm_id(self, token: str) -> int:
        return int(self.svlm.convert_tokens_to_ids(token))

    def _llm_id(self, token: str) -> int:
        return int(self.llm.convert_tokens_to_ids(token))

    def system(self, *, relevance: bool = True) -> TokenMap:
        """Return the SVLM's system turn and the start of the user's turn, for all segments.

        Args:
            relevance: whether to include the Yes/No sentence, as at inference.
        """
        return _opening(self.svlm, COMPRESSOR_SYSTEM, self.sentence if relevance else "")

    def video(self, grid: PatchGrid, seconds: np.ndarray | None) -> TokenMap:
        """Return a segment's visual part: a timestamp and visual tokens for each temporal pair.

        Args:
            grid: patches of the segment.
            seconds: float [pair], see `pair_seconds`; None for a single image (no timestamps).
        """
        rows, columns = grid.merged
        row, column = np.divmod(np.arange(rows * columns), columns)
        pad = self._svlm_id(IMAGE_PAD if seconds is None else VIDEO_PAD)
        build = MapBuilder()
        for pair in range(grid.pairs):
            if seconds is not None:
                ids = encode_text(self.svlm, timestamp(float(seconds[pair])))
                build.add(ids, TIMESTAMP, index=pair)
            build.add([self._svlm_id(VISION_START)], VISION_MARK, index=pair)
            build.add(np.full(rows * columns, pad), VISION, index=pair, row=row, column=column)
            build.add([self._svlm_id(VISION_END)], VISION_MARK, index=pair)
        return build.build()

    def question(self, query: str) -> TokenMap:
        """Return the SVLM's prompt after the video; its last token is the decision."""
        query = query if query.strip() else BLANK_QUERY
        build = MapBuilder()
        build.add(encode_text(self.svlm, "\nQuery:\n", query), QUERY)
        build.add([self._svlm_id(IM_END)], TEXT)
        build.add(encode_text(self.svlm, "\n"), TEXT)
        build.add([self._svlm_id(IM_START)], TEXT)
        last = encode_text(self.svlm, "assistant\n")
        build.add(last[:-1], TEXT)
        build.add(last[-1:], DECISION)
        return build.build()

    def segment(
        self, video: TokenMap, query: str, slots: int = 0, *, relevance: bool = True
    ) -> TokenMap:
        """Return the SVLM's whole prompt for one segment, with its memory slots."""
        before, after = self.around(query, slots, relevance=relevance)
        return concatenate([before, video, after])

    def around(
        self, query: str, slots: int = 0, *, relevance: bool = True
    ) -> tuple[TokenMap, TokenMap]:
        """Return the parts of that prompt before and after the video, for all segments."""
        memory = MapBuilder()
        memory.add(np.full(slots, -1), MEMORY, index=np.arange(slots))
        after = concatenate([self.question(query), memory.build()])
        return self.system(relevance=relevance), after

    def opening(self) -> TokenMap:
        """Return the LLM's system turn and the start of the user's turn, before the video."""
        return _opening(self.llm, LLM_SYSTEM)

    def timestamp(self, seconds: float) -> list[int]:
        """Return the token ids of a timestamp before memory tokens in the LLM's prompt."""
        return encode_text(self.llm, timestamp(seconds))

    def closing(self, query: str, history: tuple[tuple[str, str], ...] = ()) -> TokenMap:
        """Return the LLM's prompt after the video.

        Args:
            query: the question, plain text.
            history: earlier (question, answer) turns of the conversation, oldest first.
        """
        build = MapBuilder()
        questions = [*(question for question, _ in history), query]
        answers = [answer for _, answer in history]
        for turn, question in enumerate(questions):
            opening = "\n" if turn == 0 else "user\n"
            build.add(encode_text(self.llm, opening, question), QUERY, index=turn)
            build.add([self._llm_id(IM_END)], TEXT)
            build.add(encode_text(self.llm, "\n"), TEXT)
            build.add([self._llm_id(IM_START)], TEXT)
            if turn < len(answers):
                build.add(encode_text(self.llm, "assistant\n", answers[turn]), ANSWER, index=turn)
                build.add([self._llm_id(IM_END)], TEXT)
                build.add(encode_text(self.llm, "\n"), TEXT)
                build.add([self._llm_id(IM_START)], TEXT)
            else:
                last = encode_text(self.llm, "assistant\n")
                build.add(last[:-1], TEXT)
                build.add(last[-1:], DECISION)
        return build.build()

    def conversation(
        self,
        timestamps: list[list[int]] | None,
        tokens: np.ndarray,
        query: str,
        history: tuple[tuple[str, str], ...] = (),
    ) -> TokenMap:
        """Return the LLM's whole prompt.

        Args:
            timestamps: token ids of each segment's timestamp; None for a single image.
            tokens: int [segment], number of memory tokens. A segment with 0 has no timestamp.
            query: the question.
            history: earlier turns.
        """
        build = MapBuilder()
        for segment, count in enumerate(tokens):
            if count:
                if timestamps is not None:
                    build.add(timestamps[segment], TIMESTAMP, segment=segment)
                build.add(np.full(count, -1), MEMORY, index=np.arange(count), segment=segment)
        video = [build.build()] if build.pieces else []
        return concatenate([self.opening(), *video, self.closing(query, history)])
