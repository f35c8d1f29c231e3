"""A small model of front-loading that is trained in seconds: a writer, memory tokens and a reader.

It has the parts of the study and nothing else. An *item* has a value for each of eight facts. The
writer compresses it into six memory tokens of four numbers, without seeing the question. The
reader gets the question, which names one fact, and the memory tokens that the cut leaves. Noise on
the tokens limits what one of them can hold. Facts are asked with different frequencies. No loss
says what a token should hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from tempo_lab.common.errors import TempoLabError, did_you_mean
from tempo_lab.common.progress import progress_bar
from tempo_lab.common.validation import check_number, check_whole
from tempo_lab.nano.front_loading.cuts import ARMS, kept_slots

ASKED = (0.28, 0.20, 0.15, 0.12, 0.09, 0.07, 0.05, 0.04)
"""Share of the questions that ask for each fact."""

LEARNED = 0.5
"""Smallest recall with all tokens of a fact that counts as learned."""


@dataclass(frozen=True)
class Settings:
    """Sizes of the small model and of its training.

    Attributes:
        values: how many values each fact can have, equally likely.
        slots: memory tokens per item.
        numbers: size of a memory token.
        noise: standard deviation of the noise on each number, whose root mean square is 1.
        width, layers, heads: of the writer and of the reader.
        steps: optimizer steps.
        batch: items per step.
        questions: per item; they share the memory tokens that the cut leaves.
        learning_rate: of AdamW, at its highest.
    """

    values: int = 6
    slots: int = 6
    numbers: int = 4
    noise: float = 0.3
    width: int = 32
    layers: int = 2
    heads: int = 4
    steps: int = 700
    batch: int = 64
    questions: int = 16
    learning_rate: float = 3e-3


SETTINGS = Settings()


class SmallModel(nn.Module):
    """Writer and reader, two small transformers.

    Attributes:
        asked: share of the training questions that ask for each fact.
    """

    def __init__(self, asked: Sequence[float], settings: Settings = SETTINGS) -> None:
        super().__init__()
        self.asked, self.settings = tuple(asked), settings
        facts, width = len(asked), settings.width
        self.fact, self.value = nn.Embedding(facts, width), nn.Embedding(settings.values, width)
        self.slot = nn.Parameter(torch.randn(settings.slots, width))
        self.writer = _transformer(settings)
        self.to_memory = nn.Sequential(
            nn.Linear(width, settings.numbers),
            nn.LayerNorm(settings.numbers, elementwise_affine=False),
        )
        self.question = nn.Embedding(facts, width)
        self.from_memory = nn.Linear(settings.numbers, width)
        self.place = nn.Parameter(torch.randn(settings.slots, width))
        self.reader = _transformer(settings)
        self.answer = nn.Linear(width, settings.values)

    def write(self, items: torch.Tensor) -> torch.Tensor:
        """Return memory tokens without noise.

        The writer is causal: a memory token sees the facts and the tokens before it, as a segment's
        memory tokens do.

        Args:
            items: value of each fact, int [item, fact].

        Returns:
            [item, slot, number]; the mean over a token's numbers is 0, their mean square 1.
        """
        facts = items.shape[1]
        shown = self.fact.weight + self.value(items)
        sequence = torch.cat([shown, self.slot.expand(len(items), -1, -1)], dim=1)
        mask = nn.Transformer.generate_square_subsequent_mask(sequence.shape[1])
        return self.to_memory(self.writer(sequence, mask=mask, is_causal=True)[:, facts:])

    def read(
        self, memory: torch.Tensor, questions: torch.Tensor, kept: torch.Tensor
    ) -> torch.Tensor:
        """Return the logits of the answers, [item, question, value].

        Args:
            memory: [item, slot, number].
            questions: numbers of the facts that are asked for, int [item, question]. No question
                sees another one.
            kept: which memory tokens the reader gets, bool [item, slot].
        """
        slots, count = self.settings.slots, questions.shape[1]
        tokens = self.from_memory(memory) + self.place
        sequence = torch.cat([tokens, self.question(questions)], dim=1)
        others = torch.ones(slots + count, slots + count, dtype=torch.bool)
        others[:, :slots] = False
        others.fill_diagonal_(False)
        dropped = nn.functional.pad(~kept, (0, count))
        read = self.reader(sequence, mask=others, src_key_padding_mask=dropped)
        return self.answer(read[:, slots:])


def _transformer(settings: Settings) -> nn.TransformerEncoder:
    width = settings.width
    layer = nn.TransformerEncoderLayer(
        width, settings.heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
    )
    norm = nn.LayerNorm(width)
    return nn.TransformerEncoder(layer, settings.layers, norm, enable_nested_tensor=False)


def train(
    cut: str,
    asked: Sequence[float] = ASKED,
    seed: int = 0,
    *,
    settings: Settings = SETTINGS,
    progress: bool = True,
) -> SmallModel:
    """Return a small model, trained on one core.

    Models of one seed begin with the same weights, and all cuts see the same items and questions.

    Args:
        cut: which memory tokens the reader gets in training, a key of
            `tempo_lab.nano.front_loading.cuts.ARMS`.
        asked: share of the questions that ask for each fact. They add up to 1.
        seed: of the weights and of the data.
        settings: sizes of the model and of its training.
        progress: whether to show a bar.

    Raises:
        TempoLabError: no such cut, or shares that are not shares.
    """
    if cut not in ARMS:
        raise TempoLabError(
            "unknown cut",
            asked=repr(cut),
            found=", ".join(ARMS),
            fix=did_you_mean(cut, ARMS, "use one of these"),
        )
    shares = [check_number("share", each, above=0, error=TempoLabError) for each in asked]
    if abs(sum(shares) - 1) > 1e-6:
        raise TempoLabError(
            "the shares of the questions must add up to 1",
            asked=f"asked={tuple(shares)}",
            found=f"a sum of {sum(shares):.6g}",
            fix="divide each share by the sum",
        )
    rng = np.random.default_rng(check_whole("seed", seed, 0, error=TempoLabError))
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmallModel(shares, settings)
        optimizer = torch.optim.AdamW(model.parameters(), settings.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.learning_rate, settings.steps
        )
        bar = progress_bar(range(settings.steps), desc=cut, leave=False, disable=not progress)
        for _ in bar:
            items = _draw_items(model, settings.batch, rng)
            asks = rng.choice(len(shares), (settings.batch, settings.questions), p=shares)
            questions = torch.from_numpy(asks)
            kept = _as_mask(kept_slots(cut, settings.batch, settings.slots, rng), settings.slots)
            memory = _add_noise(model.write(items), settings.noise)
            logits = model.read(memory, questions, kept)
            right = items.gather(1, questions)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), right.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def recall(model: SmallModel, items: int = 1000, seed: int = 1_000_000) -> pd.DataFrame:
    """Return how much the reader recalls from the first, the last and random memory tokens.

    Every fact of every item is asked for once with each set of tokens.

    Args:
        model: a trained small model.
        items: how many items, which training did not draw.
        seed: of the items, of the noise and of the random sets. Each item has its own random set.

    Returns:
        One row for each fact, each k and each set of tokens: columns `fact`, `asked`, `tokens` (k),
        `kept` ("first", "last" or "random") and `right`, the share of right answers.
    """
    slots, facts = model.settings.slots, len(model.asked)
    rng = np.random.default_rng(seed)
    rows = []
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shown = _draw_items(model, items, rng)
        memory = _add_noise(model.write(shown), model.settings.noise)
        every = torch.arange(facts).expand(items, -1)
        for tokens in range(1, slots + 1):
            places = torch.arange(slots).expand(items, -1)
            drawn = torch.from_numpy(rng.permuted(places.numpy(), axis=1))
            chosen = {"first": places, "last": slots - 1 - places, "random": drawn}
            for name, rank in chosen.items():
                logits = model.read(memory, every, rank < tokens)
                right = (logits.argmax(dim=2) == shown).double().mean(dim=0)
                for fact, share in enumerate(right.tolist()):
                    rows.append((fact, model.asked[fact], tokens, name, share))
    return pd.DataFrame(rows, columns=["fact", "asked", "tokens", "kept", "right"])


def right_answers(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of right answers if facts are asked for as often as in training.

    Args:
        table: what :func:`recall` returns.

    Returns:
        [tokens, kept]: a row for each k, a column each for the first, last and random k tokens.
    """
    weighted = table.assign(right=table["right"] * table["asked"])
    return weighted.pivot_table("right", "tokens", "kept", aggfunc="sum")


def order(table: pd.DataFrame, end: str = "first") -> pd.Series:
    """Return how early each fact is recalled, as memory grows from one end.

    It is the mean recall with fewer tokens than all, divided by the recall with all tokens, as in
    the study. It is 1 for a fact that one token is enough for, and NaN for a fact that was not
    learned: with all tokens, less than half of the answers are right.

    Args:
        table: what :func:`recall` returns.
        end: "first" or "last".

    Returns:
        [fact].
    """
    right = table[table["kept"] == end].pivot(index="fact", columns="tokens", values="right")
    every = right.iloc[:, -1]
    return (right.iloc[:, :-1].mean(axis=1) / every).where(every >= LEARNED).rename("early")


def _draw_items(model: SmallModel, count: int, rng: np.random.Generator) -> torch.Tensor:
    """Values of facts [item, fact]."""
    return torch.from_numpy(rng.integers(model.settings.values, size=(count, len(model.asked))))


def _add_noise(memory: torch.Tensor, deviation: float) -> torch.Tensor:
    return memory + deviation * torch.randn_like(memory)


def _as_mask(kept: Sequence[np.ndarray], slots: int) -> torch.Tensor:
    """Bool [item, slot] of lists of slots."""
    mask = np.zeros((len(kept), slots), bool)
    mask[np.repeat(np.arange(len(kept)), list(map(len, kept))), np.concatenate(kept)] = True
    return torch.from_numpy(mask)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Inside, torch uses one thread: more make so small a model slower, and round differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
