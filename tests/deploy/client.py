"""A client of the deployed API: signs its requests as AWS asks, with the emulator's keys."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from deploy.emulator import REGION, Emulator

_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Reply:
    """What the API answered."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ApiClient:
    """The API of a deployment by its address."""

    url: str

    def post(self, path: str, document: Any, *, is_signed: bool = True) -> Reply:
        """Send a JSON document."""
        return self._send("POST", path, json.dumps(document).encode(), is_signed=is_signed)

    def get(self, path: str, *, is_signed: bool = True) -> Reply:
        """Look something up."""
        return self._send("GET", path, b"", is_signed=is_signed)

    def _send(self, method: str, path: str, body: bytes, *, is_signed: bool) -> Reply:
        headers = {"Content-Type": "application/json"} if body else {}
        request = AWSRequest(method, f"{self.url}{path}", headers, body)
        if is_signed:
            SigV4Auth(Credentials("test", "test"), "execute-api", REGION).add_auth(request)
        prepared = request.prepare()
        address = urlsplit(prepared.url)
        connection = http.client.HTTPConnection(address.netloc, timeout=_SECONDS)
        try:
            connection.request(method, f"{address.path}?{address.query}", body, dict(prepared.headers.items()))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, json.loads(response.read()), headers)
        finally:
            connection.close()


def local_url(emulator: Emulator, api_url: str) -> str:
    """Return where the emulator serves an API; `ApiUrl` names it as AWS would, under a name that is not ours."""
    api_id = (urlsplit(api_url).hostname or "").partition(".")[0]
    return f"{emulator.url}/_aws/execute-api/{api_id}/$default"


def curl_line(url: str, document: Any) -> str:
    """Return a line for the shell that enqueues a command."""
    return (
        f"curl --aws-sigv4 'aws:amz:{REGION}:execute-api' --user test:test"
        f" -H 'Content-Type: application/json' -d '{json.dumps(document)}' '{url}/v1/commands'"
    )
