"""What ``edge-agent doctor`` looks at, one file each: the broker, this machine, the model."""
