"""JSON text in the making that may become very large, such as the trace of a transaction.

A small text is plain bytes. A large one is kept compressed, in memory and then in a file without a name, so that an answer of a
gigabyte takes a few megabytes and is complete before its first byte is sent: an error never comes in the middle of an answer.
"""

import tempfile
import zlib
from collections.abc import Iterator
from typing import IO, TypeAlias

from l2engine.errors import ResponseTooLarge

PLAIN_BYTES = 1 << 20  # below this, compressing costs more than it saves
IN_MEMORY_BYTES = 8 << 20  # compressed; the rest goes to a file
PIECE_BYTES = 128 << 10  # of the file, read at once

_GZIP, _FASTEST = 31, 1  # zlib's window bits for the gzip format, and its level


class JsonText:
    """Text that is written once, from the beginning to the end, and read afterwards. `ResponseTooLarge` beyond `max_bytes` (0: no limit),
    or when the file takes no more."""

    def __init__(self, max_bytes: int = 0) -> None:
        self._size, self._max = 0, max_bytes
        self._plain = bytearray()
        """The newest part, which is not compressed yet."""
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        """Bytes of text, not compressed."""
        return self._size

    def write(self, text: bytes) -> None:
        """Add text at the end."""
        self._size += len(text)
        if self._max and self._size > self._max:
            raise ResponseTooLarge(f"the answer takes more than {self._max} bytes: ask for less, or raise --rpc.max-response-size")
        self._plain += text
        if len(self._plain) > PLAIN_BYTES:
            self._compress()

    def copy(self, other: "Text") -> None:
        """Add another text at the end."""
        for piece in pieces(other):
            self.write(piece)

    def finish(self) -> "Text":
        """The text, once all is written: bytes if it is small."""
        if self._file is None:
            return bytes(self._plain)
        self._compress()
        self._store(self._compressor.flush())
        return self

    @property
    def compressed_size(self) -> int:
        """Bytes that `compressed` gives."""
        assert self._file is not None
        return self._file.seek(0, 2)

    def compressed(self) -> Iterator[bytes]:
        """The finished text in the gzip format."""
        assert self._file is not None
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece

    def pieces(self) -> Iterator[bytes]:
        """The finished text."""
        decompressor = zlib.decompressobj(_GZIP)
        for compressed in self.compressed():
            while piece := decompressor.decompress(compressed, PIECE_BYTES):
                yield piece
                compressed = decompressor.unconsumed_tail
        if rest := decompressor.flush():
            yield rest

    def _compress(self) -> None:
        if self._file is None:
            self._file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (it closes with the last reference)
            self._compressor = zlib.compressobj(_FASTEST, zlib.DEFLATED, _GZIP)
        self._store(self._compressor.compress(self._plain))
        self._plain = bytearray()

    def _store(self, compressed: bytes) -> None:
        assert self._file is not None
        try:
            self._file.write(compressed)
        except OSError as error:
            raise ResponseTooLarge(f"no room for the answer in {tempfile.gettempdir()}: {error.strerror}") from error


Text: TypeAlias = bytes | JsonText
"""A finished text: small or large."""


def pieces(text: Text) -> Iterator[bytes]:
    """The text in pieces that fit into memory."""
    return iter((text,)) if isinstance(text, bytes) else text.pieces()
