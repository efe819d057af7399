// Calls by way of a queue, with amqplib alone: published, answered, and followed on a queue of one's own.
//
//     npm ci && node publish.mjs 100 price '{"sku": "apple"}'
//
// AMQP_URL names the broker, TOOLYARD_API_KEY the key that may call. FOLLOW_URL signs in as a follower of the org
// (TOOLYARD_ORG, default), where that is another user. It prints what came back; with REPLAY=1 also whether the org's
// stream gives the same once more.

import { randomUUID } from "node:crypto";
import { connect } from "amqplib";

const BROKER = process.env.AMQP_URL ?? "amqp://guest:guest@127.0.0.1:5672/";
const ORG = process.env.TOOLYARD_ORG ?? "default";
const ENDS = new Set(["succeeded", "failed", "timed_out", "expired", "cancelled", "rejected"]);
const [number, tool, given] = [Number(process.argv[2]), process.argv[3], process.argv[4] ?? "{}"];

/** Publishes all calls, each confirmed; gives their correlation ids. */
async function publish(channel, replyTo) {
  const body = Buffer.from(JSON.stringify({ tool, arguments: JSON.parse(given) }));
  const asked = new Set();
  for (let n = 0; n < number; n += 1) {
    const id = randomUUID(); // nobody else can guess it, and the same message is the same call
    channel.publish("", "toolyard.requests", body, {
      type: "call",
      contentType: "application/json",
      persistent: true,
      mandatory: true,
      messageId: id,
      correlationId: id,
      replyTo,
      headers: { authorization: `Bearer ${process.env.TOOLYARD_API_KEY}` },
    });
    asked.add(id);
  }
  await channel.waitForConfirms();
  return asked;
}

/** Consumes a queue until `take` says that it has enough. */
function consume(channel, queue, take, options = {}) {
  return new Promise((resolve, reject) => {
    const taken = (message) => {
      if (message === null) return reject(new Error(`${queue} was deleted`));
      const enough = take(message);
      channel.ack(message);
      return enough && resolve();
    };
    channel.consume(queue, taken, options).catch(reject);
  });
}

/** An event of the feed: its attributes are headers. */
function attributes(message) {
  const named = Object.entries(message.properties.headers);
  return Object.fromEntries(named.map(([name, value]) => [name.replace("cloudEvents_", ""), value]));
}

/** Events of the feed in their order, each once, until `complete` says so. */
async function events(channel, queue, complete, options) {
  const found = new Map();
  await channel.prefetch(200);
  const take = (message) => {
    const told = attributes(message);
    if (!found.has(told.id)) found.set(told.id, told);
    return complete(found, told);
  };
  await consume(channel, queue, take, options);
  return [...found.values()];
}

/** What was told of each of these calls, in order. */
function byCall(told, calls) {
  const rows = new Map([...calls].sort().map((call) => [call, []]));
  for (const one of told) rows.get(one.subject)?.push([one.id, one.type, one.sequence]);
  return rows;
}

const connection = await connect(BROKER);
const following = await connect(process.env.FOLLOW_URL ?? BROKER);
const channel = await connection.createConfirmChannel();
const feed = await following.createChannel();
channel.on("return", () => {
  throw new Error("there is no queue toolyard.requests at this broker");
});

const followed = `follow.${ORG}.${randomUUID()}`;
await feed.assertQueue(followed, { exclusive: true, durable: false });
await feed.bindQueue(followed, "toolyard.feed", `${ORG}.call.#`);

const { queue: replyTo } = await channel.assertQueue("", { exclusive: true });
const asked = await publish(channel, replyTo);
const answers = new Map();
await consume(channel, replyTo, ({ properties, content }) => {
  // one that comes twice counts once
  if (asked.has(properties.correlationId)) {
    answers.set(properties.correlationId, { kind: properties.type, body: JSON.parse(content.toString()) });
  }
  return answers.size === asked.size;
});
await connection.close();

const told = [...answers.values()];
const calls = new Set(told.filter(({ kind }) => kind === "call").map(({ body }) => body.call_id));
const states = {};
for (const { kind, body } of told) {
  const state = kind === "call" ? body.state : body.code;
  states[state] = (states[state] ?? 0) + 1;
}

const open = new Set(calls);
const live = await events(feed, followed, (_, one) => {
  if (ENDS.has(one.type.split(".").at(-2))) open.delete(one.subject);
  return open.size === 0;
});
const rows = byCall(live, calls);
const sorted = (events) => events.every((row, n) => n === 0 || events[n - 1][2] <= row[2]);
const summary = {
  published: asked.size,
  answers: answers.size,
  calls: calls.size,
  states,
  events: [...rows.values()].flat().length,
  in_order: [...rows.values()].every(sorted),
};
if (process.env.REPLAY) {
  const missing = new Set(live.map((one) => one.id));
  const stream = await following.createChannel();
  const replayed = await events(stream, `toolyard.feed.${ORG}`, (_, one) => missing.delete(one.id) && missing.size === 0, {
    arguments: { "x-stream-offset": "first" },
  });
  summary.replayed_the_same = JSON.stringify([...byCall(replayed, calls)]) === JSON.stringify([...rows]);
}
await following.close();
console.log(JSON.stringify(summary));
process.exitCode = calls.size === number ? 0 : 1;
