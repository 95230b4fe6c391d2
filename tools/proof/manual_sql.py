"""Random hand SQL beside the loop: manual_sql.py OPSLEDGER SEEDS STORE (see tools/proof/manual-sql)."""

import json
import os
import random
import subprocess
import sys

program, seeds, store = sys.argv[1], int(sys.argv[2]), sys.argv[3]
statements_a_seed = 12
tables = {
    "ops_mission_proposals": {
        "status": ["pending", "approved", "rejected", "voting"], "reason": None, "template": "json",
        "policy_snapshot": "json", "votes": "votes", "dedupe_key": "key", "approved_at": "time"},
    "ops_missions": {
        "status": ["approved", "running", "succeeded", "failed"], "policy_snapshot": "json",
        "started_at": "time", "completed_at": "time"},
    "ops_mission_steps": {
        "status": ["queued", "running", "succeeded", "failed"], "params": "json", "result": "json",
        "last_error": None, "failure_count": "int", "needs": "ints", "not_before": "time",
        "leased_by": None, "reserved_at": "time", "lease_expires_at": "time", "max_retries": "int",
        "ordinal": "int", "created_at": "time", "updated_at": "time"},
    "ops_agent_events": {
        "type": None, "data": "json", "thought": None, "processed_at": "time", "dedupe_key": "key",
        "created_at": "time"},
    "ops_agent_reactions": {
        "status": ["queued", "processing", "done", "failed"], "payload": "json"},
    "ops_action_runs": {"status": ["started", "succeeded", "failed"], "meta": "json", "error": None},
    "ops_demand_radar": {
        "title": None, "description": None, "notes": None,
        "stage": ["watching", "validating", "building", "shipped"]},
}
needed = {"template", "params", "data", "payload", "title", "type", "status", "stage", "failure_count"}


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.seed, self.serial = seed, 0

    def text(self):
        return self.random.choice(["'a'", "''", "'é \"quoted\" \\ back'", "E'line\\nline\\t\\x01'",
                                   f"'{self.random.random()}'", "'noop'"])

    def json(self, depth=0):
        kinds = ["null", "true", "1.0", "1.00", "1e20", '"x"', '{"json": null}', '{"json": {"a": 1}}', "[]", "{}"]
        if depth < 2 and self.random.random() < 0.5:
            members = [f'"{k}": {self.json(depth + 1)}' for k in self.random.sample(
                ["reason", "error", "kind", "class", "result", "pattern_id", "id", "vote", "steps", "x"], 3)]
            return "{" + ", ".join(members) + "}"
        return self.random.choice(kinds)

    def value(self, column, kind):
        if column not in needed and self.random.random() < 0.15:
            return "NULL"
        if isinstance(kind, list):
            return f"'{self.random.choice(kind)}'"
        if kind == "json":
            return f"'{self.json()}'"
        if kind == "votes":
            return f"'{{\"ann\": {self.json(1)}, \"bob\": {{\"vote\": \"approve\", \"reason\": \"r\"}}}}'"
        if kind == "time":
            return self.random.choice(["now()", "now() - interval '1 hour'", "now() + interval '1 year'", "'infinity'",
                                       "'-infinity'", "'2026-01-01 00:00:00.000001+05:45'", "'0001-01-01 00:00:00+00'",
                                       "'9999-12-31 23:59:59.999999+00'"])
        if kind == "int":
            return str(self.random.choice([0, 0, 1, 2, 3, -1, -2147483648, 2000000001, 2147483647]))
        if kind == "ints":
            return self.random.choice(["'{}'", "'{0}'", "'{0,1}'", "'{-2147483648,2147483647}'"])
        if kind == "key":
            self.serial += 1
            return f"'hand-{self.seed}-{self.serial}'"
        return self.text()

    def sets(self, table):
        columns = self.random.sample(list(tables[table]), self.random.randint(1, 2))
        sets = [f"{c} = {self.value(c, tables[table][c])}" for c in columns if tables[table][c] != "key"]
        if self.random.random() < 0.3 or not sets:
            sets.append("version = version + 1")
        return ", ".join(sets)

    def some(self, table):
        return self.random.choice([
            f"id IN (SELECT id FROM {table} ORDER BY id DESC LIMIT {self.random.randint(1, 5)})",
            f"id IN (SELECT id FROM {table} ORDER BY md5(id::text || '{self.seed}') LIMIT 2)",
            f"version = {self.random.randint(1, 3)} AND id IN (SELECT id FROM {table} ORDER BY id LIMIT 30)"])

    def insert(self, table, rows="1", conflict=""):
        columns = {c: self.value(c, k) for c, k in tables[table].items() if c in needed or self.random.random() < 0.4}
        for column in needed & set(tables[table]):
            columns[column] = self.value(column, tables[table][column])
        if table == "ops_mission_proposals":
            columns["source"] = "'api'"
        if table == "ops_mission_steps":
            columns["kind"] = "'noop'"
            columns["mission_id"] = "(SELECT id FROM ops_missions ORDER BY id DESC LIMIT 1)"
        if table == "ops_missions" and self.random.random() < 0.7:
            columns["proposal_id"] = "(SELECT id FROM ops_mission_proposals ORDER BY id DESC LIMIT 1)"
        if table == "ops_action_runs":
            columns["step_id"] = "(SELECT id FROM ops_mission_steps ORDER BY id DESC LIMIT 1)"
        if self.random.random() < 0.2:
            columns["version"] = str(self.random.randint(0, 9))
        # One key serves one row.
        if rows != "1":
            columns.pop("dedupe_key", None)
        return (f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} "
                f"FROM generate_series(1, {rows}){conflict}")

    def statement(self):
        table = self.random.choice(list(tables))
        kind = self.random.choice(["insert", "insert", "update", "update", "update", "delete", "merge", "cte",
                                   "conflict", "policy", "copy", "votes", "again", "truncate", "guess", "expire"])
        if kind == "insert":
            return self.insert(table, str(self.random.choice([1, 1, 3, 20])))
        if kind == "update":
            return f"UPDATE {table} SET {self.sets(table)} WHERE {self.some(table)}"
        if kind == "delete":
            return f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id DESC LIMIT 2)"
        if kind == "merge":
            return (f"MERGE INTO {table} AS t USING (SELECT id FROM {table} ORDER BY id DESC LIMIT 4) AS s ON s.id = t.id "
                    f"WHEN MATCHED AND t.version = 1 THEN UPDATE SET {self.sets(table)} WHEN MATCHED AND t.version > 4 THEN DELETE "
                    "WHEN MATCHED THEN DO NOTHING")
        if kind == "cte":
            other = self.random.choice(list(tables))
            return (f"WITH a AS (UPDATE {table} SET {self.sets(table)} WHERE {self.some(table)} RETURNING id), "
                    f"b AS (DELETE FROM {other} WHERE id IN (SELECT id FROM {other} ORDER BY id LIMIT 1) RETURNING id) "
                    "INSERT INTO ops_demand_radar (title, stage) SELECT a.id::text, 'watching' FROM a, b")
        if kind == "conflict":
            return ("INSERT INTO ops_agent_events (dedupe_key, type, data) VALUES ('shared', 'x:y', '{}') ON CONFLICT (dedupe_key) "
                    f"DO UPDATE SET data = '{self.json()}', version = excluded.version")
        if kind == "policy":
            key = self.random.choice(["mine", "yours", "proposal_caps"])
            return self.random.choice([
                f"INSERT INTO ops_policy (key, value) VALUES ('{key}', '{self.json()}') ON CONFLICT (key) DO UPDATE "
                "SET value = excluded.value, version = ops_policy.version + 1, updated_at = now()",
                f"UPDATE ops_policy SET value = jsonb_set('{{\"daily_limit\": 100000}}', '{{x}}', '{self.json()}') WHERE key = '{key}'",
                "DELETE FROM ops_policy WHERE key IN ('mine', 'yours')",
                "UPDATE ops_policy SET value = value, version = version + 1 WHERE key = 'mine'"])
        if kind == "copy":
            return "COPY ops_demand_radar (title, stage, version) FROM STDIN;\na\\twatching\\t0\nb\\tshipped\\t7\n\\.\n".replace("\\t", "\t")
        if kind == "votes":
            return ("INSERT INTO ops_proposal_votes (proposal_id, agent_role, vote) SELECT id, (ARRAY['sage', 'observer', 'quill', 'scout', 'nobody'])[1 + floor(random() * 5)], 'approve' "
                    "FROM ops_mission_proposals ORDER BY id DESC LIMIT 1")
        if kind == "guess":
            # The keys that the loop makes by its rules, of what it will do next.
            return self.random.choice([
                "INSERT INTO ops_action_runs (step_id, executor, status, run_id) SELECT s.id, 'noop', 'failed', s.id || '-' || n "
                "FROM (SELECT id, version FROM ops_mission_steps ORDER BY id DESC LIMIT 3) AS s, "
                "generate_series(s.version, s.version + 3) AS n ON CONFLICT DO NOTHING",
                "INSERT INTO ops_agent_events (type, data, processed_at, dedupe_key) SELECT 'x:y', '{}', now(), s.id || ':' || o || ':' || n "
                "FROM (SELECT id FROM ops_mission_steps UNION ALL SELECT id FROM ops_missions ORDER BY id DESC LIMIT 4) AS s, "
                "unnest(ARRAY['succeeded', 'failed']) AS o, generate_series(1, 6) AS n ON CONFLICT DO NOTHING",
                "INSERT INTO ops_mission_proposals (source, status, template, dedupe_key) SELECT 'api', 'rejected', '{}', e.id || ':' || (p->>'id') "
                "FROM (SELECT id FROM ops_agent_events WHERE processed_at IS NULL LIMIT 3) AS e, ops_policy, "
                "jsonb_array_elements(value->'patterns') AS p WHERE key = 'reaction_matrix' ON CONFLICT DO NOTHING"])
        if kind == "expire":
            return ("UPDATE ops_mission_steps SET status = 'running', reserved_at = now() - interval '10 min', "
                    f"lease_expires_at = {self.value('not_before', 'time')}, failure_count = {self.value('failure_count', 'int')} "
                    f"WHERE {self.some('ops_mission_steps')}")
        if kind == "again":
            return ("DO $$ DECLARE r ops_demand_radar; BEGIN DELETE FROM ops_demand_radar WHERE id = (SELECT id FROM ops_demand_radar "
                    "ORDER BY id LIMIT 1) RETURNING * INTO r; IF r.id IS NOT NULL THEN INSERT INTO ops_demand_radar SELECT r.*; END IF; END $$")
        return "TRUNCATE ops_demand_radar" if self.random.random() < 0.2 else "TRUNCATE ops_action_runs"

    def script(self):
        lines = []
        for number in range(statements_a_seed):
            # Locked in one order, or hands would mostly deadlock; each kind of transaction.
            form = self.random.choice(["one", "one", "many", "savepoint", "immediate", "rollback", "repeatable", "prepared"])
            if form == "one":
                lines.append(self.statement() + ";")
                continue
            begin = "BEGIN ISOLATION LEVEL REPEATABLE READ;" if form == "repeatable" else "BEGIN;"
            body = [self.statement() + ";" for _ in range(self.random.randint(1, 3))]
            if form == "savepoint":
                body.insert(1, "SAVEPOINT s;")
                body += ["ROLLBACK TO SAVEPOINT s;", self.statement() + ";"]
            if form == "immediate":
                body.append("SET CONSTRAINTS ALL IMMEDIATE;")
            end = "ROLLBACK;" if form == "rollback" else "COMMIT;"
            if form == "prepared":
                name = f"p{self.seed}_{number}"
                end = f"PREPARE TRANSACTION '{name}';\nCOMMIT PREPARED '{name}';"
            lines += [begin] + body + [end]
        return "SET TimeZone = '%s'; SET lock_timeout = '5s';\n" % self.random.choice(
            ["UTC", "Asia/Kathmandu"]) + "\n".join(lines)


def one(sql):
    return subprocess.run(["psql", "-X", "-Atq", "-v", "ON_ERROR_STOP=1", "-c", sql], check=True,
                          capture_output=True, text=True).stdout.strip()


def verify(seed):
    ran = subprocess.run([program, "verify", "--json"], capture_output=True, text=True)
    report = json.loads(ran.stdout or "{}")
    if ran.returncode != 0:
        sys.exit(f"UNTRUE: seed {seed}: verify is not equal: {ran.stdout[:2000]} {ran.stderr[:500]}")
    return report


def every_command(seed, store):
    """None of them ends because of a row that a hand has made, or that the tables' owner refuses."""
    for command in ("heartbeat", "worker", "archive push", "rebuild --check", "status", "worker list", "policy report", "doctor"):
        ran = subprocess.run([program, "--store", store, *command.split()], capture_output=True, text=True)
        if ran.returncode != 0:
            sys.exit(f"UNTRUE: seed {seed}: {command} ends with {ran.returncode}: {ran.stdout[-1500:]} {ran.stderr[-1500:]}")


def constrain(seed):
    """What the tables' owner may add, which refuses one row in sixteen: gives how to take it off again."""
    chosen = random.Random(seed)
    table = chosen.choice(list(tables))
    if chosen.random() < 0.5:
        one(f"ALTER TABLE {table} ADD CONSTRAINT hand CHECK (left(md5(id::text), 1) <> 'a') NOT VALID")
        return f"ALTER TABLE {table} DROP CONSTRAINT hand"
    one("CREATE OR REPLACE FUNCTION hand() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF left(md5(NEW.id::text), 1) = 'a' THEN RAISE EXCEPTION 'by hand'; END IF; RETURN NULL; END $$")
    one(f"CREATE TRIGGER hand AFTER {chosen.choice(['INSERT', 'UPDATE', 'INSERT OR UPDATE'])} ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION hand()")
    return f"DROP TRIGGER hand ON {table}"


def prune_errors(text, counts):
    for line in text.splitlines():
        if line.startswith("ERROR:") or "ERROR:" in line:
            word = line.split("ERROR:", 1)[1].strip()[:60]
            counts[word] = counts.get(word, 0) + 1


loop = [subprocess.Popen([program, "heartbeat", "--every", "1s"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
        subprocess.Popen([program, "worker", "--watch"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
errors = {}
try:
    for seed in range(seeds):
        undo = constrain(seed)
        hands = [subprocess.Popen(["psql", "-X", "-q", "-v", "VERBOSITY=terse"], stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        subprocess.run([program, "event", "emit", "scout:find", "--data", '{"summary": "s", "source": "scout"}'],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        scripts = [Generator(2 * seed + n).script() for n in range(2)]
        for hand, script in zip(hands, scripts):
            hand.stdin.write(script)
            hand.stdin.close()
        for hand in hands:
            prune_errors(hand.stderr.read(), errors)
            hand.wait()
        verify(seed)
        every_command(seed, store)
        one(undo)
        if any(process.poll() is not None for process in loop):
            sys.exit(f"UNTRUE: seed {seed}: heartbeat or worker ended")
finally:
    for process in loop:
        process.terminate()
    for process in loop:
        process.wait()
report = verify("the end")
loopless = one("SELECT count(*) FROM ledger.events WHERE command IS NOT NULL AND type ~ '\\.(inserted|amended|removed)$'")
engines = one("SELECT count(*) FROM ledger.events WHERE command IS NULL AND data->>'application' LIKE 'opsledger%'")
if loopless != "0" or engines != "0":
    sys.exit(f"UNTRUE: the engine left {loopless} and {engines} events that no hand made")
if one("SELECT count(*) FROM ledger.pending") != "0":
    sys.exit("UNTRUE: something stays staged")
kinds = one("SELECT string_agg(k || ' ' || n, ', ' ORDER BY k) FROM (SELECT split_part(type, '.', 2) AS k, count(*) AS n "
            "FROM ledger.events WHERE command IS NULL GROUP BY 1) AS t")
print(f"{seeds} seeds, {report['events']} events, by hand: {kinds}; equal after each")
for word, count in sorted(errors.items(), key=lambda item: -item[1])[:12]:
    print(f"  refused {count} times: {word}")
