"""The commands of ``edge-sim``, one file each; ``register`` adds a command to the parser."""
