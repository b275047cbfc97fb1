"""Cases of the public suites that are known to differ, each with its reason, by executor. One listed here that passes is an error too."""

_EIP_7610 = (
    "creates a contract at an address that has storage but neither code nor nonce, which EIP-7610 refuses and revm does not. Since "
    "EIP-161 no transaction can leave such an account behind, only a genesis could"
)

REFERENCE: dict[str, str] = {}
NATIVE: dict[str, str] = {
    "create2collisionStorageParis": _EIP_7610,
    "RevertInCreateInInit_Paris": _EIP_7610,
    "RevertInCreateInInitCreate2Paris": _EIP_7610,
    "dynamicAccountOverwriteEmpty_Paris": _EIP_7610,
    "dynamicAccountOverwriteEmpty_Paris_d0g0v0_Cancun": _EIP_7610,
}
