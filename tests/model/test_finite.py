"""NaN and infinity are refused where they first show, and never answered from."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

import tempo_lab as tl
from tempo_lab.common.errors import CheckpointError
from tempo_lab.nano.training.export import export
from tempo_lab.nano.training.recipes import RECIPES
from tempo_lab.session.scoring import TeacherForced

QUESTION = "What color is the moving square?"
SIZES = RECIPES["tiny"].sizes


def changed(tiny, name, factor, dtype=torch.float32):
    """The tiny model with one of its weights multiplied."""
    model = copy.deepcopy(tiny.model).to(dtype)
    with torch.no_grad():
        model.state_dict()[name].mul_(factor)
    return tl.Tempo(replace(tiny.checkpoint, model=model))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("model.layers.1.mlp.up_proj.weight", "the logits of the LLM"),
        ("model.vision_tower_aux_list.0.vlm.model.visual.blocks.0.mlp.linear_fc1.weight",
         "the relevance logits"),
        ("model.vision_tower_aux_list.0.yes_no_rows", "the relevance logits"),
        ("model.vision_tower_aux_list.0.compression_tokens", "the memory tokens"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_damaged_weight_is_named_before_anything_is_said(tiny, frames_file, name, what, factor):
    said: list[str] = []
    with pytest.raises(CheckpointError, match=f"^{what} are not finite") as refused:
        changed(tiny, name, factor).ask(frames_file, QUESTION, budget=48, stream=said.append)
    assert not said
    assert f"first {name.removeprefix('model.vision_tower_aux_list.0.')}" in refused.value.found
    assert "download or copy the weights again" in refused.value.fix


def test_scores_of_the_user_do_not_hide_infinite_logits(tiny, frames_file):
    name = "model.vision_tower_aux_list.0.yes_no_rows"
    tempo = changed(tiny, name, torch.tensor([[float("inf")], [1.0]]))
    with pytest.raises(CheckpointError, match="relevance logits"):
        tempo.ask(frames_file, QUESTION, budget=48, scores=[0, 0, 0, 1, 0, 0])


def test_a_range_that_is_too_small_is_told_from_damage(tiny, frames_file):
    """The same weights overflow in float16 and answer in bfloat16."""
    options = {"question": QUESTION, "budget": 48, "max_new_tokens": 2}
    with pytest.raises(CheckpointError, match='dtype="bfloat16"') as refused:
        changed(tiny, "model.norm.weight", 3e4, torch.float16).ask(frames_file, **options)
    assert "weights" not in refused.value.found
    changed(tiny, "model.norm.weight", 3e4, torch.bfloat16).ask(frames_file, **options)


def test_hidden_states_and_log_probabilities_are_checked(tiny, frames_file):
    layer = "model.vision_tower_aux_list.0.vlm.model.language_model.layers.0.mlp.up_proj.weight"
    with pytest.raises(CheckpointError, match="the hidden states after layer 0"):
        changed(tiny, layer, float("nan")).ask(
            frames_file, QUESTION, budget=48, capture=tl.Capture(hidden=["decision"])
        )
    damaged = changed(tiny, "model.norm.weight", float("nan"))
    with damaged.open(frames_file, progress=False) as session:
        asked = TeacherForced(session, QUESTION, "red")
        embeddings = asked.embed([[torch.zeros(4, 64)] * 6])
        with pytest.raises(CheckpointError, match="the logits of the LLM"):
            asked.distributions(embeddings)


@pytest.mark.parametrize("value", [float("nan"), 1e5])
def test_no_weight_is_exported_that_is_no_number(tmp_path, value):
    tensors = {"model.norm.weight": torch.tensor([1.0, value])}
    with pytest.raises(CheckpointError, match=r"first model\.norm\.weight"):
        export(tmp_path / "out", SIZES, tensors, {})
    assert not (tmp_path / "out").exists()
