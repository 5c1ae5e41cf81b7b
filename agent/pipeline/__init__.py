"""The path of a reading, one stage a file; ``pipeline.py`` is read first."""
