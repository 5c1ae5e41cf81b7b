"""Parts of ``mcp``: the protocol, the tools, and the names that may leave."""
