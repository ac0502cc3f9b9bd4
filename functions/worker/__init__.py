"""The commands of one queue."""
