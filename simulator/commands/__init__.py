"""The commands of ``edge-sim``, one file each; ``register`` adds it to the parser."""
