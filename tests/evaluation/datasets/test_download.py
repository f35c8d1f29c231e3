"""Downloads through the hub's client: what is asked of it, and what happens without it."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from tempo_lab.evaluation import datasets
from tempo_lab.evaluation.datasets import DATASETS, DatasetError, download
from tempo_lab.evaluation.datasets.download import SOURCES
from tests.evaluation.datasets import made_up
from tests.evaluation.datasets.made_up import write_json, write_lines

LVB = "longvideobench/LongVideoBench"


class Hub:
    """Stands in for the hub: repositories with names and contents of files."""

    def __init__(self, files: dict[str, dict[str, str]]) -> None:
        self.files = files
        self.calls: list[dict[str, Any]] = []

    def snapshot_download(self, repo_id: str, **options: Any) -> str:
        self.calls.append({"repo_id": repo_id, **options})
        for name, content in self.files[repo_id].items():
            if any(fnmatch.fnmatch(name, pattern) for pattern in options["allow_patterns"]):
                path = Path(options["local_dir"], name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        return str(options["local_dir"])


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    lvb = write_json(tmp_path / "lvb.json", [made_up.LONGVIDEOBENCH]).read_text()
    mlvu = write_json(tmp_path / "mlvu.json", [made_up.MLVU]).read_text()
    lines = write_lines(tmp_path / "a.jsonl", [made_up.LVBENCH]).read_text()
    hub = Hub(
        {
            LVB: {"lvb_val.json": lvb, "lvb_test.json": "", "subtitles.tar": "", "README.md": "",
                  "videos.tar.part.aa": ""},
            "MLVU/MVLU": {"MLVU/json/5_order.json": mlvu, "MLVU/video/5_order/order_9.mp4": ""},
            "THUDM/LVBench": {"video_info.meta.jsonl": lines},
            "CG-Bench/CG-Bench": {"README.md": ""},
        }
    )  # fmt: skip
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_only_questions_are_downloaded_by_default(hub: Hub, tmp_path: Path) -> None:
    folder = download("longvideobench", tmp_path / "lvb")
    assert names(tmp_path / "lvb") == ["lvb_val.json"]
    (call,) = hub.calls
    assert (call["repo_id"], call["repo_type"]) == (LVB, "dataset")
    assert len(datasets.longvideobench(folder)) == 1
    download("longvideobench", tmp_path / "lvb", subtitles=True, videos=True)
    assert names(tmp_path / "lvb") == ["lvb_val.json", "subtitles.tar", "videos.tar.part.aa"]


@pytest.mark.parametrize("name", ["mlvu", "lvbench"])
def test_what_is_returned_can_be_loaded(hub: Hub, tmp_path: Path, name: str) -> None:
    rows = datasets.load_dataset(name, download(name, tmp_path / "data")).rows
    assert rows
    assert not any(path.suffix == ".mp4" for path in (tmp_path / "data").rglob("*"))


def test_every_benchmark_has_a_source_and_no_other_name() -> None:
    shipped = {n for n, loader in DATASETS.items() if loader.__module__.startswith("tempo_lab.")}
    assert set(SOURCES) == shipped - {"table"}
    for source in SOURCES.values():
        assert source.page.startswith("https://")
        assert (source.repository is None) == (not source.annotations)


@pytest.mark.parametrize("name", ["qvhighlights", "nextgqa", "charades", "activitynet"])
def test_owners_without_a_repository_are_named(hub: Hub, tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="https://") as raised:
        download(name, tmp_path / "data")
    assert "download it from there" in str(raised.value)
    assert hub.calls == []


def test_what_cannot_be_downloaded_is_refused_first(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="did you mean 'lvbench'"):
        download("lvbenchh", tmp_path)
    with pytest.raises(DatasetError, match="table of your own"):
        download("table", tmp_path)
    with pytest.raises(DatasetError, match="without an archive of videos"):
        download("lvbench", tmp_path, videos=True)
    with pytest.raises(DatasetError, match="without an archive of subtitles"):
        download("mlvu", tmp_path, subtitles=True)
    assert hub.calls == []
    with pytest.raises(DatasetError, match="does not have the files") as raised:
        download("cgbench", tmp_path / "cg")
    assert "cgbench_mini.json" in str(raised.value)


@pytest.mark.parametrize("there", [False, True])
def test_offline_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # the client itself, without a network
    if there:  # then the client returns the folder and only warns
        (tmp_path / "other.txt").write_text("x")
    with pytest.raises(DatasetError) as raised:
        download("lvbench", tmp_path)
    assert "fix:" in str(raised.value)
    assert "https://huggingface.co/datasets/THUDM/LVBench" in str(raised.value)
    assert "check the connection" in str(raised.value)


def test_gated_repositories_say_where_to_accept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx
    from huggingface_hub.errors import GatedRepoError

    def refuse(*_: Any, **__: Any) -> str:
        request = httpx.Request("GET", "https://huggingface.co")
        raise GatedRepoError("403 Forbidden.", response=httpx.Response(403, request=request))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(DatasetError, match="accept their conditions") as raised:
        download("cgbench", tmp_path)
    assert "hf auth login" in str(raised.value)
    assert "https://huggingface.co/datasets/CG-Bench/CG-Bench" in str(raised.value)


def test_a_full_disk_is_our_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(DatasetError, match="No space left"):
        download("lvbench", tmp_path)
