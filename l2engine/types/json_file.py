"""JSON of files that users give."""

import codecs
import json
from typing import Any

import orjson


def parse_json(data: bytes) -> Any:
    """The value, with whole numbers of any size. `ValueError` when it is no JSON, or nested more than 1,024 deep.

    orjson looks first, since Python's parser takes NaN, and overflows the stack on deep nesting: py_ecc lifts the limit of recursion.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    orjson.loads(data)
    return json.loads(data)
