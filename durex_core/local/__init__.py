"""durex in one process: the worker that loops over the passes, and the development server."""
