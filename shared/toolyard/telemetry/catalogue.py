"""All metrics there are, as a table: name, kind, meaning, labels, and which parts show them. It is a contract.

A number that is not described here cannot be shown. `docs/reference/metrics.md` is made of it; the rules and dashboards
in `deploy/monitoring` ask for these names and no others.
"""

from typing import Final

from toolyard.telemetry.metrics import SECONDS, Metric, Part

_GATEWAY: Final[tuple[Part, ...]] = ("gateway",)
_WORKER: Final[tuple[Part, ...]] = ("worker",)
_SCHEDULER: Final[tuple[Part, ...]] = ("scheduler",)
#: Seconds of a person's answer: within minutes or not at all.
_PATIENCE: Final = (5, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600, 86_400)


def _counter(parts: tuple[Part, ...], name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, "counter", meaning, labels, parts)


def _gauge(parts: tuple[Part, ...], name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, "gauge", meaning, labels, parts)


def _histogram(
    parts: tuple[Part, ...], name: str, meaning: str, *labels: str, bounds: tuple[float, ...] = SECONDS
) -> Metric:
    return Metric(name, "histogram", meaning, labels, parts, bounds)


# ---- every process ------------------------------------------------------------------------------
_ALL: Final[tuple[Part, ...]] = ("gateway", "worker", "scheduler")
BUILD_INFO: Final = _gauge(_ALL, "toolyard_build_info", "1; the labels say what runs here", "version", "part")
CPU: Final = _counter(_ALL, "process_cpu_seconds_total", "Seconds of CPU that the process has used")
MEMORY: Final = _gauge(_ALL, "process_resident_memory_bytes", "Memory of the process, in bytes")
OPEN_FILES: Final = _gauge(_ALL, "process_open_fds", "File descriptors that are open")
MOST_FILES: Final = _gauge(_ALL, "process_max_fds", "File descriptors that may be open")
STARTED: Final = _gauge(_ALL, "process_start_time_seconds", "When the process was started, in seconds since 1970")
SIGNATURE_FAILURES: Final = _counter(
    _ALL, "toolyard_signature_failures_total", "Messages that are not believed, and were put away, by reason", "reason"
)

# ---- gateways -----------------------------------------------------------------------------------
ACCEPTED: Final = _counter(_GATEWAY, "toolyard_gateway_calls_accepted_total", "Calls that were accepted")
REFUSED: Final = _counter(_GATEWAY, "toolyard_gateway_refused_total", "Requests that were refused, by code", "code")
REQUEST_SECONDS: Final = _histogram(
    _GATEWAY,
    "toolyard_gateway_request_seconds",
    "Seconds of a request, waiting for calls included, by route and class of status",
    "route",
    "status",
)
QUEUE_REQUESTS: Final = _counter(
    _GATEWAY,
    "toolyard_requests_total",
    "Requests from the queue that came to their end, by what was asked for and what became of it",
    "type",
    "result",
)
UNDELIVERABLE: Final = _counter(
    _GATEWAY, "toolyard_requests_undeliverable_total", "Answers to requests from the queue that no queue took"
)
IN_HAND: Final = _gauge(_GATEWAY, "toolyard_requests_in_hand", "Requests from the queue that this gateway has in hand")
OPEN_CALLS: Final = _gauge(_GATEWAY, "toolyard_gateway_open_calls", "Calls of this gateway that have not ended")
WAITING: Final = _gauge(_GATEWAY, "toolyard_gateway_waiting", "Requests that wait for an end")
POSITION_AGE: Final = _gauge(
    _GATEWAY, "toolyard_gateway_ledger_lag_seconds", "Seconds by which the ledger is behind, as this gateway knows it"
)
FOLLOWERS: Final = _gauge(_GATEWAY, "toolyard_gateway_followers", "Followers of live events")
CUT_OFF: Final = _counter(
    _GATEWAY, "toolyard_gateway_followers_cut_off_total", "Followers of live events that were too slow, and cut off"
)
CALLBACKS: Final = _counter(
    _GATEWAY,
    "toolyard_authorization_callbacks_total",
    "Webhooks of providers of consent, or in their name, by result",
    "provider",
    "result",
)

# ---- workers ------------------------------------------------------------------------------------
EXECUTIONS: Final = _counter(
    _WORKER,
    "tool_executions_total",
    "Attempts that ended, and calls that a worker ended without one, by state",
    "pool",
    "tool",
    "state",
)
FAILURES: Final = _counter(
    _WORKER, "tool_execution_failures_total", "Those of them that did not succeed, by code", "pool", "tool", "code"
)
RUN_SECONDS: Final = _histogram(
    _WORKER, "tool_execution_duration_seconds", "Seconds from the start of an attempt to its end", "pool", "tool"
)
QUEUE_SECONDS: Final = _histogram(
    _WORKER,
    "toolyard_queue_wait_seconds",
    "Seconds from the acceptance of a call to the start of the attempt",
    "pool",
    "tool",
)
RUNNING: Final = _gauge(_WORKER, "toolyard_worker_running", "Deliveries in hand: attempts, and what waits for a place")
CLAIMS_WAITING: Final = _gauge(_WORKER, "toolyard_worker_waiting", "Claims that were repeated and wait for an answer")
CLOCK_OFFSET: Final = _gauge(
    _WORKER,
    "toolyard_worker_clock_offset_seconds",
    "Seconds that are added to the machine's clock to agree with the scheduler's",
)
WORKER_QUARANTINED: Final = _counter(
    _WORKER, "toolyard_worker_quarantined_total", "Messages of the pool's queue that did not verify or decode", "pool"
)
CLAIMS: Final = _counter(
    _WORKER, "toolyard_claims_total", "Claims that were answered, or given up, by answer", "pool", "answer"
)
CLAIM_SECONDS: Final = _histogram(_WORKER, "toolyard_claim_seconds", "Seconds from a claim to its answer", "pool")
BREAKER_STATE: Final = _gauge(
    _WORKER,
    "toolyard_breaker_state",
    "Breakers that are not closed, the worst of any org: 1 half open, 2 open",
    "pool",
    "circuit",
)
BREAKER_MOVES: Final = _counter(
    _WORKER, "toolyard_breaker_transitions_total", "How often a breaker came into a state", "pool", "to"
)
BREAKER_UNTOLD: Final = _counter(
    _WORKER, "toolyard_breaker_untold_total", "How often it could not be told how a breaker stands", "pool"
)
CIRCUIT_OPEN: Final = _counter(
    _WORKER, "toolyard_circuit_open_total", "Attempts that were not run because their breaker was open", "pool"
)
EGRESS_DENIED: Final = _counter(
    _WORKER, "toolyard_egress_denied_total", "Connections that tools were denied, by reason", "pool", "reason"
)
ISOLATION: Final = _gauge(
    _WORKER, "toolyard_sandbox_isolation", "1 for the level at which tools are locked up", "level"
)
SHORTFALL: Final = _gauge(
    _WORKER, "toolyard_sandbox_shortfall", "Levels by which the isolation is below the one that is required"
)
WALL: Final = _gauge(_WORKER, "toolyard_sandbox_wall", "Whether a wall of the sandbox stands", "wall")
SANDBOX_RUNS: Final = _counter(_WORKER, "toolyard_sandbox_runs_total", "Tools that were run in the sandbox")
FORK_SERVERS: Final = _counter(
    _WORKER, "toolyard_sandbox_fork_servers_total", "Fork servers that were started: one, and one more for each lost"
)
SANDBOX_KILLS: Final = _counter(
    _WORKER, "toolyard_sandbox_kills_total", "Processes of tools that ended without an answer, by reason", "reason"
)
LAMBDA_THREADS: Final = _gauge(
    _WORKER, "toolyard_lambda_threads", "Threads that wait for functions, by whether somebody wants the answer", "state"
)
LAMBDA_CLIENTS: Final = _gauge(_WORKER, "toolyard_lambda_clients", "Clients of AWS that are kept")
ROLES_ASSUMED: Final = _counter(_WORKER, "toolyard_lambda_roles_assumed_total", "Roles of AWS that were assumed")

# ---- schedulers ---------------------------------------------------------------------------------
RECORDS: Final = _counter(_SCHEDULER, "toolyard_ledger_records_total", "Records of the log that were applied")
PASSED_OVER: Final = _counter(
    _SCHEDULER, "toolyard_ledger_passed_over_total", "Records that did not verify, decode or fit"
)
LEDGER_CALLS: Final = _counter(_SCHEDULER, "toolyard_ledger_calls_total", "Calls that came into the ledger")
CALLS_ENDED: Final = _counter(
    _SCHEDULER, "toolyard_calls_ended_total", "Calls by the state in which they ended", "state"
)
CALLS_FAILED: Final = _counter(
    _SCHEDULER, "toolyard_calls_failed_total", "Calls that ended without success, by code", "code"
)
LATE_RESULTS: Final = _counter(_SCHEDULER, "toolyard_late_results_total", "Outcomes that came after the end")
OLDER_ATTEMPTS: Final = _counter(
    _SCHEDULER, "toolyard_older_attempts_total", "Failures of attempts that had been followed by others"
)
RESUBMITTED: Final = _counter(
    _SCHEDULER, "toolyard_resubmitted_total", "Calls that were submitted again by another gateway"
)
CONFLICTS: Final = _counter(
    _SCHEDULER, "toolyard_submission_conflicts_total", "Calls that were submitted again with another body"
)
FOREIGN_OUTCOMES: Final = _counter(
    _SCHEDULER, "toolyard_foreign_outcomes_total", "Outcomes of a submission with another body"
)
RETRIES: Final = _counter(_SCHEDULER, "toolyard_retries_total", "Attempts that are followed by another one")
CONSENTS: Final = _counter(
    _SCHEDULER, "toolyard_consents_total", "Attempts that ended because their user has to consent"
)
RESUMED: Final = _counter(_SCHEDULER, "toolyard_resumed_total", "Parked calls that became due by the end of a pause")
FEED_PAGES: Final = _counter(_SCHEDULER, "toolyard_feed_pages_total", "Pages of events that gateways were given")
FEED_ITEMS: Final = _counter(_SCHEDULER, "toolyard_feed_items_total", "Events on these pages")
FEED_PUBLISHED: Final = _counter(
    _SCHEDULER, "toolyard_feed_published_total", "Events that were published for followers at the broker"
)
FEED_UNWANTED: Final = _counter(
    _SCHEDULER, "toolyard_feed_unwanted_total", "Events for which no follower had a queue bound"
)
FEED_NACKED: Final = _counter(
    _SCHEDULER, "toolyard_feed_nacked_total", "Events that a queue of some follower refused; the others have them"
)
FEED_UNCONFIRMED: Final = _counter(
    _SCHEDULER, "toolyard_feed_unconfirmed_total", "Events passed over because some queue did not confirm them"
)
FEED_LOST: Final = _counter(
    _SCHEDULER, "toolyard_feed_lost_total", "Records that were not in the log any more when they were to be published"
)
FEED_DROPPED: Final = _counter(
    _SCHEDULER, "toolyard_feed_dropped_total", "Progress and monitor events that were not passed on to followers"
)
FEED_LAG: Final = _gauge(
    _SCHEDULER, "toolyard_feed_lag_seconds", "Seconds since all that was applied was published for followers"
)
FEED_ORGS: Final = _gauge(_SCHEDULER, "toolyard_feed_orgs", "Orgs whose events somebody follows")
WEBHOOKS: Final = _counter(
    _SCHEDULER, "toolyard_webhook_deliveries_total", "Attempts to deliver to webhooks, by result", "result"
)
WEBHOOK_AGE: Final = _gauge(
    _SCHEDULER,
    "toolyard_webhook_oldest_seconds",
    "Seconds since the oldest event happened that a webhook has not taken and that is tried again",
)
CLAIMS_ANSWERED: Final = _counter(
    _SCHEDULER, "toolyard_claims_answered_total", "Claims that the ledger answered, by answer", "answer"
)
LEADING: Final = _gauge(_SCHEDULER, "toolyard_ledger_leading", "Whether this scheduler keeps the ledger")
LAG: Final = _gauge(_SCHEDULER, "toolyard_ledger_lag_seconds", "Seconds since the ledger was up to date")
AUTHORIZATIONS: Final = _counter(
    _SCHEDULER, "toolyard_authorizations_opened_total", "Consents that users were asked for", "provider"
)
AUTHORIZATION_SECONDS: Final = _histogram(
    _SCHEDULER,
    "toolyard_authorization_seconds",
    "Seconds from when a consent was asked for until it was over",
    "provider",
    "status",
    bounds=_PATIENCE,
)
SECRETS_ANSWERED: Final = _counter(
    _SCHEDULER, "toolyard_secrets_answered_total", "Questions of workers for secrets, by their answer", "answer"
)
BACKLOG: Final = _gauge(
    _SCHEDULER, "toolyard_pool_backlog", "Calls in the queue of a pool that no worker has taken", "pool"
)
OLDEST: Final = _gauge(
    _SCHEDULER,
    "toolyard_pool_oldest_seconds",
    "Seconds that the oldest call of a pool has waited for its start",
    "pool",
)
PARKED: Final = _gauge(_SCHEDULER, "toolyard_parked_calls", "Calls that wait for a person or a time", "reason")
QUEUE_MESSAGES: Final = _gauge(
    _SCHEDULER, "toolyard_queue_messages", "Messages in a shared queue that is no pool's", "queue"
)
DEAD_LETTERS: Final = _counter(
    _SCHEDULER, "toolyard_dead_letters_total", "Calls that the broker gave up, by reason", "reason"
)
QUARANTINED: Final = _counter(
    _SCHEDULER, "toolyard_quarantined_total", "Messages that were put away, because they did not verify or decode"
)

#: Each of them, in the order of this file.
ALL: Final[tuple[Metric, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
