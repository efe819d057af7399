"""One duty, one file: what a scheduler does while it leads."""
