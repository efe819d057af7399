"""The gateway: one door for calls, one correlator for their answers, and the registry of tools behind HTTP."""
