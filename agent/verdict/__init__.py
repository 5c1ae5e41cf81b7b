"""Pure decisions about a window: opinion, review, verdict, finding."""
