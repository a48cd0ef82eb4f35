"""Programs that run inside a worker process: the contract, and the tools that need no model."""
