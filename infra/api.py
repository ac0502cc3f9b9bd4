"""The HTTP API: one throttled stage, every call logged, every route signed with IAM."""

import json

from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.logs import log_group
from infra.settings import Settings

_LOGGED = {
    "at": "requestTime",
    "id": "requestId",
    "caller": "identity.userArn",
    "address": "identity.sourceIp",
    "route": "routeKey",
    "path": "path",
    "status": "status",
    "error": "error.message",
    "integration_error": "integrationErrorMessage",
    "milliseconds": "responseLatency",
}


class Api(Construct):
    """The endpoint: enqueueing is a function of its own, so that operations never stand in its way."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        settings: Settings,
        enqueue: lambda_.IFunction,
        operations: lambda_.IFunction,
    ) -> None:
        """Make the API, its routes and its one stage."""
        super().__init__(scope, id_)
        self.http = apigateway.HttpApi(
            self,
            "Http",
            api_name=settings.stack_name,
            description="durex: enqueue and look after commands",
            create_default_stage=False,
            default_authorizer=_authorizer(settings),
        )
        self._route("Enqueue", enqueue, "/v1/commands", apigateway.HttpMethod.POST)
        self._route("Operations", operations, "/v1/{proxy+}", apigateway.HttpMethod.ANY)
        self._route("Docs", operations, "/docs", apigateway.HttpMethod.GET)
        self.stage = self._stage(settings)

    @property
    def url(self) -> str:
        """The address that clients call."""
        return self.stage.url

    def _route(self, id_: str, function: lambda_.IFunction, path: str, method: apigateway.HttpMethod) -> None:
        integration = integrations.HttpLambdaIntegration(id_, function)
        self.http.add_routes(path=path, methods=[method], integration=integration)

    def _stage(self, settings: Settings) -> apigateway.HttpStage:
        stage = apigateway.HttpStage(
            self,
            "Stage",
            http_api=self.http,
            auto_deploy=True,
            throttle=apigateway.ThrottleSettings(
                rate_limit=settings.requests_per_second, burst_limit=settings.request_burst
            ),
        )
        resource = stage.node.default_child
        assert isinstance(resource, apigateway.CfnStage)
        resource.access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=log_group(self, "AccessLogs", settings=settings).log_group_arn,
            format=json.dumps({name: f"$context.{variable}" for name, variable in _LOGGED.items()}),
        )
        return stage


def _authorizer(settings: Settings) -> apigateway.IHttpRouteAuthorizer:
    if settings.api_auth == "none":
        return apigateway.HttpNoneAuthorizer()
    return authorizers.HttpIamAuthorizer()
