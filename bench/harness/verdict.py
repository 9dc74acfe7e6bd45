"""Readings against the floors and aims of the goals, as markdown."""


class Goal:
    """One figure of the goals, its floor (None: it has none) and its aim. `also`: what the aim
    asks for besides."""

    def __init__(self, name, what, value, floor, aim, at_least=True, unit="x", also=None):
        self.name, self.what, self.value, self.unit = name, what, value, unit
        self.floor, self.aim, self.at_least, self.also = floor, aim, at_least, also

    def meets(self, bound):
        """Whether the value is on the right side of the bound."""
        return self.value >= bound if self.at_least else self.value <= bound

    def verdict(self):
        """In words."""
        if not self.meets_floor():
            return "**below the floor**"
        if self.meets(self.aim) and self.also is not False:
            return "aim met"
        return "aim not met" if self.floor is None else "floor met"

    def meets_floor(self):
        """Whether it is no defect; what has only an aim cannot be one."""
        return self.floor is None or self.meets(self.floor)

    def row(self):
        """As a row of a table."""
        sign = "≥" if self.at_least else "≤"
        value = show(self.value, self.unit)
        floor = "-" if self.floor is None else f"{sign} {show(self.floor, self.unit)}"
        return (f"| {self.name} | {self.what} | {value} | {floor}"
                f" | {sign} {show(self.aim, self.unit)} | {self.verdict()} |")


def show(value, unit=""):
    """A number with three digits that matter, or none behind the point when it is large."""
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    if unit == "x":
        return f"{text}x"
    return f"{text} {unit}".strip()


def ratio(one, other):
    """None when a part was not measured."""
    return one / other if one is not None and other else None


def goals(readings):
    """Those that are measured here, as far as they were."""
    median = readings.median
    god_rate = median("godwit", "throughput", "received_per_s")
    god_cpu = median("godwit", "throughput", "per_cpu_s")
    god_p99 = median("godwit", "at 1,000/s", "delivery_p99_ms")
    fast_p99 = median("godwit", "at 10,000/s", "delivery_p99_ms")
    god_ack = median("godwit", "at 1,000/s", "ack_p50_ms")
    ejab_rate = median("ejabberd", "throughput", "received_per_s")
    ejab_cpu = median("ejabberd", "throughput", "per_cpu_s")
    ejab_p99 = median("ejabberd", "at 1,000/s", "delivery_p99_ms")
    commit = median("pgbench", "bare commit", "p50_ms")
    mosq_rate = median("mosquitto", "throughput", "received_per_s")
    storm = median("godwit", "storm", "connects_per_s")
    mosq_storm = median("mosquitto", "storm", "connects_per_s")
    connack = median("godwit", "storm", "connack_p99_ms")
    others = ratio(median("godwit", "storm", "others_p99_during_ms"),
                   median("godwit", "storm", "others_p99_before_ms"))
    return [
        Goal("G1", "durable messages/s against ejabberd", ratio(god_rate, ejab_rate), 8, 15),
        Goal("G2", "durable messages per CPU-second against ejabberd", ratio(god_cpu, ejab_cpu),
             8, 16, also=(god_cpu or 0) >= 20_000),
        Goal("G3", "delivery p99 at 1,000/s against ejabberd", ratio(god_p99, ejab_p99),
             0.6, 0.35, at_least=False,
             also=god_p99 is not None and god_p99 <= 5
             and (fast_p99 is None or ejab_p99 is None or fast_p99 <= ejab_p99)),
        Goal("G3", "delivery p99 at 10,000/s against ejabberd's at 1,000/s",
             ratio(fast_p99, ejab_p99), None, 1, at_least=False),
        Goal("G4", "PUBACK p50 at 1,000/s against a bare commit", ratio(god_ack, commit), 4, 2,
             at_least=False),
        Goal("G5", "durable messages/s against mosquitto, not durable",
             ratio(god_rate, mosq_rate), 0.25, 0.5),
        Goal("G7", "resident bytes of an idle connection, TCP",
             median("godwit", "idle", "bytes_per_connection"), 4_700, 2_500, at_least=False,
             unit="B"),
        Goal("G7", "resident bytes of an idle connection, TLS",
             median("godwit", "idle TLS", "bytes_per_connection"), None, 12_000,
             at_least=False, unit="B"),
        Goal("G8", "connects/s in a storm of 5,000", storm, mosq_storm or 0, 8_800, unit="/s",
             also=connack is not None and connack <= 150 and others is not None and others <= 2),
        Goal("G8", "CONNACK p99 in the storm", connack, None, 150, at_least=False,
             unit="ms"),
        Goal("G8", "others' p99 during the storm against before", others, None, 2,
             at_least=False),
        Goal("G10", "a typing event by alias, whole packet", median("godwit", "typing", "most_down"),
             20, 14, at_least=False, unit="B"),
        Goal("G16", "deliveries per core-second of the server, 1,000 members",
             median("godwit", "fan-out", "per_server_cpu_s"), 50_000, 150_000, unit=""),
        *(Goal("isolation", f"pairs' p99 beside a group of 10,000 in the {devices}",
               median("godwit", f"isolation, {devices}", "p99_ratio"), 1.5, 1.5, at_least=False)
          for devices in ("foreground", "background")),
    ]


def markdown(readings):
    """Both tables, and the remarks."""
    rows = [goal.row() for goal in goals(readings) if goal.value is not None]
    lines = []
    if rows:
        lines += ["| goal | what | value | floor | aim | verdict |", "|---|---|---|---|---|---|",
                  *rows, ""]
    lines += ["| peer | measure | figure | median | min | max | runs |",
              "|---|---|---|---|---|---|---|"]
    for (peer, measure), runs in sorted(readings.runs.items()):
        for figure in runs[0]:
            values = readings.values(peer, measure, figure)
            if values:
                low, high = min(values), max(values)
                middle = readings.median(peer, measure, figure)
                lines.append(f"| {peer} | {measure} | {figure} | {show(middle)} | {show(low)}"
                             f" | {show(high)} | {len(values)} |")
    if readings.notes:
        lines += ["", "Remarks:", "", *(f"- {note}" for note in readings.notes)]
    return "\n".join(lines)


def floors_met(readings):
    """Whether nothing that was measured is below its floor."""
    return all(goal.meets_floor() for goal in goals(readings) if goal.value is not None)
