"""durex in one process: the worker that loops over the passes, and the development server."""

from datetime import timedelta

LEASE = timedelta(seconds=30)
"""How long a vanished worker's commands stay taken."""

GRACE = timedelta(seconds=30)
"""How long attempts may go on after a stop before they are given back."""
