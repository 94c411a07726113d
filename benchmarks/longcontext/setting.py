"""Who reads and who writes the code, under which conditions; and the product's settings that follow from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.config import Settings, load_settings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from benchmarks.longcontext.corpus import Task

ROOT = Path(__file__).parents[2]
CONFIGURED = "configured"
RUN_SECONDS = 4 * 3600.0


@dataclass(frozen=True)
class Setting:
    """By default a deterministic reader and a script that writes the code.

    The reader misreads a share `wrong` of the lines, by `seed`, and takes `latency` seconds for each call; `parallel`
    calls are made at the same time, and `window` tokens fit in one. `model` reads in its place and `analyst` in the
    script's: names of chat models, over what config.yaml and the environment say, or CONFIGURED for what these say.
    """

    wrong: float = 0.0
    seed: int = 1
    latency: float = 0.0
    parallel: int = 8
    window: int = 128_000
    model: str | None = None
    analyst: str | None = None

    def reader(self, task: Task) -> BaseChatModel:
        """Whoever reads in this setting."""
        if self.model is None:
            from benchmarks.longcontext.reader import Reader

            return Reader(task=task, wrong=self.wrong, seed=self.seed, latency=self.latency)
        from agent.models import open_model

        settings = self.settings(Path(os.devnull), None)
        chosen = settings.sub_model or settings.base_model

        def offline() -> BaseChatModel:
            raise SystemExit("the offline model can't be asked plainly: name a chat model with --model")

        return open_model(chosen, offline=offline, secrets=os.environ.get, setting="sub_model").chat  # type: ignore

    def settings(self, home: Path, text: Path | None) -> Settings:
        """The product's, with `text` as its context, and without limits on what a turn may use."""
        given: dict[str, Any] = {
            "home": home,
            "data.sample": False,
            "data.text": text,
            "tracing.enabled": False,
            "limits.max_tokens": None,
            "limits.max_seconds": None,
            "limits.run_seconds": RUN_SECONDS,
            "digesting.parallel_reads": self.parallel,
        }
        named = {"base_model.name": self.analyst, "sub_model.name": self.model}
        given |= {key: name for key, name in named.items() if name not in (None, CONFIGURED)}
        own = self.model is None and self.analyst is None
        return load_settings(None if own else ROOT / "config.yaml", {} if own else os.environ, given).settings
