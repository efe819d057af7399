"""What LLM providers want: their formats, their rules for names and schemas, and texts that a model can act on."""
