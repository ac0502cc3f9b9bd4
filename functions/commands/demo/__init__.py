"""`make demo`: the example application in one process, with real requests, and a look at what becomes of them.

python -m functions.commands.demo [--keep] [--port PORT]

A worker and the HTTP API run on SQLite in a temporary folder. Orders are POSTed over HTTP, and what is shown of them
was read over HTTP too.
"""
