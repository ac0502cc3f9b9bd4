"""What a deployment can be told: values from CDK's context (`cdk.json`, or `-c name=value`), checked and then frozen.

Every default is safe on a real account; the stage `local` is the emulator's, and the only one that may be careless.
"""

import json
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from infra.refusal import SynthRefused

ROOT = Path(__file__).resolve().parent.parent
LOCAL = "local"

_CONFIG = ConfigDict(extra="forbid")
_OURS = re.compile(r"[a-z][a-z_]*")  # CDK's own context keys hold a colon, a slash or a dash


def _list(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _none(value: Any) -> Any:
    return None if value in ("none", "") else value


Concurrency = Annotated[int, Field(ge=1, le=1000)]
MappingConcurrency = Annotated[int, Field(ge=2, le=1000)]  # AWS takes no mapping below 2; a limit of 1 is the store's
BatchSize = Annotated[int, Field(ge=1, le=100)]  # a thread each
Window = Annotated[int, Field(ge=0, le=300)]
Megabytes = Annotated[int, Field(ge=128, le=10_240)]
Folders = Annotated[tuple[str, ...], BeforeValidator(_list)]


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class QueueSettings:
    """What one queue has otherwise than the stage's default; None leaves the default."""

    max_concurrency: MappingConcurrency | None = None
    reserved_concurrency: Concurrency | None = None
    batch_size: BatchSize | None = None
    batching_window_seconds: Window | None = None
    memory_megabytes: Megabytes | None = None
    visibility_seconds: Annotated[int, Field(ge=0, le=43_200)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Settings:
    """One deployment of durex."""

    stage: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = "production"
    protected: bool = True
    """Keep the database when the stack goes: deletion protection, a last snapshot, termination protection."""

    # The application
    manifest: Path | None = None
    """A file with the output of `durex manifest --json`; without it synth runs that command."""
    app_python: str = sys.executable
    """The interpreter of the application's own environment, which reads its registry."""
    source: Annotated[Folders, Field(min_length=1)] = ("functions",)
    """The packages beside durex_core that go into the functions' zip."""
    requirements: str = "requirements-functions.txt"
    python: Annotated[str, Field(pattern=r"^3\.\d+$")] = "3.14"
    architecture: Literal["arm64", "x86_64", "host"] = "arm64"
    endpoint: Annotated[str | None, BeforeValidator(_none)] = None
    """An emulator's address, handed to every function as AWS_ENDPOINT_URL."""

    # The database
    min_capacity: Annotated[float, Field(ge=0, le=256, multiple_of=0.5)] = 0
    max_capacity: Annotated[float, Field(ge=1, le=256, multiple_of=0.5)] = 8
    auto_pause_seconds: Annotated[int, Field(ge=300, le=86_400)] = 300
    sleeping: bool = True
    """Let the database pause while nothing is due: what is due later has an alarm, and the tick sweeps now and then.

    Otherwise the tick comes each minute, which keeps the database awake."""
    sweep_hours: Annotated[int, Field(ge=1, le=24)] = 6
    """How often the tick of a sleeping deployment looks for what fell through."""
    backup_days: Annotated[int, Field(ge=1, le=35)] = 7

    # The queues
    default_command_timeout_seconds: Annotated[float, Field(gt=0)] = 60
    timeout_margin_seconds: Annotated[int, Field(ge=1, le=300)] = 10
    """What a worker gets beyond its longest command: to connect, claim and settle."""
    lease_margin_seconds: Annotated[int, Field(ge=1, le=300)] = 10
    max_concurrency: MappingConcurrency = 10
    batch_size: BatchSize = 10
    """The handlers that one invocation runs side by side."""
    batching_window_seconds: Window = 0
    memory_megabytes: Megabytes = 512
    connections_per_worker: Annotated[int, Field(ge=1, le=10)] = 1
    """Two where a handler has transactional steps, which open a second connection."""
    queues: Annotated[Mapping[str, QueueSettings], BeforeValidator(_json)] = Field(default_factory=dict)

    # The API
    api_auth: Literal["iam", "none"] = "iam"
    requests_per_second: Annotated[int, Field(ge=1)] = 50
    request_burst: Annotated[int, Field(ge=1)] = 100
    enqueue_concurrency: Annotated[Concurrency | None, BeforeValidator(_none)] = 40
    """Reserved for the function; `none` reserves nothing, and the connection budget then counts the throttle."""
    api_concurrency: Annotated[Concurrency | None, BeforeValidator(_none)] = 20
    tick_concurrency: Annotated[Concurrency | None, BeforeValidator(_none)] = 2
    """Reserved for the tick: an alarm and a sweep may come at once, and more of them gain nothing."""

    # Watching
    log_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 180, 365] = 30
    alarm_topic: Annotated[str | None, BeforeValidator(_none)] = None
    """The ARN of an SNS topic that every alarm tells."""

    def __post_init__(self) -> None:
        """Refuse what no single field can show.

        Raises:
            ValueError: two settings contradict each other.
        """
        if self.api_auth == "none" and not self.local:
            raise ValueError(
                f"api_auth=none would open the API of stage {self.stage!r} to everyone;"
                " leave it at iam, or use it with stage=local alone"
            )
        if self.min_capacity > self.max_capacity:
            raise ValueError(f"min_capacity {self.min_capacity:g} is above max_capacity {self.max_capacity:g}")

    @property
    def local(self) -> bool:
        """Whether this is the emulator's stage."""
        return self.stage == LOCAL

    @property
    def stack_name(self) -> str:
        """The name of the CloudFormation stack."""
        return f"durex-{self.stage}"

    @property
    def tick_name(self) -> str:
        """The name of the tick function, known before there is one: it makes alarms that call itself."""
        return f"{self.stack_name}-tick"

    @property
    def machine(self) -> Literal["arm64", "x86_64"]:
        """The architecture that the functions are declared with."""
        if self.architecture != "host":
            return self.architecture
        return "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"


# The emulator runs functions with its own interpreter on its own machine, and everything there may go at any time.
_LOCAL_DEFAULTS: Mapping[str, Any] = {
    "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    "architecture": "host",
    "protected": False,
    "log_days": 1,
}

_FIELDS = frozenset(Settings.__dataclass_fields__)


def read(context: Mapping[str, Any]) -> Settings:
    """Make settings of CDK's context.

    Raises:
        SynthRefused: a value is out of range, or a name is none of ours.
    """
    unknown = sorted(name for name in context if _OURS.fullmatch(name) and name not in _FIELDS)
    if unknown:
        raise SynthRefused(f"no setting is called {', '.join(unknown)}; there are: {', '.join(sorted(_FIELDS))}")
    given = {name: value for name, value in context.items() if name in _FIELDS}
    defaults = _LOCAL_DEFAULTS if given.get("stage") == LOCAL else {}
    try:
        return TypeAdapter(Settings).validate_python({**defaults, **given})
    except ValidationError as error:
        raise SynthRefused(*(_fault(fault) for fault in error.errors(include_url=False))) from None


def _fault(fault: Any) -> str:
    """Say one validation error as the context's reader knows it."""
    name = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    return f"setting {name}: {message} (it is {fault['input']!r})" if name else message
