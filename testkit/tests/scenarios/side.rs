//! Scenarios that hold in both protocol versions, side by side on one server.
//!
//! Each version has people and conversations of its own, so neither sees the other, and what is
//! about time (expiry, delays) passes for both at once.

use std::task::Poll;

use godwit_testkit::chat::{ALL, Chat};
use godwit_testkit::rest::Caller;
use godwit_testkit::server::Options;
use godwit_testkit::wire::{Connect, Version};
use serde_json::json;

use super::world::{BOTH, Backend, World};

/// One version's part of a world.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) world: &'a World,
    pub(crate) version: Version,
}

/// Starts a server and runs the scenario in both versions at once.
pub(crate) async fn run(backend: Backend, options: Options, scenario: impl AsyncFn(Side<'_>)) {
    let world = World::on_with(backend, options).await;
    let [three, five] = BOTH.map(|version| named(version, &world, &scenario));
    tokio::join!(three, five);
}

/// Polls one version's run; a panic inside says which one it was.
async fn named(version: Version, world: &World, scenario: impl AsyncFn(Side<'_>)) {
    struct Named(Version);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("--- this was MQTT {:?} ---", self.0);
            }
        }
    }
    let mut run = Box::pin(scenario(Side { world, version }));
    std::future::poll_fn(|context| -> Poll<()> {
        let _named = Named(version);
        run.as_mut().poll(context)
    })
    .await;
}

impl Side<'_> {
    /// The user id of a person on this side.
    pub(crate) fn id(&self, name: &str) -> String {
        let version = if self.version == Version::V3 { "3" } else { "5" };
        format!("{name}{version}")
    }

    /// The user ids of people on this side.
    pub(crate) fn ids(&self, names: &[&str]) -> Vec<String> {
        names.iter().map(|name| self.id(name)).collect()
    }

    /// A CONNECT of this device, to be changed.
    pub(crate) async fn hello(&self, name: &str, device: &str) -> Connect {
        self.world.hello(self.version, &self.id(name), device).await
    }

    /// This device, connected with a clean session and all subscriptions.
    pub(crate) async fn chat(&self, name: &str, device: &str) -> Chat {
        self.chat_for(name, device, &ALL).await
    }

    /// This device, connected with a clean session and these subscriptions.
    pub(crate) async fn chat_for(&self, name: &str, device: &str, filters: &[&str]) -> Chat {
        let hello = self.hello(name, device).await;
        Chat::connect_for(&self.world.mqtt(), &hello, filters).await.0
    }

    /// This device, connected with a kept session and all subscriptions; and whether there was one.
    pub(crate) async fn kept(&self, name: &str, device: &str) -> (Chat, bool) {
        let hello = self.hello(name, device).await.kept();
        let (chat, welcome) = Chat::connect(&self.world.mqtt(), &hello).await;
        (chat, welcome.present)
    }

    /// Creates a group as the operator; the first named is its owner.
    pub(crate) async fn group(&self, names: &[&str]) -> String {
        self.create("group", names).await
    }

    /// Creates a direct conversation as the operator.
    pub(crate) async fn direct(&self, one: &str, other: &str) -> String {
        self.create("direct", &[one, other]).await
    }

    async fn create(&self, kind: &str, names: &[&str]) -> String {
        let body = json!({ "kind": kind, "members": self.ids(names) });
        let made = self.operator().post("/v1/conversations", &body).await.expect(201);
        made["id"].as_str().expect("an id").to_owned()
    }

    /// REST as this person, with a token of the device `web`.
    pub(crate) async fn rest(&self, name: &str) -> Caller {
        self.world.server.caller(&self.world.token(&self.id(name), "web").await)
    }

    /// REST as the operator.
    pub(crate) fn operator(&self) -> Caller {
        self.world.server.caller(self.world.server.admin())
    }
}
