"""The machinery of the tests: real counterparts, faults and waiting."""
