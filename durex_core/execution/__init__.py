"""Running handlers: one attempt from its claim to its settlement."""
