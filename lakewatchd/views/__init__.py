"""Read-only answers: the lake as folders. Never touches the queue, never writes."""
