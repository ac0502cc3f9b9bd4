"""The application of a worker function, of which only the import is measured."""

from durex_core import Durex

app = Durex("postgresql://nowhere/none")


@app.command("noop")
def noop() -> None:
    """Do nothing."""
