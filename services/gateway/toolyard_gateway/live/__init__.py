"""Live events: pages of the feed are asked for, kept for a while, and handed to followers. Knows nothing of HTTP."""
