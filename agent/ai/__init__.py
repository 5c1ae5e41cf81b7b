"""One AI call with everything around it, a step per file; start at ``caller.py``."""
