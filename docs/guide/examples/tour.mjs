// Everything of docs/guide/app-developers.md, once, in order: mqtt.js 5 and protobufjs 8.
//
//     node tour.mjs data/dev.json proto/proto

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import mqtt from "mqtt";
import protobuf from "protobufjs";

const [devFile, protoDirectory] = process.argv.slice(2);
const dev = JSON.parse(readFileSync(devFile, "utf8"));

// ---- protobuf: the files of proto/proto, read as they are ---------------------------------------

const proto = new protobuf.Root();
proto.resolvePath = (origin, target) => join(protoDirectory, target);
await proto.load(
  ["conversation", "group", "inbox", "presence", "receipt", "sync"].map(
    (area) => `godwit/${area}/v1/${area}.proto`,
  ),
);

const pack = (name, fields) => {
  const type = proto.lookupType(`godwit.${name}`);
  return Buffer.from(type.encode(type.fromObject(fields)).finish());
};
const unpack = (name, bytes) => {
  const type = proto.lookupType(`godwit.${name}`);
  return type.toObject(type.decode(bytes), { longs: Number, enums: String, defaults: true });
};

/** A conversation id stands in topics as base64url, and in payloads as 16 bytes. */
const bytes = (cid) => Buffer.from(cid, "base64url");
const text = (cid) => Buffer.from(cid).toString("base64url");

// What comes on each kind of topic.
const DOWN = {
  m: "conversation.v1.Entry",
  a: "conversation.v1.Fates",
  r: "receipt.v1.ReceiptUpdates",
  t: "presence.v1.Typing",
  p: "presence.v1.UserPresence",
  n: "sync.v1.HeadNotice",
  x: "conversation.v1.Control",
  "q/sync": "sync.v1.SyncReply",
  "q/history": "sync.v1.HistoryReply",
  "q/inbox": "inbox.v1.InboxReply",
  "q/groups": "group.v1.GroupReply",
};

// ---- a device -----------------------------------------------------------------------------------

class Device {
  #inbox = [];
  #wake = () => {};
  #request = 0;

  constructor(user, name) {
    this.user = user;
    this.client = mqtt.connect(dev.ws, {
      protocolVersion: 5,
      clientId: `${user}:${name}`,
      username: user,
      password: dev.users[user][name],
      clean: false,
      properties: { sessionExpiryInterval: 86_400, topicAliasMaximum: 16 },
      autoUseTopicAlias: true,
    });
    this.client.on("packetreceive", (packet) => {
      if (packet.cmd === "puback") this.puback = packet;
    });
    this.client.on("message", (topic, payload) => {
      const [head, rest] = topic.split("/");
      const name = DOWN[head] ?? DOWN[topic];
      if (!name) return;
      this.#inbox.push({ topic, head, rest, ...unpack(name, payload) });
      this.#wake();
    });
  }

  /** Connected and subscribed; a kept session would have its subscriptions already. */
  async enter() {
    await new Promise((done, failed) => {
      this.client.once("connect", done);
      this.client.once("error", failed);
    });
    await this.client.subscribeAsync(["m/#", "a", "r/#", "t/#", "p/#", "n/#", "x", "o", "q/#"], { qos: 1 });
    return this;
  }

  /** The next message on a kind of topic that is `wanted`; earlier ones of the kind are skipped. */
  async next(head, wanted = () => true) {
    const deadline = Date.now() + 15_000;
    for (;;) {
      const at = this.#inbox.findIndex((message) => message.head === head && wanted(message));
      if (at >= 0) return this.#inbox.splice(at, 1)[0];
      await new Promise((arrived, late) => {
        const timer = setTimeout(() => late(new Error(`${this.user}: nothing on ${head}`)), deadline - Date.now());
        this.#wake = () => {
          clearTimeout(timer);
          arrived();
        };
      });
    }
  }

  /** Publishes with QoS 1 and returns the PUBACK: its code and user properties. */
  async publish(topic, payload) {
    try {
      await this.client.publishAsync(topic, payload, { qos: 1 });
    } catch (error) {
      if (!(error.code >= 0x80)) throw error;
    }
    return { code: this.puback.reasonCode ?? 0, ...this.puback.properties?.userProperties };
  }

  /** Sends into a conversation; gives the place in its log. */
  async send(cid, fields) {
    const cmid = randomUUID();
    const ack = await this.publish(`s/${cid}`, pack("conversation.v1.Send", { cmid, ...fields }));
    if (ack.code !== 0) throw new Error(`not sent: 0x${ack.code.toString(16)}`);
    return Number(ack.seq);
  }

  /** Asks on q/{method} and waits for the reply with the same id. */
  async ask(method, request, fields) {
    const id = ++this.#request;
    await this.publish(`q/${method}`, pack(request, { id, ...fields }));
    const reply = await this.next("q", (message) => message.rest === method && message.id === id);
    if (reply.code !== 0) throw new Error(`q/${method}: 0x${reply.code.toString(16)} ${reply.reason}`);
    return reply;
  }

  entry(seq) {
    return this.next("m", (entry) => entry.seq === seq);
  }

  async leave() {
    await this.client.endAsync();
  }
}

function check(good, what) {
  if (!good) throw new Error(what);
  console.log(`ok: ${what}`);
}

const alice = await new Device("alice", "phone").enter();
let bob = await new Device("bob", "phone").enter();

// ---- groups -------------------------------------------------------------------------------------

const created = await alice.ask("groups", "group.v1.GroupRequest", {
  cmid: randomUUID(),
  create: { members: ["bob"], details: { title: "Trip" } },
});
const cid = text(created.group.conversationId);
const tags = new Map(created.group.members.map((member) => [member.tag, member.user]));
check(created.group.members.length === 2, "alice owns a group with bob in it");

// ---- messages -----------------------------------------------------------------------------------

const hello = await alice.send(cid, { body: Buffer.from("hello, bob") });
const heard = await bob.entry(hello);
check(heard.sender === "alice" && heard.body.toString() === "hello, bob", "bob heard alice");

const answer = await bob.send(cid, {
  body: Buffer.from("hello, alice"),
  replyTo: hello,
  mentions: ["alice"],
});
check((await alice.entry(answer)).replyTo === hello, "bob answered, and mentioned alice");

// ---- edits, deletions, reactions, pins ----------------------------------------------------------

const edit = await alice.send(cid, { type: "ENTRY_TYPE_EDIT", target: hello, body: Buffer.from("hello, Bob") });
const reaction = await bob.send(cid, { type: "ENTRY_TYPE_REACTION", target: hello, body: Buffer.from("👋") });
const pin = await alice.send(cid, { type: "ENTRY_TYPE_PIN", target: hello });
check((await bob.entry(edit)).target === hello, "bob's copy takes the new body");
check((await alice.entry(reaction)).body.toString() === "👋", "alice sees the reaction");
check((await bob.entry(pin)).type === "ENTRY_TYPE_PIN", "the message is pinned");

const slip = await alice.send(cid, { body: Buffer.from("oops") });
const deletion = await alice.send(cid, { type: "ENTRY_TYPE_DELETION", target: slip });
check((await bob.entry(deletion)).target === slip, "bob's copy of the slip goes");

// ---- receipts -----------------------------------------------------------------------------------

const report = { conversationId: bytes(cid), read: deletion };
await bob.publish("r", pack("receipt.v1.Receipts", { receipts: [report] }));
await alice.next("r", ({ receipts }) => receipts.some(({ user, read }) => user === "bob" && read === deletion));
check(true, "alice knows how far bob has read");

// ---- typing -------------------------------------------------------------------------------------

bob.client.publish(`t/${cid}`, pack("presence.v1.Typing", { state: "STATE_START" }), { qos: 0 });
const typing = await alice.next("t", ({ state }) => state === "STATE_START");
check(tags.get(typing.tag) === "bob", "alice sees bob typing");
bob.client.publish(`t/${cid}`, pack("presence.v1.Typing", { state: "STATE_STOP" }), { qos: 0 });
await alice.next("t", ({ state }) => state === "STATE_STOP");

// ---- presence -----------------------------------------------------------------------------------

const onScreen = { state: "STATE_FOREGROUND", open: [bytes(cid)] };
await alice.publish("p", pack("presence.v1.Presence", onScreen));
await alice.next("p", ({ rest, state }) => rest === "bob" && state === "STATE_ONLINE");
await bob.publish("p", pack("presence.v1.Presence", { state: "STATE_AWAY" }));
await alice.next("p", ({ rest, state }) => rest === "bob" && state === "STATE_AWAY");
check(true, "alice, who has the group open, sees bob come and go");

// ---- inbox --------------------------------------------------------------------------------------

// Sending reads: what alice has written since bob's answer says that she has seen it.
await alice.entry(await bob.send(cid, { body: Buffer.from("and now, alice?"), mentions: ["alice"] }));
const { items } = await alice.ask("inbox", "inbox.v1.InboxRequest", { list: { limit: 20 } });
const item = items.find(({ conversationId }) => text(conversationId) === cid);
check(item.title === "Trip" && item.unread === 1 && item.mentions === 1, "one unread, and it names alice");
const marks = { conversationId: bytes(cid), pinned: true };
await alice.ask("inbox", "inbox.v1.InboxRequest", { set: marks });

// ---- away and back ------------------------------------------------------------------------------

await bob.leave();
const missed = [];
for (const word of ["one", "two", "three"]) {
  missed.push(await alice.send(cid, { body: Buffer.from(word) }));
}
bob = await new Device("bob", "phone").enter();
for (const seq of missed) await bob.entry(seq);
check(true, "bob's kept session brought what he missed, in order");

const place = { conversationId: bytes(cid), afterSeq: heard.seq, afterChain: heard.chain, limit: 50 };
const page = await bob.ask("sync", "sync.v1.SyncRequest", place);
check(!page.diverged && page.entries[0].seq === heard.seq + 1, "the log goes on from bob's place");

const range = { conversationId: bytes(cid), newestFirst: true, limit: 2 };
const newest = await bob.ask("history", "sync.v1.HistoryRequest", range);
check(newest.entries[0].seq === missed[2] && newest.more, "history comes from either end");

// ---- details and disappearing messages ----------------------------------------------------------

const changed = await alice.ask("groups", "group.v1.GroupRequest", {
  conversationId: bytes(cid),
  setDetails: { details: { title: "Trip to Oslo", expiryS: 3600 }, basedOn: missed[2] },
});
check(changed.group.title === "Trip to Oslo" && changed.group.expiryS === 3600, "messages disappear after an hour");
const fleeting = await alice.send(cid, { body: Buffer.from("for an hour") });
check((await bob.entry(fleeting)).expiresMs > Date.now(), "the entry says when its body goes");

// ---- refusals -----------------------------------------------------------------------------------

const stale = pack("conversation.v1.Send", { cmid: randomUUID(), body: Buffer.from("?"), groupVersion: 99 });
const refused = await alice.publish(`s/${cid}`, stale);
check(refused.code === 0x83 && Number(refused.gv) === changed.group.groupVersion, "an old group version is refused");
const fates = await alice.next("a", (message) => message.fates.some(({ code }) => code === 0x83));
check(fates.fates.length > 0, "and the same is told on a");

await alice.leave();
await bob.leave();
