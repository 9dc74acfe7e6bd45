//! One server with its people, for one test.

use godwit_testkit::postgres::{self, Database};
use godwit_testkit::probe::{self, Probe};
use godwit_testkit::proxy::Proxy;
use godwit_testkit::server::{Godwit, Options};
use godwit_testkit::stock::Stock;
use godwit_testkit::wire::{Connect, Version};

/// Which store the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// Both versions, for scenarios that hold in each.
pub(crate) const BOTH: [Version; 2] = [Version::V3, Version::V5];

/// A server with the users alice (phone, laptop) and bob (phone) and their conversation.
pub(crate) struct World {
    // Dropped first: its database is removed after it.
    pub(crate) server: Godwit,
    /// Where it stores, if that is Postgres.
    database: Option<Database>,
    /// alice's and bob's conversation.
    pub(crate) cid: String,
}

impl World {
    /// On SQLite, as it comes.
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    /// On this store, as it comes.
    pub(crate) async fn on(backend: Backend) -> Self {
        Self::on_with(backend, Options::default()).await
    }

    /// On SQLite, with options.
    pub(crate) async fn with(options: Options) -> Self {
        Self::on_with(Backend::Sqlite, options).await
    }

    /// On this store, with options.
    pub(crate) async fn on_with(backend: Backend, options: Options) -> Self {
        Self::start((backend == Backend::Postgres).then(postgres::empty), options).await
    }

    /// On a database of a Postgres that the test has to itself.
    pub(crate) async fn on_database(database: Database, options: Options) -> Self {
        Self::start(Some(database), options).await
    }

    /// On a database that the server reaches through a proxy only.
    pub(crate) async fn through(proxy: &Proxy, database: Database, mut options: Options) -> Self {
        options.postgres_url = Some(proxy.url());
        Self::start(Some(database), options).await
    }

    async fn start(database: Option<Database>, mut options: Options) -> Self {
        if options.postgres_url.is_none() {
            options.postgres_url = database.as_ref().map(|d| d.url().to_owned());
        }
        let server = Godwit::start_with(options).await;
        let cid = server.conversation().to_owned();
        Self { server, database, cid }
    }

    /// Whether it stores in Postgres.
    pub(crate) fn on_postgres(&self) -> bool {
        self.database.is_some()
    }

    /// The database of a world on Postgres.
    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().expect("a world on Postgres")
    }

    /// `host:port` of plain MQTT.
    pub(crate) fn mqtt(&self) -> String {
        self.server.mqtt()
    }

    /// A token of this device: `dev`'s own if it has one, else freshly minted.
    pub(crate) async fn token(&self, user: &str, device: &str) -> String {
        if self.server.info()["users"][user][device].is_string() {
            return self.server.dev_token(user, device);
        }
        self.server.token(user, device, "1h").await
    }

    /// A CONNECT of this device, to be changed.
    pub(crate) async fn hello(&self, version: Version, user: &str, device: &str) -> Connect {
        probe::connect(version, user, device, &self.token(user, device).await)
    }

    /// This device, connected with a clean session.
    pub(crate) async fn probe(&self, version: Version, user: &str, device: &str) -> Probe {
        Probe::connect(&self.mqtt(), &self.hello(version, user, device).await).await.0
    }

    /// This device, connected with a kept session; and whether there was one.
    pub(crate) async fn kept(&self, version: Version, user: &str, device: &str) -> (Probe, bool) {
        let hello = self.hello(version, user, device).await.kept();
        let (probe, welcome) = Probe::connect(&self.mqtt(), &hello).await;
        (probe, welcome.present)
    }

    /// This device by rumqttc, connected; and whether a session was there.
    pub(crate) async fn stock(
        &self,
        version: Version,
        user: &str,
        device: &str,
        kept: bool,
    ) -> (Stock, bool) {
        let token = self.token(user, device).await;
        let mut stock = Stock::start(version, &self.mqtt(), (user, device, &token), kept);
        let present = stock.connected().await;
        (stock, present)
    }

    /// `m/{cid}` of the first conversation.
    pub(crate) fn m(&self) -> String {
        format!("m/{}", self.cid)
    }

    /// `s/{cid}` of the first conversation.
    pub(crate) fn s(&self) -> String {
        format!("s/{}", self.cid)
    }

    /// `c/{cid}` of the first conversation.
    pub(crate) fn c(&self) -> String {
        format!("c/{}", self.cid)
    }

    /// `c/{cid}/{cmid}` of the first conversation.
    pub(crate) fn keyed(&self, cmid: &str) -> String {
        format!("c/{}/{cmid}", self.cid)
    }
}

impl Drop for World {
    /// The end of every scenario that went well so far.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.server.verdict();
        }
    }
}
