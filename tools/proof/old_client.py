"""A client that knows the predecessor's schema and no more, beside opsledger's own processes; see old-client."""

import json
import os
import random
import subprocess
import sys
import threading
import time

program, scratch = sys.argv[1], sys.argv[2]
steps_total, abandoned_total = map(int, sys.argv[3:5])
random.seed(11)


class Lost(Exception):
    """A race that was lost: the predecessor's clients log it and continue."""


class Client:
    """One psql session of an operator."""

    def __init__(self):
        self.psql = subprocess.Popen(
            ["psql", "-X", "-Atq", "-h", scratch, "-U", "old_client", "-d", "ops"], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, sql):
        self.psql.stdin.write(sql.strip().rstrip(";") + ";\n\\echo end :ERROR :SQLSTATE\n")
        self.psql.stdin.flush()
        lines = []
        for line in self.psql.stdout:
            line = line.rstrip("\n")
            if line.startswith("end "):
                _, failed, state = line.split()
                if failed == "true":
                    raise (Lost if state in ("40001", "40P01") else RuntimeError)(f"{state} {lines} {sql}")
                return lines
            lines.append(line)
        raise RuntimeError(f"psql ended: {lines}")

    def together(self, *statements):
        """As one transaction."""
        self.run("BEGIN")
        try:
            answers = [self.run(statement) for statement in statements]
            self.run("COMMIT")
            return answers
        except (Lost, RuntimeError):
            self.run("ROLLBACK")
            raise


def literal(text):
    return "'" + text.replace("'", "''") + "'"


failures, done = [], threading.Event()
made = {"steps": 0, "proposals": 0}
lost = {"races": 0}
lock = threading.Lock()
abandoned = 0


def guarded(body):
    def run(*arguments):
        try:
            body(*arguments)
        except Exception as error:  # A thread that dies silently would prove nothing.
            failures.append(f"{body.__name__}: {error}")
            done.set()
    return run


def persistently(attempt):
    """The predecessor's clients try what they lost a race over again at their next turn."""
    while True:
        try:
            return attempt()
        except Lost:
            with lock:
                lost["races"] += 1
            time.sleep(0.01)


# Work is made: by the function, by INSERT, by events, by votes and by hand.

def params():
    dice = random.random()
    if dice < 0.08:
        return {"fail_times": 1}
    return {"error": "broken"} if dice < 0.1 else {}


def template(count, risk):
    return {"title": f"old {made['proposals']}", "risk_level": risk, "parallel": random.random() < 0.5,
            "steps": [{"kind": "noop", "executor": "noop", "params": params()} for _ in range(count)]}


def by_function(client):
    text = literal(json.dumps(template(3, "low")))
    answer = persistently(lambda: client.run(
        f"SELECT r_status FROM ops_create_proposal_and_maybe_autoapprove(NULL, 'api', {text})"))
    assert answer == ["auto_approved"], answer
    return 3


def by_insert(client):
    """As the predecessor's local heartbeat: approved without asking, the mission running at once."""
    work = template(3, "low")
    steps = ", ".join(
        f"((SELECT id FROM ops_missions WHERE proposal_id = p.id), 'noop', {literal(json.dumps(s['params']))}::jsonb,"
        " 'queued'::ops_step_status, 'noop')" for s in work["steps"])
    key = f"event:{made['proposals']}"
    persistently(lambda: client.together(
        f"""INSERT INTO ops_mission_proposals (dedupe_key, source, status, template)
            VALUES ('{key}', 'trigger', 'approved', {literal(json.dumps(work))})""",
        f"""INSERT INTO ops_missions (proposal_id, status, policy_snapshot)
            SELECT id, 'running', '{{"event_data": {{}}}}' FROM ops_mission_proposals WHERE dedupe_key = '{key}'""",
        f"""INSERT INTO ops_mission_steps (mission_id, kind, params, status, executor)
            SELECT v.* FROM ops_mission_proposals AS p CROSS JOIN LATERAL (VALUES {steps}) AS v
            WHERE p.dedupe_key = '{key}'"""))
    return 3


def by_event(client):
    persistently(lambda: client.run(
        f"INSERT INTO ops_agent_events (type, data) VALUES ('old:job', '{{\"n\": {made['proposals']}}}')"))
    return 2


def by_vote(client):
    text = literal(json.dumps(template(2, "medium")))
    proposal, status = persistently(lambda: client.run(
        "SELECT r_proposal_id || ' ' || r_status FROM ops_create_proposal_and_maybe_autoapprove("
        f"NULL, 'reaction', {text})"))[0].split()
    assert status == "voting", status
    for role in ("sage", "observer", "architect"):
        answer = persistently(
            lambda role=role: client.run(f"SELECT ops_cast_vote('{proposal}', '{role}', 'approve')->>'status'"))
    assert answer == ["approved"], answer
    return 2


def by_hand(client):
    """As the predecessor's endpoint: read, update, and the function that makes the mission."""
    text = literal(json.dumps(template(2, "high")))
    proposal = persistently(lambda: client.run(
        f"INSERT INTO ops_mission_proposals (source, status, template) VALUES ('manual', 'pending', {text}) "
        "RETURNING id"))[0]
    persistently(lambda: client.run(
        f"UPDATE ops_mission_proposals SET status = 'approved', approved_at = now() WHERE id = '{proposal}'"))
    # Half of them crash here: our heartbeat makes the mission. The others ask twice, as who lost an answer.
    if random.random() < 0.5:
        make = f"SELECT ops_create_mission_from_proposal('{proposal}')"
        first, again = (persistently(lambda: client.run(make)) for _ in range(2))
        assert first == again, (first, again)
    return 2


@guarded
def make_work():
    client = Client()
    while made["steps"] < steps_total and not done.is_set():
        made["proposals"] += 1
        how = random.choices([by_function, by_insert, by_event, by_vote, by_hand], [5, 5, 3, 2, 2])[0]
        made["steps"] += how(client)
        if made["proposals"] % 20 == 0:
            while int(client.run("SELECT count(*) FROM ops_mission_steps WHERE status = 'queued'")[0]) > 400:
                time.sleep(0.05)
    made["complete"] = True


# Workers.

def take(client):
    rows = persistently(lambda: client.run(
        "SELECT id, mission_id, failure_count, params FROM ops_claim_next_step(1)"))
    return rows[0].split("|", 3) if rows else None


def succeed(client, step, mission, run):
    persistently(lambda: client.run(
        f"""UPDATE ops_mission_steps SET status = 'succeeded', result = '{{"ok": true}}' WHERE id = '{step}'"""))
    persistently(lambda: client.run(
        f"""INSERT INTO ops_agent_events (type, data, mission_id, dedupe_key) VALUES ('step:noop:succeeded',
            '{{"step_id": "{step}", "kind": "noop"}}', '{mission}', '{step}:succeeded')
            ON CONFLICT DO NOTHING"""))
    persistently(lambda: client.run(
        f"""UPDATE ops_action_runs SET status = 'succeeded', completed_at = now(),
            meta = '{{"result_summary": "ok"}}' WHERE run_id = '{run}'"""))


def fail(client, step, mission, run, failure_count):
    retrying = failure_count + 1 < 3
    status = "queued" if retrying else "failed"
    persistently(lambda: client.run(
        f"""UPDATE ops_mission_steps SET status = '{status}', failure_count = failure_count + 1,
            last_error = 'told to', reserved_at = NULL, lease_expires_at = NULL WHERE id = '{step}'"""))
    if not retrying:
        persistently(lambda: client.run(
            f"""INSERT INTO ops_agent_events (type, data, mission_id, dedupe_key) VALUES ('step:noop:failed',
                '{{"step_id": "{step}", "kind": "noop", "error": "told to"}}', '{mission}', '{step}:failed')
                ON CONFLICT DO NOTHING"""))
        persistently(lambda: client.run(f"SELECT ops_maybe_finalize_mission('{mission}')"))
    persistently(lambda: client.run(
        f"""UPDATE ops_action_runs SET status = 'failed', completed_at = now(), error = 'told to',
            meta = '{{"retrying": {json.dumps(retrying)}}}' WHERE run_id = '{run}'"""))


@guarded
def work(name):
    global abandoned
    client = Client()
    while not done.is_set():
        claimed = take(client)
        if claimed is None:
            time.sleep(0.05)
            continue
        step, mission, failure_count, told = claimed[0], claimed[1], int(claimed[2]), json.loads(claimed[3])
        run = f"{step}-{time.time_ns() // 1_000_000}"
        persistently(lambda: client.run(
            f"""INSERT INTO ops_action_runs (run_id, step_id, executor, status, meta)
                VALUES ('{run}', '{step}', 'noop', 'started', '{{"kind": "noop"}}')"""))
        with lock:
            leaves = abandoned < abandoned_total
            abandoned += leaves
        if leaves:  # It dies here. Its lease is shortened, so that nobody waits a minute for its end.
            persistently(lambda: client.run(
                f"UPDATE ops_mission_steps SET lease_expires_at = now() + interval '2 s' WHERE id = '{step}'"))
            continue
        if random.random() < 0.05:
            persistently(lambda: client.run(f"UPDATE ops_mission_steps SET updated_at = now() WHERE id = '{step}'"))
        if "error" in told or failure_count < told.get("fail_times", 0):
            fail(client, step, mission, run, failure_count)
        else:
            succeed(client, step, mission, run)


@guarded
def heartbeat():
    """The predecessor's, in part: leases, stale steps, and missions that nobody has finished."""
    client = Client()
    while not done.is_set():
        persistently(lambda: client.run("SELECT * FROM ops_recover_expired_leases()"))
        persistently(lambda: client.run("SELECT * FROM ops_recover_stale_steps(30)"))
        for mission in client.run("SELECT id FROM ops_missions WHERE status IN ('approved', 'running') LIMIT 500"):
            persistently(lambda mission=mission: client.run(f"SELECT ops_maybe_finalize_mission('{mission}')"))
        time.sleep(0.2)


open_work = """
    SELECT (SELECT count(*) FROM ops_agent_events WHERE processed_at IS NULL),
        (SELECT count(*) FROM ops_agent_reactions WHERE status IN ('queued', 'processing')),
        (SELECT count(*) FROM ops_mission_proposals WHERE status IN ('pending', 'voting')),
        (SELECT count(*) FROM ops_missions WHERE status IN ('approved', 'running')),
        (SELECT count(*) FROM ops_mission_steps WHERE status IN ('queued', 'running')),
        (SELECT count(*) FROM ops_action_runs WHERE status = 'started')
"""

own = []
for arguments in (["worker", "--watch", "--concurrency", "4"], ["heartbeat", "--every", "200ms", "--drain"]):
    with open(os.path.join(scratch, f"{arguments[0]}.log"), "wb") as log:
        own.append(subprocess.Popen([program, *arguments], stdout=log, stderr=log))

threads = [threading.Thread(target=make_work), threading.Thread(target=heartbeat)]
threads += [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
for thread in threads:
    thread.daemon = True
    thread.start()

watcher = Client()
began = time.time()
told = 0
while not done.is_set():
    time.sleep(0.5)
    left = watcher.run(open_work)[0]
    if made.get("complete") and left == "0|0|0|0|0|0":
        break
    if time.time() - told > 20:
        told = time.time()
        print(f"{int(time.time() - began)} s: {made['steps']} steps made; open: {left}", flush=True)
    if time.time() - began > 3000:
        failures.append(f"not ended: {left}")
        break
done.set()
for thread in threads:
    thread.join(30)
for process in own:
    process.terminate()
    process.wait(60)

checks = {
    "steps there are": ("SELECT count(*) FROM ops_mission_steps", str(made["steps"])),
    "proposals with two missions": (
        "SELECT count(*) FROM (SELECT FROM ops_missions GROUP BY proposal_id HAVING count(*) > 1) AS x", "0"),
    "steps with two successes": (
        "SELECT count(*) FROM (SELECT FROM ops_action_runs WHERE status = 'succeeded' "
        "GROUP BY step_id HAVING count(*) > 1) AS x", "0"),
    "steps that succeeded without a run that did": (
        "SELECT count(*) FROM ops_mission_steps AS s WHERE status = 'succeeded' AND NOT EXISTS ("
        "SELECT FROM ops_action_runs AS r WHERE r.step_id = s.id AND r.status = 'succeeded')", "0"),
    "steps whose last run succeeded and that did not": (
        "SELECT count(*) FROM ops_mission_steps AS s WHERE status <> 'succeeded' AND EXISTS ("
        "SELECT FROM ops_action_runs AS r WHERE r.step_id = s.id AND r.status = 'succeeded')", "0"),
    "succeeded missions with a step that did not": (
        "SELECT count(*) FROM ops_missions AS m WHERE status = 'succeeded' AND EXISTS ("
        "SELECT FROM ops_mission_steps AS s WHERE s.mission_id = m.id AND s.status <> 'succeeded')", "0"),
    "failed missions all of whose steps succeeded": (
        "SELECT count(*) FROM ops_missions AS m WHERE status = 'failed' AND NOT EXISTS ("
        "SELECT FROM ops_mission_steps AS s WHERE s.mission_id = m.id AND s.status <> 'succeeded')", "0"),
}
for what, (query, expected) in checks.items():
    found = watcher.run(query)[0]
    if found != expected:
        failures.append(f"{what}: {found}, not {expected}")
by_old, by_own = map(int, watcher.run(
    r"SELECT count(*) FILTER (WHERE run_id ~ '-\d{13}$'), count(*) FILTER (WHERE run_id !~ '-\d{13}$') "
    "FROM ops_action_runs WHERE status = 'succeeded'")[0].split("|"))
for who, count in (("old client", by_old), ("opsledger", by_own)):
    if count * 10 < made["steps"]:
        failures.append(f"{who} did only {count} of {made['steps']} steps")
expired = int(watcher.run("SELECT count(*) FROM ops_action_runs WHERE meta->>'class' = 'lease_expired'")[0])
if expired < abandoned_total:
    failures.append(f"{abandoned_total} steps were abandoned, {expired} leases ran out")
for failure in failures:
    print(f"UNTRUE: {failure}", file=sys.stderr)
print(f"{made['steps']} steps of {made['proposals']} proposals and events in {int(time.time() - began)} s: "
      f"{by_old} done by the old client, {by_own} by opsledger; {expired} leases ran out, "
      f"{lost['races']} races lost and tried again; dead "
      + watcher.run("SELECT count(*) FROM ops_step_dead_letters")[0])
sys.exit(1 if failures else 0)
