"""The reference executor: py-evm's opcodes and gas costs, with everything around them in readable Python."""
