"""The link to the broker: the only user of paho, on one thread."""
