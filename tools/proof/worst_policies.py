"""Tries every field of every policy with values that it should not have; see worst-policies."""

import json
import subprocess
import sys

program, scratch, short = sys.argv[1], sys.argv[2], sys.argv[3] == "--short"

WORST = {
    "null": "null", "true": "true", "text": '"x"', "empty text": '""', "zero": "0", "negative": "-1",
    "fraction": "0.5", "huge": "1e400", "huge integer": "99999999999999999999", "tiny": "1e-400",
    "non-finite": '"NaN"', "infinity": '"Infinity"', "list": "[]", "list of numbers": "[1]",
    "list of nulls": "[null]", "object": "{}", "nested": '{"a": {"b": [1]}}', "long text": '"' + "y" * 5000 + '"',
    "control characters": '"a\\u0001b"', "quote": '"\'; DROP TABLE ops_policy; --"',
}

TEMPLATE = '{"risk_level": "low", "steps": [{"kind": "noop"}]}'
# Each field, with the policy around it: %s is where the value goes.
FIELDS = {
    "auto_approve": ["enabled", "allowed_step_kinds", "allowed_executors", "max_risk_level"],
    "proposal_caps": ["daily_limit", "per_source", "per_source_limits", "per_source.api"],
    "worker_policy": ["max_retries", "lease_minutes", "allowed_executors", "blocked_executors"],
    "loop": ["state", "why"],
    "voting_policy": ["enabled", "thresholds", "thresholds.medium", "required_voters", "veto", "deadline_minutes"],
    "reaction_matrix": [
        "patterns", "max_causation_depth", "pattern.id", "pattern.name", "pattern.event_type", "pattern.type",
        "pattern.tags", "pattern.source", "pattern.condition", "pattern.probability", "pattern.cooldown_minutes",
        "pattern.dedupe_key", "pattern.proposal_source", "pattern.template", "pattern.proposal"],
    "agent_roles": ["sage"],
}
BASE = {
    "auto_approve": {"enabled": True}, "proposal_caps": {}, "worker_policy": {}, "loop": {"state": "running"},
    "voting_policy": {"enabled": True}, "agent_roles": {}, "reaction_matrix": {"patterns": []},
}


def policy(key, field, value):
    """The policy's text, with a raw value in the field: JSON that Python could not write as such."""
    members = {name: json.dumps(member) for name, member in BASE[key].items()}
    if field.startswith("pattern."):
        pattern = {"id": '"p"', "template": TEMPLATE}
        name = field.split(".")[1]
        if name == "proposal":
            del pattern["template"]
        pattern[name] = value
        members["patterns"] = "[{" + ", ".join(f'"{n}": {v}' for n, v in pattern.items()) + "}]"
    elif "." in field:
        outer, inner = field.split(".")
        members[outer] = '{"%s": %s}' % (inner, value)
    else:
        members[field] = value
    return "{" + ", ".join(f'"{n}": {v}' for n, v in members.items()) + "}"


def run(*arguments, given=None):
    return subprocess.run([program, *arguments], input=given, capture_output=True, text=True, timeout=120)


def psql(statement, *parameters):
    # psql's own variables: nothing is spliced.
    variables = [item for name, value in parameters for item in ("-v", f"{name}={value}")]
    return subprocess.run(
        ["psql", "-X", "-Atq", "-v", "ON_ERROR_STOP=1", "-h", scratch, "-U", "postgres", "-d", "ops", *variables],
        input=statement, capture_output=True, text=True, timeout=60)


def fail(text):
    print(f"UNTRUE: {text}", file=sys.stderr)
    sys.exit(1)


def is_clear(answer, what):
    """An exit that scripts understand, and an error in one line with a code; or no error at all."""
    if answer.returncode not in (0, 1, 2):
        fail(f"{what}: exit {answer.returncode}: {answer.stderr[-500:]}")
    if answer.returncode != 0 and not answer.stderr.lstrip().startswith(("error OPS_", "warning:", "hint:")):
        fail(f"{what}: exit {answer.returncode} without a code: {answer.stderr[-500:]}")


documented = open("docs/policies.md", encoding="utf-8").read()
tried = refused = taken = 0
for key, fields in FIELDS.items():
    for field in fields:
        name = field.split(".")[-1] if not field.startswith("pattern.") else field.split(".")[1]
        if f"`{name}`" not in documented and name not in ("api", "medium", "sage"):
            fail(f"docs/policies.md does not have {key} {name}")
        for label, value in WORST.items():
            what = f"{key}.{field} = {label}"
            before = run("policy", "get", key, "--json").stdout
            answer = run("policy", "set", key, "--file", "-", "--why", "worst", given=policy(key, field, value))
            is_clear(answer, what)
            tried += 1
            after = run("policy", "get", key, "--json").stdout
            if answer.returncode == 0:
                taken += 1
                check = run("policy", "check", key)
                if check.returncode != 0:
                    fail(f"{what} was taken, and policy check says {check.stdout}")
            else:
                refused += 1
                if before != after:
                    fail(f"{what} was refused, and changed the policy")
                if name not in answer.stderr and "JSON" not in answer.stderr and key not in answer.stderr:
                    fail(f"{what}: the refusal does not name it: {answer.stderr}")
    run("policy", "rollback", key, "1", "--why", "as seeded")
run("resume", "--why", "as seeded")
print(f"policy set: {tried} values of {sum(map(len, FIELDS.values()))} fields, {refused} refused by name, {taken} taken")

# By psql, whatever jsonb takes; then everything continues, or says why not.
broken = 0
for key, fields in FIELDS.items():
    for field in (fields[:1] if short else fields):
        for label, value in WORST.items():
            what = f"by psql, {key}.{field} = {label}"
            update = psql(
                "UPDATE ops_policy SET value = :'value'::jsonb WHERE key = :'key';\n", ("value", policy(key, field, value)),
                ("key", key))
            if update.returncode != 0:
                continue  # jsonb itself refused it.
            run("event", "emit", "a:b", "--data", '{"x": 1}')
            submit = run("proposal", "submit", "--json", given=TEMPLATE)
            heartbeat = run("heartbeat", "--json")
            worker = run("worker", "--json")
            check = run("policy", "check", key)
            if check.returncode not in (0, 1) or key not in check.stdout:
                fail(f"{what}: policy check: exit {check.returncode}: {check.stdout}{check.stderr}")
            for name, answer in (("submit", submit), ("heartbeat", heartbeat), ("worker", worker)):
                is_clear(answer, f"{what}: {name}")
            if check.returncode == 1:
                broken += 1
                stopped = json.loads(worker.stdout or "{}").get("halted") or "warning" in heartbeat.stderr
                # Nothing reads agent_roles, so nothing is amiss in the loop.
                if not stopped and key != "agent_roles" and key not in heartbeat.stderr + heartbeat.stdout:
                    fail(f"{what}: it is broken, and the heartbeat does not say so: {heartbeat.stderr}")
    psql("UPDATE ops_policy SET value = (SELECT h.value FROM ops_policy_history AS h WHERE h.key = :'key'"
         " AND h.version = 1) WHERE key = :'key';\n", ("key", key))
    is_clear(run("heartbeat", "--json"), f"{key} as seeded")
print(f"by psql: {broken} broken values named by heartbeat or worker; nothing crashed")

for key in BASE:
    psql("DELETE FROM ops_policy WHERE key = :'key';\n", ("key", key))
for name in ("heartbeat", "worker", "status"):
    is_clear(run(name), f"without any policy: {name}")
beat = run("heartbeat")
if "Halted" not in beat.stdout:
    fail(f"without policy loop nothing says that it is halted: {beat.stdout}")
print("without any policy: halted, and said so")
