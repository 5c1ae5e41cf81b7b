"""CPU, memory and delay of the agent and of its peers, on one broker."""
