"""Starts the emulator of AWS (MiniStack) with the gaps filled in that a stack with a VPC and Aurora meets.

Runs in the emulator's own environment (`.venv-emulator`). It changes tables and functions of MiniStack in memory,
private ones among them, so the version is pinned, and a name that is gone is said at once.

DUREX_EMULATOR_POSTGRES=HOST:PORT names the Postgres that stands for every Aurora cluster. DUREX_EMULATOR_PARENT=PID
lets the emulator end when that process, its parent, is gone.
"""

import os
import sys
import threading
import uuid
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

VERSION = "1.5.33"
LOOK_SECONDS = 0.5

Attributes = dict[str, Any]
Handlers = dict[str, Callable[..., Any]]


def main() -> None:
    """Fill the gaps and serve."""
    if version("ministack") != VERSION:
        sys.exit(
            f"the launcher is made for ministack {VERSION}, not {version('ministack')}; see tests/deploy/launcher.py"
        )
    try:
        from ministack.app import main as serve  # noqa: PLC0415  it reads the environment when it is imported
        from ministack.services import ec2, rds, scheduler  # noqa: PLC0415
        from ministack.services.cloudformation import provisioners  # noqa: PLC0415

        hasten(scheduler)
        table = provisioners._RESOURCE_HANDLERS
        add_stubs(table)
        wrap(table, "AWS::EC2::VPC", lambda id_, found: with_addresses(ec2._vpcs.get(id_), found))
        host, port = os.environ["DUREX_EMULATOR_POSTGRES"].split(":")
        wrap(table, "AWS::RDS::DBCluster", lambda id_, found: with_cluster(rds._clusters.get(id_), found, host, port))
        wrap(
            table, "AWS::RDS::DBInstance", lambda id_, found: with_instance(rds._instances.get(id_), found, host, port)
        )
    except (ImportError, AttributeError, KeyError) as error:
        sys.exit(f"ministack {VERSION} is not as the launcher knows it: {type(error).__name__}: {error}")
    if "DUREX_EMULATOR_PARENT" in os.environ:
        threading.Thread(target=follow, args=(int(os.environ["DUREX_EMULATOR_PARENT"]),), daemon=True).start()
    sys.argv = ["ministack"]
    serve()


def follow(parent: int) -> None:
    """End with the parent, however it ended; the functions' processes end when nobody writes to them any more."""
    while os.getppid() == parent:
        threading.Event().wait(1)
    os._exit(1)


def hasten(scheduler: Any) -> None:
    """Let schedules that are due fire within half a second, instead of ten."""
    assert scheduler._SCHEDULE_TICK_INTERVAL > LOOK_SECONDS
    scheduler._SCHEDULE_TICK_INTERVAL = LOOK_SECONDS


def add_stubs(table: dict[str, Handlers]) -> None:
    """Let resources be made that MiniStack refuses and that nothing here looks at."""
    prefixes = {
        "AWS::EC2::EgressOnlyInternetGateway": "eigw-",
        "AWS::EC2::FlowLog": "fl-",
        "AWS::EC2::SecurityGroupEgress": "sgr-",
        "AWS::EC2::SecurityGroupIngress": "sgr-",
        "AWS::EC2::VPCCidrBlock": "vpc-cidr-assoc-",
        "AWS::CloudWatch::CompositeAlarm": "alarm-",
        "AWS::SecretsManager::RotationSchedule": "rotation-",
    }
    for kind, prefix in prefixes.items():
        table.setdefault(kind, stub(prefix))


def stub(prefix: str) -> Handlers:
    """Return what makes, changes and deletes nothing."""

    def create(_logical_id: str, _properties: Attributes, _stack: str) -> tuple[str, Attributes]:
        id_ = prefix + uuid.uuid4().hex[:17]
        return id_, {"Id": id_, "Arn": id_}

    def update(id_: str, _old: Attributes, _new: Attributes, _stack: str) -> tuple[str, Attributes]:
        return id_, {"Id": id_, "Arn": id_}

    def delete(_id: str, _properties: Attributes) -> None:
        return None

    return {"create": create, "update": update, "delete": delete}


def wrap(table: dict[str, Handlers], kind: str, amend: Callable[[str, Attributes], Attributes]) -> None:
    """Amend the attributes that a resource has after it was made or changed."""

    def amended(handler: Callable[..., tuple[str, Attributes]]) -> Callable[..., tuple[str, Attributes]]:
        def run(*arguments: Any, **named: Any) -> tuple[str, Attributes]:
            id_, attributes = handler(*arguments, **named)
            return id_, amend(id_, attributes)

        return run

    for verb in ("create", "update"):
        if verb in table[kind]:
            table[kind][verb] = amended(table[kind][verb])


def with_addresses(vpc: Attributes | None, attributes: Attributes) -> Attributes:
    """Give a VPC the addresses that CDK asks for."""
    if vpc is None:
        return attributes
    return {
        **attributes,
        "CidrBlock": vpc["CidrBlock"],
        "CidrBlockAssociations": [],
        "Ipv6CidrBlocks": ["2600:1f18:0:aa00::/56"],
    }


def with_cluster(cluster: Attributes | None, attributes: Attributes, host: str, port: str) -> Attributes:
    """Let an Aurora cluster be the Postgres that is there."""
    if cluster is None:
        return attributes
    cluster.update(Endpoint=host, ReaderEndpoint=host, Port=int(port))
    return {**attributes, "Endpoint.Address": host, "Endpoint.Port": port, "ReadEndpoint.Address": host}


def with_instance(instance: Attributes | None, attributes: Attributes, host: str, port: str) -> Attributes:
    """Let an instance of Aurora be the Postgres that is there."""
    if instance is None:
        return attributes
    instance["Endpoint"] = {**(instance.get("Endpoint") or {}), "Address": host, "Port": int(port)}
    return {**attributes, "Endpoint.Address": host, "Endpoint.Port": port}


if __name__ == "__main__":
    main()
