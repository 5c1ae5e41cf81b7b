"""What must survive a crash: SQLite, one writer, group commit."""
