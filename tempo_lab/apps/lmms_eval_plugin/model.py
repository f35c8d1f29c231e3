"""Tempo as a chat model of lmms-eval 0.7.

Questions are answered one after another in the order of the task. Consecutive questions about one
video are asked in one session, so that it is decoded once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from accelerate import Accelerator
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from loguru import logger
from PIL import ImageOps
from PIL.Image import Image
from tqdm import tqdm

from tempo_lab.allocation import Mode, allocate
from tempo_lab.apps.lmms_eval_plugin.task_requests import (
    Question,
    read_generation,
    read_messages,
    user_message,
)
from tempo_lab.common.errors import (
    BudgetError,
    QueryError,
    TempoLabError,
    VideoError,
    did_you_mean,
)
from tempo_lab.session.session import DEFAULT_BUDGET, Session
from tempo_lab.session.tempo import load
from tempo_lab.session.validation import check_memory
from tempo_lab.video.sampling import check_sampling

COSTS_ITS_ANSWER = (VideoError, QueryError, BudgetError)
"""Errors that a question or a video raises; others end the run."""
ON_ERROR = ("empty", "raise")


class TempoLab(lmms):
    """Tempo as a chat model. lmms-eval creates it from `--model_args`.

    Args:
        pretrained, base, revision, dtype, rope: the model, as in `tempo_lab.load` (`name` there).
        device: of the model (`--device`); by default the best that is available, and with several
            processes one per process.
        fps, min_frames, max_frames: the frames that are sampled, as in `Tempo.open`.
        budget, strategy, mode, min_tokens, seed: how questions are asked, as in `Session.ask`.
        on_error: what a question does that cannot be answered, because its video cannot be decoded,
            it is not readable by the model, or the context is too small: "empty" logs the error
            and answers with an empty text, which counts as wrong; "raise" ends the run.
        batch_size, max_batch_size: of lmms-eval; questions are asked one at a time.
        unknown: arguments that there are not.

    Raises:
        TempoLabError: an argument makes no sense, or the model cannot be loaded.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str = "nano",
        *,
        base: str | None = None,
        revision: object = None,
        dtype: str | None = None,
        rope: str = "correct",
        device: str | None = None,
        fps: float = 2.0,
        min_frames: int = 4,
        max_frames: int = 1024,
        budget: int | None = None,
        strategy: str | None = None,
        mode: Mode = "strict",
        min_tokens: int | None = None,
        seed: int = 0,
        on_error: str = "empty",
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        **unknown: object,
    ) -> None:
        super().__init__()
        self._check_known(unknown)
        if on_error not in ON_ERROR:
            raise TempoLabError(
                "there is no such on_error", asked=f"on_error={on_error}",
                found=", ".join(ON_ERROR), fix="on_error=empty",
            )  # fmt: skip
        if str(batch_size) != "1":
            raise TempoLabError(
                "Tempo answers one question at a time",
                asked=f"batch_size={batch_size}",
                fix="--batch_size 1",
            )
        check_sampling(fps, min_frames, max_frames)
        self.on_error = on_error
        self._open_options: dict[str, Any] = {
            "fps": fps, "min_frames": min_frames, "max_frames": max_frames,
        }  # fmt: skip
        self._ask_options: dict[str, Any] = {
            "budget": budget, "strategy": strategy, "mode": mode, "min_tokens": min_tokens,
            "seed": seed,
        }  # fmt: skip
        self.accelerator = Accelerator()
        if device is None and self.accelerator.num_processes > 1:
            own = self.accelerator.device
            device = "cpu" if own.type == "cpu" else str(own)  # not cpu:1: there is one CPU
        self._rank, self._world_size = (
            self.accelerator.process_index, self.accelerator.num_processes,
        )  # fmt: skip
        self.tempo = load(
            str(pretrained),  # lmms-eval makes numbers of names that look like one
            base=base,
            revision=None if revision is None else str(revision),
            device=device,
            dtype=dtype,
            rope=rope,
        )
        check_memory(self.tempo.checkpoint)
        # refused here: later, an impossible setting would cost the answer of every question
        allocate(
            [1.0],
            DEFAULT_BUDGET if budget is None else budget,
            strategy="head" if strategy is None else strategy,
            mode=mode,
            min_tokens=self.tempo.config.min_tokens if min_tokens is None else min_tokens,
            max_tokens=self.tempo.slots,
            seed=seed,
        )
        self.device = self.tempo.model.device  # lmms-eval gathers the results of processes on it
        self._opened = ExitStack()
        self._session: tuple[object, Session] | None = None

    def _check_known(self, unknown: Mapping[str, object]) -> None:
        for name in unknown:  # the first one is enough
            known = list(signature(TempoLab.__init__).parameters)[1:-1]
            raise TempoLabError(
                "the model has no such argument",
                asked=f"--model_args {name}={unknown[name]}",
                found=", ".join(known),
                fix=did_you_mean(name, known, f"leave {name} out"),
            )

    # lmms-eval's interface

    def generate_until(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """Answer questions; each result has the tokens of the prompt and of the answer.

        Raises:
            TempoLabError: a task asks for what Tempo cannot do (see `read_messages`,
                `read_generation`), or a question fails and `on_error` is "raise".
        """
        results = []
        failed = 0
        try:
            for request in tqdm(requests, "Model Responding", disable=self.rank != 0):
                try:
                    results.append(self._answer(request))
                except COSTS_ITS_ANSWER as error:
                    if self.on_error == "raise":
                        raise
                    logger.error(f"{request.task_name}, document {request.doc_id}: {error}")
                    results.append(GenerationResult(""))
                    failed += 1
        finally:
            self.close()
        if failed:
            logger.warning(
                f"{failed} of {len(results)} questions could not be answered; their answers are "
                "empty and count as wrong (on_error=raise ends the run at the first one)"
            )
        return results

    def _answer(self, request: Instance) -> GenerationResult:
        text, *given, doc_id, task, split = request.args
        doc = self.task_dict[task][split][doc_id]
        if callable(given[0]):
            doc_to_messages, options = given
            messages = doc_to_messages(doc)
        else:  # lmms-eval makes no messages for a task that --tasks names by its file or folder
            options, doc_to_visual = given
            messages = [user_message(doc_to_visual(doc), text)]
        question, generation = read_messages(messages), read_generation(options)
        trace = self._open(question).ask(
            question.text,
            history=question.history,
            max_new_tokens=generation.max_new_tokens,
            **self._ask_options,
        )
        counts = TokenCounts(
            input_tokens=int(trace.totals["prompt"]),
            output_tokens=int(trace.provenance["answer_tokens"]),
        )
        return GenerationResult(generation.cut(trace.answer), counts)

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Refuse: lmms-eval 0.7.3 turns such a result into text, and then cannot score it.

        Raises:
            TempoLabError: always.
        """
        raise TempoLabError(
            "lmms-eval cannot compare the probabilities of answers",
            found="a task with output_type multiple_choice or loglikelihood",
            fix="choose a task with output_type generate_until; in Python, "
            "tempo_lab.session.scoring.answer_logprob gives these probabilities",
        )

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        """Refuse tasks whose questions depend on earlier answers.

        Raises:
            TempoLabError: always.
        """
        raise TempoLabError(
            "Tempo does not answer tasks of several rounds in lmms-eval",
            found="a task with output_type generate_until_multi_round",
            fix="in Python: session.ask(question, history=[trace])",
        )

    def clean(self) -> None:
        """Close the video and release the model; lmms-eval calls it after the last question."""
        self.close()
        self.__dict__.pop("tempo", None)
        super().clean()

    # Sessions

    def close(self) -> None:
        """Close the open video."""
        self._session = None
        self._opened.close()

    def _open(self, question: Question) -> Session:
        """Return the session of a question's video: the open one, or a new one."""
        image = question.source if isinstance(question.source, Image) else None
        source = _digest(image) if image is not None else question.source
        key = source, question.start, question.end
        if self._session is None or self._session[0] != key:
            self.close()
            path = question.source
            if image is not None:
                folder = self._opened.enter_context(TemporaryDirectory())
                path = _save(image, Path(folder) / "image.png")
            session = self.tempo.open(
                path,
                start=question.start,
                end=question.end,
                progress=False,
                **self._open_options,
            )
            self._session = key, self._opened.enter_context(session)
        return self._session[1]


def _digest(image: Image) -> str:
    """Return a digest of an image, with its size, which `tobytes` alone lacks."""
    return hashlib.sha256(repr((image.mode, image.size)).encode() + image.tobytes()).hexdigest()


def _save(image: Image, path: Path) -> str:
    """Write an image as PNG, upright, and return the path."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        upright = upright.convert("RGB")
    upright.save(path)
    return str(path)
