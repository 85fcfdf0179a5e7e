"""Files that strangers send: read them in a child process, assemble them to a volume."""
