"""What was accepted while the database was away."""
