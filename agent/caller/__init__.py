"""One AI call with everything around it, one step per file."""
