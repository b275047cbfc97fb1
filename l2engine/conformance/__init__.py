"""Running public test suites against an executor: state tests, blockchain tests and block witnesses."""
