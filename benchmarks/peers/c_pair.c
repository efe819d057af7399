/* The floor: a client, a worker and a reader of the log in C, on Toolyard's own topology and at equal guarantees.
 *
 *     cc -O2 -o c_pair c_pair.c -lrabbitmq
 *     BENCH_AMQP_URL=amqp://... BENCH_UPSTREAM=http://127.0.0.1:PORT/tool c_pair client | worker | reader
 *
 * Two topic exchanges; a quorum queue for the pool, a durable queue for the answers, and one stream that is bound to
 * both. Calls (1 KB) and results (0.4 KB) are persistent and confirmed; a call is acked once its result is confirmed,
 * and counts once its own confirm and its result are there. One thread a process; what one turn writes leaves together.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>

#define CALLS "bench.c.calls"
#define EVENTS "bench.c.events"
#define POOL "bench.c.pool"
#define ANSWERS "bench.c.answers"
#define LOG "bench.c.log"
#define CALL_KEY "call.accepted.http.default.bench.noop"
#define RESULT_KEY "call.succeeded.http.default.bench.noop"

enum { CHANNEL = 1, KEPT = 1 << 16, CONNECTIONS = 256, PREFETCH = 512, ACK_EVERY = 200 };

static amqp_connection_state_t broker;
static int broker_fd;

static void fail(const char *what) {
  fprintf(stderr, "c_pair: %s\n", what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static amqp_bytes_t text(const char *value) { return amqp_cstring_bytes(value); }

/* ---- the broker ---------------------------------------------------------------------------------------------- */

static void check(const char *what) {
  if (amqp_get_rpc_reply(broker).reply_type != AMQP_RESPONSE_NORMAL) fail(what);
}

static void open_broker(void) {
  const char *given = getenv("BENCH_AMQP_URL");
  struct amqp_connection_info info;
  char *url = given ? strdup(given) : NULL;
  if (url == NULL || amqp_parse_url(url, &info) != AMQP_STATUS_OK) fail("BENCH_AMQP_URL is not set, or is no URL");
  broker = amqp_new_connection();
  if (amqp_socket_open(amqp_tcp_socket_new(broker), info.host, info.port) != AMQP_STATUS_OK) fail("no connection");
  amqp_rpc_reply_t login =
      amqp_login(broker, info.vhost, 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, info.user, info.password);
  if (login.reply_type != AMQP_RESPONSE_NORMAL) fail("the login was refused");
  int on = 1;
  broker_fd = amqp_get_sockfd(broker);
  setsockopt(broker_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  amqp_channel_open(broker, CHANNEL);
  amqp_confirm_select(broker, CHANNEL);
  check("no channel in confirm mode");
}

static void declare_queue(const char *name, const char *type, const char *exchange, const char *key) {
  amqp_table_entry_t entry = {text("x-queue-type"), {AMQP_FIELD_KIND_UTF8, {.bytes = text(type)}}};
  amqp_queue_declare(broker, CHANNEL, text(name), 0, 1, 0, 0, (amqp_table_t){1, &entry});
  check("a queue was not declared");
  amqp_queue_bind(broker, CHANNEL, text(name), text(exchange), text(key), amqp_empty_table);
  check("a queue was not bound");
}

static void declare_all(void) {
  const char *exchanges[] = {CALLS, EVENTS};
  for (int i = 0; i < 2; i++) {
    amqp_exchange_declare(broker, CHANNEL, text(exchanges[i]), text("topic"), 0, 1, 0, 0, amqp_empty_table);
    check("an exchange was not declared");
  }
  declare_queue(POOL, "quorum", CALLS, "call.*.http.*.*.*");
  declare_queue(ANSWERS, "classic", EVENTS, "call.*.*.*.bench.*");
  declare_queue(LOG, "stream", CALLS, "#");
  amqp_queue_bind(broker, CHANNEL, text(LOG), text(EVENTS), text("#"), amqp_empty_table);
  check("the log was not bound");
}

static void consume(const char *queue, int prefetch) {
  amqp_basic_qos(broker, CHANNEL, 0, (uint16_t)prefetch, 0);
  amqp_basic_consume(broker, CHANNEL, text(queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
  check("a queue is not consumed");
}

static void publish(const char *exchange, const char *key, amqp_bytes_t correlation, amqp_bytes_t body) {
  amqp_basic_properties_t properties = {
      ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG,
      .delivery_mode = 2,
      .correlation_id = correlation,
  };
  if (amqp_basic_publish(broker, CHANNEL, text(exchange), text(key), 0, 0, &properties, body) != AMQP_STATUS_OK)
    fail("a message was not written");
}

/* Whether the broker has something for us, within so many milliseconds. */
static int has_news(int patience) {
  if (amqp_frames_enqueued(broker) || amqp_data_in_buffer(broker)) return 1;
  struct pollfd look = {broker_fd, POLLIN, 0};
  return poll(&look, 1, patience) > 0;
}

static void cork(int on) { setsockopt(broker_fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on); }

static void on_confirm(uint64_t tag, int multiple);
static void on_message(uint64_t tag, const amqp_message_t *message);

/* Handle one frame: a confirm, or a whole delivery. */
static void take(void) {
  amqp_frame_t frame;
  amqp_maybe_release_buffers(broker);
  if (amqp_simple_wait_frame(broker, &frame) != AMQP_STATUS_OK) fail("the connection is lost");
  if (frame.frame_type != AMQP_FRAME_METHOD) return;
  if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
    amqp_basic_ack_t *ack = frame.payload.method.decoded;
    on_confirm(ack->delivery_tag, ack->multiple);
  } else if (frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
    uint64_t tag = ((amqp_basic_deliver_t *)frame.payload.method.decoded)->delivery_tag;
    amqp_message_t message;
    if (amqp_read_message(broker, frame.channel, &message, 0).reply_type != AMQP_RESPONSE_NORMAL)
      fail("half a message");
    on_message(tag, &message);
    amqp_destroy_message(&message);
  } else {
    fail("the broker refused a message, or closed the channel");
  }
}

static const char *role;

/* ---- the client: calls are numbered like their confirms -------------------------------------------------------- */

enum { CONFIRM = 1, ANSWER = 2 };
static struct {
  double begun;
  int waits; /* for its CONFIRM, its ANSWER, or both */
} asked[KEPT];
static uint64_t numbers, confirmed_calls, last_answer;
static char request[2048];
static size_t request_size;
static double *took, begins, ends;
static size_t done, room;
static int open_calls;

static void write_request(const char *tool) {
  char filler[681] = {0};
  memset(filler, 'a', sizeof filler - 1);
  request_size = (size_t)snprintf(request, sizeof request,
                                  "{\"id\":\"000000000000\",\"tool\":\"%s\",\"arguments\":{\"query\":\"%s\","
                                  "\"limit\":10,\"options\":{\"lang\":\"en\",\"safe\":true},\"session\":\"%.286s\"}}",
                                  tool, filler, filler);
}

static void ask(void) {
  char id[24];
  snprintf(id, sizeof id, "%012llu", (unsigned long long)++numbers);
  memcpy(request + strlen("{\"id\":\""), id, 12);
  asked[numbers % KEPT].begun = now();
  asked[numbers % KEPT].waits = CONFIRM | ANSWER;
  publish(CALLS, CALL_KEY, text(id), (amqp_bytes_t){request_size, request});
}

/* A confirm of many speaks also of those that were confirmed one by one. */
static void came(int what, uint64_t number) {
  if (!(asked[number % KEPT].waits & what) || (asked[number % KEPT].waits &= ~what)) return;
  double time = now();
  if (done == room && !(took = realloc(took, (room = room ? 2 * room : KEPT) * sizeof *took))) fail("no memory");
  took[done++] = (time - asked[number % KEPT].begun) * 1e3;
  if (time < ends)
    ask();
  else
    open_calls--;
}

static void on_call_confirmed(uint64_t tag, int multiple) {
  for (uint64_t number = multiple ? confirmed_calls + 1 : tag; number <= tag; number++) came(CONFIRM, number);
  if (multiple) confirmed_calls = tag;
}

static void on_answer(uint64_t tag, const amqp_message_t *message) {
  char id[24] = {0};
  memcpy(id, message->properties.correlation_id.bytes, 12);
  last_answer = tag;
  came(ANSWER, strtoull(id, NULL, 10));
}

static int by_size(const void *one, const void *other) {
  double difference = *(const double *)one - *(const double *)other;
  return (difference > 0) - (difference < 0);
}

static void phase(const char *tool, int in_flight, double seconds) {
  write_request(tool);
  done = 0;
  begins = now();
  ends = begins + seconds;
  cork(1);
  for (open_calls = 0; open_calls < in_flight; open_calls++) ask();
  cork(0);
  while (open_calls) {
    if (!has_news(10000)) fail("no answer for 10 s");
    cork(1);
    while (has_news(0)) take();
    if (last_answer) amqp_basic_ack(broker, CHANNEL, last_answer, 1);
    last_answer = 0;
    cork(0);
  }
  double wall = now() - begins;
  qsort(took, done, sizeof *took, by_size);
  printf("{\"calls\":%zu,\"wall\":%.4f,\"p50\":%.4f,\"p99\":%.4f,\"errors\":0}\n", done, wall, took[done / 2],
         took[done * 99 / 100]);
  fflush(stdout);
}

static void client(void) {
  char line[128], tool[32];
  int in_flight;
  double seconds;
  consume(ANSWERS, 4096);
  printf("READY\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin))
    if (sscanf(line, "%31s %d %lf", tool, &in_flight, &seconds) == 3) phase(tool, in_flight, seconds);
}

/* ---- the worker ------------------------------------------------------------------------------------------------ */

struct job {
  uint64_t tag;
  char id[13];
};
static uint64_t confirms_of[KEPT]; /* number of a result -> delivery tag of its call, until it is acked */
static uint64_t results, confirmed_results, acked;
static struct pollfd watched[CONNECTIONS + 1];
static struct job at_work[CONNECTIONS + 1], queued[KEPT];
static int idle[CONNECTIONS], idle_count, connections;
static unsigned first_queued, end_queued;
static char result[512];
static struct sockaddr_in upstream = {.sin_family = AF_INET};

static void tell(const struct job *job) {
  confirms_of[++results % KEPT] = job->tag;
  publish(EVENTS, RESULT_KEY, (amqp_bytes_t){12, (void *)job->id}, text(result));
}

/* Ack the calls whose results are confirmed: all up to one together, where none is left out. */
static void on_result_confirmed(uint64_t tag, int multiple) {
  uint64_t from = multiple ? confirmed_results + 1 : tag, low = UINT64_MAX, high = 0, count = 0;
  if (multiple) confirmed_results = tag;
  for (uint64_t number = from; number <= tag; number++) {
    uint64_t call = confirms_of[number % KEPT];
    if (!call) continue;
    count++;
    low = call < low ? call : low;
    high = call > high ? call : high;
  }
  if (count && low == acked + 1 && high - low + 1 == count) {
    amqp_basic_ack(broker, CHANNEL, high, count > 1);
    acked = high;
  } else {
    for (uint64_t number = from; number <= tag; number++) {
      uint64_t call = confirms_of[number % KEPT];
      if (call) amqp_basic_ack(broker, CHANNEL, call, 0);
      if (call == acked + 1) acked++;
    }
  }
  for (uint64_t number = from; number <= tag; number++) confirms_of[number % KEPT] = 0;
}

static void fetch(const struct job *job) {
  static const char get[] = "GET /tool HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
  int place, on = 1;
  if (idle_count) {
    place = idle[--idle_count];
  } else if (connections < CONNECTIONS) {
    place = ++connections;
    watched[place] = (struct pollfd){socket(AF_INET, SOCK_STREAM, 0), POLLIN, 0};
    if (connect(watched[place].fd, (struct sockaddr *)&upstream, sizeof upstream)) fail("no upstream");
    setsockopt(watched[place].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  } else {
    queued[end_queued++ % KEPT] = *job;
    return;
  }
  at_work[place] = *job;
  if (write(watched[place].fd, get, sizeof get - 1) < 0) fail("the upstream is gone");
}

static void on_call(uint64_t tag, const amqp_message_t *message) {
  struct job job = {tag, ""};
  memcpy(job.id, message->properties.correlation_id.bytes, 12);
  int http = memmem(message->body.bytes, message->body.len, "\"tool\":\"http\"", 13) != NULL;
  http ? fetch(&job) : tell(&job);
}

static void worker(void) {
  char filler[321] = {0}, answer[4096];
  const char *url = getenv("BENCH_UPSTREAM");
  const char *port = url ? strrchr(url, ':') : NULL;
  memset(filler, 'r', sizeof filler - 1);
  snprintf(result, sizeof result, "{\"status\":\"ok\",\"result\":{\"echo\":10,\"text\":\"%s\"}}", filler);
  upstream.sin_port = htons((uint16_t)(port ? atoi(port + 1) : 0));
  upstream.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  consume(POOL, PREFETCH);
  watched[0] = (struct pollfd){broker_fd, POLLIN, 0};
  for (;;) {
    if (!amqp_frames_enqueued(broker) && !amqp_data_in_buffer(broker)) poll(watched, (nfds_t)connections + 1, -1);
    cork(1);
    for (int place = 1; place <= connections; place++) {
      if (!(watched[place].revents & POLLIN)) continue;
      watched[place].revents = 0;
      if (read(watched[place].fd, answer, sizeof answer) <= 0) fail("the upstream is gone");
      tell(&at_work[place]);
      idle[idle_count++] = place;
      if (first_queued != end_queued) fetch(&queued[first_queued++ % KEPT]);
    }
    while (has_news(0)) take();
    cork(0);
  }
}

/* ---- the reader of the log: what a ledger costs the broker, without a ledger ------------------------------------- */

static uint64_t read_upto;

static void on_record(uint64_t tag, const amqp_message_t *message) {
  (void)message;
  if (tag % ACK_EVERY == 0) amqp_basic_ack(broker, CHANNEL, tag, 1);
  read_upto = tag;
}

static void reader(void) {
  consume(LOG, 2000);
  printf("READY\n");
  fflush(stdout);
  for (;;) {
    if (!has_news(20) && read_upto % ACK_EVERY) {
      amqp_basic_ack(broker, CHANNEL, read_upto, 1);
      read_upto = 0;
    }
    while (has_news(0)) take();
  }
}

/* ---- which of them ----------------------------------------------------------------------------------------------- */

static void on_confirm(uint64_t tag, int multiple) {
  *role == 'c' ? on_call_confirmed(tag, multiple) : on_result_confirmed(tag, multiple);
}

static void on_message(uint64_t tag, const amqp_message_t *message) {
  if (*role == 'c')
    on_answer(tag, message);
  else if (*role == 'w')
    on_call(tag, message);
  else
    on_record(tag, message);
}

int main(int count, char **arguments) {
  role = count == 2 ? arguments[1] : "";
  if (!strchr("cwr", *role) || !*role) fail("usage: c_pair client | worker | reader");
  open_broker();
  declare_all();
  *role == 'c' ? client() : *role == 'w' ? worker() : reader();
  return 0;
}
