"""Cases of the public suites that are known to differ, each with its reason. A case listed here that passes is an error too."""

EXCEPTIONS: dict[str, str] = {}
