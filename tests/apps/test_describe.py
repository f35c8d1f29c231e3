"""Information about a checkpoint on the hub, from its JSON files alone."""

from __future__ import annotations

import shutil
from fnmatch import fnmatch

import huggingface_hub
import pytest

from tempo_lab.apps.describe import describe
from tempo_lab.common.errors import CheckpointError, VideoError

NAME = "Vision-CAIR/Tempo-6B"


@pytest.fixture
def hub(monkeypatch, golden, tmp_path):
    """A hub that gives only those files of the tiny checkpoint that are asked for."""
    downloads = []

    def download(name, *, allow_patterns, **options):
        downloads.append((name, options["local_files_only"]))
        for path in (golden / "tempo").iterdir():
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, tmp_path)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return downloads


def test_of_a_hub_checkpoint_only_the_descriptions_are_fetched(hub, tmp_path, golden):
    facts = describe(NAME)
    assert hub == [(NAME, False)]
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}
    local = describe(str(golden / "tempo"))
    assert facts.pop("checkpoint") == NAME
    assert facts.pop("folder") == str(tmp_path)
    assert facts.items() <= local.items()
    assert facts["memory_tokens_per_segment"] == 128
    assert "parameters" in local  # which only the weights can tell
    assert "parameters" not in facts


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch):
    def download(*_, **__):
        raise OSError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(CheckpointError, match="no connection"):
        describe(NAME)


@pytest.mark.parametrize("name", ["nano", "tempo", "./nowhere", "missing.mp4", "svlm/missing"])
def test_nothing_is_fetched_unless_it_is_a_hub_name(hub, golden, monkeypatch, name):
    monkeypatch.chdir(golden)
    if name in ("nano", "tempo"):
        assert describe(name)["projector"]
    else:
        with pytest.raises(VideoError):
            describe(name)
    assert hub == []
