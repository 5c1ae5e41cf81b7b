"""Real tools that show traces of language models."""
