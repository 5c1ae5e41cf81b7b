"""The process: composition, start, watch, stop."""
