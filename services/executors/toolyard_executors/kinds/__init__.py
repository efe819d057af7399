"""The kinds of executors: one file or folder each. `worker` hands them to the runtime, which does not know them."""
