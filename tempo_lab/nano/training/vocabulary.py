"""Nano's tokenizer: whole words, whole prompt sentences, times in pieces.

A plain ``tokenizer.json`` (word level) that transformers' AutoTokenizer reads without our code.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tempo_lab.model.prompts import COMPRESSOR_SYSTEM, LLM_SYSTEM, RELEVANCE_SENTENCE
from tempo_lab.nano.world.questions import DESCRIBE, PHRASES
from tempo_lab.nano.world.scenes import COLORS, MOTIONS, PLACES, SHAPES, SIZES, WORDS

SPECIAL = (
    "<unk>",
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|video_pad|>",
    "<|image_pad|>",
)
SENTENCES = (COMPRESSOR_SYSTEM, RELEVANCE_SENTENCE, LLM_SYSTEM, "\nQuery:\n")
RELEVANCE = {"Yes": "\ue000", "No": "\ue001"}  # and their placeholders while the text is lowercased
MORE_WORDS = """a an the is are was of in on at to and or with without for from by it its this that
    there here all any no not none yes how many much when who why do does did can you see seen
    show shown shows showing appear appears first last next before after then most least same other
    color colour shape object thing place direction digit number move moves moving go goes going
    left right up down picture video scene segment time second seconds start end begin count list
    describe content tell me say what which where big small card way have has we system user
    assistant note nothing turns meets leaves changes corner part top bottom
    middle still q""".split()

PIECES = "|".join(
    [
        r"\n",
        r"<\d{0,2}(?=\d\d\.\d seconds>)",  # hundreds of seconds: "<", "<1" .. "<99"
        r"<(?=\d\.\d seconds>)",
        r"\d{1,2}(?=\.\d seconds>)",
        r"\.\d seconds>",
        r" (?=\d (?:seconds|second)\b)| \d{0,2}(?=\d\d (?:seconds|second)\b)",
        r"\d{1,2}(?= (?:seconds|second)\b)",
        r" ?[<>|]\S*",  # markup in a question: one unknown piece
        r" ?\p{L}+",
        r" ?\d+",
        r" ?[^\s\p{L}\d]+",
        r"\s",
    ]
)


def vocabulary() -> list[str]:
    """Return every token in order; each word is there without and with a space before it."""
    phrases = " ".join(text for group in PHRASES.values() for text in group)
    words = {*MORE_WORDS, *SHAPES, *COLORS, *MOTIONS, *PLACES, *SIZES, *WORDS}
    words |= set(
        (phrases + " " + DESCRIBE)
        .lower()
        .replace("?", "")
        .replace(".", "")
        .replace(",", "")
        .split()
    )
    words -= {"{}", "{a}", "{1}", "{0}", "{},"}
    tokens = ["\n", "<", *(f"<{n}" for n in range(1, 100)), *(f".{n} seconds>" for n in range(10))]
    tokens += [str(n) for n in range(10)] + [f"{n:02d}" for n in range(100)]
    tokens += [f" {n}" for n in range(100)]
    tokens += ["?", ".", ",", "!", ":", ";", " ", " ,"]
    for word in sorted(words):
        tokens += [word, f" {word}"]
    return [*SPECIAL, *SENTENCES, *RELEVANCE, *tokens]


def normalizing() -> list[normalizers.Normalizer]:
    """Return the normalizers of ordinary text; added tokens, as written here, bypass them.

    `Yes` and `No` alone are the two tokens of the relevance prior; within a text they are ordinary
    words. Text that would be a control token in lower case gets a second bar and is unknown.
    """
    hide = [normalizers.Replace(Regex(rf"\A{w}\z"), mark) for w, mark in RELEVANCE.items()]
    show = [normalizers.Replace(mark, word) for word, mark in RELEVANCE.items()]
    return [*hide, normalizers.Lowercase(), *show, normalizers.Replace("<|", "<||")]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer of both language models."""
    tokens = vocabulary()
    assert len(set(tokens)) == len(tokens)
    inner = Tokenizer(models.WordLevel({t: i for i, t in enumerate(tokens)}, unk_token="<unk>"))
    inner.normalizer = normalizers.Sequence(normalizing())
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    inner.decoder = decoders.Fuse()
    inner.add_tokens([AddedToken(text, normalized=False) for text in SENTENCES])
    inner.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="<unk>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
        model_max_length=16384,
    )


def save_tokenizer(folder: Path) -> None:
    """Write the tokenizer's files."""
    build_tokenizer().save_pretrained(folder)
