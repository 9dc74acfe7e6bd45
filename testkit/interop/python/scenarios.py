"""paho-mqtt against Godwit: one scenario a run, a message and exit code 1 when it fails.

    scenarios.py NAME VERSION TRANSPORT WORLD.json

VERSION is 3 or 5, TRANSPORT tcp or websockets. WORLD.json names the addresses, the conversation and
the tokens; testkit/tests/scenarios/interop.rs writes it and runs this.
"""

import json
import queue
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WAIT = 20


def check(good, message):
    if not good:
        print(f"failed: {message}", file=sys.stderr)
        sys.exit(1)


class Device:
    """A client whose events come out of a queue, in order."""

    def __init__(self, world, version, transport, user, device, token=None, kept=False, will=None):
        self.five = version == "5"
        self.events = queue.Queue()
        arguments = {"client_id": f"{user}:{device}", "transport": transport}
        if self.five:
            arguments["protocol"] = mqtt.MQTTv5
        else:
            arguments["protocol"] = mqtt.MQTTv311
            arguments["clean_session"] = not kept
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, reconnect_on_failure=False, **arguments)
        self.client.username_pw_set(user, token or world["tokens"][f"{user}:{device}"])
        if transport == "websockets":
            self.client.ws_set_options(path="/mqtt")
        if will:
            self.client.will_set(will[0], will[1], qos=1)
        self.client.on_connect = self.on_connect
        self.client.on_message = lambda c, u, m: self.events.put(("message", m.topic, m.payload))
        self.client.on_subscribe = lambda c, u, i, codes, p: self.events.put(
            ("subscribed", [code.value for code in codes]))
        self.client.on_publish = lambda c, u, i, code, p: self.events.put(
            ("published", code.value, dict(getattr(p, "UserProperty", []))))
        self.client.on_disconnect = lambda c, u, flags, code, p: self.events.put(("lost", code.value))
        host, port = world["ws" if transport == "websockets" else "mqtt"].rsplit(":", 1)
        start = {}
        if self.five:
            properties = Properties(PacketTypes.CONNECT)
            if kept:
                properties.SessionExpiryInterval = 3600
            start = {"clean_start": not kept, "properties": properties}
        self.client.connect(host, int(port), keepalive=30, **start)
        self.client.loop_start()

    def on_connect(self, client, userdata, flags, code, properties):
        self.events.put(("connected", code.value, flags.session_present))

    def next(self, kind):
        try:
            event = self.events.get(timeout=WAIT)
        except queue.Empty:
            check(False, f"no {kind} within {WAIT} s")
        check(event[0] == kind, f"{event} instead of {kind}")
        return event[1:]

    def enter(self, present=False):
        code, found = self.next("connected")
        check(code == 0, f"refused with {code:#x}")
        check(found == present, f"session present is {found}")
        return self

    def subscribe(self, topic, expected=1):
        self.client.subscribe(topic, qos=1)
        (codes,) = self.next("subscribed")
        check(codes == [expected], f"SUBACK of {topic} is {codes}, not {expected:#x}")

    def publish(self, topic, payload):
        self.client.publish(topic, payload, qos=1)
        code, properties = self.next("published")
        return code, properties

    def accepted(self, topic, payload):
        code, properties = self.publish(topic, payload)
        check(code == 0, f"publish to {topic} is answered {code:#x}")
        return properties

    def message(self):
        return self.next("message")

    def leave(self):
        self.client.disconnect()
        self.next("lost")
        self.client.loop_stop()

    def cut(self):
        """Closes the socket under the client."""
        self.client.socket().close()
        self.client.loop_stop()


def send_and_receive(world, device):
    topic = f"c/{world['conversation']}"
    bob = device("bob", "phone").enter()
    bob.subscribe(topic)
    alice = device("alice", "phone").enter()
    for n in range(100):
        properties = alice.accepted(f"{topic}/k{n}", f"hello {n}")
        if alice.five:
            check(properties.get("dup") == "0" and properties.get("seq") and properties.get("mid"),
                  f"PUBACK brings {properties}")
    for n in range(100):
        got = bob.message()
        check(got == (topic, f"hello {n}".encode()), f"{got} instead of hello {n}")
    properties = alice.accepted(f"{topic}/k0", "hello 0")
    check(not alice.five or properties.get("dup") == "1", f"a resend is answered {properties}")
    alice.accepted(f"{topic}/marker", "marker")
    check(bob.message()[1] == b"marker", "the resend was delivered again")


def offline(world, device):
    topic = f"c/{world['conversation']}"
    bob = device("bob", "phone", kept=True).enter()
    bob.subscribe(topic)
    bob.leave()
    alice = device("alice", "phone").enter()
    for n in range(150):
        alice.accepted(f"{topic}/k{n}", f"missed {n}")
    bob = device("bob", "phone", kept=True).enter(present=True)
    for n in range(150):
        got = bob.message()
        check(got == (topic, f"missed {n}".encode()), f"{got} instead of missed {n}")


def takeover(world, device):
    topic = f"c/{world['conversation']}"
    old = device("bob", "phone", kept=True).enter()
    old.subscribe(topic)
    new = device("bob", "phone", kept=True).enter(present=True)
    (code,) = old.next("lost")
    check(not old.five or code == 0x8E, f"the old connection was told {code:#x}")
    alice = device("alice", "phone").enter()
    alice.accepted(f"{topic}/k1", "to the new one")
    check(new.message() == (topic, b"to the new one"), "the new connection has the session")


def will(world, device):
    laptop = device("alice", "laptop").enter()
    laptop.subscribe("u/alice/#")
    phone = device("alice", "phone", will=("u/alice/status", "gone")).enter()
    phone.cut()
    check(laptop.message() == ("u/alice/status", b"gone"), "the will")
    phone = device("alice", "phone", will=("u/alice/status", "gone again")).enter()
    phone.leave()
    tablet = device("alice", "tablet").enter()
    tablet.publish("u/alice/marker", "x")
    got = laptop.message()
    check(got == ("u/alice/marker", b"x"), f"{got} after a goodbye")


def expiry(world, device):
    alice = device("alice", "short", token=world["short_token"]).enter()
    start = time.monotonic()
    (code,) = alice.next("lost")
    check(not alice.five or code == 0x87, f"told {code:#x}")
    check(time.monotonic() - start < 10, "much too late")
    again = device("alice", "short", token=world["short_token"])
    code, _ = again.next("connected")
    check(code in (0x86, 0x87), f"an expired token is answered {code:#x}")


def refused(world, device):
    alice = device("alice", "phone").enter()
    for topic in ("elsewhere/#", "u/bob/#", "$SYS/#"):
        alice.subscribe(topic, expected=0x87 if alice.five else 0x80)
    if alice.five:
        for topic in ("elsewhere", "u/bob/x", "c/AAAAAAAAAAAAAAAAAAAAAA"):
            code, _ = alice.publish(topic, "x")
            check(code == 0x87, f"publish to {topic} is answered {code:#x}")
    stranger = device("mallory", "phone").enter()
    stranger.subscribe(f"c/{world['conversation']}", expected=0x87 if stranger.five else 0x80)
    wrong = device("alice", "laptop", token="open sesame")
    code, _ = wrong.next("connected")
    check(code in (0x86, 0x87), f"a wrong token is answered {code:#x}")
    alice.accepted(f"c/{world['conversation']}/after", "still here")


def main():
    name, version, transport, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        world = json.load(file)
    devices = []

    def device(user, name, **more):
        devices.append(Device(world, version, transport, user, name, **more))
        return devices[-1]

    scenarios = [send_and_receive, offline, takeover, will, expiry, refused]
    next(s for s in scenarios if s.__name__ == name)(world, device)
    print(f"{name}: done")


if __name__ == "__main__":
    main()
