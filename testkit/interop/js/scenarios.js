// mqtt.js over WebSocket against Godwit: one scenario a run, a message and exit code 1 on failure.
//
//     node scenarios.js NAME VERSION WORLD.json
//
// VERSION is 3 or 5. WORLD.json names the addresses, the conversation and the tokens;
// testkit/tests/scenarios/interop.rs writes it and runs this.

import { readFileSync } from "node:fs";
import mqtt from "mqtt";

const WAIT_MS = 20_000;
const [name, version, path] = process.argv.slice(2);
const world = JSON.parse(readFileSync(path, "utf8"));
const five = version === "5";
const topic = `c/${world.conversation}`;

function check(good, message) {
  if (!good) throw new Error(message);
}

/** A client whose events come out of a queue, in order. */
class Device {
  constructor(user, device, { token, kept = false, will } = {}) {
    this.events = [];
    this.waiting = null;
    this.client = mqtt.connect(`ws://${world.ws}/mqtt`, {
      protocolVersion: five ? 5 : 4,
      clientId: `${user}:${device}`,
      username: user,
      password: token ?? world.tokens[`${user}:${device}`],
      clean: !kept,
      reconnectPeriod: 0,
      keepalive: 30,
      will,
      properties: five && kept ? { sessionExpiryInterval: 3600 } : undefined,
    });
    this.client.on("connect", (ack) => this.put("connected", 0, ack.sessionPresent));
    this.client.on("message", (t, payload) => this.put("message", t, payload.toString()));
    // Refused at CONNECT: `code` is the CONNACK's.
    this.client.on("error", (error) => this.put("refused", error.code));
    this.client.on("disconnect", (packet) => (this.told = packet.reasonCode));
    this.client.on("close", () => this.put("lost", this.told));
    // publishAsync does not give the PUBACK of a success.
    this.client.on("packetreceive", (packet) => {
      if (packet.cmd === "puback") this.puback = packet;
    });
  }

  put(...event) {
    this.events.push(event);
    this.waiting?.();
  }

  async next(kind) {
    if (this.events.length === 0) {
      await new Promise((resolve, reject) => {
        const late = () => reject(new Error(`no ${kind} within ${WAIT_MS} ms`));
        const timer = setTimeout(late, WAIT_MS);
        this.waiting = () => {
          clearTimeout(timer);
          this.waiting = null;
          resolve();
        };
      });
    }
    const [found, ...rest] = this.events.shift();
    check(found === kind, `${found} ${JSON.stringify(rest)} instead of ${kind}`);
    return rest;
  }

  async enter(present = false) {
    const [, found] = await this.next("connected");
    check(found === present, `session present is ${found}`);
    return this;
  }

  /** The SUBACK's code. mqtt.js rejects a refused filter. */
  async subscribe(filter) {
    try {
      const granted = await this.client.subscribeAsync(filter, { qos: 1 });
      return granted[0].qos;
    } catch (error) {
      return error.packet?.granted?.[0] ?? error.code ?? error;
    }
  }

  /** The PUBACK's code and user properties. mqtt.js rejects codes of 0x80 and above. */
  async publish(to, payload) {
    try {
      await this.client.publishAsync(to, payload, { qos: 1 });
      return { code: 0, user: this.puback.properties?.userProperties ?? {} };
    } catch (error) {
      return { code: error.code, user: {} };
    }
  }

  async accepted(to, payload) {
    const answer = await this.publish(to, payload);
    check(answer.code === 0, `publish to ${to} is answered ${answer.code}`);
    return answer.user;
  }

  async leave() {
    await this.client.endAsync();
  }
}

const enter = (user, device, options) => new Device(user, device, options).enter();

const scenarios = {
  async send_and_receive() {
    const bob = await enter("bob", "phone");
    check((await bob.subscribe(topic)) === 1, "SUBACK");
    const alice = await enter("alice", "phone");
    for (let n = 0; n < 100; n++) await alice.accepted(`${topic}/k${n}`, `hello ${n}`);
    for (let n = 0; n < 100; n++) {
      const got = await bob.next("message");
      check(got[0] === topic && got[1] === `hello ${n}`, `${got} instead of hello ${n}`);
    }
    const user = await alice.accepted(`${topic}/k0`, "hello 0");
    check(!five || user.dup === "1", `a resend is answered ${JSON.stringify(user)}`);
    await alice.accepted(`${topic}/marker`, "marker");
    check((await bob.next("message"))[1] === "marker", "the resend was delivered again");
  },

  async offline() {
    const away = await enter("bob", "phone", { kept: true });
    check((await away.subscribe(topic)) === 1, "SUBACK");
    await away.leave();
    const alice = await enter("alice", "phone");
    for (let n = 0; n < 150; n++) await alice.accepted(`${topic}/k${n}`, `missed ${n}`);
    const bob = await new Device("bob", "phone", { kept: true }).enter(true);
    for (let n = 0; n < 150; n++) {
      const got = await bob.next("message");
      check(got[0] === topic && got[1] === `missed ${n}`, `${got} instead of missed ${n}`);
    }
  },

  async takeover() {
    const old = await enter("bob", "phone", { kept: true });
    check((await old.subscribe(topic)) === 1, "SUBACK");
    const fresh = await new Device("bob", "phone", { kept: true }).enter(true);
    const [code] = await old.next("lost");
    check(!five || code === 0x8e, `the old connection was told ${code}`);
    const alice = await enter("alice", "phone");
    await alice.accepted(`${topic}/k1`, "to the new one");
    check((await fresh.next("message"))[1] === "to the new one", "the new one has the session");
  },

  async will() {
    const laptop = await enter("alice", "laptop");
    check((await laptop.subscribe("u/alice/#")) === 1, "SUBACK");
    const last = { topic: "u/alice/status", payload: Buffer.from("gone"), qos: 1, retain: false };
    const phone = await enter("alice", "phone", { will: last });
    phone.client.stream.destroy();
    check((await laptop.next("message"))[1] === "gone", "the will");
    const polite = await enter("alice", "phone", { will: last });
    await polite.leave();
    await laptop.publish("u/alice/marker", "x");
    const got = await laptop.next("message");
    check(got[0] === "u/alice/marker", `${got} after a goodbye`);
  },

  async expiry() {
    const alice = await enter("alice", "short", { token: world.short_token });
    const [code] = await alice.next("lost");
    check(!five || code === 0x87, `told ${code}`);
    const again = new Device("alice", "short", { token: world.short_token });
    const [refused] = await again.next("refused");
    const codes = five ? [0x86, 0x87] : [4, 5];
    check(codes.includes(refused), `an expired token is answered ${refused}`);
  },

  async refused() {
    const alice = await enter("alice", "phone");
    const no = five ? 0x87 : 0x80;
    for (const filter of ["elsewhere/#", "u/bob/#", "$SYS/#"]) {
      const code = await alice.subscribe(filter);
      check(code === no, `SUBACK of ${filter} is ${code}`);
    }
    if (five) {
      for (const to of ["elsewhere", "u/bob/x", "c/AAAAAAAAAAAAAAAAAAAAAA"]) {
        const { code } = await alice.publish(to, "x");
        check(code === 0x87, `publish to ${to} is answered ${code}`);
      }
    }
    const stranger = await enter("mallory", "phone");
    check((await stranger.subscribe(topic)) === no, "a stranger subscribes");
    const wrong = new Device("alice", "laptop", { token: "open sesame" });
    const [code] = await wrong.next("refused");
    check((five ? [0x86, 0x87] : [4, 5]).includes(code), `a wrong token is answered ${code}`);
    await alice.accepted(`${topic}/after`, "still here");
  },
};

try {
  await scenarios[name]();
  console.log(`${name}: done`);
  process.exit(0);
} catch (error) {
  console.error(`failed: ${error.message}`);
  process.exit(1);
}
