"""Secrets in AWS Secrets Manager: one more provider of a scheduler, behind the same seam as all others.

A secret is ``<prefix>/<org>/<NAME>`` there. Region and credentials are found as every AWS client finds them: workload
identity, instance profile, environment. The only file that knows the library, which is loaded when it is first needed.
"""

from typing import Any, Final

from toolyard.errors import SecretUnreadable

#: Seconds to connect, and for the answer: whoever asks has a few seconds in all.
_CONNECT, _READ = 1.0, 2.0
_NOT_THERE: Final = "ResourceNotFoundException"


class AwsSecrets:
    """The secrets under one prefix; used from several threads.

    Args:
        prefix: what the names begin with.
        client: of boto3's ``secretsmanager``; made as AWS clients are made if not given.

    Raises:
        ImportError: boto3 is not installed.
    """

    def __init__(self, prefix: str, client: Any = None) -> None:
        self._prefix = prefix.rstrip("/")
        self._client = _client() if client is None else client

    def get(self, org: str, name: str) -> str | None:
        """The value of an org's secret, or None where there is none of that name.

        Raises:
            SecretUnreadable: AWS does not give it out, or does not answer; says why, and holds no value.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_secret_value(SecretId=f"{self._prefix}/{org}/{name}")
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            if code == _NOT_THERE:
                return None
            raise SecretUnreadable(f"AWS Secrets Manager refused it: {code}") from None
        except BotoCoreError as error:  # its words may name an address, and no value
            raise SecretUnreadable(f"AWS Secrets Manager cannot be asked: {type(error).__name__}") from None
        value = answer.get("SecretString")
        if not isinstance(value, str):
            raise SecretUnreadable("AWS Secrets Manager has bytes under this name, and no text")
        return value


def _client() -> Any:
    import boto3  # here: a scheduler without this provider needs none of it
    from botocore.config import Config

    config = Config(connect_timeout=_CONNECT, read_timeout=_READ, retries={"total_max_attempts": 1, "mode": "standard"})
    return boto3.client("secretsmanager", config=config)
