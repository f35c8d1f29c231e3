"""`tempo-lab ask --subtitles`."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from tempo_lab.apps.cli import app


def test_subtitles_are_read_counted_and_named_if_damaged(golden, frames_file, tmp_path):
    path = tmp_path / "talk.srt"
    path.write_text("1\n00:00:00,000 --> 00:00:08,000\nHello there\n")
    words = ["ask", str(frames_file), "Who?", "--subtitles", str(path), "--budget", "60"]
    words += ["--model", str(golden / "tempo"), "--base", str(golden / "svlm" / "qwen3-vl-tiny")]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert "Hello there\nWho?" in record["prompts"]["llm"]
    assert record["totals"]["subtitles"] > 0
    assert [row["subtitle_lines"] for row in record["segments"]] == [1, 1, 0, 0, 0, 0]
    path.write_text("1\n00:00:00,000 --> soon\nHello there\n")
    result = CliRunner().invoke(app, words)
    assert result.exit_code != 0
    assert f"{path}, line 2" in result.output
