"""The options of debug_trace*, given after the transaction, block or call.

Source: geth eth/tracers/api.go.
"""

from typing import Any

from rpc.read.calls import block_overrides, state_override
from rpc.read.values import Optional, Parser, any_json, boolean, integer, string, struct

_OPTIONS: dict[str, Parser[Any]] = {
    "enableMemory": boolean,
    "disableStack": boolean,
    "disableStorage": boolean,
    "enableReturnData": boolean,
    "limit": integer,
    "tracer": string,
    "tracerConfig": any_json,
    "timeout": string,
}
trace_options = Optional(struct("tracers.TraceConfig", _OPTIONS))
trace_call_options = Optional(
    struct("tracers.TraceCallConfig", {**_OPTIONS, "stateOverrides": state_override, "blockOverrides": block_overrides})
)
