"""Tiny made-up files in the exact formats of the datasets' owners."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LVBENCH = {
    "key": "abc123",
    "type": "tv",
    "qa": [
        {
            "uid": "17",
            "question": "What colour is the second car?\n(A) Red\n(B) Blue\n(C) Green\n(D) White",
            "answer": "B",
            "question_type": ["key information retrieval", "entity recognition"],
            "time_reference": "12:04-12:09",
        },
        {
            "uid": "18",
            "question": "Who enters last?\n(A) Ann\n(B) Bob\n(C) Cleo\n(D) Dan",
            "answer": "D",
            "question_type": ["entity recognition"],
            "time_reference": "01:02:03-01:02:09",
        },
    ],
}
VIDEOMME = {
    "video_id": "900", "duration": "long", "domain": "Knowledge", "sub_category": "Astronomy",
    "url": "..", "videoID": "x1", "question_id": "900-2", "task_type": "Counting Problem",
    "question": "How many moons are there?", "options": ["A. 1.", "B. 2.", "C. 3.", "D. 4."],
    "answer": "B",
}  # fmt: skip
MLVU = {
    "video": "order_9.mp4", "duration": 660.0, "question": "Arrange (1) and (2).",
    "candidates": ["1->2", "2->1", "both", "none"], "answer": "2->1", "question_type": "order",
}  # fmt: skip
LONGVIDEOBENCH = {
    "id": "v_0", "video_id": "v", "video_path": "v.mp4", "subtitle_path": "v.json",
    "duration": 412.3, "duration_group": 600, "starting_timestamp_for_subtitles": 10,
    "question": "What is on the table?", "candidates": ["a cup", "a key", "a map", "a pen"],
    "correct_choice": 2, "question_category": "T2O", "level": "L2-Relation",
    "topic_category": "KC-Knowledge",
}  # fmt: skip
CGBENCH = {
    "qid": 5, "video_uid": "c1", "question": "Which card is shown?", "answer": "the ace",
    "choices": ["the king", "the ace", "the jack"], "right_answer": "B",
    "clue_intervals": [[30, 34], [61.5, 70]], "domain": "Life Record",
    "sub_category": "Magic", "duration": 1707.5,
}  # fmt: skip
QVHIGHLIGHTS = {
    "qid": 7803, "query": "A man walks inside.", "duration": 10, "vid": "R_360.0_370.0",
    "relevant_clip_ids": [1, 2], "saliency_scores": [[4, 4, 2], [0, 1, 3]],
    "relevant_windows": [[2, 6]],
}  # fmt: skip
NEXTGQA_CSV = """video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4
490,919,640,480,why did the dog run,to catch it,2,CW,play,"rest, a while",to catch it,eat,sing
490,919,640,480,what did the dog do,sat,3,TC,ran,sat,slept,ate,dug
"""
NEXTGQA_JSON = {"490": {"duration": 32, "location": {"2": [[-0.2, 4.5], [9, 11.5]]}, "fps": 29.97}}
REXTIME_LINES = {
    "qid": "anet_val1", "query": "Why does the horse stop?", "duration": 19.39,
    "vid": "v_hw", "relevant_windows": [[0, 18]], "ans": "A",
}  # fmt: skip
REXTIME_HUB = {
    "qid": "anet_val1", "question": "Why does the horse stop?", "vid": "v_hw", "span": [0, 18],
    "options": ["It is tired.", "It eats.", "It sees a dog.", "It sleeps."], "ans": "C",
    "category": "means-to-an-end",
}  # fmt: skip
CHARADES = "AO8RW 0.0 6.9##a person is putting a book on a shelf.\nXYZ 5 9.5##they sit down.\n"
ACTIVITYNET = {
    "v_bXd": {
        "duration": 82.73, "timestamps": [[0.83, 19.86], [17.37, 60.81]],
        "sentences": ["A young woman kneels.", " She stands up."],
    }
}  # fmt: skip


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_videos(folder: Path, *names: str) -> Path:
    """A folder of files with these names; datasets only look whether a video is there."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")
    return folder
