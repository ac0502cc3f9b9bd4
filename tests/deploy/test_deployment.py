"""The stack as AWS would run it, from its first deployment to its end: the tests run in this order."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deploy.cdk import STACK, CdkFailed
from deploy.deployment import Deployment
from staging import wait_until

from durex_core.aws.alarm import AlarmSettings, SchedulerAlarms
from durex_core.clock import monotonic_seconds
from durex_core.rules.wakes import ECHO_AFTER, LEAD, bucket_of
from durex_core.store.migrate import migrations

pytestmark = [pytest.mark.slow, pytest.mark.deploy, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
NEWEST = migrations("postgres")[-1].version
BURST = 500
TICK = f"{STACK}-tick"


@pytest.fixture(scope="module")
def lost_wake(deployment: Deployment) -> str:
    """A command that is in the database, and of which nobody was told."""
    ((command_id,),) = deployment.run(
        "INSERT INTO durex.commands (id, name, queue, state, priority, ready_at, retries, created_at, dead_letter)"
        " VALUES (gen_random_uuid(), 'forgotten', 'forgotten', 'pending', 0, now(), 0, now(), true)"
        " RETURNING id::text"
    )
    return str(command_id)


def test_the_outputs_say_where_everything_is(deployment, lost_wake):
    assert lost_wake
    assert set(deployment.outputs) == {
        "ApiUrl",
        "DashboardName",
        *(f"WakeQueueUrl{queue}" for queue in ("Greet", "Count", "Fail", "Hold", "Fan", "Forgotten")),
    }


def test_an_unsigned_request_is_turned_away(deployment):
    assert deployment.api.get("/v1/health", is_signed=False).status == 403
    assert deployment.api.post("/v1/commands", {"name": "greet"}, is_signed=False).status == 403


def test_the_api_answers(deployment):
    reply = deployment.api.get("/v1/health")

    assert (reply.status, reply.body) == (200, {"status": "healthy", "database": "postgres", "schema_version": NEWEST})


def test_a_posted_command_runs_without_any_tick_and_its_result_comes_back(deployment):
    command_id = deployment.enqueue("greet", "Ada")

    found = deployment.finished(command_id)

    assert deployment.processes(TICK) == []
    assert (found["state"], found["result"]) == ("completed", "hello Ada from the first version")
    assert deployment.run("SELECT result FROM durex.finished_commands WHERE id = %s", command_id) == [
        ("hello Ada from the first version",)
    ]
    assert [event["event"] for event in found["history"]] == ["created", "started", "completed"]


def test_a_refused_command_is_not_stored(deployment):
    reply = deployment.api.post("/v1/commands", {"name": "greet", "payload": 7})

    assert (reply.status, reply.body["errors"][0]["field"]) == (422, "payload")
    assert deployment.api.post("/v1/commands", {"name": "unknown"}).status == 422


def test_a_failing_command_is_retried_after_its_backoff_and_dead_lettered(deployment):
    found = deployment.finished(deployment.enqueue("fail"))

    assert (found["state"], found["attempt"]) == ("dead_letter", 2)
    assert found["error"]["message"] == "on purpose"
    assert [event["event"] for event in found["history"]] == [
        "created",
        *("started", "failed"),
        *("started", "failed", "recovered"),
    ]
    failed, again = (datetime.fromisoformat(found["history"][number]["at"]) for number in (2, 3))
    assert timedelta(seconds=2) <= again - failed < ECHO_AFTER  # by the message that was held back, not by its echo
    assert deployment.processes(TICK) == []


def test_functions_log_in_as_roles_of_their_own(deployment):
    sessions = deployment.run("SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'durex'")

    assert {name for (name,) in sessions} <= {f"durex_{duty}" for duty in ("api", "enqueue", "worker", "tick", "drain")}
    assert sessions


def test_a_burst_loses_none_and_doubles_none(deployment):
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda number: deployment.enqueue("count", number), range(BURST)))

    assert len(set(ids)) == BURST
    wait_until(lambda: deployment.run("SELECT FROM durex.commands WHERE name = 'count'") == [], 60)
    finished = deployment.run(
        "SELECT id::text, result, attempt, lease_number FROM durex.finished_commands WHERE name = 'count'"
    )
    assert sorted(finished) == sorted((command_id, number, 1, 1) for number, command_id in enumerate(ids))


def test_commands_of_one_queue_wake_the_one_that_waits_for_them_in_another(deployment):
    parent = deployment.enqueue("fan", 5)

    (then,) = wait_until(
        lambda: deployment.api.get(f"/v1/commands?parent_id={parent}&name=total&state=completed").body["commands"], 60
    )
    assert (then["result"], then["attempt"]) == (sum(range(5)), 1)
    assert [child["result"] for child in then["children"]] == [0, 1, 2, 3, 4]


def test_a_command_that_is_due_in_seconds_runs_then_without_an_alarm(deployment):
    found = deployment.finished(deployment.enqueue("greet", "Ada", delay_seconds=3))

    created, started = (datetime.fromisoformat(event["at"]) for event in found["history"][:2])
    assert timedelta(seconds=3) <= started - created < ECHO_AFTER
    assert alarms(deployment) == []
    assert deployment.processes(TICK) == []


def test_commands_that_are_due_much_later_leave_one_alarm_for_their_ten_minutes(deployment):
    first = deployment.enqueue("greet", "Ada", delay_seconds=40 * 60)
    ((due_at,),) = deployment.run("SELECT ready_at FROM durex.commands WHERE id = %s", first)
    deployment.enqueue("count", 1, run_at=due_at.isoformat())

    (name,) = alarms(deployment)

    bucket, told = bucket_of(due_at), json.loads(deployment.told(TICK)["DUREX_ALARMS"])
    alarm = deployment.aws("scheduler").get_schedule(GroupName=STACK, Name=name)
    assert told["group"] == STACK
    assert alarm["ScheduleExpression"] == f"at({bucket - LEAD:%Y-%m-%dT%H:%M:%S})"
    assert alarm["ActionAfterCompletion"] == "DELETE"
    assert (alarm["Target"]["Arn"], alarm["Target"]["RoleArn"]) == (told["target"], told["role"])
    tick = deployment.aws("lambda").get_function_configuration(FunctionName=TICK)
    assert told["target"] == tick["FunctionArn"]
    assert deployment.run("SELECT bucket_at FROM durex.alarms") == [(bucket,)]


def test_an_alarm_that_fires_runs_what_is_due_and_what_nobody_was_told_of(deployment, lost_wake):
    command_id = deployment.enqueue("greet", "Ada", delay_seconds=50 * 60)
    # Fifty minutes go by, and the alarm of that time is set as the functions set theirs.
    deployment.run("UPDATE durex.commands SET ready_at = now() + interval '2 seconds' WHERE id = %s", command_id)
    ((due_at,),) = deployment.run("SELECT ready_at FROM durex.commands WHERE id = %s", command_id)
    before = alarms(deployment)
    settings = AlarmSettings.read(deployment.told(TICK)["DUREX_ALARMS"])
    scheduler = SchedulerAlarms(settings, scheduler=lambda: deployment.aws("scheduler"))

    assert scheduler.create(due_at + LEAD)

    found = deployment.finished(command_id)
    assert found["result"] == "hello Ada from the first version"
    assert datetime.fromisoformat(found["history"][1]["at"]) >= due_at
    assert deployment.finished(lost_wake)["result"] == "found"
    assert alarms(deployment) == before
    assert deployment.processes(TICK)


def test_a_command_that_was_enqueued_in_sql_runs_when_its_queue_is_woken(deployment):
    ((command_id,),) = deployment.run("""SELECT id::text FROM durex.enqueue('greet', '"Grace"')""")

    woken = deployment.api.post("/v1/queues/greet/wake", {})

    assert woken.status == 202
    assert deployment.finished(command_id)["result"] == "hello Grace from the first version"


def alarms(deployment: Deployment) -> list[str]:
    """Return the names of the alarms that are set."""
    return schedules(deployment, STACK)


def schedules(deployment: Deployment, group: str) -> list[str]:
    """Return the names of the schedules of a group."""
    found = deployment.aws("scheduler").list_schedules(GroupName=group)["Schedules"]
    return [schedule["Name"] for schedule in found]


def test_a_command_is_accepted_while_the_database_sleeps_and_runs_once_it_is_awake(deployment):
    deployment.finished(deployment.enqueue("greet", "Ada"))  # what follows is not to wait for functions that start
    with deployment.postgres.asleep():
        began = monotonic_seconds()
        accepted = deployment.api.post("/v1/commands", {"name": "greet", "payload": "Ada"})
        took = monotonic_seconds() - began

    assert (accepted.status, accepted.body["state"]) == (202, "accepted")
    assert took < 10
    found = deployment.finished(accepted.body["id"])
    assert (found["state"], found["result"]) == ("completed", "hello Ada from the first version")


def test_what_was_accepted_without_a_database_is_known_and_runs_once(deployment):
    document = {"name": "greet", "payload": "Ada", "unique_key": "once", "idempotency_key": "once"}
    with deployment.unheard("IngestQueue"):
        deployment.postgres.stop()
        try:
            replies = [deployment.api.post("/v1/commands", document) for _ in range(2)]
            away = deployment.api.get(f"/v1/commands/{replies[0].body['id']}")
        finally:
            deployment.postgres.start()
        known = deployment.api.get(f"/v1/commands/{replies[0].body['id']}")

    assert [reply.status for reply in replies] == [202, 202]
    assert away.status == 503
    assert int(away.headers["retry-after"]) > 0
    assert (known.status, known.body["state"]) == (202, "accepted")
    first, second = (deployment.finished(reply.body["id"]) for reply in replies)
    assert (first["state"], first["result"]) == ("completed", "hello Ada from the first version")
    assert second["state"] == "cancelled"
    assert first["id"] in second["error"]["message"]


def test_a_command_is_cancelled_through_the_api(deployment):
    command_id = deployment.api.post("/v1/commands", {"name": "greet", "payload": "x", "delay_seconds": 600}).body["id"]

    cancelled = deployment.api.post(f"/v1/commands/{command_id}/cancel", {"reason": "not today"})

    assert (cancelled.status, cancelled.body["state"]) == (200, "cancelled")
    assert deployment.api.post(f"/v1/commands/{command_id}/replay", {}).status == 409


def test_a_killed_worker_is_recovered_by_the_redelivery_of_its_wake(deployment, tmp_path):
    gate = tmp_path / "gate"
    queue = deployment.outputs["WakeQueueUrlHold"]
    # As deployed, the wake comes back after minutes. Neither that nor the lease is waited for: both are cut short.
    deployment.aws("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "4"})
    command_id = deployment.enqueue("hold", str(gate))
    wait_until(Path(f"{gate}.1").exists, 30)

    # There are two if the wake came back before it was started: one has nothing to do.
    for worker in deployment.processes("ComputeWorkerHold"):
        worker.kill()
    deployment.run("UPDATE durex.commands SET lease_expires_at = now() WHERE id = %s", command_id)
    wait_until(Path(f"{gate}.2").exists, 30)
    gate.touch()

    found = deployment.finished(command_id)
    assert (found["state"], found["result"]) == ("completed", "attempt 2")
    assert "Crashed" in [event["error"]["type"] for event in found["history"] if event["error"]]


def test_what_is_no_wake_ends_in_the_dead_letter_queue(deployment):
    sqs = deployment.aws("sqs")
    queue = deployment.outputs["WakeQueueUrlGreet"]
    policy = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
    dead = sqs.get_queue_url(QueueName=json.loads(policy)["deadLetterTargetArn"].rpartition(":")[2])["QueueUrl"]

    sqs.send_message(QueueUrl=queue, MessageBody="hello")

    found: list[Any] = []
    wait_until(lambda: found.extend(sqs.receive_message(QueueUrl=dead).get("Messages", [])) or bool(found), 30)
    assert found[0]["Body"] == "hello"


def test_a_changed_command_is_deployed(deployment):
    before, sweeps = deployment.run("SELECT count(*) FROM durex.finished_commands"), schedules(deployment, "default")
    set_version(deployment, "the second version")

    deployment.outputs = deployment.cdk.deploy()

    (sweep,) = schedules(deployment, "default")
    assert sweep not in sweeps  # AWS calls by a new schedule at once
    assert deployment.run("SELECT count(*) FROM durex.finished_commands") == before
    found = deployment.finished(deployment.enqueue("greet", "Grace"))
    assert found["result"] == "hello Grace from the second version"


def set_version(deployment: Deployment, version: str) -> None:
    """Change the shop's code."""
    code = deployment.folder / "shop" / "__init__.py"
    code.write_text(re.sub('VERSION = ".*"', f'VERSION = "{version}"', code.read_text()))


def test_a_failing_migration_rolls_the_deployment_back(deployment):
    before = deployment.finished(deployment.enqueue("greet", "Joan"))["result"]
    broken = deployment.folder / "broken"
    shutil.copytree(ROOT / "durex_core", broken / "durex_core", ignore=shutil.ignore_patterns("__pycache__"))
    (broken / "durex_core" / "migrations" / "postgres" / "9999_broken.sql").write_text(
        "CREATE TABLE durex.half_done (id int);\nSELECT 1 / 0;\n"
    )
    set_version(deployment, "the broken version")
    path = f"{broken}:{deployment.folder}"
    cdk = replace(
        deployment.cdk,
        app="python3 -P -m infra.app",  # the broken copy of durex, not the one in the working directory
        environment={**deployment.cdk.environment, "PYTHONPATH": path},
    )

    with pytest.raises(CdkFailed, match="division by zero"):
        cdk.deploy()

    (stack,) = deployment.aws("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert deployment.run("SELECT to_regclass('durex.half_done')") == [(None,)]
    assert deployment.api.get("/v1/health").body["schema_version"] == NEWEST
    found = deployment.finished(deployment.enqueue("greet", "Joan"))
    assert found["result"] == before


def test_nothing_is_left_when_the_stack_is_destroyed(deployment):
    deployment.cdk.destroy()

    stacks = deployment.aws("cloudformation").describe_stacks()["Stacks"]
    assert [stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"] == ["CDKToolkit"]
    left = {
        "functions": deployment.aws("lambda").list_functions()["Functions"],
        "mappings": deployment.aws("lambda").list_event_source_mappings()["EventSourceMappings"],
        "queues": deployment.aws("sqs").list_queues().get("QueueUrls", []),
        "schedules": deployment.aws("scheduler").list_schedules()["Schedules"],
        "schedule groups": [
            group["Name"]
            for group in deployment.aws("scheduler").list_schedule_groups()["ScheduleGroups"]
            if group["Name"] != "default"
        ],
        "apis": deployment.aws("apigatewayv2").get_apis()["Items"],
        "clusters": deployment.aws("rds").describe_db_clusters()["DBClusters"],
        "alarms": deployment.aws("cloudwatch").describe_alarms()["MetricAlarms"],
        "dashboards": deployment.aws("cloudwatch").list_dashboards()["DashboardEntries"],
        "logs": deployment.aws("logs").describe_log_groups()["logGroups"],
        "roles": [
            role["RoleName"]
            for role in deployment.aws("iam").list_roles()["Roles"]
            if not role["RoleName"].startswith("cdk-")
        ],
    }
    assert {kind: found for kind, found in left.items() if found} == {}
