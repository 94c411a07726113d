"""With a key nothing readable reaches the disk, and nothing is read without it."""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from checkpointers import AesGcm, CorruptRow
from checkpointers.encoding import Codec, Raw, Undecodable, _compressed, strict_serializer
from tests.checkpointers.conftest import Opener
from tests.checkpointers.making import Line, config

KEY, OTHER = bytes(range(32)), bytes(32)
SECRET = "the patient's diagnosis"


def test_nothing_readable_reaches_the_disk(open_embedded: Opener, tmp_path: Path):
    with open_embedded(encryption_key=KEY) as saver:
        line = Line(saver)
        line.put({"list": [f"{SECRET} {i}" for i in range(5)], "text": SECRET, "big": {"k": SECRET * 50}}, note=SECRET)
        saver.put_writes(line.at, [("text", SECRET)], "task")
        saver.vacuum()
    files = [path.read_bytes() for path in tmp_path.iterdir() if path.is_file()]
    assert files
    assert not any(re.search(b"diagnosis", data) for data in files)


def test_only_the_key_reads_it(open_store: Opener):
    with open_store(encryption_key=KEY) as saver:
        line = Line(saver)
        for i in range(3):
            line.put({"list": [f"{SECRET} {j}" for j in range(i + 3)]}, note=SECRET)
        assert saver.get_tuple(config("t")).checkpoint["channel_values"]["list"][4] == f"{SECRET} 4"
    for wrong in ({"encryption_key": OTHER}, {}):
        with open_store(**wrong) as saver, pytest.raises(CorruptRow, match="key"):
            saver.get_tuple(config("t"))
    with open_store(encryption_key=KEY) as saver:
        assert len(list(saver.list(config("t")))) == 3


def test_unchanged_elements_are_not_stored_again_though_each_ciphertext_differs(open_embedded: Opener):
    with open_embedded(encryption_key=KEY) as saver:
        line = Line(saver)
        state = [f"message {i} " * 50 for i in range(30)]
        line.put({"list": state})
        small = next(iter(saver.threads())).bytes
        for i in range(10):
            line.put({"list": [*state, f"more {i}"]})
        assert next(iter(saver.threads())).bytes < small + 10 * 800


def test_langgraphs_own_wrapper_is_understood(open_store: Opener):
    serde = EncryptedSerializer(AesGcm(KEY), strict_serializer())
    with open_store(serde=serde) as saver:
        Line(saver).put({"list": [SECRET] * 5})
    with open_store(encryption_key=KEY) as saver:
        assert saver.get_tuple(config("t")).checkpoint["channel_values"]["list"] == [SECRET] * 5


def test_keys_of_a_wrong_size_are_named():
    with pytest.raises(ValueError, match="16, 24 or 32 bytes, this one has 5"):
        AesGcm(b"short")


@pytest.mark.parametrize(
    "codec", [Codec(strict_serializer()), Codec(EncryptedSerializer(AesGcm(KEY), strict_serializer()))]
)
@given(data=st.binary(max_size=2000), where=st.integers(0, 5000), bit=st.integers(0, 7))
def test_a_turned_bit_is_noticed(codec: Codec, data: bytes, where: int, bit: int):
    sealed = codec.seal(data)
    assert codec.open(sealed) == data
    damaged = bytearray(sealed)
    damaged[where % len(sealed)] ^= 1 << bit
    with contextlib.suppress(Undecodable):
        assert codec.open(bytes(damaged)) == data


def test_raw_values_are_not_touched():
    codec = Codec(strict_serializer())
    packed = codec.dumps({"a": 1})
    assert codec.dumps(Raw(packed)) == packed
    assert codec.loads(packed) == {"a": 1}


@pytest.mark.parametrize(("tag", "payload"), [(0, b"plain"), (1, _compressed(b"plain" * 40)[1])])
def test_blobs_from_before_the_checksum_covered_the_tag(tag: int, payload: bytes):
    old = struct.pack("<BI", tag, zlib.crc32(payload)) + payload
    assert Codec(strict_serializer()).open(old) == (b"plain" * 40 if tag else b"plain")
