"""Prints what each kind of request runs of our own code, as docs/architecture.md shows it: `python -m tests.helpers.journey_table`."""

from rpc.jsonrpc import handle
from tests.helpers.dev_chain import Forge, document, funded
from tests.helpers.in_process import InProcess
from tests.helpers.journey import Journey, count
from tests.helpers.journey_requests import forkchoice, new_payload, request

SINK = bytes([7]) * 20


def journeys(evm: str) -> dict[str, Journey]:
    """The way of each kind of request, on a chain whose second block has one deposit and three transfers."""
    genesis = document("jovian")
    forge, alice = Forge(genesis), funded("alice")
    first = forge.chain(forge.genesis, 1)[0]
    transfers = [alice.sign(SINK, value=1, nonce=nonce, max_fee=3 * 10**9, tip=1) for nonce in range(4)]
    second = forge.block(first.header, *transfers[:3])
    node = InProcess(genesis, evm=evm)
    for warm_up in (new_payload(node.engine.config, first), forkchoice(first)):
        handle(warm_up, node._methods, node.context)
    requests = {
        "engine_newPayloadV4": new_payload(node.engine.config, second),
        "engine_forkchoiceUpdatedV3": forkchoice(second),
        "eth_sendRawTransaction": request("eth_sendRawTransaction", "0x" + transfers[3].hex()),
        "eth_call": request("eth_call", {"to": "0x" + SINK.hex()}, "latest"),
        "eth_getLogs (2 blocks)": request("eth_getLogs", {"fromBlock": "0x1", "toBlock": "0x2"}),
    }
    found = {}
    for name, body in requests.items():
        answers: list[bytes | None] = []
        found[name] = count(lambda body=body, answers=answers: answers.append(handle(body, node._methods, node.context)))
        assert b'"error"' not in (answers[0] or b'"error"'), answers
    return found


if __name__ == "__main__":
    print("| request | executor | files | calls |\n|---|---|---|---|")
    for evm in ("native", "py"):
        for name, journey in journeys(evm).items():
            print(f"| {name} | {evm} | {journey.files} | {journey.total} |")
