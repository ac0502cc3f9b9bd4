"""The rest of the HTTP API."""
