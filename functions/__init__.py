"""What runs in Lambda: thin handlers, and the example application."""
