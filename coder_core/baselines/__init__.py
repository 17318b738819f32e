"""The baselines every CODER result stands beside. They use `coder_core.coder`; it never uses them. Pure."""
