"""The picture in the README is the machine's own."""

from __future__ import annotations

from pathlib import Path

from graph.builder import draw

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_shows_the_graph_as_it_is() -> None:
    assert f"```mermaid\n{draw()}\n```" in README.read_text("utf-8"), f"the README should show:\n{draw()}"


def test_the_stages_are_nodes_of_the_drawing() -> None:
    picture = draw()
    assert "delegated -.-> executed;" in picture
    assert "executed -.-> processed;" in picture
    assert "analyst -.-> tools;" in picture
