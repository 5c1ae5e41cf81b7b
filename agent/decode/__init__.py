"""What arrived, made into readings: one file per device family and a registry."""
