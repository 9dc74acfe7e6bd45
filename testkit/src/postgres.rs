//! A private Postgres for tests, never the machine's own.
//!
//! A test asks for a database: [`fresh`] clones a migrated template, [`empty`] has no tables. The
//! server behind it is the one that `GODWIT_TEST_POSTGRES_URL` names (`testkit-postgres COMMAND`
//! starts one for a whole run, because nextest gives every test its own process), else a private
//! one, shared by the tests of this process and stopped after the last.
//!
//! Tests that kill or stop Postgres start their own [`PostgresServer`].

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::scratch::Scratch;
use crate::{POLL, WAIT};

/// Names the server of a run: a URL whose user may create databases.
pub const SERVER_VARIABLE: &str = "GODWIT_TEST_POSTGRES_URL";

/// How a private server is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Flush commits to the disk. Off is faster; tests that cut the power need it on.
    pub fsync: bool,
}

/// A private Postgres with its own data, on a free loopback port and a socket of its own. Dropped,
/// it is stopped and its data removed.
#[derive(Debug)]
pub struct PostgresServer {
    child: Mutex<Option<Child>>,
    port: u16,
    options: Options,
    account: Option<Account>,
    directory: Scratch,
}

/// Whom Postgres runs as when this is root, since it refuses to run as root.
#[derive(Debug, Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

impl PostgresServer {
    /// Starts one that does not flush: for everything but kills.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Makes a cluster and starts it; returns when it answers.
    #[must_use]
    pub fn start_with(options: Options) -> Self {
        let directory = Scratch::new("postgres");
        let account = account();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).expect("a data directory");
        if let Some(account) = account {
            for path in [directory.path(), &data] {
                std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
                    .expect("a directory of the postgres user");
            }
        }
        let made = program("initdb", account)
            .args(["--auth=trust", "--username=godwit", "--encoding=UTF8", "--locale=C"])
            .args(["--no-sync", "--no-instructions", "-D"])
            .arg(&data)
            .output()
            .expect("initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let server = Self { child: Mutex::new(None), port, options, account, directory };
        server.launch();
        server
    }

    /// Starts it (again) on the same data and port; returns when it answers.
    pub fn launch(&self) {
        let log = std::fs::File::create(self.directory.path().join("log")).expect("a log");
        let fsync = if self.options.fsync { "on" } else { "off" };
        let child = program("postgres", self.account)
            .arg("-D")
            .arg(self.directory.path().join("data"))
            .args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={}", self.port)])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", self.directory.path().display()))
            .args(["-c", &format!("fsync={fsync}"), "-c", &format!("full_page_writes={fsync}")])
            .args(["-c", "max_connections=200", "-c", "shared_buffers=64MB"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("postgres starts");
        *self.child() = Some(child);
        let start = Instant::now();
        while ask(&self.url(), "select 1").is_err() {
            let ended = self.child().as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "postgres ended with {ended:?}:\n{}", self.log());
            assert!(start.elapsed() < WAIT, "no answer within {WAIT:?}:\n{}", self.log());
            std::thread::sleep(POLL);
        }
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The `postgres` database over TCP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://godwit@127.0.0.1:{}/postgres", self.port)
    }

    /// The TCP port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The first process' id (of a running server).
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child().as_ref().expect("a running server").id()
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// A new database without tables.
    #[must_use]
    pub fn empty(self: &Arc<Self>) -> Database {
        Database::create(self.url(), None, Some(Arc::clone(self)))
    }

    /// Stops every process of it, so that connections stand and nothing answers. Thaw it with
    /// [`PostgresServer::thaw`]; dropped, it is killed all the same.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// Lets a frozen one go on.
    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    fn signal_all(&self, signal: &str) {
        let pid = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("a running server");
        // The first process first: it makes no new ones meanwhile. Others may have gone.
        for pid in std::iter::once(pid.to_string()).chain(children.split(' ').map(str::to_owned)) {
            if !pid.is_empty() {
                let _ = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
            }
        }
    }

    /// Ends all sessions and stops, as an operator would.
    pub fn stop(&self) {
        self.end("INT");
    }

    /// Stops without flushing or telling anyone, as a crash would; [`PostgresServer::launch`]
    /// recovers from the log.
    pub fn crash(&self) {
        self.end("QUIT");
    }

    /// Sends a signal to its first process and waits for its end.
    fn end(&self, signal: &str) {
        let Some(mut child) = self.child().take() else { return };
        let sent =
            Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
        let start = Instant::now();
        while sent.as_ref().is_ok_and(std::process::ExitStatus::success) && start.elapsed() < WAIT {
            if let Ok(Some(_)) = child.try_wait() {
                return;
            }
            std::thread::sleep(POLL);
        }
        // It ignored the signal: no test shall hang on it.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if self.child().is_some() {
            // A frozen one does not hear.
            self.thaw();
        }
        self.crash();
    }
}

/// The account for Postgres, when this is root.
fn account() -> Option<Account> {
    let id = |arguments: &[&str]| -> u32 {
        let out = Command::new("id").args(arguments).output().expect("id");
        let text = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        text.parse().unwrap_or_else(|_| panic!("no account for Postgres: id {arguments:?}: {text}"))
    };
    (id(&["-u"]) == 0)
        .then(|| Account { uid: id(&["-u", "postgres"]), gid: id(&["-g", "postgres"]) })
}

/// One of Postgres' programs, of the newest version that is installed.
fn program(name: &str, account: Option<Account>) -> Command {
    let mut command = Command::new(programs().join(name));
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid).current_dir("/");
    }
    command
}

/// Debian keeps each version's programs apart; elsewhere they are on the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| Path::new(&format!("/usr/lib/postgresql/{version}/bin/initdb")).exists())
        .max();
    newest.map(|version| format!("/usr/lib/postgresql/{version}/bin").into()).unwrap_or_default()
}

/// psql on a database, which stops at the first error.
fn psql(url: &str) -> Command {
    let mut command = program("psql", None);
    command.args(["-qtAX", "-v", "ON_ERROR_STOP=1", url]);
    command
}

/// The answer to a statement, or what psql said.
fn ask(url: &str, statement: &str) -> Result<String, String> {
    let out = psql(url).args(["-c", statement]).output().map_err(|error| error.to_string())?;
    match out.status.success() {
        true => Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned()),
        false => Err(String::from_utf8_lossy(&out.stderr).trim().to_owned()),
    }
}

fn run(url: &str, statement: &str) -> String {
    ask(url, statement).unwrap_or_else(|error| panic!("{statement}: {error}"))
}

/// The same server's URL for another database.
fn with_name(url: &str, name: &str) -> String {
    let (path, query) = url.split_once('?').map_or((url, None), |(p, q)| (p, Some(q)));
    let server = path.rsplit_once('/').map_or(path, |(server, _)| server);
    query.map_or_else(|| format!("{server}/{name}"), |query| format!("{server}/{name}?{query}"))
}

/// A database of one test, removed when dropped.
#[derive(Debug)]
pub struct Database {
    admin: String,
    name: String,
    url: String,
    /// Kept running while one of its databases is used.
    server: Option<Arc<PostgresServer>>,
}

impl Database {
    fn create(admin: String, template: Option<&str>, server: Option<Arc<PostgresServer>>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("godwit_{}_{count}", std::process::id());
        let template = template.unwrap_or("template0");
        run(&admin, &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        let url = with_name(&admin, &name);
        Self { admin, name, url, server }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server, when it is a private one.
    #[must_use]
    pub fn server(&self) -> Option<&Arc<PostgresServer>> {
        self.server.as_ref()
    }

    /// A connection of its own that stays open.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::open(&self.url)
    }

    /// The answer to a statement, by psql.
    #[must_use]
    pub fn ask(&self, statement: &str) -> String {
        run(&self.url, statement)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that was stopped by its test takes the database along.
        let _ = ask(&self.admin, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// The server of this run, or of this process.
fn server() -> (String, Option<Arc<PostgresServer>>) {
    static PRIVATE: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
    if let Ok(url) = std::env::var(SERVER_VARIABLE) {
        return (url, None);
    }
    let mut private = PRIVATE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = private.upgrade().unwrap_or_else(|| {
        let server = Arc::new(PostgresServer::start());
        *private = Arc::downgrade(&server);
        server
    });
    (server.url(), Some(server))
}

/// A new database without tables.
#[must_use]
pub fn empty() -> Database {
    let (admin, server) = server();
    Database::create(admin, None, server)
}

/// A new database with the tables that `migrate` makes. It is called with a URL once for a server,
/// and must have closed its connections when it returns: the result is the template of all.
pub async fn fresh(migrate: impl AsyncFnOnce(String)) -> Database {
    const TEMPLATE: &str = "godwit_template";
    let (admin, server) = server();
    let exists = format!("SELECT count(*) FROM pg_database WHERE datname = '{TEMPLATE}'");
    if run(&admin, &exists) == "0" {
        let lock = TemplateLock::take(&admin);
        if run(&admin, &exists) == "0" {
            let making = format!("{TEMPLATE}_making");
            run(&admin, &format!("DROP DATABASE IF EXISTS {making}"));
            run(&admin, &format!("CREATE DATABASE {making} TEMPLATE template0"));
            migrate(with_name(&admin, &making)).await;
            until_unused(&admin, &making);
            run(&admin, &format!("ALTER DATABASE {making} RENAME TO {TEMPLATE}"));
        }
        drop(lock);
    }
    Database::create(admin, Some(TEMPLATE), server)
}

/// A closed connection's process may live for a moment more, and a used database is no template.
fn until_unused(admin: &str, name: &str) {
    let used = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
    let start = Instant::now();
    while run(admin, &used) != "0" {
        assert!(start.elapsed() < WAIT, "{name} is still used");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One process of the run makes the template; the lock is the server's, held by a session.
struct TemplateLock(#[expect(dead_code, reason = "dropped, it ends")] Session);

impl TemplateLock {
    fn take(admin: &str) -> Self {
        let mut session = Session::open(admin);
        assert_eq!(session.ask("SELECT 'held' FROM pg_advisory_lock(7061)"), "held");
        Self(session)
    }
}

/// A connection by psql that stays open, for transactions that last. Dropped, it ends and undoes what
/// was not committed.
#[derive(Debug)]
pub struct Session {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Session {
    fn open(url: &str) -> Self {
        let mut child =
            psql(url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql starts");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, output }
    }

    /// Runs statements, of which one answers one row; waits for that.
    pub fn ask(&mut self, statements: &str) -> String {
        let commands = self.child.stdin.as_mut().expect("its input");
        writeln!(commands, "{statements};").expect("psql listens");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("psql answers");
        answer.trim().to_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Its input's end ends psql.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
