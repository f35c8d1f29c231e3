"""A recorded trace, saved and loaded."""

from __future__ import annotations

import subprocess
import sys

import tempo_lab as tl
from tests.session.capture.conftest import ALL


def test_a_saved_capture_is_the_same_and_opens_without_torch(full, grouped, tmp_path):
    for trace in (full, grouped):
        loaded = tl.Trace.load(trace.save(tmp_path / "trace.nc"))
        assert loaded.data.identical(trace.data)
        assert loaded.provenance["capture"] == trace.provenance["capture"]
    assert loaded.provenance["capture"]["attention"]["names"] == list(ALL.names)
    program = (
        "import sys, tempo_lab as tl\n"
        f"data = tl.Trace.load({str(tmp_path / 'trace.nc')!r}).data\n"
        "row = data['attention'].sel(segment=0, layer=2, row='decision', key_group='query')\n"
        "assert row.sizes == {'head': 4}, row.sizes\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
