"""Text of any size: what is written comes out again, and takes little memory meanwhile."""

import errno
import gzip
import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2engine.errors import ResponseTooLarge
from l2engine.types import json_text
from l2engine.types.json_text import JsonText, pieces


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch):
    monkeypatch.setattr(json_text, "PLAIN_BYTES", 100)
    monkeypatch.setattr(json_text, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(json_text, "PIECE_BYTES", 64)


def text_of(parts: list[bytes]) -> JsonText:
    text = JsonText()
    for part in parts:
        text.write(part)
    return text


PARTS = st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 3000).map(lambda n: b"0" * n)), max_size=20)


@given(PARTS)
@settings(deadline=None)
def test_what_is_written_is_read(parts: list[bytes]) -> None:
    text, whole = text_of(parts), b"".join(parts)
    assert len(text) == len(whole)
    finished = text.finish()
    assert b"".join(pieces(finished)) == b"".join(pieces(finished)) == whole
    if isinstance(finished, bytes):
        assert len(whole) <= 100 + 300
    else:
        zipped = b"".join(finished.compressed())
        assert len(zipped) == finished.compressed_size and gzip.decompress(zipped) == whole
        assert all(0 < len(piece) <= 3000 for piece in finished.pieces())
    copied = JsonText()
    copied.copy(finished)
    assert b"".join(pieces(copied.finish())) == whole


def test_random_bytes_go_to_a_file():
    parts = [os.urandom(500) for _ in range(20)]
    assert b"".join(pieces(text_of(parts).finish())) == b"".join(parts)


def test_a_limit():
    text = JsonText(1000)
    text.write(b"x" * 1000)
    with pytest.raises(ResponseTooLarge, match="more than 1000 bytes"):
        text.write(b"x")


class FullDisk:
    def __init__(self, size: int) -> None: ...

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_refuses_the_answer(monkeypatch):
    text = JsonText()
    monkeypatch.setattr(json_text.tempfile, "SpooledTemporaryFile", FullDisk)
    with pytest.raises(ResponseTooLarge, match=r"no room for the answer in .*: No space left on device"):
        for _ in range(100):
            text.write(os.urandom(200))


def test_much_text_takes_little_memory(monkeypatch):
    monkeypatch.undo()
    text, part = JsonText(), b'{"pc":1,"op":"PUSH1","gas":27000000,"gasCost":3,"depth":1,"stack":["0x1","0x2"]},' * 100
    tracemalloc.start()
    try:
        for _ in range(20_000):
            text.write(part)
        finished = text.finish()
        length = sum(map(len, pieces(finished)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert length == 20_000 * len(part) > 150_000_000
    assert peak < 20_000_000
