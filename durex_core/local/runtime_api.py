"""Lambda's Runtime API on this machine: runs a handler under AWS's own runtime client, as Lambda would.

The client (`awslambdaric`) asks for the next event over HTTP, runs the handler and posts what it returned or raised.
Reference: AWS Lambda developer guide, "Using the Lambda runtime API" (2018-06-01).
"""

import json
import os
import queue
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from durex_core.clock import utc_now
from durex_core.records import record

RUNTIME_CLIENT = (sys.executable, "-m", "awslambdaric")

_START_SECONDS = 30.0
_ROOT = "/2018-06-01/runtime"
_STDERR = 2


@record
class Answer:
    """What came of an invocation: the handler's return value, or Lambda's description of its error."""

    is_error: bool
    body: Any


class LambdaFunction:
    """A handler in a process of its own, as in Lambda: kept from one invocation to the next, replaced when it ended.

    A context manager; leaving it ends the process. What the handler prints goes to stderr.
    """

    def __init__(
        self,
        handler: str,
        *,
        folder: str,
        timeout_seconds: float = 60.0,
        environment: Mapping[str, str] | None = None,
        client: Sequence[str] = RUNTIME_CLIENT,
    ) -> None:
        """Name `module.function` of the code in a folder.

        Args:
            handler: the function, such as `functions.worker.handler.handler`.
            folder: where its code is: the working directory, first on the path.
            timeout_seconds: the longest that an invocation may take; its process is killed then.
            environment: what is added to this process's environment.
            client: the command line that starts the runtime client.
        """
        self._command = [*client, handler]
        self._folder = folder
        self._timeout_seconds = timeout_seconds
        self._variables = {**os.environ, **_variables(handler, folder), **(environment or {})}
        self._environment: _Environment | None = None
        self.starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def process_id(self) -> int | None:
        """The id of the function's process, if one is kept."""
        return self._environment.process.pid if self._environment else None

    def invoke(self, event: Any) -> Answer:
        """Run the handler on an event, in a new process if there is none or the last one ended."""
        if self._environment is not None and self._environment.process.poll() is not None:
            self._end()
        if self._environment is None:
            self.starts += 1
            self._environment = _Environment(self._command, self._folder, self._variables, self._timeout_seconds)
        answer = self._environment.run(event)
        if self._environment.is_broken:
            self._end()
        return answer

    def _end(self) -> None:
        environment, self._environment = self._environment, None
        if environment is not None:
            environment.end()


class _Environment:
    """One process of the function, and the server that it asks for events."""

    def __init__(self, command: list[str], folder: str, variables: Mapping[str, str], timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._server = _Server(timeout_seconds)
        self.is_broken = False
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{self._server.server_address[1]}"
        variables = {**variables, "AWS_LAMBDA_RUNTIME_API": address}
        self.process = subprocess.Popen(command, cwd=folder, env=variables, stdout=_STDERR)  # noqa: S603  the caller's
        threading.Thread(target=self._watch, daemon=True).start()

    def run(self, event: Any) -> Answer:
        """Hand out an event and wait for what comes of it."""
        self._server.events.put((str(uuid.uuid4()), event))
        answer = self._hear(_START_SECONDS, "the runtime client did not start")
        if answer is None:  # the event was taken; its time runs from here
            answer = self._hear(self._timeout_seconds, f"the handler took longer than {self._timeout_seconds:g} s")
        assert answer is not None, "an event is taken once"
        return answer

    def end(self) -> None:
        """Kill the process and close the server."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._server.events.put(None)  # for the request that still waits for one
        self._server.shutdown()
        self._server.server_close()

    def _hear(self, seconds: float, otherwise: str) -> Answer | None:
        try:
            news = self._server.news.get(timeout=seconds)
        except queue.Empty:
            news = _Broken("Sandbox.Timedout", otherwise)
        if isinstance(news, _Broken):
            self.is_broken = True
            return news.answer
        return news

    def _watch(self) -> None:
        code = self.process.wait()
        self._server.news.put(_Broken("Runtime.ExitError", f"the process ended with code {code}"))


@record
class _Broken:
    """An end after which the process is of no more use."""

    kind: str
    message: str

    @property
    def answer(self) -> Answer:
        return Answer(is_error=True, body={"errorType": self.kind, "errorMessage": self.message})


class _Server(ThreadingHTTPServer):
    """Hands out events and tells the news: that an event was taken (None), what was answered, or that all is over."""

    daemon_threads = True

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.timeout_seconds = timeout_seconds
        self.events: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        self.news: queue.SimpleQueue[Answer | _Broken | None] = queue.SimpleQueue()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that end with their process."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Requests(BaseHTTPRequestHandler):
    """The routes of the Runtime API."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Hand out the next event."""
        if self.path != f"{_ROOT}/invocation/next":
            self._reply(404, b"{}")
            return
        given = self.server.events.get()
        if given is None:
            self.close_connection = True
            return
        request_id, event = given
        self.server.news.put(None)
        deadline = utc_now().timestamp() + self.server.timeout_seconds
        self._reply(
            200,
            json.dumps(event).encode(),
            {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:local",
                "Lambda-Runtime-Trace-Id": f"Root=1-{request_id[:8]}-{request_id.replace('-', '')[8:]};Sampled=0",
            },
        )

    def do_POST(self) -> None:
        """Take a response, or an error of the invocation or of the start."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        if self.path == f"{_ROOT}/init/error":
            self.server.news.put(_Broken(body.get("errorType", "Runtime.InitError"), body.get("errorMessage", "")))
        else:
            self.server.news.put(Answer(not self.path.endswith("/response"), body))
        self._reply(202, b"{}")

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  http.server's name
        """Say nothing."""

    def _reply(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _variables(handler: str, folder: str) -> dict[str, str]:
    """Return what Lambda tells a function of itself, but for its credentials."""
    region = os.environ.get("AWS_REGION", "us-east-1")
    return {
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": folder,
        "PYTHONPATH": folder,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_LAMBDA_FUNCTION_NAME": "local",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/local",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "AWS_LAMBDA_LOG_LEVEL": "INFO",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
