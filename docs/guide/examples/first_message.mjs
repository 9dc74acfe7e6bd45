// Bob listens, Alice says hello: mqtt.js 5, MQTT 5 over WebSocket, as a browser speaks it.
//
//     node first_message.mjs data/dev.json

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import mqtt from "mqtt";

const dev = JSON.parse(readFileSync(process.argv[2], "utf8"));
const topic = `c/${dev.conversation}`;

const device = (user, name) =>
  mqtt.connectAsync(dev.ws, {
    protocolVersion: 5,
    clientId: `${user}:${name}`,
    username: user,
    password: dev.users[user][name],
  });

const bob = await device("bob", "phone");
await bob.subscribeAsync(topic, { qos: 1 });
const heard = once(bob, "message", { signal: AbortSignal.timeout(10_000) });

const alice = await device("alice", "phone");
alice.on("packetreceive", (packet) => {
  if (packet.cmd === "puback") {
    console.log("alice's message is committed:", { ...packet.properties.userProperties });
  }
});
// The last level is Alice's own key for this message: sending it again is no second message.
await alice.publishAsync(`${topic}/${randomUUID()}`, "hello, bob", { qos: 1 });

const [, payload, packet] = await heard;
const about = packet.properties.userProperties;
console.log(`bob heard '${payload}' from ${about.from}, number ${about.seq}`);

await alice.endAsync();
await bob.endAsync();
