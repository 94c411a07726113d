"""What a delegation leaves behind: files that tell the whole story, and a notebook that opens in Jupyter."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest

from agent.artifacts.folder import FolderArtifacts
from graph.errors import InvalidRequest
from graph.types import Artifact, ExecutionResult
from tests.execution.conftest import Bench


def notebook(path: str | Path) -> nbformat.NotebookNode:
    """Read as Jupyter does; raises when it is no valid notebook."""
    read = nbformat.read(Path(path) / "notebook.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(read)
    return read


def told(bench: Bench, artifact: Artifact) -> nbformat.NotebookNode:
    """The notebook once its output was read."""
    bench.artifacts.write_digest(artifact.artifact_id, "Read.")
    return notebook(artifact.path)


def cell(book: nbformat.NotebookNode, tag: str) -> nbformat.NotebookNode:
    (found,) = [cell for cell in book.cells if tag in cell.metadata.tags]
    return found


def test_before_the_run_there_are_the_code_and_a_notebook_with_the_instruction(bench: Bench):
    artifact = bench.artifact("print(1)\n", "Count the vendors.")
    assert bench.artifacts.write(artifact) == f"{artifact.artifact_id}/code.py"
    assert (Path(artifact.path) / "code.py").read_text() == "print(1)\n"
    book = notebook(artifact.path)
    assert [cell.cell_type for cell in book.cells] == ["markdown", "code", "code"]
    assert cell(book, "instruction").source == "Count the vendors."
    assert cell(book, "delegation").source == "print(1)\n"
    assert bench.artifacts.result(artifact.artifact_id) is None
    assert bench.artifacts.size(artifact.artifact_id) == 0
    assert list(bench.artifacts.text(artifact.artifact_id)) == []


def test_writing_an_artifact_again_changes_nothing(bench: Bench):
    artifact, run_id = bench.start("print(1)")
    bench.result(run_id)
    before = {path: path.stat().st_mtime_ns for path in Path(artifact.path).rglob("*")}
    bench.artifacts.write(artifact)
    assert {path: path.stat().st_mtime_ns for path in Path(artifact.path).rglob("*")} == before


def test_after_the_run_the_notebook_holds_what_it_printed_its_result_and_the_digest(bench: Bench):
    artifact, run_id = bench.start("import sys\nprint('hello')\nprint('careful', file=sys.stderr)\nresult = {'n': 1}\n")
    bench.result(run_id)
    bench.artifacts.write_digest(artifact.artifact_id, "There is one.")
    book = notebook(artifact.path)
    streams = [
        (output.name, output.text) for output in cell(book, "delegation").outputs if output.output_type == "stream"
    ]
    assert streams == [("stdout", "hello\n"), ("stderr", "careful\n")]
    assert cell(book, "delegation").outputs[-1].data["text/plain"] == '{"n": 1}'
    assert "There is one." in cell(book, "digest").source
    assert (Path(artifact.path) / "digest.md").read_text() == "There is one."


def test_a_failed_run_shows_its_traceback_once(bench: Bench):
    artifact, run_id = bench.start("print('before')\n1 / 0\n")
    bench.result(run_id)
    outputs = cell(told(bench, artifact), "delegation").outputs
    assert [output.output_type for output in outputs] == ["stream", "error"]
    assert (outputs[1].ename, outputs[1].evalue) == ("ZeroDivisionError", "division by zero")


def test_the_result_file_has_exactly_the_fields_that_readers_know(bench: Bench):
    artifact, run_id = bench.start("print(1)")
    result = bench.result(run_id)
    written = json.loads((Path(artifact.path) / "result.json").read_text())
    assert list(written) == [
        *("status", "artifact_path", "run_id", "iteration", "start_time", "end_time", "duration_seconds"),
        *("stdout", "stderr", "output", "error", "error_trace", "timed_out"),
    ]
    assert ExecutionResult(**written) == result == bench.artifacts.result(artifact.artifact_id)


def test_a_run_leaves_only_files_that_say_something(bench: Bench):
    artifact, run_id = bench.start("print(1)")
    bench.result(run_id)
    assert sorted(path.name for path in Path(artifact.path).iterdir()) == [
        *("code.py", "meta.json", "notebook.ipynb", "result.json"),
        *("run.json", "run.log", "stderr.txt", "stdout.txt"),
    ]


def test_figures_that_are_shown_and_figures_left_open_are_in_the_notebook(bench: Bench):
    code = """
import matplotlib.pyplot as plt
plt.plot([1, 2, 3]); plt.title("first"); plt.show()
figure, axes = plt.subplots(); axes.bar(["a", "b"], [1, 2])
print(plt.get_backend())
"""
    artifact, run_id = bench.start(code)
    result = bench.result(run_id)
    assert result.status == "success", result.error_trace
    assert result.stderr == ""
    pictures = [
        output for output in cell(told(bench, artifact), "delegation").outputs if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2
    assert all(base64.b64decode(picture.data["image/png"]).startswith(b"\x89PNG") for picture in pictures)
    assert pictures[0].data["image/png"] != pictures[1].data["image/png"]


def test_figures_of_code_that_failed_later_are_kept(bench: Bench):
    artifact, run_id = bench.start("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nraise ValueError('later')\n")
    assert bench.result(run_id).status == "failed"
    kinds = [output.output_type for output in cell(told(bench, artifact), "delegation").outputs]
    assert kinds == ["display_data", "error"]


def test_a_picture_that_is_none_or_a_link_to_elsewhere_is_left_out(bench: Bench, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"\x89PNG\r\n\x1a\nsecret")
    code = f"""
os.mkdir("../figures")
os.symlink({str(secret)!r}, "../figures/figure-01.png")
Path("../figures/figure-02.png").write_text("no picture")
"""
    artifact, run_id = bench.start(code)
    bench.result(run_id)
    assert cell(told(bench, artifact), "delegation").outputs == []


def test_the_setup_cell_tells_the_names_and_can_be_run(bench: Bench):
    artifact, run_id = bench.start("result = iteration")
    bench.result(run_id)
    names: dict[str, object] = {}
    exec(cell(told(bench, artifact), "setup").source, names)
    assert (names["run_id"], names["iteration"], names["catalog"]) == (run_id, 3, None)
    assert "execute_sql" in cell(notebook(artifact.path), "setup").source


@pytest.mark.parametrize("text", ["naïve – 数据\n", "\x00\x1b[31mred\x1b[0m\n", "'''quotes'''", "\ud800"])
def test_odd_letters_survive_in_code_and_output(bench: Bench, text: str):
    artifact, run_id = bench.start(f"print({text!a})")
    result = bench.result(run_id)
    assert result.status == "success"
    assert notebook(artifact.path)
    assert (
        "".join(bench.artifacts.text(artifact.artifact_id)).encode()
        == (Path(artifact.path) / "stdout.txt").read_bytes()
    )


def test_the_texts_of_an_artifact_are_what_it_printed_and_its_errors(bench: Bench):
    failed, run_id = bench.start("print('out')\nraise ValueError('wrong')")
    bench.result(run_id)
    assert "".join(bench.artifacts.text(failed.artifact_id)) == "out\n"
    text = "".join(bench.artifacts.text(failed.artifact_id, "stderr"))
    assert text.startswith("Traceback")
    assert text.endswith("ValueError: wrong\n")
    assert bench.artifacts.size(failed.artifact_id, "stderr") >= len(text)


def test_a_long_text_comes_in_pieces_that_split_no_letter(bench: Bench):
    artifact, run_id = bench.start("print('ä数' * 1_000_000)")
    bench.result(run_id)
    pieces = list(bench.artifacts.text(artifact.artifact_id))
    assert len(pieces) > 1
    assert "".join(pieces) == "ä数" * 1_000_000 + "\n"


def test_summaries_tell_what_artifacts_there_are_newest_first(bench: Bench):
    assert bench.artifacts.list() == ()
    first, run_id = bench.start("print(1)")
    bench.result(run_id)
    second = bench.artifact("print(2)", None)
    bench.artifacts.write(second)
    newest, oldest = bench.artifacts.list()
    assert (newest.artifact_id, newest.status, newest.instruction) == (second.artifact_id, "pending", None)
    assert (oldest.artifact_id, oldest.status, oldest.code) == (first.artifact_id, "success", "print(1)")
    assert {"code.py", "notebook.ipynb", "stdout.txt", "stderr.txt", "result.json", "meta.json"} <= set(oldest.files)
    assert bench.artifacts.read(first.artifact_id) == oldest


@pytest.mark.parametrize(
    "artifact_id", ["../../etc", "art_", "art_0123456789AB", "art_0123456789ab/../x", "", "art_0123456789ab\n"]
)
def test_what_is_no_artifact_id_never_becomes_a_path(tmp_path: Path, artifact_id: str):
    store = FolderArtifacts(tmp_path)
    artifact = Artifact(artifact_id, "t", "i", 1, "pass", None, str(tmp_path))
    for call in (store.folder, store.read, store.result, store.size):
        with pytest.raises(InvalidRequest):
            call(artifact_id)
    with pytest.raises(InvalidRequest):
        store.write(artifact)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_artifact_is_an_error_that_says_how_to_find_the_known(tmp_path: Path):
    with pytest.raises(InvalidRequest, match="artifacts list"):
        FolderArtifacts(tmp_path).read("art_0123456789ab")


def test_a_reader_never_sees_half_a_notebook(bench: Bench):
    artifact, run_id = bench.start("print('x' * 50_000)")
    bench.result(run_id)

    def write(n: int) -> None:
        bench.artifacts.write_digest(artifact.artifact_id, f"{n} " * 1000)

    with ThreadPoolExecutor(2) as pool:
        writes = [pool.submit(write, n) for n in range(30)]
        while not all(write.done() for write in writes):
            notebook(artifact.path)
    for write_ in writes:
        write_.result()
    assert not [path for path in Path(artifact.path).iterdir() if path.name.startswith(".")]
