"""Our answers that differ from the recordings on purpose, by the name of the case: our answer, and why.

The digest's section 0 and the README of recordings-upgrades say that op-geth is not to be followed there. Before the Ecotone
fork and from Jovian on, the blobGasUsed cases are answered as op-geth does.
"""

DEPARTURES = {
    "blobGasUsed + ": ("INVALID", "the specification wants 0 from Ecotone to Isthmus; op-geth does not look"),
    "blobGasUsed above gasLimit": ("INVALID", "the same"),
    "attributes: blob transaction": (-38003, "op-geth's handler crashes (-32603)"),
    "attributes: minBaseFee before Jovian": (-38003, "op-geth ignores it"),
    "attributes: DA footprint above gasLimit": (-38003, "op-geth builds a payload that its own newPayload refuses"),
    "attributes: minBaseFee as hex string": ("VALID", "both forms of the number are taken"),
}

FIRST_KARST_PRECOMPILE = 114
"""The first block of `ladder` that runs a precompile which op-geth did not reprice for Karst; it cannot be followed from there."""
