"""What is measured: each measure loads its peers in ABBA order and keeps every run."""

import json
import pathlib
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
VOID_RETRIES = 3
PAIRS = 50
# Available receivers: what chat clients are, and faster in a few runs on a busy machine by some percent than
# sessions without presence.
EJABBERD_OPTIONS = ["--xmpp-presence"]
IDLE_CONNECTIONS = 10_000
# Messages of the one sender that are not yet with all 1,000: the next is stored while one is told.
FANOUT_WINDOW = 4
STORM_CONNECTIONS = 5_000
# Below the listen backlog of 100 that mosquitto has: beyond it the kernel drops SYNs, and what is
# measured is its retransmission after one second.
STORM_CONCURRENCY = 96


class Readings:
    """All runs, by (peer, measure): a list of flat dictionaries of figures."""

    def __init__(self):
        self.runs = {}
        self.notes = []

    def add(self, peer, measure, figures):
        """Keeps one run."""
        self.runs.setdefault((peer, measure), []).append(figures)

    def values(self, peer, measure, figure):
        """One figure of all runs that have it."""
        runs = self.runs.get((peer, measure), [])
        return [run[figure] for run in runs if run.get(figure) is not None]

    def median(self, peer, measure, figure):
        """Its median; None when it was not measured."""
        values = self.values(peer, measure, figure)
        return statistics.median(values) if values else None

    def note(self, text):
        """Keeps a remark for the report, and shows it now."""
        self.notes.append(text)
        print(f"  ! {text}", file=sys.stderr, flush=True)


class Session:
    """The peers, the load generator, and how long and how often."""

    def __init__(self, peers, bench, seconds, runs, keep_void=False):
        self.peers = peers
        self.keep_void = keep_void
        self.bench = bench
        self.seconds = seconds
        self.runs = runs
        self.readings = Readings()

    def load(self, peer, measure, command, *options, tls=False, fresh=False, timed=True):
        """One run; None: it does not count, and a remark says why. `fresh`: on a server just
        started. `timed`: its figures are times, so it is repeated while the machine was busy
        with other things. Where the peer has a store, the report's `rows` are what it gained."""
        server = self.peers[peer]
        for attempt in range(VOID_RETRIES + 1):
            if fresh:
                server.stop()
                server.start()
            # Each run begins with nothing left to write from the one before.
            self.peers.postgres.psql("CHECKPOINT")
            rows = server.rows() if hasattr(server, "rows") else 0
            arguments = server.arguments(tls=True) if tls else server.arguments()
            line = [self.bench, command, "--json", *arguments, *map(str, options)]
            done = subprocess.run(line, text=True, capture_output=True, check=False)
            if done.returncode == 2 or not done.stdout:
                self.readings.note(f"{peer} {measure}: {done.stderr.strip()}")
                return None
            report = json.loads(done.stdout)
            report["rows"] = server.rows() - rows if hasattr(server, "rows") else None
            if not (timed and report["machine"]["void"]):
                break
            foreign = report["machine"]["foreign_share"]
            print(f"  {peer} {measure}: void, {foreign:.1%} foreign", file=sys.stderr, flush=True)
        else:
            kept = "kept all the same" if self.keep_void else "left out"
            self.readings.note(f"{peer} {measure}: a run stayed void, {foreign:.1%} foreign; {kept}")
            if not self.keep_void:
                return None
        if not report["sound"]:
            harm = {name: value for name, value in (report.get("counts") or {}).items()
                    if value and name not in ("sent", "acked", "received")}
            self.readings.note(f"{peer} {measure}: not sound: {harm or report.get('connects')}")
        return report

    def rounds(self, names, count=None):
        """Contenders in ABBA order: A B, B A, A B ..."""
        present = [name for name in names if name in self.peers]
        for nth in range(count or self.runs):
            yield from present if nth % 2 == 0 else reversed(present)

    def keep(self, peer, measure, figures):
        """Keeps one run and shows it."""
        self.readings.add(peer, measure, figures)
        shown = ", ".join(f"{name} {value:,.3g}" if value < 100 else f"{name} {value:,.0f}"
                          for name, value in figures.items() if value is not None)
        print(f"  {peer:<10} {measure}: {shown}", file=sys.stderr, flush=True)


def flow_figures(report):
    """The figures of a run of messages."""
    flow = report["flow"]
    return {
        "received_per_s": flow["received_per_s"],
        "per_cpu_s": flow["received_per_cpu_s"],
        "ack_p50_ms": flow["ack"]["p50_ms"],
        "ack_p99_ms": flow["ack"]["p99_ms"],
        "delivery_p50_ms": flow["delivery"]["p50_ms"],
        "delivery_p99_ms": flow["delivery"]["p99_ms"],
        "generator_cpu_s": report["machine"]["generator_cpu_s"],
    }


def throughput(session, godwit_options):
    """G1, G2, G5: closed loop, 50 pairs; rows in ejabberd's archive against acknowledgements."""
    time = ["--seconds", session.seconds, "--pairs", PAIRS]
    options = {
        "godwit": ["--window", 16, *godwit_options],
        "ejabberd": ["--window", 16, *EJABBERD_OPTIONS],
        "mosquitto": ["--window", 16],
    }
    for peer in session.rounds(("godwit", "ejabberd", "mosquitto")):
        report = session.load(peer, "throughput", "pairs", *time, *options[peer])
        if report is None:
            continue
        figures, rows = flow_figures(report), report["rows"]
        if rows is not None:
            if rows != session.peers[peer].ROWS_A_MESSAGE * report["counts"]["acked"]:
                session.readings.note(
                    f"{peer}: {rows} rows for {report['counts']['acked']} acknowledged")
            figures["rows_per_acked"] = rows / max(1, report["counts"]["acked"])
        session.keep(peer, "throughput", figures)


def latency(session, godwit_options):
    """G3, G4: open loop at 1,000/s, Godwit at 10,000/s too, and a bare commit by pgbench."""
    time = ["--seconds", session.seconds, "--pairs", PAIRS]
    for peer in session.rounds(("godwit", "ejabberd", "mosquitto")):
        options = {"godwit": godwit_options, "ejabberd": EJABBERD_OPTIONS}.get(peer, [])
        report = session.load(peer, "at 1,000/s", "pairs", *time, "--rate", 1_000, *options)
        if report:
            session.keep(peer, "at 1,000/s", flow_figures(report))
        if peer == "godwit":
            report = session.load(
                peer, "at 10,000/s", "pairs", *time, "--rate", 10_000, *options)
            if report:
                session.keep(peer, "at 10,000/s", flow_figures(report))
            bare_commit(session)


def bare_commit(session):
    """pgbench, one client, one row a commit; the median of all its commits."""
    postgres = session.peers.postgres
    postgres.psql("CREATE TABLE IF NOT EXISTS bare"
                  " (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL)")
    logs = session.peers.root / "pgbench"
    logs.mkdir()
    subprocess.run(
        ["pgbench", "-n", "-c", "1", "-j", "1", "-T", str(max(1, round(session.seconds))),
         "-f", str(HERE / "insert.sql"), "-l", f"--log-prefix={logs}/log",
         "-h", "127.0.0.1", "-p", str(postgres.port), "-U", "postgres", "postgres"],
        check=True, capture_output=True)
    # client, transaction, microseconds, ...
    micros = sorted(int(line.split()[2]) for log in logs.iterdir()
                    for line in log.read_text().splitlines())
    shutil.rmtree(logs)
    session.keep("pgbench", "bare commit", {
        "p50_ms": micros[len(micros) // 2] / 1e3,
        "p99_ms": micros[len(micros) * 99 // 100] / 1e3,
        "commits_per_s": len(micros) / session.seconds,
    })


def idle(session):
    """G7: resident bytes a connection; each run on a server that was just started."""
    contenders = ["godwit", "mosquitto"]
    for peer in session.rounds(contenders, min(3, session.runs)):
        idle_run(session, peer, "idle")
        if peer == "godwit":
            idle_run(session, peer, "idle TLS", tls=True)
    if "ejabberd" in session.peers:
        idle_run(session, "ejabberd", "idle")


def idle_run(session, peer, measure, tls=False):
    """One reading of memory."""
    report = session.load(
        peer, measure, "idle", "--connections", IDLE_CONNECTIONS, "--settle", 3,
        tls=tls, fresh=True, timed=False)
    if report:
        session.keep(peer, measure, {
            "bytes_per_connection": report["memory"][0]["bytes_per_connection"],
        })


def fanout(session):
    """G16: one stored message to 1,000 members, each a connected device that acknowledges it."""
    for peer in session.rounds(("godwit",)):
        report = session.load(
            peer, "fan-out", "fanout", "--receivers", 1_000, "--window", FANOUT_WINDOW,
            "--seconds", session.seconds, "--publish", "send", "--receive", "entries")
        if report:
            flow = report["flow"]
            apart = {one["name"]: one["received_per_cpu_s"]
                     for one in flow["received_per_cpu_s_of"]}
            session.keep(peer, "fan-out", {
                "deliveries_per_s": flow["received_per_s"],
                "per_server_cpu_s": apart["godwit"],
                "per_postgres_cpu_s": apart["postgres"],
                "delivery_p99_ms": flow["delivery"]["p99_ms"],
                "generator_cpu_s": report["machine"]["generator_cpu_s"],
            })


def isolation(session):
    """Pairs at a fixed rate while a group of 10,000 is silent and while it speaks, in turns."""
    for peer in session.rounds(("godwit",), min(3, session.runs)):
        for devices in ("foreground", "background"):
            report = session.load(
                peer, f"isolation, {devices}", "isolation", "--devices", devices,
                "--pairs", PAIRS, "--rate", 1_000, "--members", 10_000, "--group-rate", 1,
                "--rounds", 4, "--seconds", session.seconds / 2)
            if report:
                calm, busy, group = report["calm"], report["flow"], report["group"]
                session.keep(peer, f"isolation, {devices}", {
                    "p50_silent_ms": calm["delivery"]["p50_ms"],
                    "p50_speaks_ms": busy["delivery"]["p50_ms"],
                    "p99_silent_ms": calm["delivery"]["p99_ms"],
                    "p99_speaks_ms": busy["delivery"]["p99_ms"],
                    "p99_ratio": group["p99_ratio"],
                    "connected": group["connected"],
                    "group_sent": group["counts"]["sent"],
                    "group_received": group["counts"]["received"],
                    "group_notices": group["notices"],
                    "group_delivery_p99_ms": group["delivery"]["p99_ms"],
                    "generator_cpu_s": report["machine"]["generator_cpu_s"],
                })


def typing(session):
    """G10: bytes, so one run is enough and a busy machine does not matter."""
    report = session.load("godwit", "typing", "typing", timed=False)
    if report:
        session.keep("godwit", "typing", {
            name: report["typing"][name]
            for name in ("most_down", "first_down", "most_up", "first_up")})


def storm(session):
    """G8: 5,000 connects at once, with others talking."""
    for peer in session.rounds(("godwit", "mosquitto")):
        report = session.load(
            peer, "storm", "storm", "--connections", STORM_CONNECTIONS,
            "--concurrency", STORM_CONCURRENCY,
            "--background-pairs", 20, "--background-rate", 1_000)
        if report:
            calm, during = report["calm"]["delivery"], report["flow"]["delivery"]
            session.keep(peer, "storm", {
                "connects_per_s": report["connects"]["per_s"],
                "connack_p50_ms": report["connects"]["connack"]["p50_ms"],
                "connack_p99_ms": report["connects"]["connack"]["p99_ms"],
                "others_p99_before_ms": calm["p99_ms"],
                "others_p99_during_ms": during["p99_ms"],
            })
