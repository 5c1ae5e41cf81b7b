"""The operator's commands, one file each; `agent.cli` knows their names."""
