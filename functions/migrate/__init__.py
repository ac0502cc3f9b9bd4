"""The schema, at each deployment."""
