"""A model of any server that speaks the OpenAI protocol, or means to. Importing this file imports langchain_openai."""

from __future__ import annotations

from typing import Any

from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI

from agent.models.failures import Garbled

SHAPE_ERRORS = (ValueError, KeyError, TypeError, AttributeError, IndexError)


class CompatibleModel(ChatOpenAI):
    """ChatOpenAI that tells an answer of the wrong shape (Garbled) from an error of the program."""

    def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> ChatResult:
        try:
            result = super()._create_chat_result(response, generation_info)
        except SHAPE_ERRORS as error:
            raise Garbled(f"the answer has the wrong shape: {error}") from error
        if not result.generations:
            raise Garbled("the answer has no choices")
        return result

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        try:
            return super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        except SHAPE_ERRORS as error:
            raise Garbled(f"the stream has the wrong shape: {error}") from error
