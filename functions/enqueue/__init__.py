"""`POST /v1/commands`."""
