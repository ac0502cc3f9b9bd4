"""Other deployments than the default one."""

import pytest

from infra import checks
from infra.refusal import SynthRefused
from infra.settings import QueueSettings, Settings, read


@pytest.fixture(scope="module")
def shared(synthesise, manifest_of):
    """Commands that share a queue, a queue of a difficult name, and settings of its own."""
    manifest = manifest_of(
        ("charge", "money", 30.0), ("refund", "money", 90.0), ("ship-it", "ship-it", None), ("ship.it", "ship.it", None)
    )
    own = QueueSettings(
        max_concurrency=5, reserved_concurrency=5, batch_size=25, memory_megabytes=1024, batching_window_seconds=2
    )
    settings = Settings(
        queues={"money": own}, alarm_topic="arn:aws:sns:us-east-1:123456789012:oncall", connections_per_worker=2
    )
    return synthesise(manifest, settings)


@pytest.fixture(scope="module")
def local(synthesise, example):
    """The emulator's stage."""
    return synthesise(example, read({"stage": "local", "endpoint": "http://127.0.0.1:4566", "python": "3.11"}))


def test_commands_that_share_a_queue_share_a_function(shared):
    assert set(shared.workers) == {"money", "ship-it", "ship.it"}
    assert shared.workers["money"]["Timeout"] == 100
    assert shared.workers["money"]["Description"] == "durex worker of queue money: charge, refund"


def test_names_that_look_alike_do_not_collide(shared):
    urls = [name for name in shared.template["Outputs"] if name.startswith("WakeQueueUrl")]

    assert len(urls) == 3
    assert all(name.isalnum() for name in urls)


def test_a_queue_may_be_called_like_a_part_of_the_stack(synthesise, manifest_of):
    parts = ("tick", "api", "enqueue", "drain", "migrate", "network_interfaces", "worker", "database")
    names = (*parts, "ingest", "alarms", "group", "dashboard", "topic")

    deployment = synthesise(manifest_of(*((name, name, 30.0) for name in names)), Settings())

    assert set(deployment.workers) == set(names)
    assert len(deployment.functions) == len(names) + 5


def test_the_settings_of_a_queue_reach_its_worker_and_mapping(shared):
    worker = shared.workers["money"]
    mappings = shared.all("AWS::Lambda::EventSourceMapping").values()
    (mapping,) = (m for m in mappings if m["FunctionName"]["Ref"] == shared.logical_id(worker))

    assert (worker["MemorySize"], worker["ReservedConcurrentExecutions"]) == (1024, 5)
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 5}
    assert mapping["MaximumBatchingWindowInSeconds"] == 2
    assert mapping["BatchSize"] == 10
    assert worker["Environment"]["Variables"]["DUREX_CONCURRENCY"] == "25"
    assert worker["Environment"]["Variables"]["DUREX_DATABASE_MAX_CONNECTIONS"] == "2"


def test_alarms_tell_the_topic(shared):
    for alarm in shared.all("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == ["arn:aws:sns:us-east-1:123456789012:oncall"]


def test_a_deployment_that_does_not_sleep_has_a_tick_each_minute_that_is_not_repeated(awake):
    schedule, invocation = awake.one("AWS::Scheduler::Schedule"), awake.one("AWS::Lambda::EventInvokeConfig")

    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert schedule["Target"]["RetryPolicy"] == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    assert (invocation["MaximumRetryAttempts"], invocation["MaximumEventAgeInSeconds"]) == (0, 60)


def test_a_deployment_that_does_not_sleep_has_no_alarms(awake):
    assert awake.all("AWS::Scheduler::ScheduleGroup") == {}
    assert len(awake.all("AWS::IAM::ManagedPolicy")) == 1
    for function in awake.functions.values():
        assert "DUREX_ALARMS" not in function["Environment"]["Variables"]
        assert len(awake.shared_rights(function)) == 1
    watched = {alarm["MetricName"] for alarm in awake.all("AWS::CloudWatch::Alarm").values()}
    assert not watched & {"ServerlessDatabaseCapacity", "AsyncEventsDropped"}


def test_a_deployment_that_does_not_sleep_takes_commands_without_its_database_too(awake):
    assert {"enqueue", "drain"} <= set(awake.functions)
    assert "DUREX_INGEST_URL" in awake.functions["enqueue"]["Environment"]["Variables"]


@pytest.mark.parametrize(("hours", "rate"), [(1, "rate(1 hour)"), (24, "rate(24 hours)")])
def test_the_sweep_comes_as_often_as_it_is_set_to(synthesise, manifest_of, hours, rate):
    deployment = synthesise(manifest_of(("charge", "charge", 30.0)), Settings(sweep_hours=hours))

    assert deployment.one("AWS::Scheduler::Schedule")["ScheduleExpression"] == rate


def test_the_longest_names_leave_as_much_room_for_wake_urls_as_synth_counts_on(synthesise, manifest_of):
    queue = 100 * "q"
    deployment = synthesise(manifest_of((queue, queue, 30.0)), Settings(stage=31 * "s"))

    for function in deployment.functions.values():
        told = {name: len(name) + longest(value) for name, value in function["Environment"]["Variables"].items()}
        del told["DUREX_WAKE_URLS"]
        assert told.pop("DUREX_ALARMS") <= checks.ALARMS_BYTES
        assert sum(told.values()) <= checks.OTHER_VARIABLES_BYTES


def longest(value) -> int:
    """The length that a variable has at most."""
    if isinstance(value, str):
        return len(value)
    ((kind, argument),) = value.items()
    if kind == "Fn::Join":
        return sum(longest(part) for part in argument[1])
    if kind == "Ref":
        pseudo = {"AWS::Partition": "aws-us-gov", "AWS::Region": "ap-northeast-1", "AWS::AccountId": 12 * "0"}
        if argument.startswith("AlarmsGroup"):
            return len(f"durex-{31 * 's'}")
        return len(pseudo.get(argument, f"https://sqs.ap-northeast-1.amazonaws.com/{12 * '0'}/{80 * 'x'}"))
    attributes = {
        "Endpoint.Address": f"{63 * 'x'}.cluster-{12 * 'x'}.ap-northeast-1.rds.amazonaws.com",
        "Endpoint.Port": "5432",
        "Arn": f"arn:aws-us-gov:iam::{12 * '0'}:role/{64 * 'x'}",
        "MasterUserSecret.SecretArn": f"arn:aws-us-gov:secretsmanager:ap-northeast-1:{12 * '0'}:secret:{80 * 'x'}",
    }
    return len(attributes[argument[1]])


def test_the_local_stage_uses_passwords_and_the_emulators_address(local):
    cluster = local.one("AWS::RDS::DBCluster")

    assert "EnableIAMDatabaseAuthentication" not in cluster or cluster["EnableIAMDatabaseAuthentication"] is False
    assert cluster["DeletionProtection"] is False
    for function in local.functions.values():
        told = function["Environment"]["Variables"]
        assert (told["DUREX_DATABASE_AUTH"], told["DUREX_DATABASE_SSLMODE"]) == ("password", "prefer")
        assert told["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
        assert "AWS_USE_DUALSTACK_ENDPOINT" not in told
        assert "rds-db:connect" not in str(local.rights(function))


def test_the_local_stage_vanishes_without_a_trace(local):
    assert local.stack.termination_protection is False
    for resource in local.template["Resources"].values():
        assert resource.get("DeletionPolicy", "Delete") == "Delete"


def test_the_local_stage_has_the_products_constructs(local, product):
    def paths(deployment) -> set[str]:
        prefix = len(deployment.stack.node.path)
        return {child.node.path[prefix:] for child in deployment.stack.node.find_all()}

    secrets = {path for path in paths(local) ^ paths(product) if "Secret" in path}
    others = {
        path for path in paths(local) ^ paths(product) if "SqsEventSource" not in path and "from durex" not in path
    }

    assert others - secrets == {path for path in others if "durexlocal" in path or "durexproduction" in path}


def test_the_local_stage_is_signed_too(local):
    assert {r["AuthorizationType"] for r in local.all("AWS::ApiGatewayV2::Route").values()} == {"AWS_IAM"}


def test_the_local_stage_may_be_open(synthesise, example):
    opened = synthesise(example, Settings(stage="local", api_auth="none"))

    assert {r["AuthorizationType"] for r in opened.all("AWS::ApiGatewayV2::Route").values()} == {"NONE"}


def test_a_refused_stack_is_not_made(synthesise, manifest_of):
    with pytest.raises(SynthRefused, match="connections: "):
        synthesise(manifest_of(("charge", "charge", 30.0)), Settings(max_concurrency=1000, max_capacity=1))
