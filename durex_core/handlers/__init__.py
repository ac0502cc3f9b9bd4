"""Handlers: from a function, class or object to something that can be called, and what may be said of its commands."""
