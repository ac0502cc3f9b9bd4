"""What time brings about."""
