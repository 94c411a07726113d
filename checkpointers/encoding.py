"""Values to bytes and back: LangGraph's serializer (strict), then zstd, then the cipher if there is one.

A sealed blob is `tag | crc32 of tag and payload | payload`, or
`tag | name length | cipher name | ciphertext of a sealed blob`. What stands in a base already, a row that was saved
just before, is not stored again: the payload then begins with the base's number.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import ormsgpack
import zstandard
from langgraph.checkpoint.serde.base import CipherProtocol, SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from checkpointers.packing import packed
from checkpointers.reviving import revived

RAW, ZSTD, BASED, ENCRYPTED = 2, 6, 8, 16
_EARLIER_ZSTD = 4  # with the first dictionary
_OLD_RAW, _OLD_ZSTD = 0, 1  # their checksum is of the payload only, so that it can't tell one from the other
_PREFIX = struct.Struct("<BI")
_SMALL = 96
_FEW = 4096
_LEVEL = 3
_NUMBER = struct.Struct("<Q")
_WORTH = 200  # fewer bytes than this aren't looked for in a base
_MAX_BASE = 1 << 20
_TYPES = {"msgpack": b"m", "null": b"n", "bytes": b"b", "bytearray": b"a"}
_NAMES = {tag: name for name, tag in _TYPES.items()}
_MAX_EXPANDED = 1 << 31

# Part of the file format: bytes that are in nearly every row. Never edit; a better one is a new tag.
_DICTIONARY = (
    b"langchain_core.messages.functionFunctionMessagelangchain_core.messages.systemSystemMessagelanggraph.types\x9eSend"
    b"Interrupt\xa5value\xa2id__interrupt____resume____error____pregel_tasks__scheduled__return__no_writes__root__"
    b"thread_iduser_idrun_id\xa4name\xa4args\xa2id\xa4type\xa9tool_call\xb1invalid_tool_calls\x90\xaatool_calls\x90"
    b"\xafusage_metadata\xc0\xacinput_tokens\xadoutput_tokens\xactotal_tokensfinish_reasonmodel_name"
    b"\x94\xbclangchain_core.messages.tool\xabToolMessage\x88\xa7content\xactool_call_id\xa8artifact\xc0\xa6status\xa7success"
    b"\x94\xbalangchain_core.messages.ai\xa9AIMessage\x89\xa7content\xb1additional_kwargs\x80\xb1response_metadata\x80"
    b"\xa4type\xa2ai\xa4name\xc0\xa2id\xd9$run--\xaatool_calls\x90\xb2invalid_tool_calls\x90\xafusage_metadata\xc0"
    b"\xb3model_validate_json"
    b"\x94\xbdlangchain_core.messages.human\xacHumanMessage\x86\xa7content\xda\xb1additional_kwargs\x80"
    b"\xb1response_metadata\x80\xa4type\xa5human\xa4name\xc0\xa2id\xd9$\xb3model_validate_json"
    b"~__pregel_pull, __start__~__pregel_push, \x81\xa8messages\x91\xc8"
    b'{"source": "fork", "step": 0, "parents": {}, "run_id": "{"source": "update", "step": 1, "parents": {"": "'
    b'"counters_since_delta_snapshot": {"messages": [1, 1]}}{"source": "input", "step": -1, "parents": {}}'
    b'{"source": "loop", "step": 1, "parents": {}}'
    b"\xa1v\x04\xa2ts\xd9 2026-01-01T00:00:00.000000+00:00\xb0updated_channels\x92\xafbranch:to:agent\xa8messages"
    b"\xb0channel_versions\x83\xa9__start__\x02\xa8messages\x03\xafbranch:to:model\x03"
    b"\xadversions_seen\x83\xa9__input__\x80\xa9__start__\x81\xa9__start__\x01\xa5model\x81\xafbranch:to:model\x02"
)
_SECOND_DICTIONARY = _DICTIONARY + (
    b"\xb5~__pregel_pull, agent\x91\x93\x00\xa8messages\xc5\x01m\x91\xc8\xa6answer\xa5tools\xa5agent\xb0remaining_steps"
    b"\x92\x93\x00\xa8messages\xc5\x02m\x91\xc8\x02\x93\x01\xafbranch:to:agent\xc4\x01n\xc4\x1d\x83\xa6source\xa5input"
    b"\xa4step\xff\xa7parents\x80\x82\xa8messages\xdc\x00\x14\x01\x08\x01\x01\x00\x01\x00\xa9__start__\x92\x00\x00\x91\xc5\x02"
    b"m\x81\xa8messages\x91\xc8\x02\x93\xd9$~__pregel_pull, __start__\x92\x93\x00\xa8messages\xc5\x02m\x91\xc8\x02\x05"
    b"\xb5~__pregel_pull, model\x91\x93\x00\xa8messages\xc5\x02m\x91\xc8\x02\xd3\x05\x94\xbalangchain_core.messages.ai"
    b"\xa9AIMessage\x89\xa7content\xb1additional_kwargs\x80\xb1response_metadata\x80\xa4type\xa2ai\xa4name\xc0\xa2id\xc0"
    b"\xaatool_calls\x90\xb2invalid_tool_calls\x90\xafusage_metadata\xc0\xb3model_validate_json"
    b"\x94\xc4\xd5m\x85\xa1v\x04\xa2ts\xd9 2026-11-21T19:05:41.000000+00:00\xb0channel_versions\x83\xa9__start__\x02"
    b"\xa8messages\x03\xafbranch:to:model\x03\xadversions_seen\x83\xa9__input__\x80\xa9__start__\x81\xa9__start__\x01"
    b"\xa5model\x81\xafbranch:to:model\x02\xb0updated_channels\x92\xafbranch:to:model\xa8messages\xc4\x1c\x83\xa6source"
    b"\xa4loop\xa4step\x01\xa7parents\x80\x82\xa8messages\xdc\x00\x18\x01\x08\x01(\x01\x08\x01\x00\x00\x01\x00\xafbranch:to:model"
    b"\xc4\x01n\x91\xc5\x02\xb0\xc8\x02\x05\x94\xbdlangchain_core.messages.human\xacHumanMessage\x86\xa7content"
    b"\xb1additional_kwargs\x80\xb1response_metadata\x80\xa4type\xa5human\xa4name\xc0\xa2id\xc0\xb3model_validate_json"
    b"\xb0updated_channels\x91\xa9__start__\xb0updated_channels\x91\xa8messages\xc4\x1c\x83\xa6source\xa4loop\xa4step"
    b"\x02\xa7parents\x80\x81\xa8messages\xdc\x00\x1c\x01\x08\x01\x00\x00\x01\x00\x90"
)
_FIRST_DICT = zstandard.ZstdCompressionDict(_DICTIONARY, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
_DICT = zstandard.ZstdCompressionDict(_SECOND_DICTIONARY, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


class Undecodable(ValueError):
    """These bytes are not what was once stored; the saver says which row they are from."""


def strict_serializer(allowed_types: Iterable[tuple[str, ...]] = ()) -> JsonPlusSerializer:
    """LangGraph's serializer without pickle; it revives its own safe types and those named here, as (module, name)."""
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=tuple(allowed_types) or None)


class Base(NamedTuple):
    """A stored row, and what its bytes are when opened."""

    row: int
    plain: bytes


class Codec:
    def __init__(self, serde: SerializerProtocol) -> None:
        wrapped = isinstance(serde, EncryptedSerializer)
        self.serde = serde
        self.plain: SerializerProtocol = serde.serde if isinstance(serde, EncryptedSerializer) else serde
        self.cipher: CipherProtocol | None = serde.cipher if wrapped else None  # type: ignore[attr-defined]
        # LangGraph's own serializer: how a list looks packed is known, so that its elements can be stored apart
        self.strict = type(self.plain) is JsonPlusSerializer and not self.plain.pickle_fallback

    def seal(self, plain: bytes, base: Base | None = None) -> bytes:
        if base is not None and len(plain) >= _WORTH and _WORTH <= len(base.plain) <= _MAX_BASE:
            tag, payload = BASED, _NUMBER.pack(base.row) + _compressor(len(plain), base.plain).compress(plain)
        else:
            tag, payload = _compressed(plain)
        sealed = _PREFIX.pack(tag, zlib.crc32(payload, tag)) + payload
        if self.cipher is None:
            return sealed
        name, secret = self.cipher.encrypt(sealed)
        label = name.encode()
        return bytes((ENCRYPTED, len(label))) + label + secret

    def base_of(self, sealed: bytes) -> int | None:
        """The row without which this blob can't be opened."""
        if sealed[:1] == bytes((ENCRYPTED,)):
            sealed = self._decrypted(sealed)
        if sealed[:1] != bytes((BASED,)) or len(sealed) < _PREFIX.size + _NUMBER.size:
            return None
        row: int = _NUMBER.unpack_from(sealed, _PREFIX.size)[0]
        return row

    def open(self, sealed: bytes, base: Callable[[int], bytes] | None = None) -> bytes:
        """`base` gives what the row of a number holds when opened."""
        if not sealed:
            raise Undecodable("empty")
        if sealed[0] == ENCRYPTED:
            sealed = self._decrypted(sealed)
        tag, crc = _PREFIX.unpack_from(sealed.ljust(_PREFIX.size, b"\0"))
        payload = sealed[_PREFIX.size :]
        if zlib.crc32(payload, 0 if tag <= _OLD_ZSTD else tag) != crc:
            raise Undecodable("checksum differs")
        if tag in (RAW, _OLD_RAW):
            return payload
        if tag == ZSTD:
            return _expanded(payload)
        if tag in (_EARLIER_ZSTD, _OLD_ZSTD):
            return _expanded_by(_FIRST_DICT, payload)
        if tag != BASED or base is None:
            raise Undecodable(f"unknown tag {tag}")
        known = _dictionary(base(_NUMBER.unpack_from(payload)[0]))
        return _expanded_by(known, payload[_NUMBER.size :])

    def _decrypted(self, sealed: bytes) -> bytes:
        if self.cipher is None:
            raise Undecodable("it is encrypted and no key was given")
        end = 2 + sealed[1]
        try:
            return self.cipher.decrypt(sealed[2:end].decode("ascii", "replace"), sealed[end:])
        except ValueError as error:
            raise Undecodable(str(error)) from error

    def dumps(self, value: Any) -> bytes:
        """One value, with its type in front."""
        if isinstance(value, Raw):
            return value.data
        if isinstance(value, RawList):
            return b"m" + self.packed_list(value.elements)
        name, data = self._dumps_typed(value)
        return typed(name, data)

    def _dumps_typed(self, value: Any) -> tuple[str, bytes]:
        if self.strict and value is not None and not isinstance(value, bytes | bytearray):
            return "msgpack", packed(value)
        return self.plain.dumps_typed(value)

    def loads(self, data: bytes) -> Any:
        return self._loads_typed(*untyped(data))

    def _loads_typed(self, name: str, data: bytes) -> Any:
        if name == "msgpack" and isinstance(self.plain, JsonPlusSerializer) and self.strict:
            return revived(data, self.plain)
        return self.plain.loads_typed((name, data))

    def elements(self, values: Sequence[Any]) -> list[bytes] | None:
        """Each element as it would stand inside a packed list, or None when these can't be told apart."""
        out = []
        for value in values:
            name, data = self._dumps_typed([value])
            if name != "msgpack":
                return None
            out.append(data[1:])
        return out

    def joined(self, elements: Sequence[bytes]) -> Any:
        """The list these elements make, decoded in one call."""
        return self._loads_typed("msgpack", self.packed_list(elements))

    @staticmethod
    def packed_list(elements: Sequence[bytes]) -> bytes:
        return list_header(len(elements)) + b"".join(elements)


class Raw:
    """A value that is already bytes: copied, imported or migrated without reviving what is in it."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class RawList:
    """A list whose elements are already bytes."""

    __slots__ = ("elements",)

    def __init__(self, elements: list[bytes]) -> None:
        self.elements = elements


def typed(name: str, data: bytes) -> bytes:
    tag = _TYPES.get(name)
    if tag is not None:
        return tag + bytes(data)
    label = name.encode()
    return b"?" + bytes((len(label),)) + label + bytes(data)


def untyped(data: bytes) -> tuple[str, bytes]:
    tag = data[:1]
    if tag != b"?":
        if tag not in _NAMES:
            raise Undecodable(f"unknown type {tag!r}")
        return _NAMES[tag], data[1:]
    end = 2 + data[1]
    return data[2:end].decode(), data[end:]


def list_header(count: int) -> bytes:
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + struct.pack(">H", count) if count < 65536 else b"\xdd" + struct.pack(">I", count)


def is_packed_list(data: bytes) -> bool:
    return bool(data) and (data[0] & 0xF0 == 0x90 or data[0] in (0xDC, 0xDD))


def split_list(data: bytes) -> list[bytes]:
    """A packed list's elements, each still packed; what they hold is not revived."""
    return [
        ormsgpack.packb(element, option=ormsgpack.OPT_NON_STR_KEYS)
        for element in ormsgpack.unpackb(data, ext_hook=ormsgpack.Ext, option=ormsgpack.OPT_NON_STR_KEYS)
    ]


def _compressed(plain: bytes) -> tuple[int, bytes]:
    if len(plain) < _SMALL:
        return RAW, plain
    idle = _idle_small if len(plain) <= _FEW else _idle_large
    try:
        compressor = idle.pop()
    except IndexError:
        compressor = _compressor(_FEW if idle is _idle_small else 0)
    payload = compressor.compress(plain)
    idle.append(compressor)
    return (ZSTD, payload) if len(payload) < len(plain) else (RAW, plain)


def _expanded(payload: bytes) -> bytes:
    try:
        decompressor = _idle_decompressors.pop()
    except IndexError:
        decompressor = zstandard.ZstdDecompressor(dict_data=_DICT, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    try:
        return decompressor.decompress(payload, max_output_size=_MAX_EXPANDED)
    except zstandard.ZstdError as error:
        raise Undecodable(str(error)) from error
    finally:
        _idle_decompressors.append(decompressor)


# Not one for each thread: LangGraph starts threads for each run, and making one of these takes longer than using it.
_idle_small: list[zstandard.ZstdCompressor] = []
_idle_large: list[zstandard.ZstdCompressor] = []
_idle_decompressors: list[zstandard.ZstdDecompressor] = []


def _compressor(source_size: int, base: bytes = b"") -> zstandard.ZstdCompressor:
    """One that is told to expect few bytes keeps small tables."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL,
        source_size=source_size,
        dict_size=len(_SECOND_DICTIONARY) + len(base),
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=1,
        write_checksum=1 if base else 0,  # another base would give other bytes, and no error
        write_dict_id=0,
    )
    return zstandard.ZstdCompressor(dict_data=_dictionary(base) if base else _DICT, compression_params=parameters)


def _dictionary(base: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(_SECOND_DICTIONARY + base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _expanded_by(known: zstandard.ZstdCompressionDict, payload: bytes) -> bytes:
    decompressor = zstandard.ZstdDecompressor(dict_data=known, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    try:
        return decompressor.decompress(payload, max_output_size=_MAX_EXPANDED)
    except zstandard.ZstdError as error:
        raise Undecodable(str(error)) from error
