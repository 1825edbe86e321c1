"""Read-only answers from the lake. Never touches the queue, never writes to the lake."""
