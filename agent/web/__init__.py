"""One small HTTP server on a local port; start at ``server.py``."""
