"""Passes: each background duty as one bounded sweep. EventBridge or the local worker is the loop."""
