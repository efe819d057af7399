"""The lambda kind: one invocation of an AWS Lambda function for each attempt."""

from toolyard_executors.kinds.aws_lambda.executor import LambdaExecutor

__all__ = ["LambdaExecutor"]
