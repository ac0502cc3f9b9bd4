"""Telemetry: what happens to commands, as numbers for Prometheus or CloudWatch.

Each is an observer, in a module of its own, since each needs a package that the others do without.
"""
