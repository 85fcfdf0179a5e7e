"""Training runs as processes: request, queue, index, runners."""
