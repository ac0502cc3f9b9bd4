"""`durex worker`: run commands until told to stop."""

from datetime import timedelta

import click

from durex_core.app import Durex
from durex_core.cli.options import Seconds, Session, with_session
from durex_core.cli.rendering import duration
from durex_core.cli.signals import stop_on_signals
from durex_core.local import GRACE, LEASE
from durex_core.local.service import Service
from durex_core.store.database import masked

_SHORTEST_LEASE_SECONDS = 1.0
_HIGHEST_PORT = 65_535


@click.command()
@click.option("--concurrency", type=click.IntRange(1), default=10, show_default=True, help="Attempts side by side.")
@click.option("--queue", "queues", multiple=True, metavar="Q", help="Serve this queue only; may be repeated.")
@click.option(
    "--lease",
    type=Seconds(_SHORTEST_LEASE_SECONDS),
    default=LEASE,
    metavar="SECONDS",
    help="How long a vanished worker's commands stay taken (default 30).",
)
@click.option(
    "--grace",
    type=Seconds(0),
    default=GRACE,
    metavar="SECONDS",
    help="How long attempts may go on after a stop (default 30).",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(1, _HIGHEST_PORT),
    metavar="PORT",
    help="Serve Prometheus metrics on this port; needs the extra `metrics`.",
)
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="The address to serve them on.")
@with_session
def worker(  # noqa: PLR0917  click passes options by name
    session: Session,
    concurrency: int,
    queues: tuple[str, ...],
    lease: timedelta,
    grace: timedelta,
    metrics_port: int | None,
    metrics_host: str,
) -> None:
    """Run commands until SIGINT or SIGTERM.

    Then nothing more is claimed, and attempts may end within the grace period; the rest are given back and do not
    count. A second signal leaves at once.
    """
    served = list(queues) or session.app.registry.queues
    _check(session.app, served)
    if metrics_port is not None:
        _serve_metrics(session.app, metrics_host, metrics_port)
    part = session.app.worker(queues=served, concurrency=concurrency, lease=lease, grace=grace)
    service = Service(part)
    stop_on_signals(service, grace=duration(grace.total_seconds()))
    session.output.answer(
        {"event": "started", "worker": part.name, "queues": served, "concurrency": concurrency},
        f"worker {part.name} on {masked(session.app.database_url)}",
        f"serves {', '.join(served)}; {concurrency} attempts side by side; Ctrl-C stops it",
    )
    with service:
        service.wait()
    session.output.answer({"event": "stopped"}, "stopped")


def _serve_metrics(app: Durex, host: str, port: int) -> None:
    """Serve what this process does, and how long the queues are, to Prometheus."""
    try:
        from prometheus_client import start_http_server  # noqa: PLC0415  it comes with an extra

        from durex_core.telemetry.prometheus import PrometheusMetrics  # noqa: PLC0415  the same
    except ImportError as error:
        raise click.UsageError(f'--metrics-port needs: pip install "durex-core[metrics]" ({error})') from error
    app.observe(PrometheusMetrics(queue_size=lambda: app.stats(finished_within=timedelta(0)).ready))
    try:
        start_http_server(port, host)
    except OSError as error:
        raise click.ClickException(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error


def _check(app: Durex, queues: list[str]) -> None:
    """Refuse a queue that no command uses: it is a slip of the pen, and its worker would wait for ever."""
    known = app.registry.queues
    if not queues:
        raise click.UsageError("the application has no commands to run")
    for queue in queues:
        if queue not in known:
            raise click.UsageError(
                f"no command of the application uses the queue {queue!r} (it has: {', '.join(known)})"
            )
