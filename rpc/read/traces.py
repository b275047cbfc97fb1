"""The options of debug_trace*, given after the transaction, block or call.

Source: geth eth/tracers/api.go; eth/tracers/native for the configurations of its tracers.
"""

from collections.abc import Mapping
from typing import Any

from l2engine.errors import InvalidParams
from rpc.errors import SERVER_ERROR, RpcError
from rpc.read.calls import block_overrides, state_override
from rpc.read.values import Mismatch, Optional, Parser, Struct, any_json, boolean, integer, kind_of, refused, string, uint

_OPTIONS: dict[str, Parser[Any]] = {
    "enableMemory": boolean,
    "disableStack": boolean,
    "disableStorage": boolean,
    "enableReturnData": boolean,
    "limit": integer,
    "tracer": string,
    "tracerConfig": any_json,  # read when the tracer is known
    "timeout": string,
    "overrides": refused('trace option "overrides" is not supported: a trace keeps the rules of its block'),
}
_OF_CALLS: dict[str, Parser[Any]] = {"stateOverrides": state_override, "blockOverrides": block_overrides, "txIndex": uint}

_TRACER_CONFIGS: Mapping[str, Parser[dict[str, Any]]] = {
    "callTracer": Struct("native.callTracerConfig", {"onlyTopCall": boolean, "withLog": boolean}),
    "flatCallTracer": Struct("native.flatCallTracerConfig", {"convertParityErrors": boolean, "includePrecompiles": boolean}),
    "prestateTracer": Struct(
        "native.PrestateTracerConfig", {"diffMode": boolean, "disableCode": boolean, "disableStorage": boolean, "includeEmpty": boolean}
    ),
}
"""The tracers with something to configure. The others take anything and look at nothing, as in geth."""


def _with_tracer_config(parser: Parser[dict[str, Any]]) -> Parser[dict[str, Any]]:
    def parse(value: Any) -> dict[str, Any]:
        options = parser(value)
        try:
            return {**options, "tracerConfig": _tracer_config(options.get("tracer", ""), options.get("tracerConfig"))}
        except InvalidParams as error:
            raise RpcError(SERVER_ERROR, str(error)) from None  # geth finds it while it makes the tracer

    return parse


def _tracer_config(tracer: str, value: Any) -> dict[str, Any]:
    if tracer == "muxTracer":
        if not isinstance(value or {}, dict):
            raise Mismatch(kind_of(value), "map[string]json.RawMessage")
        return {name: _tracer_config(name, config) for name, config in (value or {}).items()}
    parser = _TRACER_CONFIGS.get(tracer)
    return {} if parser is None else parser(value)


_plain = {name: refused(f'trace option "{name}" is for debug_traceCall alone') for name in _OF_CALLS}
trace_options = Optional(_with_tracer_config(Struct("tracers.TraceConfig", {**_OPTIONS, **_plain})))
trace_call_options = Optional(_with_tracer_config(Struct("tracers.TraceCallConfig", {**_OPTIONS, **_OF_CALLS})))
