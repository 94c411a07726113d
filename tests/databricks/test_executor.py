"""Code in a job of a workspace: the notebook, its process, and what it leaves in the Volume."""

from __future__ import annotations

import json

from tests.databricks.bench import Bench


def test_code_that_works_is_a_success_with_what_it_printed_and_its_result(bench: Bench) -> None:
    result = bench.run("print('three lines'); result = {'rows': spark.range(3).count()}")
    assert (result.status, result.stdout, result.error) == ("success", "three lines\n", None), result
    assert json.loads(result.output or "") == {"rows": 3}
    assert result.iteration == 3
