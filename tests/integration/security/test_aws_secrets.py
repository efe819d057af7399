"""Secrets in AWS Secrets Manager, over a server that speaks its protocol."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.support.processes import free_port

from toolyard.errors import SecretUnreadable, SettingsError
from toolyard.security.aws_secrets import AwsSecrets
from toolyard.security.secrets import Secrets
from toolyard_scheduler.secrets_desk import providers


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def aws(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client with which somebody else keeps secrets; ours finds the same server by its environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("secretsmanager")
    yield client
    client.close()


def test_a_secret_is_found_under_its_prefix_and_org_alone(aws: Any):
    aws.create_secret(Name="yard/default/FOUND", SecretString="hunter2 ü")
    provider = AwsSecrets("yard/")
    assert provider.get("default", "FOUND") == "hunter2 ü"
    assert provider.get("other", "FOUND") is None
    assert provider.get("default", "OTHER") is None
    assert AwsSecrets("yard2").get("default", "FOUND") is None


def test_a_new_value_is_told_from_then_on(aws: Any):
    aws.create_secret(Name="yard/default/ROTATED", SecretString="old")
    provider = AwsSecrets("yard")
    assert provider.get("default", "ROTATED") == "old"
    aws.put_secret_value(SecretId="yard/default/ROTATED", SecretString="new")
    assert provider.get("default", "ROTATED") == "new"


def test_what_is_no_text_or_about_to_be_deleted_is_told_and_its_value_is_not(aws: Any):
    aws.create_secret(Name="yard/default/BYTES", SecretBinary=b"hunter2")
    aws.create_secret(Name="yard/default/LEAVING", SecretString="hunter2")
    aws.delete_secret(SecretId="yard/default/LEAVING")
    for name, words in (("BYTES", "has bytes"), ("LEAVING", "refused it: InvalidRequestException")):
        with pytest.raises(SecretUnreadable, match=words) as caught:
            AwsSecrets("yard").get("default", name)
        assert "hunter2" not in str(caught.value)


def test_a_server_that_is_away_is_told_soon(aws: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(SecretUnreadable, match="cannot be asked: EndpointConnectionError"):
        AwsSecrets("yard").get("default", "FOUND")


def test_the_store_goes_before_it(aws: Any):
    aws.create_secret(Name="yard/default/BOTH", SecretString="of aws")
    aws.create_secret(Name="yard/default/THERE", SecretString="of aws")

    class Store:
        def get(self, org: str, name: str) -> str | None:
            return "of the store" if name == "BOTH" else None

    found = providers(Store(), "yard")
    assert isinstance(found, Secrets)
    assert (found.get("default", "BOTH"), found.get("default", "THERE")) == ("of the store", "of aws")
    store = Store()
    assert providers(store, None) is store


def test_a_machine_that_knows_no_region_says_so_at_the_start(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(SettingsError, match=r"TOOLYARD_SECRETS_AWS_PREFIX is set, but AWS cannot be used: .*region"):
        providers(Secrets([]), "yard")
