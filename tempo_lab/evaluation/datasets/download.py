"""Download a dataset's files from its owners' repository; only when asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tempo_lab.common.errors import did_you_mean
from tempo_lab.evaluation.datasets.rows import DatasetError


@dataclass(frozen=True)
class Source:
    """Where the owners of a dataset distribute it.

    Attributes:
        page: address of their page.
        repository: their dataset repository on the Hugging Face hub, or None.
        annotations: names of the files with questions and answers in it; the first must be there.
        subtitles: names of the archives of subtitles.
        videos: names of the archives of videos.
    """

    page: str
    repository: str | None = None
    annotations: tuple[str, ...] = ()
    subtitles: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()


def _hub(repository: str, *annotations: str, **more: tuple[str, ...]) -> Source:
    page = f"https://huggingface.co/datasets/{repository}"
    return Source(page, repository, annotations, **more)


SOURCES: Mapping[str, Source] = {
    "lvbench": _hub("THUDM/LVBench", "video_info.meta.jsonl"),
    "videomme": _hub(
        "lmms-lab/Video-MME", "videomme/*.parquet",
        subtitles=("subtitle.zip",), videos=("videos_chunked_*.zip",),
    ),
    "mlvu": _hub("MLVU/MVLU", "MLVU/json/*.json", videos=("MLVU/video/*",)),
    "longvideobench": _hub(
        "longvideobench/LongVideoBench", "lvb_val.json",
        subtitles=("subtitles.tar",), videos=("videos.tar.part.*",),
    ),
    "cgbench": _hub("CG-Bench/CG-Bench", "cgbench_mini.json"),
    "rextime": _hub("ReXTime/ReXTime", "*rextime_val.json"),
    "qvhighlights": Source("https://github.com/jayleicn/moment_detr/tree/main/data"),
    "nextgqa": Source("https://github.com/doc-doc/NExT-GQA"),
    "charades": Source("https://github.com/jiyanggao/TALL"),
    "activitynet": Source("https://cs.stanford.edu/people/ranjaykrishna/densevid/"),
}  # fmt: skip
"""Of each benchmark. Copies in repositories of others are not among them."""


def download(
    name: str, folder: str | os.PathLike[str], *, subtitles: bool = False, videos: bool = False
) -> Path:
    """Download a dataset with the hub's own client; files that are there already are kept.

    Archives are not unpacked. Some owners ask you to accept their conditions first, on the page
    of the repository.

    Args:
        name: of the dataset, as in `load_dataset`.
        folder: where to put the files.
        subtitles: whether to download the archive of subtitles, too.
        videos: whether to download the archives of videos, too: up to hundreds of gigabytes.

    Returns:
        The folder with the questions, to load the dataset from.

    Raises:
        DatasetError: no dataset has this name, its owners have no such repository or files in it,
            or it cannot be downloaded.
    """
    source = _source(name)
    patterns = list(source.annotations)
    for wanted, kind, names in (
        (subtitles, "subtitles", source.subtitles), (videos, "videos", source.videos)
    ):  # fmt: skip
        if wanted and not names:
            raise DatasetError(
                f"{kind} of this dataset cannot be downloaded", asked=name,
                found=f"a repository without an archive of {kind}",
                fix=f"see {source.page}; without {kind}=, the questions are downloaded",
            )  # fmt: skip
        patterns += names if wanted else ()
    target = Path(folder).expanduser()
    _fetch(source, patterns, target)
    for pattern in source.annotations:
        if found := _files(target, pattern):
            return found[0].parent
    files = [path.name for path in _files(target, "*")]
    raise DatasetError(
        "the repository does not have the files of this dataset",
        asked=f"{', '.join(source.annotations)} of {source.repository}",
        found=", ".join(files[:8]) or "no such file",
        fix=f"see {source.page}, and check the connection",
    )


def _files(folder: Path, pattern: str) -> list[Path]:
    """Return the matching files in a folder and below, without the client's own records."""
    found = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return [path for path in found if ".cache" not in path.relative_to(folder).parts]


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise DatasetError(
            "no dataset that can be downloaded has this name", asked=name,
            found=", ".join(sorted(SOURCES)),
            fix=did_you_mean(name, SOURCES, "a table of your own is not downloaded"),
        )  # fmt: skip
    source = SOURCES[name]
    if source.repository is None:
        raise DatasetError(
            "the owners of this dataset have no repository that the hub's client can read",
            asked=name, found=source.page, fix="download it from there, and pass its path",
        )  # fmt: skip
    return source


def _fetch(source: Source, patterns: list[str], folder: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    assert source.repository is not None
    try:
        snapshot_download(
            source.repository, repo_type="dataset", local_dir=folder, allow_patterns=patterns
        )
    except GatedRepoError as error:
        raise DatasetError(
            "the owners of this dataset ask you to accept their conditions",
            asked=source.repository, found=_first_line(error),
            fix=f"accept them on {source.page}, and log in with `hf auth login`",
        ) from error  # fmt: skip
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise DatasetError(
            "the dataset cannot be downloaded",
            asked=f"{source.repository} to {folder}",
            found=f"the hub says: {_first_line(error)}",
            fix=f"check the connection and the free space, or download it from {source.page}",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
