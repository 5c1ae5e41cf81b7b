"""Money on disk: the ledger of model calls and its periods."""
