"""Kills and stops workers and heartbeats while they work; see crash-soak."""

import json
import os
import random
import signal
import subprocess
import sys
import time

program, scratch = sys.argv[1], sys.argv[2]
events, expired_min, refused_min = map(int, sys.argv[3:6])
random.seed(7)

MATRIX = {"patterns": [{"id": "soak", "event_type": "soak:job", "template": {
    "risk_level": "low", "title": "{{ event.data.n }}",
    "steps": [{"kind": "noop", "params": {"sleep_ms": "{{ event.data.ms }}"}}]}}]}


def one(statement):
    return subprocess.run(
        ["psql", "-X", "-Atq", "-v", "ON_ERROR_STOP=1", "-h", scratch, "-U", "postgres", "-d", "ops", "-c", statement],
        check=True, capture_output=True, text=True).stdout.strip()


def set_policy(key, value):
    subprocess.run([program, "policy", "set", key, "--file", "-", "--why", "soak"], check=True,
                   input=json.dumps(value), text=True, stdout=subprocess.DEVNULL)


def fail(text):
    print(f"UNTRUE: {text}", file=sys.stderr)
    sys.exit(1)


set_policy("proposal_caps", {})
# Attempts enough that whatever is killed comes through.
set_policy("worker_policy", {"max_retries": 100})
set_policy("reaction_matrix", MATRIX)

running, logs = {}, []


def start(name):
    arguments = ["worker", "--watch", "--lease", "2s", "--concurrency", "8"] if name.startswith("worker") else [
        "heartbeat", "--every", "200ms", "--drain"]
    path = os.path.join(scratch, f"{name}.{len(logs)}.log")
    logs.append(path)
    with open(path, "wb") as log:
        running[name] = subprocess.Popen([program, *arguments], stdout=log, stderr=log)


def kill(name):
    running[name].kill()
    running[name].wait()
    start(name)


def report(count, first):
    """As another client does, by plain INSERT; the heartbeat records what it finds."""
    one(f"""INSERT INTO ops_agent_events (dedupe_key, type, data)
        SELECT 'soak:' || n, 'soak:job', jsonb_build_object('n', n::text,
            'ms', CASE WHEN n % 2 = 0 THEN (n * 37) % 301 ELSE 0 END)
        FROM generate_series({first}, {first + count - 1}) AS n""")


workers = [f"worker-{number}" for number in range(4)]
for name in [*workers, "heartbeat"]:
    start(name)
began, reported, killed, stopped, beats = time.monotonic(), 0, 0, None, 0
turn, left = 0, "0"
try:
    while True:
        turn += 1
        if reported < events:
            # No faster than they are worked off, or there would be nothing but a backlog to kill.
            count = min(max(events // 50, 1000), events - reported)
            if int(left) < count:
                report(count, reported + 1)
                reported += count
        for name, process in running.items():
            if process.poll() is not None:
                fail(f"{name} ended by itself with {process.returncode}: {open(logs[-1]).read()[-500:]}")
        if stopped and turn - stopped[1] >= 4:
            running[stopped[0]].send_signal(signal.SIGCONT)
            stopped = None
        if not stopped and turn % 3 == 0:
            # Where it holds steps that run, or there is nothing for it to come too late with.
            stopped = (random.choice(workers), turn)
            running[stopped[0]].send_signal(signal.SIGSTOP)
        victim = random.choice([name for name in workers if not stopped or name != stopped[0]])
        # Now, in the middle of the work: what was reported above is under way.
        time.sleep(random.random() * 0.1)
        kill(victim)
        killed += 1
        if turn % 10 == 0:
            kill("heartbeat")
            beats += 1
        time.sleep(0.95)
        left = one("""SELECT (SELECT count(*) FROM ops_agent_events WHERE processed_at IS NULL)
            + (SELECT count(*) FROM ops_agent_reactions WHERE status = 'queued')
            + (SELECT count(*) FROM ops_mission_steps WHERE status IN ('queued', 'running'))""")
        if reported == events and left == "0":
            break
        if turn % 30 == 0:
            print(f"{turn} s: {reported} reported, {left} left", flush=True)
        if time.monotonic() - began > 3000:
            fail(f"not done after 50 minutes: {left} left")
finally:
    for process in running.values():
        process.send_signal(signal.SIGCONT)
        process.terminate()
    for process in running.values():
        process.wait()

QUESTIONS = {
    "agent events that were not processed exactly once":
        f"""SELECT {events} - count(*) FROM (SELECT e.stream FROM ledger.events AS e JOIN ops_agent_events AS a
            ON a.id = e.stream WHERE a.type = 'soak:job' AND e.type = 'agent_event.processed'
            GROUP BY e.stream HAVING count(*) = 1) AS q""",
    "agent events without exactly one reaction, proposal and mission":
        f"""SELECT {events} - count(*) FROM (SELECT p.template->>'title' FROM ops_mission_proposals AS p
            JOIN ops_missions AS m ON m.proposal_id = p.id WHERE m.status = 'succeeded'
            GROUP BY 1 HAVING count(*) = 1 AND count(DISTINCT p.id) = 1) AS q""",
    "steps without exactly one outcome":
        f"""SELECT {events} - count(*) FROM (SELECT stream FROM ledger.events
            WHERE type IN ('step.succeeded', 'step.dead_lettered', 'step.skipped')
            GROUP BY stream HAVING count(*) = 1) AS q""",
    "steps that succeeded other than once":
        f"SELECT {events} - count(*) FROM ledger.events WHERE type = 'step.succeeded'",
    "runs that are neither succeeded nor failed":
        "SELECT count(*) FROM ops_action_runs WHERE status = 'started'",
}
for what, question in QUESTIONS.items():
    wrong = one(question)
    if wrong != "0":
        fail(f"{what}: {wrong}")
expired = int(one("SELECT count(*) FROM ledger.events WHERE type = 'step.attempt_failed' AND data->>'class' = 'lease_expired'"))
refused = sum(open(path, encoding="utf-8", errors="replace").read().count("OPS_006") for path in logs)
took = time.monotonic() - began
print(f"{events} agent events in {took:.0f} s: {killed} workers and {beats} heartbeats killed, "
      f"{expired} attempts of class lease_expired, {refused} outcomes refused with OPS_006; each event once, each step one outcome")
if expired < expired_min:
    fail(f"only {expired} attempts of class lease_expired")
if refused < refused_min:
    fail(f"only {refused} outcomes refused with OPS_006")
