"""The template of a product deployment: what the emulator cannot prove and AWS will hold us to."""

import json
import re

from aws_cdk.assertions import Template

from durex_core.telemetry.emf import METRICS
from infra.bundling import migrations_hash
from infra.manifest import Manifest
from infra.plan import identifier

TICK = "durex-production-tick"
OWN_RIGHTS = {"logs:CreateLogStream", "logs:PutLogEvents"}
CONSUME = {
    "sqs:ReceiveMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:GetQueueUrl",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
}


def as_list(value):
    return value if isinstance(value, list) else [value]


def actions(statements) -> set[str]:
    return {action for statement in statements for action in as_list(statement["Action"])}


def resources(statements, action: str) -> list[object]:
    allowed = [s for s in statements if action in as_list(s["Action"])]
    return [resource for statement in allowed for resource in as_list(statement["Resource"])]


def arn_of(product, properties) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [product.logical_id(properties), "Arn"]}


class TestNetwork:
    """Two IP families, no NAT, no way in."""

    def test_ipv6_leaves_through_an_egress_only_gateway_and_nothing_else_leaves(self, product):
        assert len(product.all("AWS::EC2::EgressOnlyInternetGateway")) == 1
        for gone in ("NatGateway", "InternetGateway", "EIP", "VPCEndpoint", "VPCGatewayAttachment"):
            assert product.all(f"AWS::EC2::{gone}") == {}
        assert product.all("AWS::RDS::DBProxy") == {}

    def test_every_route_out_is_ipv6(self, product):
        routes = product.all("AWS::EC2::Route").values()

        assert len(routes) == 2
        for route in routes:
            assert route["DestinationIpv6CidrBlock"] == "::/0"
            assert "EgressOnlyInternetGatewayId" in route

    def test_every_subnet_has_ipv6(self, product):
        subnets = product.all("AWS::EC2::Subnet").values()

        assert len(subnets) == 2
        assert all("Ipv6CidrBlock" in subnet and not subnet["MapPublicIpOnLaunch"] for subnet in subnets)

    def test_only_functions_reach_the_database_and_only_its_port(self, product):
        cluster = product.logical_id(product.one("AWS::RDS::DBCluster"))
        port = {"Fn::GetAtt": [cluster, "Endpoint.Port"]}
        ingress = product.one("AWS::EC2::SecurityGroupIngress")
        function = product.functions["migrate"]

        assert ingress["SourceSecurityGroupId"] in function["VpcConfig"]["SecurityGroupIds"]
        assert (ingress["FromPort"], ingress["ToPort"], ingress["IpProtocol"]) == (port, port, "tcp")
        for group in product.all("AWS::EC2::SecurityGroup").values():
            assert "SecurityGroupIngress" not in group

    def test_functions_reach_ipv6_and_the_database_alone(self, product):
        (functions,) = (g for g in product.all("AWS::EC2::SecurityGroup").values() if "functions" in str(g))
        egress = product.one("AWS::EC2::SecurityGroupEgress")

        assert [rule.get("CidrIpv6") for rule in functions["SecurityGroupEgress"]] == ["::/0"]
        assert egress["GroupId"]["Fn::GetAtt"][0] == product.logical_id(functions)

    def test_refused_traffic_is_logged(self, product):
        assert product.one("AWS::EC2::FlowLog")["TrafficType"] == "REJECT"


class TestDatabase:
    """Aurora Serverless v2 that pauses, signs in by IAM and survives its stack."""

    def test_it_scales_from_nothing_to_eight_units_and_pauses(self, product):
        cluster = product.one("AWS::RDS::DBCluster")

        assert cluster["ServerlessV2ScalingConfiguration"] == {
            "MinCapacity": 0,
            "MaxCapacity": 8,
            "SecondsUntilAutoPause": 300,
        }
        assert product.one("AWS::RDS::DBInstance")["DBInstanceClass"] == "db.serverless"
        assert cluster["Engine"] == "aurora-postgresql"
        assert int(cluster["EngineVersion"].split(".")[0]) >= 15

    def test_nothing_that_keeps_it_awake_is_switched_on(self, product):
        cluster, instance = product.one("AWS::RDS::DBCluster"), product.one("AWS::RDS::DBInstance")

        assert instance["EnablePerformanceInsights"] is False
        assert not {"MonitoringInterval", "EnableCloudwatchLogsExports", "EnableHttpEndpoint"} & set(cluster)
        assert "MonitoringInterval" not in instance

    def test_it_is_encrypted_private_and_kept(self, product):
        cluster = product.one("AWS::RDS::DBCluster")
        resource = product.template["Resources"][product.logical_id(cluster)]

        assert cluster["StorageEncrypted"] is True
        assert cluster["DeletionProtection"] is True
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Snapshot", "Snapshot")
        assert cluster["BackupRetentionPeriod"] == 7
        assert product.one("AWS::RDS::DBInstance")["PubliclyAccessible"] is False
        assert product.stack.termination_protection is True

    def test_no_password_is_in_the_template(self, product):
        cluster = product.one("AWS::RDS::DBCluster")

        assert cluster["EnableIAMDatabaseAuthentication"] is True
        assert cluster["ManageMasterUserPassword"] is True
        assert "MasterUserPassword" not in cluster
        assert product.all("AWS::SecretsManager::Secret") == {}


class TestQueues:
    """A wake queue and a dead letter queue for each queue of commands, and a pair for ingest."""

    def test_each_queue_of_the_registry_has_its_own_pair(self, product, example: Manifest):
        queues = product.all("AWS::SQS::Queue")
        targets = [dead_letters_of(queue) for queue in patient(product)]

        assert len(queues) == 2 * (len(example.queues) + 1)
        assert len(set(targets)) == len(example.queues) + 1
        assert set(targets) <= set(queues)

    def test_a_wake_stays_hidden_for_six_timeouts(self, product):
        for name, function in product.workers.items():
            wake = product.template["Resources"][wake_id(product, name)]["Properties"]

            assert wake["VisibilityTimeout"] >= 6 * function["Timeout"]
            assert wake["VisibilityTimeout"] > function["Timeout"] + 10  # the lease

    def test_what_is_ingested_stays_hidden_for_six_timeouts(self, product):
        assert ingest(product)["VisibilityTimeout"] == 6 * product.functions["drain"]["Timeout"]

    def test_every_queue_is_patient_and_keeps_everything_two_weeks(self, product):
        for queue in product.all("AWS::SQS::Queue").values():
            assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
        for queue in patient(product):
            assert queue["RedrivePolicy"]["maxReceiveCount"] == 1000

    def test_every_queue_is_encrypted_and_refuses_plain_http(self, product):
        queues = product.all("AWS::SQS::Queue")
        refusing = set()
        for policy in product.all("AWS::SQS::QueuePolicy").values():
            (statement,) = policy["PolicyDocument"]["Statement"]
            assert (statement["Effect"], statement["Condition"]) == (
                "Deny",
                {"Bool": {"aws:SecureTransport": "false"}},
            )
            refusing |= {queue["Ref"] for queue in policy["Queues"]}

        assert all(queue["SqsManagedSseEnabled"] is True for queue in queues.values())
        assert refusing == set(queues)


class TestFunctions:
    """Thin functions from one asset."""

    def test_there_is_a_worker_for_each_queue_and_five_others(self, product, example: Manifest):
        workers = {f"worker of {queue.name}" for queue in example.queues}

        assert set(product.functions) == {"migrate", "enqueue", "api", "tick", "drain", *workers}

    def test_all_share_one_asset_architecture_and_runtime(self, product):
        functions = product.functions.values()

        assert len({json.dumps(f["Code"]) for f in functions}) == 1
        assert {f["Architectures"][0] for f in functions} == {"arm64"}
        assert {f["Runtime"] for f in functions} == {"python3.14"}
        assert {f["LoggingConfig"]["LogFormat"] for f in functions} == {"JSON"}

    def test_each_worker_has_time_for_its_longest_command(self, product, example: Manifest):
        for queue in example.queues:
            assert product.workers[queue.name]["Timeout"] == (queue.timeout_seconds or 60) + 10

    def test_the_others_have_their_times(self, product):
        seconds = {part: f["Timeout"] for part, f in product.functions.items() if not part.startswith("worker")}

        assert seconds == {"migrate": 600, "enqueue": 29, "api": 29, "tick": 50, "drain": 60}

    def test_lambda_cuts_no_chain_of_commands(self, product):
        for part, function in product.functions.items():
            chained = part == "tick" or part.startswith("worker")
            assert function.get("RecursiveLoop") == ("Allow" if chained else None)

    def test_neither_the_api_nor_ticks_can_take_every_connection(self, product):
        reserved = {part: f.get("ReservedConcurrentExecutions") for part, f in product.functions.items()}

        assert (reserved.pop("enqueue"), reserved.pop("api"), reserved.pop("tick")) == (40, 20, 2)
        assert set(reserved.values()) == {None}

    def test_all_share_one_pair_of_network_and_security_group(self, product):
        assert len({json.dumps(f["VpcConfig"], sort_keys=True) for f in product.functions.values()}) == 1
        assert all(f["VpcConfig"]["Ipv6AllowedForDualStack"] for f in product.functions.values())

    def test_the_mappings_report_each_failed_message(self, product):
        mappings = product.all("AWS::Lambda::EventSourceMapping").values()

        assert len(mappings) == len(product.workers) + 1
        for mapping in mappings:
            drains = mapping["FunctionName"]["Ref"] == product.logical_id(product.functions["drain"])
            assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2 if drains else 10}
            assert mapping["BatchSize"] == 10
            assert "MaximumBatchingWindowInSeconds" not in mapping

    def test_each_mapping_joins_a_queue_and_its_own_worker(self, product):
        joined = {
            m["FunctionName"]["Ref"]: m["EventSourceArn"]["Fn::GetAtt"][0]
            for m in product.all("AWS::Lambda::EventSourceMapping").values()
        }

        drain = product.logical_id(product.functions["drain"])
        assert joined.pop(drain) == product.logical_id(ingest(product))
        assert joined == {product.logical_id(f): wake_id(product, name) for name, f in product.workers.items()}

    def test_a_failed_tick_is_tried_twice_more(self, product):
        invocation = product.one("AWS::Lambda::EventInvokeConfig")

        assert invocation["FunctionName"]["Ref"] == product.logical_id(product.functions["tick"])
        assert (invocation["MaximumRetryAttempts"], invocation["MaximumEventAgeInSeconds"]) == (2, 900)


class TestEnvironment:
    """What functions are told; the names are a contract."""

    def test_every_function_is_told_the_application_and_the_wakes(self, product, example: Manifest):
        for function in product.functions.values():
            told = function["Environment"]["Variables"]
            assert told["DUREX_APP"] == example.app
            assert told["DUREX_METRICS_NAMESPACE"] == "durex-production"
            assert told["POWERTOOLS_METRICS_NAMESPACE"] == "durex"
            assert told["AWS_USE_DUALSTACK_ENDPOINT"] == "true"
            assert "AWS_ENDPOINT_URL" not in told
            assert list(wake_urls(told)) == [queue.name for queue in example.queues]

    def test_the_wake_urls_are_those_of_the_outputs(self, product, example: Manifest):
        told = wake_urls(product.functions["enqueue"]["Environment"]["Variables"])

        for queue in example.queues:
            output = product.template["Outputs"][f"WakeQueueUrl{identifier(queue.name)}"]
            assert told[queue.name] == output["Value"]["Ref"] == wake_id(product, queue.name)

    def test_every_function_signs_in_as_its_own_role_without_a_password(self, product):
        for part, function in product.functions.items():
            told = function["Environment"]["Variables"]
            scheme, host, colon, port, path = told["DUREX_DATABASE_URL"]["Fn::Join"][1]
            role = "postgres" if part == "migrate" else f"durex_{part.split()[0]}"

            assert (scheme, colon, path) == (f"postgresql://{role}@", ":", "/durex")
            assert host["Fn::GetAtt"][1] == "Endpoint.Address"
            assert port["Fn::GetAtt"][1] == "Endpoint.Port"
            assert (told["DUREX_DATABASE_AUTH"], told["DUREX_DATABASE_SSLMODE"]) == ("iam", "verify-full")

    def test_a_worker_is_told_its_queue_its_dead_letters_and_its_margin(self, product):
        for name, function in product.workers.items():
            told = function["Environment"]["Variables"]
            wake = product.template["Resources"][wake_id(product, name)]["Properties"]

            assert told["DUREX_QUEUE"] == name
            assert told["DUREX_CONCURRENCY"] == "10"
            assert told["DUREX_DEAD_LETTER_URL"] == {
                "Ref": wake["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
            }
            assert told["DUREX_LEASE_MARGIN_SECONDS"] == "10"
            assert told["DUREX_DATABASE_MAX_CONNECTIONS"] == "1"

    def test_the_migration_is_told_the_secret_the_roles_and_the_hash_of_its_sql(self, product):
        told = product.functions["migrate"]["Environment"]["Variables"]

        assert told["DUREX_DATABASE_SECRET_ARN"]["Fn::GetAtt"][1] == "MasterUserSecret.SecretArn"
        assert json.loads(told["DUREX_DATABASE_ROLES"]) == {
            "worker": "durex_worker",
            "enqueue": "durex_enqueue",
            "api": "durex_api",
            "tick": "durex_tick",
            "drain": "durex_drain",
        }
        assert told["DUREX_MIGRATIONS_HASH"] == migrations_hash()

    def test_every_function_can_make_alarms_that_call_the_tick(self, product):
        group = product.logical_id(product.one("AWS::Scheduler::ScheduleGroup"))
        for function in product.functions.values():
            alarms = json_of(function["Environment"]["Variables"]["DUREX_ALARMS"])

            assert set(alarms) == {"group", "role", "target"}
            assert (alarms["group"], alarms["target"]) == (group, f"function:{TICK}")
            assert alarms["role"] == alarm_role(product)

    def test_enqueue_leaves_to_the_drain_what_it_cannot_store_soon(self, product):
        told = product.functions["enqueue"]["Environment"]["Variables"]

        assert told["DUREX_INGEST_URL"] == {"Ref": product.logical_id(ingest(product))}
        assert told["DUREX_DATABASE_CONNECT_TIMEOUT_SECONDS"] == "3"
        assert told["DUREX_DATABASE_ANSWER_TIMEOUT_SECONDS"] == "2"
        for part, function in product.functions.items():
            assert ("DUREX_INGEST_URL" in function["Environment"]["Variables"]) == (part == "enqueue")

    def test_the_drain_is_told_its_dead_letters(self, product):
        told = product.functions["drain"]["Environment"]["Variables"]

        assert told["DUREX_DEAD_LETTER_URL"] == {"Ref": dead_letters_of(ingest(product))}

    def test_the_variables_fit_into_lambdas_four_kilobytes(self, product):
        name = "https://sqs.ap-northeast-1.amazonaws.com/123456789012/" + 80 * "x"
        for function in product.functions.values():
            text = json.dumps(function["Environment"]["Variables"])
            assert len(re.sub(r'\{"(Ref|Fn::GetAtt)": [^}]*\}', name, text)) < 4096


class TestMigration:
    """The deploy's trigger."""

    def test_it_has_ten_minutes_and_its_failure_is_the_deployments(self, product):
        trigger = product.one("Custom::Trigger")

        assert trigger["Timeout"] == str(10 * 60 * 1000)
        assert trigger["InvocationType"] == "RequestResponse"
        assert trigger["ExecuteOnHandlerChange"] is True

    def test_it_runs_once_the_database_can_be_reached_and_before_every_other_function(self, product):
        trigger = product.one("Custom::Trigger")
        before = {
            product.logical_id(product.one(kind))
            for kind in ("AWS::RDS::DBCluster", "AWS::RDS::DBInstance", "AWS::EC2::SecurityGroupIngress")
        } | {product.logical_id(product.one("AWS::EC2::SecurityGroupEgress"))}

        assert before <= set(product.depends_on(trigger))
        for part, function in product.functions.items():
            assert (product.logical_id(trigger) in product.depends_on(function)) == (part != "migrate")

    def test_new_sql_is_a_new_version_of_the_handler(self, product):
        (handler,) = product.all("AWS::Lambda::Version")

        assert product.one("Custom::Trigger")["HandlerArn"] == {"Ref": handler}


class TestRights:
    """Every role may do what its function does and no more."""

    def test_only_one_statement_allows_everything_of_its_kind(self, product):
        wide = []
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            for name, policy in product.all(kind).items():
                for statement in policy["PolicyDocument"]["Statement"]:
                    if statement["Effect"] == "Allow" and "*" in as_list(statement["Resource"]):
                        wide.append((name, actions([statement])))
                    assert not any("*" in action for action in actions([statement]))

        ((name, allowed),) = wide
        assert name.startswith("ComputeNetworkInterfaces")
        assert all(re.fullmatch(r"ec2:\w*(NetworkInterface|PrivateIpAddress|Subnet)\w*", action) for action in allowed)

    def test_the_code_of_a_function_may_not_touch_network_interfaces(self, product):
        allow, deny = statements_of(product, "ComputeNetworkInterfaces")

        assert (allow["Effect"], deny["Effect"]) == ("Allow", "Deny")
        assert actions([allow]) == actions([deny])
        assert "lambda:SourceFunctionArn" in deny["Condition"]["ArnLike"]

    def test_every_function_has_a_role_of_its_own_without_aws_managed_policies(self, product):
        roles = [function["Role"]["Fn::GetAtt"][0] for function in product.functions.values()]

        assert len(set(roles)) == len(roles)
        for part, function in product.functions.items():
            shared = [re.sub(r"[0-9A-F]{8}$", "", policy) for policy in product.shared_rights(function)]
            assert shared == ["ComputeNetworkInterfaces", *([] if part == "migrate" else ["AlarmsCreate"])]

    def test_an_alarm_is_made_in_its_group_calls_the_tick_and_that_is_all(self, product):
        (create, pass_on) = statements_of(product, "AlarmsCreate")
        role = alarm_role(product)

        assert create["Action"] == "scheduler:CreateSchedule"
        assert create["Resource"]["Fn::Join"][1][-1] == ":schedule/durex-production/*"
        assert product.one("AWS::Scheduler::ScheduleGroup")["Name"] == "durex-production"
        assert (pass_on["Action"], pass_on["Resource"]) == ("iam:PassRole", {"Fn::GetAtt": [role, "Arn"]})
        assert pass_on["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
        assert called_by(product, role)["Fn::Join"][1][-1] == f":function:{TICK}"

    def test_the_tick_is_named_as_the_alarms_call_it(self, product):
        assert product.functions["tick"]["FunctionName"] == TICK
        assert [part for part, f in product.functions.items() if "FunctionName" in f] == ["tick"]

    def test_the_rights_of_each_function_are_these(self, product):
        given = {part: actions(product.rights(function)) for part, function in product.functions.items()}
        wakes_others = OWN_RIGHTS | {"rds-db:connect", "sqs:SendMessage"}

        assert given.pop("migrate") == OWN_RIGHTS | {"secretsmanager:GetSecretValue"}
        for part in ("enqueue", "api", "tick"):
            assert given.pop(part) == wakes_others
        assert given.pop("drain") == wakes_others | CONSUME
        assert set(given) == {f"worker of {name}" for name in product.workers}
        assert all(rights == wakes_others | CONSUME for rights in given.values())

    def test_each_function_signs_in_as_one_role(self, product):
        for part, function in product.functions.items():
            signed = resources(product.rights(function), "rds-db:connect")
            assert [arn["Fn::Join"][1][-1] for arn in signed] == (
                [] if part == "migrate" else [f"/durex_{part.split()[0]}"]
            )

    def test_a_worker_consumes_its_own_wakes_and_wakes_all(self, product):
        every = [arn_of(product, wake) for wake in wakes(product)]
        for name, function in product.workers.items():
            rights = product.rights(function)
            own = {"Fn::GetAtt": [wake_id(product, name), "Arn"]}
            dead_letters = function["Environment"]["Variables"]["DUREX_DEAD_LETTER_URL"]["Ref"]

            assert resources(rights, "sqs:ReceiveMessage") == [own]
            assert resources(rights, "sqs:DeleteMessage") == [own]
            sent = resources(rights, "sqs:SendMessage")
            assert {"Fn::GetAtt": [dead_letters, "Arn"]} in sent
            assert all(arn in sent for arn in every)
            assert len(sent) == len(every) + 1

    def test_enqueue_and_the_drain_share_the_ingest_queue(self, product):
        queue = arn_of(product, ingest(product))
        letters = {"Fn::GetAtt": [dead_letters_of(ingest(product)), "Arn"]}
        for part, function in product.functions.items():
            rights = product.rights(function)

            assert (queue in resources(rights, "sqs:SendMessage")) == (part == "enqueue")
            assert (queue in resources(rights, "sqs:ReceiveMessage")) == (part == "drain")
            assert (letters in resources(rights, "sqs:SendMessage")) == (part == "drain")

    def test_the_migration_alone_reads_the_secret(self, product):
        for part, function in product.functions.items():
            read = resources(product.rights(function), "secretsmanager:GetSecretValue")
            assert len(read) == (1 if part == "migrate" else 0)

    def test_the_schedule_may_call_the_tick_and_nothing_else(self, product):
        target = product.one("AWS::Scheduler::Schedule")["Target"]
        role = target["RoleArn"]["Fn::GetAtt"][0]

        assert called_by(product, role) == target["Arn"] == arn_of(product, product.functions["tick"])

    def test_only_the_scheduler_of_this_account_takes_on_its_roles(self, product):
        own = product.one("AWS::Scheduler::Schedule")["Target"]["RoleArn"]["Fn::GetAtt"][0]
        for role in (own, alarm_role(product)):
            (trust,) = product.template["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
            assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


class TestApi:
    """An HTTP API that nobody calls unsigned."""

    def test_every_route_is_signed_with_iam(self, product):
        routes = {r["RouteKey"]: r["AuthorizationType"] for r in product.all("AWS::ApiGatewayV2::Route").values()}

        assert routes == {
            "POST /v1/commands": "AWS_IAM",
            "ANY /v1/{proxy+}": "AWS_IAM",
            "GET /docs": "AWS_IAM",
        }

    def test_each_route_goes_to_its_function(self, product):
        targets = {}
        for route in product.all("AWS::ApiGatewayV2::Route").values():
            integration = product.template["Resources"][route["Target"]["Fn::Join"][1][1]["Ref"]]["Properties"]
            targets[route["RouteKey"]] = integration["IntegrationUri"]

        enqueue, api = (arn_of(product, product.functions[part]) for part in ("enqueue", "api"))
        assert targets == {"POST /v1/commands": enqueue, "ANY /v1/{proxy+}": api, "GET /docs": api}

    def test_the_only_stage_is_throttled_and_logs_every_call(self, product):
        stage = product.one("AWS::ApiGatewayV2::Stage")
        logged = json.loads(stage["AccessLogSettings"]["Format"])

        assert stage["DefaultRouteSettings"] == {"ThrottlingBurstLimit": 100, "ThrottlingRateLimit": 50}
        assert stage["StageName"] == "$default"
        assert {"caller", "route", "status"} <= set(logged)

    def test_functions_are_called_by_this_api_alone(self, product):
        for permission in product.all("AWS::Lambda::Permission").values():
            assert permission["Principal"] == "apigateway.amazonaws.com"
            assert product.logical_id(product.one("AWS::ApiGatewayV2::Api")) in json.dumps(permission["SourceArn"])


class TestWatching:
    """Schedule, logs, dashboard and alarms."""

    def test_the_tick_sweeps_every_six_hours_and_is_handed_over_within_one(self, product):
        schedule = product.one("AWS::Scheduler::Schedule")

        assert schedule["ScheduleExpression"] == "rate(6 hours)"
        assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
        assert schedule["Target"]["RetryPolicy"] == {"MaximumRetryAttempts": 10, "MaximumEventAgeInSeconds": 3600}

    def test_the_first_sweep_of_each_version_comes_once_all_else_is_there(self, product):
        schedule = product.one("AWS::Scheduler::Schedule")
        (version,) = product.all("AWS::Lambda::Version")  # of new code, another number
        there = {*product.all("AWS::Lambda::EventSourceMapping"), *map(product.logical_id, product.functions.values())}

        assert schedule["Name"]["Fn::Join"][1] == ["durex-production-", {"Fn::GetAtt": [version, "Version"]}]
        assert "StartDate" not in schedule
        assert there <= set(product.depends_on(schedule))

    def test_every_log_is_ours_and_forgets(self, product):
        groups = product.all("AWS::Logs::LogGroup")
        used = {function["LoggingConfig"]["LogGroup"]["Ref"] for function in product.functions.values()}

        assert {group["RetentionInDays"] for group in groups.values()} == {30}
        for function in product.all("AWS::Lambda::Function").values():  # the one behind CDK's trigger, too
            assert function["LoggingConfig"]["LogGroup"]["Ref"] in groups
        assert used < set(groups)
        assert len(used) == len(product.functions)
        assert product.all("Custom::LogRetention") == {}

    def test_a_letter_in_any_dead_letter_queue_raises_the_alarm(self, product):
        letters = {dead_letters_of(queue) for queue in patient(product)}
        found = alarms(product, "ApproximateNumberOfMessagesVisible")

        assert {alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0] for alarm in found} == letters
        assert all(threshold(alarm) == (">=", 1, "Maximum") for alarm in found)

    def test_an_error_of_a_worker_the_tick_or_the_drain_raises_the_alarm(self, product):
        drain = product.logical_id(product.functions["drain"])

        assert functions_of(alarms(product, "Errors")) == chained(product) | {drain}
        assert all(threshold(alarm) == (">=", 1, "Sum") for alarm in alarms(product, "Errors"))

    def test_a_chain_that_lambda_cut_raises_the_alarm(self, product):
        found = alarms(product, "RecursiveInvocationsDropped")

        assert functions_of(found) == chained(product)
        assert all(threshold(alarm) == (">=", 1, "Sum") for alarm in found)

    def test_a_server_error_of_the_api_raises_the_alarm(self, product):
        (alarm,) = alarms(product, "5xx")

        assert threshold(alarm) == (">=", 1, "Sum")

    def test_four_fifths_of_the_connections_raise_the_alarm(self, product):
        (alarm,) = alarms(product, "DatabaseConnections")

        assert threshold(alarm) == (">", 1335, "Maximum")  # 80 % of 1,669

    def test_what_waits_for_the_drain_raises_the_alarm(self, product):
        (alarm,) = alarms(product, "ApproximateAgeOfOldestMessage")

        assert alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0] == product.logical_id(ingest(product))
        assert threshold(alarm) == (">=", 600, "Maximum")

    def test_a_tick_that_was_given_up_raises_the_alarm(self, product):
        (alarm,) = alarms(product, "AsyncEventsDropped")

        assert functions_of([alarm]) == {product.logical_id(product.functions["tick"])}
        assert threshold(alarm) == (">=", 1, "Sum")

    def test_a_database_that_has_not_paused_for_a_day_raises_the_alarm(self, product):
        (alarm,) = alarms(product, "ServerlessDatabaseCapacity")

        assert threshold(alarm) == (">", 0, "Minimum")
        assert (alarm["Period"], alarm["EvaluationPeriods"]) == (3600, 24)
        assert alarm["Dimensions"][0]["Name"] == "DBClusterIdentifier"

    def test_silence_is_no_alarm_and_every_alarm_says_what_to_do(self, product):
        for alarm in product.all("AWS::CloudWatch::Alarm").values():
            assert alarm["TreatMissingData"] == "notBreaching"
            assert ":" in alarm["AlarmDescription"] or "." in alarm["AlarmDescription"]

    def test_the_dashboard_shows_each_queue(self, product, example: Manifest):
        widgets = dashboard(product)

        for queue in example.queues:
            (age,) = widgets[f"{queue.name}: age of the oldest wake"]
            assert age[:2] == ["AWS/SQS", "ApproximateAgeOfOldestMessage"]
            assert len(widgets[f"{queue.name}: duration"]) == 2
            shown = {metric[1] for metric in widgets[f"{queue.name}: invocations, errors, throttles"]}
            assert shown == {"Invocations", "Errors", "Throttles"}
        assert len(widgets["Dead letters"]) == len(example.queues) + 1
        assert {m[1] for m in widgets["Ingest: commands waiting, age of the oldest"]} == {
            "ApproximateNumberOfMessagesVisible",
            "ApproximateAgeOfOldestMessage",
        }
        for name in ("Drain", "Tick"):
            shown = {metric[1] for metric in widgets[f"{name}: invocations, errors, throttles"]}
            assert shown == {"Invocations", "Errors", "Throttles"}
        assert {m[1] for m in widgets["Database: capacity (ACU), connections"]} == {
            "ServerlessDatabaseCapacity",
            "DatabaseConnections",
        }
        assert {m[1] for m in widgets["API requests, 5xx"]} == {"Count", "5xx"}

    def test_the_dashboard_shows_what_the_functions_report_of_each_queue(self, product, example: Manifest):
        widgets = dashboard(product)

        for queue in example.queues:
            shown = [
                *widgets[f"{queue.name}: commands"],
                *widgets[f"{queue.name}: handler duration"],
                *widgets[f"{queue.name}: waiting commands, age of the oldest"],
            ]
            assert {tuple(metric[2:4]) for metric in shown} == {("queue", queue.name)}
            for function in product.functions.values():
                namespace = function["Environment"]["Variables"]["DUREX_METRICS_NAMESPACE"]
                assert {metric[0] for metric in shown} == {namespace}
            assert {metric[1] for metric in shown} == {*METRICS}


def test_the_outputs_are_these(product, example: Manifest):
    urls = {f"WakeQueueUrl{identifier(queue.name)}" for queue in example.queues}

    assert set(product.template["Outputs"]) == {"ApiUrl", "DashboardName", *urls}


def test_the_template_has_no_cycle(product):
    Template.from_json(product.template)  # it looks for one


def dashboard(product) -> dict[str, list[list[object]]]:
    """The metrics of each widget, by its title."""
    parts = product.one("AWS::CloudWatch::Dashboard")["DashboardBody"]["Fn::Join"][1]
    body = json.loads("".join(part if isinstance(part, str) else "reference" for part in parts))
    return {widget["properties"]["title"]: widget["properties"]["metrics"] for widget in body["widgets"]}


def patient(product):
    """The wake queues and the ingest queue: those with a dead letter queue."""
    return [queue for queue in product.all("AWS::SQS::Queue").values() if "RedrivePolicy" in queue]


def wakes(product):
    return [queue for queue in patient(product) if queue is not ingest(product)]


def ingest(product):
    """The ingest queue, by the mapping of the drain."""
    drain = product.logical_id(product.functions["drain"])
    mappings = product.all("AWS::Lambda::EventSourceMapping").values()
    (queue,) = (m["EventSourceArn"]["Fn::GetAtt"][0] for m in mappings if m["FunctionName"]["Ref"] == drain)
    return product.template["Resources"][queue]["Properties"]


def dead_letters_of(queue) -> str:
    """The logical id of a queue's dead letters."""
    return queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]


def statements_of(product, prefix: str):
    """The statements of the policy whose logical id starts so."""
    (policy,) = (p for name, p in product.all("AWS::IAM::ManagedPolicy").items() if name.startswith(prefix))
    return policy["PolicyDocument"]["Statement"]


def alarm_role(product) -> str:
    """The logical id of the role that alarms take on."""
    (role,) = (name for name in product.all("AWS::IAM::Role") if name.startswith("Alarms"))
    return role


def called_by(product, role: str):
    """The one function that a role of the scheduler may call."""
    (policy,) = product.template["Resources"][role]["Properties"]["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == "lambda:InvokeFunction"
    assert not [p for p in product.all("AWS::IAM::Policy").values() if {"Ref": role} in p["Roles"]]
    return statement["Resource"]


def wake_id(product, name: str) -> str:
    """The logical id of a queue's wakes, by the mapping of its worker."""
    worker = product.logical_id(product.workers[name])
    mappings = product.all("AWS::Lambda::EventSourceMapping").values()
    return next(m["EventSourceArn"]["Fn::GetAtt"][0] for m in mappings if m["FunctionName"]["Ref"] == worker)


def wake_urls(told) -> dict[str, str]:
    """DUREX_WAKE_URLS with each URL's logical id in its place."""
    return json_of(told["DUREX_WAKE_URLS"])


def json_of(joined) -> dict[str, str]:
    """JSON that CloudFormation puts together, with logical ids in their places, and of an ARN what comes last."""
    parts = (part if isinstance(part, str) else _named(part) for part in joined["Fn::Join"][1])
    return {name: value.rpartition("::")[2] for name, value in json.loads("".join(parts)).items()}


def _named(part) -> str:
    return part["Fn::GetAtt"][0] if "Fn::GetAtt" in part else part["Ref"].replace("AWS::AccountId", "::")


def chained(product) -> set[str]:
    """The functions that are links of chains: workers and the tick."""
    return {product.logical_id(function) for function in (product.functions["tick"], *product.workers.values())}


def alarms(product, metric: str):
    return [a for a in product.all("AWS::CloudWatch::Alarm").values() if a["MetricName"] == metric]


def functions_of(found) -> set[str]:
    return {alarm["Dimensions"][0]["Value"]["Ref"] for alarm in found}


def threshold(alarm) -> tuple[str, float, str]:
    signs = {"GreaterThanOrEqualToThreshold": ">=", "GreaterThanThreshold": ">"}
    return signs[alarm["ComparisonOperator"]], alarm["Threshold"], alarm["Statistic"]
