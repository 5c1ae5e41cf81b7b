"""The local detector: what is usual for each series, and how far from it a reading is."""
