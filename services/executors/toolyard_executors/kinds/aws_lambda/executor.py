"""One attempt of a lambda tool: what its function is given, as whom, one invocation in a thread, and what came of it.

Given to the runtime by `worker`. One attempt is one invocation: whatever happens to it, it is not repeated here.
"""

from collections.abc import Iterator
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from toolyard.clock import SYSTEM, Clock
from toolyard.contracts.tools import LambdaBinding, PinnedTool
from toolyard.errors import SettingsError
from toolyard.telemetry import catalogue, spans, tracing
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Reading
from toolyard.templates import Unfillable
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished, Standing, failed
from toolyard_executors.kinds.aws_lambda.clients import Clients
from toolyard_executors.kinds.aws_lambda.invocations import Broken, Errand, invoke, prepare
from toolyard_executors.kinds.aws_lambda.patience import patience
from toolyard_executors.kinds.aws_lambda.plans import Account, NotItsOwn, PayloadTooLarge, Plan, plan_of
from toolyard_executors.kinds.aws_lambda.threads import Threads
from toolyard_executors.kinds.aws_lambda.verdicts import Invoked, answered, is_forbidden, raised

log = logger("lambda")

#: For each so many attempts at a time there is a thread more: those whose attempts have ended wait for their answers.
_SPARE: Final = 4
#: What AWS says of these names a role or a function, and no key.
_SAYABLE: Final = frozenset({"AccessDenied", "AccessDeniedException"})
_SAID: Final = 1_000


class LambdaExecutor:
    """Runs lambda tools.

    Args:
        concurrency: attempts at a time.
    """

    pool = "lambda"

    def __init__(self, *, concurrency: int, clock: Clock = SYSTEM) -> None:
        self._most = concurrency + max(concurrency // _SPARE, 1)
        self._clock = clock
        self._threads: Threads | None = None
        self._clients: Clients | None = None

    async def open(self) -> None:
        """Get ready; connections are opened when they are needed, and nobody is asked for credentials before.

        Raises:
            SettingsError: AWS's own settings are wrong.
        """
        self._threads = threads = Threads(self._most)
        patience.hold()
        try:
            self._clients = await threads.run(lambda _: self._warm_clients())
        except BotoCoreError as error:
            await self.close()
            raise SettingsError(f"the settings of AWS: {error}") from None

    async def close(self) -> None:
        """Let go of the threads; those that wait for an answer nobody wants any more end with it."""
        if self._threads is not None:
            self._threads.close()
            self._threads = self._clients = None
            patience.let_go()

    def standing(self) -> Standing:
        """Whether there are threads that do not wait for answers which nobody wants any more."""
        threads = self._threads
        if threads is None:
            return Standing()
        reason = ""
        if threads.left_behind >= threads.most:
            reason = f"all {threads.most} threads wait for functions whose calls have ended"
        return Standing(reason, metrics=tuple(self._readings(threads)))

    def prepare(self, tool: PinnedTool) -> Plan:
        """What there is to work out of a tool once."""
        return plan_of(tool)

    def circuit(self, attempt: Attempt) -> str | None:
        """The function, where it is."""
        plan: Plan = attempt.plan
        return plan.circuit

    async def run(self, attempt: Attempt) -> Finished:
        """Invoke the function; see `toolyard_executors.executor.Executor`."""
        plan: Plan = attempt.plan
        binding = plan.binding
        span = spans.invoke(binding.function_name, binding.aws_region, attempt.call.traceparent)
        if span is None:
            return await self._run(attempt)
        attempt.call = spans.within(span, attempt.call)
        try:
            finished = await self._run(attempt)
        except BaseException as error:
            span.end(tracing.code_of(error))
            raise
        span.end("" if finished.error is None else finished.error.code)
        return finished

    async def _run(self, attempt: Attempt) -> Finished:
        plan: Plan = attempt.plan
        try:
            request, account = plan.request(attempt), plan.account(attempt)
        except (Unfillable, PayloadTooLarge, NotItsOwn) as error:
            return failed(error.code, str(error), "none")
        if self._threads is None or self._clients is None:
            raise RuntimeError("the executor is not open")
        clients = self._clients
        errand = Errand(request, plan.binding.aws_region, account, lambda: attempt.remaining, attempt.reached_out)
        try:
            answer = await self._threads.run(lambda job: invoke(clients, errand, job))
        except (BotoCoreError, ClientError, Broken) as error:
            return self._raised(error, attempt, plan.binding, account)
        return answered(answer, Invoked(plan.binding, left=True, redactor=attempt.redactor))

    def _warm_clients(self) -> Clients:
        clients = Clients(connections=self._most, prepare=prepare, clock=self._clock)
        clients.warm()
        return clients

    def _raised(self, error: Exception, attempt: Attempt, binding: LambdaBinding, account: Account) -> Finished:
        renewed = False
        if is_forbidden(error) and self._clients is not None:
            renewed = self._clients.refused(account)
        ended = raised(error, Invoked(binding, left=attempt.touched, renewed=renewed, redactor=attempt.redactor))
        if ended is None:
            raise error
        if ended.error is not None and ended.error.code == "permission_denied":
            _note(error, attempt, account)
        return ended

    def _readings(self, threads: Threads) -> Iterator[Reading]:
        yield Reading(catalogue.LAMBDA_THREADS, ("wanted",), threads.taken - threads.left_behind)
        yield Reading(catalogue.LAMBDA_THREADS, ("left_behind",), threads.left_behind)
        if self._clients is not None:
            yield Reading(catalogue.LAMBDA_CLIENTS, (), len(self._clients))
            yield Reading(catalogue.ROLES_ASSUMED, (), self._clients.assumed)


def _note(error: Exception, attempt: Attempt, account: Account) -> None:
    """For the operator, who may put it right; callers and models learn nothing of who the worker is."""
    call = attempt.call
    about = {"call_id": call.call_id, "org": call.org, "tool": call.tool, "role": account.role}
    name, said = type(error).__name__, ""
    if isinstance(error, ClientError):
        name = error.response.get("Error", {}).get("Code", "")
        if name in _SAYABLE:
            said = attempt.redactor.text(str(error.response["Error"].get("Message", "")))[:_SAID]
    log.warning("AWS refused the credentials of a tool", **about, error=name, said=said)
