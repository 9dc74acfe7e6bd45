"""Private peers: each on loopback, on a free port, with its own data, ended by its own pid.

Nothing here touches a service that runs already. All data lies in one temporary directory.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
EJABBERD_USERS = 12_000
READY_S = 60
STOP_S = 20
PACKAGES = {
    "mosquitto": "mosquitto",
    "ejabberdctl": "ejabberd",
    "pgbench": "postgresql",
}


class Failure(Exception):
    """A peer that does not come up; the message says what to do."""


def install_missing():
    """Installs Debian's packages of the peers that are missing, starting none of them."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if not pathlib.Path("/usr/share/doc/erlang-p1-pgsql").exists():
        missing.append("erlang-p1-pgsql")
    if not missing:
        return
    if os.geteuid() != 0:
        raise Failure(f"missing: {' '.join(missing)}; install them, or run this as root")
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    clusters = pathlib.Path("/etc/postgresql-common/createcluster.conf")
    if not clusters.exists():
        clusters.parent.mkdir(parents=True, exist_ok=True)
        clusters.write_text("create_main_cluster = false\n")
    try:
        quiet = {"stdout": subprocess.DEVNULL, "check": True}
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "update", "-q"], env=environment, **quiet)
        subprocess.run(
            ["apt-get", "install", "-q", "-y", "--no-install-recommends",
             "-o", "Dpkg::Options::=--force-confold", *missing],
            env=environment, **quiet)
    finally:
        if ours:
            policy.unlink()


def free_port():
    """A port of 127.0.0.1 below the ephemeral range that nobody listens on now."""
    for port in range(15_000 + os.getpid() % 5_000, 32_000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in free_port.given:
                free_port.given.add(port)
                return port
    raise Failure("no free port on 127.0.0.1")


free_port.given = set()


def fill(template, target, **names):
    """Writes a template with its @NAMES@ replaced."""
    text = (HERE / template).read_text()
    for name, value in names.items():
        text = text.replace(f"@{name}@", str(value))
    target.write_text(text)


class Server:
    """One process in the foreground, run as `user`, with its output in a log file."""

    def __init__(self, name, directory, user="root"):
        self.name = name
        self.user = user
        self.dir = directory
        self.dir.mkdir(parents=True, exist_ok=True)
        self.process = None
        if user != "root":
            shutil.chown(self.dir, user)

    def command(self, *arguments):
        """A command line that becomes this server's user."""
        if self.user == "root":
            return [str(argument) for argument in arguments]
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups",
                *(str(argument) for argument in arguments)]

    def spawn(self, *arguments, **environment):
        """Starts it; setpriv becomes the server, so the pid is the server's own."""
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(*arguments), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                cwd=self.dir, env=dict(os.environ, HOME=str(self.dir), **environment))

    @property
    def pid(self):
        """The process id."""
        return self.process.pid

    def wait_until(self, what, ready):
        """Waits until `ready()`; fails when the process ends or a minute has passed."""
        until = time.monotonic() + READY_S
        while not ready():
            if self.process.poll() is not None or time.monotonic() > until:
                log = (self.dir / "log").read_text(errors="replace")[-2_000:]
                raise Failure(f"{self.name} is not {what}:\n{log}")
            time.sleep(0.1)

    def wait_for_port(self, port):
        """Waits until somebody listens."""
        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0
        self.wait_until(f"listening on {port}", listens)

    def stop(self, how=signal.SIGTERM):
        """Ends it, by force when it does not go."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Postgres(Server):
    """One cluster for all that need one: fsync and synchronous_commit on."""

    def __init__(self, root):
        super().__init__("postgres", root / "postgres", "postgres")
        self.port = free_port()
        self.bin = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"),
                       key=lambda path: int(path.parent.name))

    def start(self):
        """Initialises and starts it."""
        data = self.dir / "data"
        subprocess.run(
            self.command(self.bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust",
                         "--no-sync", "-E", "UTF8", "--locale=C"),
            check=True, stdout=subprocess.DEVNULL, cwd=self.dir)
        with open(data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(
                f"\nlisten_addresses = '127.0.0.1'\nport = {self.port}\n"
                f"unix_socket_directories = '{self.dir}'\n"
                "fsync = on\nsynchronous_commit = on\nfull_page_writes = on\n"
                "max_connections = 200\nshared_buffers = 512MB\nmax_wal_size = 8GB\n")
        self.spawn(self.bin / "postgres", "-D", data)
        self.wait_until("ready", lambda: self.try_sql("SELECT 1"))

    def psql(self, sql, database="postgres", file=None):
        """Runs SQL and returns its rows as text."""
        source = ["-f", str(file)] if file else ["-c", sql]
        done = subprocess.run(
            ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database,
             "-qtAX", "-v", "ON_ERROR_STOP=1", *source],
            check=True, text=True, capture_output=True)
        return done.stdout.strip()

    def try_sql(self, sql):
        """Whether it answers."""
        try:
            self.psql(sql)
            return True
        except subprocess.CalledProcessError:
            return False

    def stop(self, how=signal.SIGINT):
        """Fast shutdown."""
        super().stop(how)


class Mosquitto(Server):
    """mosquitto, not durable."""

    def __init__(self, root):
        super().__init__("mosquitto", root / "mosquitto", "mosquitto")
        self.port = free_port()

    def start(self):
        """Starts it."""
        conf = self.dir / "mosquitto.conf"
        fill("mosquitto.conf", conf, PORT=self.port, DIR=self.dir)
        self.spawn("/usr/sbin/mosquitto", "-c", conf)
        self.wait_for_port(self.port)

    def arguments(self):
        """What godwit-bench needs to speak to it."""
        return ["--addr", f"127.0.0.1:{self.port}", "--pid", f"mosquitto={self.pid}"]


class Ejabberd(Server):
    """ejabberd with its archive on Postgres; no distribution, so no epmd is left behind."""

    # The archive keeps the sender's copy and the recipient's.
    ROWS_A_MESSAGE = 2

    def __init__(self, root, postgres):
        super().__init__("ejabberd", root / "ejabberd", "ejabberd")
        self.port = free_port()
        self.postgres = postgres

    def prepare(self):
        """Makes its database, its users among it."""
        self.postgres.psql("CREATE ROLE ejabberd LOGIN PASSWORD 'pw' SUPERUSER")
        self.postgres.psql("CREATE DATABASE ejabberd OWNER ejabberd")
        self.postgres.psql("", "ejabberd", file="/usr/share/ejabberd/sql/pg.sql")
        self.postgres.psql(
            "INSERT INTO users (username, password) SELECT 'u' || i, 'pw'"
            f" FROM generate_series(0, {EJABBERD_USERS}) i", "ejabberd")

    def start(self):
        """Starts it in the foreground."""
        conf = self.dir / "ejabberd.yml"
        fill("ejabberd.yml", conf, PORT=self.port, SQL_PORT=self.postgres.port)
        mnesia = self.dir / "mnesia"
        mnesia.mkdir(exist_ok=True)
        shutil.chown(mnesia, self.user)
        libraries = next(pathlib.Path("/usr/lib").glob("*/ejabberd-*/ebin")).parent.parent
        self.spawn(
            "erl", "+K", "true", "+P", "250000", "-noinput", "-mnesia", "dir", f'"{mnesia}"',
            "-s", "ejabberd",
            EJABBERD_CONFIG_PATH=str(conf), EJABBERD_LOG_PATH=str(self.dir / "ejabberd.log"),
            ERL_LIBS=str(libraries), ERL_EPMD_ADDRESS="127.0.0.1", ERL_MAX_PORTS="19000",
            ERL_CRASH_DUMP=str(self.dir / "crash"), ERL_CRASH_DUMP_BYTES="0")
        self.wait_for_port(self.port)

    def arguments(self):
        """What godwit-bench needs to speak to it."""
        return ["--xmpp", "--password", "pw", "--addr", f"127.0.0.1:{self.port}",
                "--pid-tree", f"ejabberd={self.pid}",
                "--pid-tree", f"postgres={self.postgres.pid}"]

    def rows(self):
        """Archived messages."""
        return int(self.postgres.psql("SELECT count(*) FROM archive", "ejabberd"))


class Godwit(Server):
    """`godwit serve` on Postgres, every role in one process."""

    ROWS_A_MESSAGE = 1

    def __init__(self, root, postgres, program):
        super().__init__("godwit", root / "godwit")
        self.program = program
        self.postgres = postgres
        self.port, self.tls_port, self.http_port = free_port(), free_port(), free_port()
        self.tls_ca = self.dir / "ca.pem"
        self.environment = {
            "GODWIT__SERVER__DATA_DIR": str(self.dir / "data"),
            "GODWIT__LISTEN__MQTT": f"127.0.0.1:{self.port}",
            "GODWIT__LISTEN__MQTTS": f"127.0.0.1:{self.tls_port}",
            "GODWIT__LISTEN__TLS_CERT_FILE": str(self.dir / "chain.pem"),
            "GODWIT__LISTEN__TLS_KEY_FILE": str(self.dir / "key.pem"),
            "GODWIT__LISTEN__WS": "",
            "GODWIT__LISTEN__HTTP": f"127.0.0.1:{self.http_port}",
            "GODWIT__STORE__KIND": "postgres",
            "GODWIT__STORE__POSTGRES_URL":
                f"postgres://postgres@127.0.0.1:{postgres.port}/godwit",
            # A group of 1,000 is a large one: its fan-out is measured, not its bound for sends.
            "GODWIT__LIMITS__LARGE_GROUP_SENDS_PER_S": "0",
            # All devices come from one address here.
            "GODWIT__LIMITS__CONNECTS_PER_S_PER_ADDRESS": "0",
            "GODWIT__LOG__FILTER": "warn",
        }

    def prepare(self):
        """Makes its database and its certificate."""
        self.postgres.psql("CREATE DATABASE godwit")
        self.certificates()
        done = subprocess.run(
            [self.program, "migrate", "up"], env=dict(os.environ, **self.environment),
            cwd=self.dir, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise Failure(f"godwit migrate up: {done.stdout}{done.stderr}")

    def certificates(self):
        """An authority and a server's certificate of elliptic curve P-256."""
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        leaf = self.dir / "leaf.pem"
        extensions = self.dir / "extensions"
        extensions.write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
        for line in (
            ["req", "-x509", *curve, "-days", "30", "-subj", "/CN=bench authority",
             "-keyout", self.dir / "ca.key", "-out", self.tls_ca],
            ["req", *curve, "-subj", "/CN=localhost",
             "-keyout", self.dir / "key.pem", "-out", self.dir / "leaf.csr"],
            ["x509", "-req", "-in", self.dir / "leaf.csr", "-CA", self.tls_ca,
             "-CAkey", self.dir / "ca.key", "-CAcreateserial", "-days", "30",
             "-extfile", extensions, "-out", leaf],
        ):
            subprocess.run(["openssl", *map(str, line)], check=True, capture_output=True)
        (self.dir / "chain.pem").write_text(leaf.read_text() + self.tls_ca.read_text())

    def start(self):
        """Starts it and waits for /readyz."""
        self.spawn(self.program, "serve", **self.environment)
        self.wait_until("ready", self.is_ready)

    def is_ready(self):
        """Whether /readyz says so."""
        try:
            url = f"http://127.0.0.1:{self.http_port}/readyz"
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def rows(self):
        """Stored messages of all logs."""
        return int(self.postgres.psql("SELECT count(*) FROM messages WHERE kind = 1", "godwit"))

    def arguments(self, tls=False):
        """What godwit-bench needs to speak to it."""
        data = self.dir / "data"
        line = ["--http", f"http://127.0.0.1:{self.http_port}",
                "--token-key", str(data / "issuer.key"),
                "--admin-token", (data / "admin.token").read_text().strip(),
                "--pid", f"godwit={self.pid}", "--pid-tree", f"postgres={self.postgres.pid}"]
        if tls:
            return [*line, "--addr", f"127.0.0.1:{self.tls_port}", "--tls-ca", str(self.tls_ca)]
        return [*line, "--addr", f"127.0.0.1:{self.port}"]


class Peers:
    """All of them, in one temporary directory that is removed at the end."""

    def __init__(self, godwit, names):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="godwit-compare-"))
        self.root.chmod(0o755)
        self.postgres = Postgres(self.root)
        self.by_name = {}
        if "ejabberd" in names:
            self.by_name["ejabberd"] = Ejabberd(self.root, self.postgres)
        if "mosquitto" in names:
            self.by_name["mosquitto"] = Mosquitto(self.root)
        if "godwit" in names:
            self.by_name["godwit"] = Godwit(self.root, self.postgres, godwit)

    def __enter__(self):
        try:
            self.postgres.start()
            for peer in self.by_name.values():
                if hasattr(peer, "prepare"):
                    peer.prepare()
                peer.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for peer in self.by_name.values():
            peer.stop()
        self.postgres.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def __getitem__(self, name):
        return self.by_name[name]

    def __contains__(self, name):
        return name in self.by_name
