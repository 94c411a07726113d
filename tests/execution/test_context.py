"""`context` within a run: real logs, read where the code runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.data.text import open_text
from agent.data.warehouse import Warehouse
from agent.execution.host import Data
from tests.execution.conftest import OpenBench, everything_goes

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real files are not beside the checkout")
def test_generated_code_reads_real_logs_through_context(open_bench: OpenBench, warehouse: Warehouse):
    paths = open_text(SHARED / "OpenSSH_2k.log").paths
    bench = open_bench(data=Data(warehouse.session, everything_goes, text=paths))
    code = """
failed = context.grep(r"Failed password")
result = [len(context), len(failed), "sshd" in context[0], context.bytes == len(context.text.encode())]
"""
    result = bench.run(code)
    assert result.status == "success", result.error_trace
    lines = (SHARED / "OpenSSH_2k.log").read_bytes().splitlines()
    assert json.loads(result.output) == [len(lines), sum(b"Failed password" in line for line in lines), True, True]
