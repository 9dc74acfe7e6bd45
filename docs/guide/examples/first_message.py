"""Bob listens, Alice says hello: paho-mqtt 2, MQTT 5 over TCP.

    python first_message.py data/dev.json
"""

import json
import sys
import threading
import uuid

import paho.mqtt.client as mqtt

dev = json.load(open(sys.argv[1], encoding="utf-8"))
host, port = dev["mqtt"].rsplit(":", 1)
topic = f"c/{dev['conversation']}"
listening, heard = threading.Event(), threading.Event()


def device(user, name):
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=f"{user}:{name}", protocol=mqtt.MQTTv5
    )
    client.username_pw_set(user, dev["users"][user][name])
    return client


def on_bob_connected(client, userdata, flags, code, properties):
    if code.is_failure:
        print(f"bob is refused: {code}", file=sys.stderr)
    client.subscribe(topic, qos=1)


def on_bob_message(client, userdata, message):
    about = dict(message.properties.UserProperty)
    print(f"bob heard {message.payload.decode()!r} from {about['from']}, number {about['seq']}")
    heard.set()


def on_alice_published(client, userdata, packet, code, properties):
    if code.is_failure:
        print(f"not sent: {code}", file=sys.stderr)
        return
    print("alice's message is committed:", dict(properties.UserProperty))


bob = device("bob", "phone")
bob.on_connect = on_bob_connected
bob.on_subscribe = lambda *_: listening.set()
bob.on_message = on_bob_message
bob.connect(host, int(port))
bob.loop_start()
if not listening.wait(10):
    sys.exit("bob is not subscribed after 10 s")

alice = device("alice", "phone")
alice.on_publish = on_alice_published
alice.connect(host, int(port))
alice.loop_start()
# The last level is Alice's own key for this message: sending it again is no second message.
alice.publish(f"{topic}/{uuid.uuid4()}", "hello, bob", qos=1).wait_for_publish(10)
if not heard.wait(10):
    sys.exit("bob has heard nothing after 10 s")

alice.disconnect()
bob.disconnect()
