"""One small HTTP server on a local port."""
