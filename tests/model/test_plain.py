"""A plain Qwen3-VL: the same score from its loader, from a Tempo, and from transformers alone."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, Qwen3VLForConditionalGeneration

import tempo_lab as tl
from tempo_lab.common.errors import CheckpointError, QueryError, TraceError
from tests.traces import make_trace

QUESTION = "What color is the star?"
TINY = "svlm/qwen3-vl-tiny"
TOWER = "model.vision_tower_aux_list.0."


@pytest.fixture(scope="module", params=["tied", "untied"])
def plain_folder(request, golden, tmp_path_factory):
    """A random Qwen3-VL as transformers saves it: in shards, and with an own head if untied."""
    folder = tmp_path_factory.mktemp(request.param)
    config = AutoConfig.from_pretrained(golden / TINY)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = request.param == "tied"
    config.text_config.initializer_range = config.vision_config.initializer_range = 0.2
    torch.manual_seed(0)
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder, max_shard_size="500KB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(golden / TINY / name, folder)
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    return folder


@pytest.fixture(scope="module")
def plain(plain_folder):
    return tl.load(plain_folder, device="cpu", dtype="float32")


def tensors_of(folder):
    return {
        key: tensor
        for path in folder.glob("model*.safetensors")
        for key, tensor in load_file(path).items()
    }


def as_tempo(golden, folder, target):
    """A Tempo checkpoint in `target` whose SVLM has the weights of the Qwen3-VL in `folder`."""
    shutil.copytree(golden / "tempo", target)
    tensors = load_file(target / "model.safetensors")
    for key, tensor in tensors_of(folder).items():
        if key != "lm_head.weight":
            assert tensors[f"{TOWER}vlm.{key}"].shape == tensor.shape
            tensors[f"{TOWER}vlm.{key}"] = tensor
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return tl.load(target, base=folder, device="cpu", dtype="float32")


def independent_logits(folder, session):
    """Yes minus No of each segment by transformers' own model, positions and head."""
    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    yes, no = (session.checkpoint.prompts.svlm.encode(word)[0] for word in ("Yes", "No"))
    logits = []
    for segment in session.video.segments(session.engine.batches.resize):
        patches, grid = session.engine.batches.patches(segment)
        prompt = session.prompt(QUESTION, segment.index)
        ids = torch.as_tensor(prompt.ids[prompt.ids >= 0])[None]
        with torch.inference_mode():
            output = model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values_videos=(torch.from_numpy(patches).float() - 127.5) / 127.5,
                video_grid_thw=torch.tensor([[grid.pairs, grid.rows, grid.columns]]),
                mm_token_type_ids=2 * (ids == model.config.video_token_id).int(),
            ).logits[0, -1]
        logits.append(float(output[yes] - output[no]))
    return np.array(logits)


def test_the_score_is_that_of_a_tempo_and_of_transformers(
    golden, plain, plain_folder, frames_file, tmp_path
):
    with plain.open(frames_file, progress=False) as session:
        trace = session.score(QUESTION)
        independent = independent_logits(plain_folder, session)
    with as_tempo(golden, plain_folder, tmp_path / "tempo").open(
        frames_file, progress=False
    ) as session:
        scored = session.score(QUESTION)
        asked = session.ask(QUESTION, budget=48, max_new_tokens=1)
    logit = trace.data["logit"].to_numpy()
    assert np.ptp(logit) > 1e-3  # the segments differ by more than what is compared
    np.testing.assert_allclose(logit, independent, rtol=0, atol=1e-5)
    np.testing.assert_allclose(logit, scored.data["logit"], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(scored.data["logit"], asked.data["logit"])
    np.testing.assert_allclose(trace.data["relevance"], 1 / (1 + np.exp(-logit)), atol=1e-6)
    for name in ("start", "end", "clock", "true_start", "true_end"):
        np.testing.assert_array_equal(trace.data[name], asked.data[name])


def test_the_rows_are_those_of_the_head(plain, plain_folder):
    tensors = tensors_of(plain_folder)
    embedding = tensors["model.language_model.embed_tokens.weight"]
    head = tensors.get("lm_head.weight", embedding)
    assert torch.equal(plain.model.compressor.yes_no_rows, head[list(plain.prompts.yes_no)])
    assert ("lm_head.weight" in tensors) == (plain_folder.name.startswith("untied"))


def test_one_file_without_architectures_loads(golden):
    assert tl.load(golden / TINY, device="cpu").slots == 0


def test_a_half_precision_model_scores(plain_folder, frames_file):
    tempo = tl.load(plain_folder, device="cpu", dtype="bfloat16")
    with tempo.open(frames_file, progress=False) as session:
        assert np.isfinite(session.score(QUESTION).data["logit"]).all()


def test_asking_is_refused_with_the_fix(plain, frames_file):
    with plain.open(frames_file, progress=False) as session:
        with pytest.raises(CheckpointError, match=r"no memory tokens[\s\S]*session\.score"):
            session.ask(QUESTION)
        assert session.engine.computed["decoded"] == 0
        with pytest.raises(CheckpointError, match="no memory tokens"):
            tl.analysis.attribution(session, QUESTION)
        for blank in ("", " \n"):
            with pytest.raises(QueryError, match="blank") as error:
                session.score(blank)
            assert "faithful" not in str(error.value)
    for call in (plain.model, plain.model.project, plain.model.embed):
        with pytest.raises(CheckpointError, match="no memory tokens"):
            call(torch.zeros(1, 1))
    assert "no memory tokens per segment" in repr(plain)


def test_a_plain_model_takes_no_base_and_is_not_saved(plain, plain_folder, golden, tmp_path):
    with pytest.raises(CheckpointError, match="takes no base"):
        tl.load(plain_folder, base=golden / TINY)
    with pytest.raises(CheckpointError, match="copy its own folder"):
        plain.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_missing_weights_are_named_as_in_the_file(golden, tmp_path):
    folder = tmp_path / "plain"
    shutil.copytree(golden / TINY, folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.language_model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"missing: model\.language_model\.norm\.weight"):
        tl.load(folder)


@pytest.mark.parametrize("change", [{"text_config": 5}, {"quantization_config": {"bits": 4}}])
def test_a_configuration_without_meaning_is_refused(golden, tmp_path, change):
    folder = tmp_path / "plain"
    shutil.copytree(golden / TINY, folder)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | change))
    with pytest.raises(CheckpointError):
        tl.load(folder)


def test_a_trace_of_scores_is_ranked_and_reopened(plain, frames_file, tmp_path):
    with plain.open(frames_file, progress=False) as session:
        trace, control = session.score(QUESTION), session.score("Is there a dog?")
    again = tl.Trace.load(trace.save(tmp_path / "scores.nc"))
    assert again.scores_only
    assert again.data.identical(trace.data)
    assert again.provenance == trace.provenance
    truth = trace.data["logit"].to_numpy() > np.median(trace.data["logit"])
    ranked = tl.analysis.relevance([again], [truth], controls=[control])
    assert float(ranked.data["auc"][0]) == 1
    assert again.top(2)["relevance"].max() == float(trace.data["relevance"].max())


def test_what_needs_tokens_refuses_a_trace_of_scores(plain, frames_file):
    with plain.open(frames_file, progress=False) as session:
        trace = session.score(QUESTION)
    assert "tokens" not in trace.data
    assert trace.caution is None
    assert "wanted" not in trace._repr_html_()
    needs = [
        trace.allocation,
        lambda: trace.totals,
        lambda: tl.plots.allocation(trace),
        lambda: tl.plots.routing(trace, make_trace().allocation()),
        lambda: tl.plots.filmstrip(trace, [np.zeros((4, 4, 3), np.uint8)] * 6),
        lambda: tl.analysis.allocation_study(trace),
    ]
    for need in needs:
        with pytest.raises(TraceError, match=r"no tokens and no answer[\s\S]*session\.ask"):
            need()
