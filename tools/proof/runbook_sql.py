"""Runs the SQL of a runbook in order, for tools/proof/runbook-sql.

    runbook_sql.py RUNBOOK CORRECTED SCHEMA

Each fenced block `sql` is one run of psql, as whom libpq's environment says. Lines of CORRECTED like
`--- 303-311 sql` or `--- 91-96 sh` begin the form that is run instead of those lines, by psql or by the
shell; `--- 1498-1506 may fail: TEXT` lets those lines fail with that error alone.
"""

import re
import subprocess
import sys

FENCE = re.compile(r"^\s*```(\w*)")
HEADER = re.compile(r"^--- (\d+)-(\d+) (sql|sh|may fail: (.*))$")


def blocks(lines):
    """(first line, last line, language) of each fenced block, counted from 1."""
    begin = None
    for number, line in enumerate(lines, 1):
        fence = FENCE.match(line)
        if not fence:
            continue
        if begin is None:
            begin = (number + 1, fence.group(1))
        else:
            yield begin[0], number - 1, begin[1]
            begin = None


def corrections(path):
    found, current = [], None
    for line in open(path, encoding="utf-8"):
        header = HEADER.match(line.rstrip("\n"))
        if header:
            kind = header.group(3) if header.group(4) is None else "fail"
            current = {"first": int(header.group(1)), "last": int(header.group(2)), "kind": kind,
                       "error": header.group(4), "text": "", "met": False}
            found.append(current)
        elif current is not None:
            current["text"] += line
    return found


def pieces(first, last, lines, corrected):
    """What of a block is run: (kind, text, first line, error that it may give)."""
    text, start = "", first
    number = first
    while number <= last:
        here = next((c for c in corrected if c["first"] <= number <= c["last"]), None)
        if here is None:
            text += lines[number - 1] + "\n"
            number += 1
            continue
        if text.strip():
            yield "sql", text, start, None
        if here["kind"] == "fail":
            number = min(here["last"], last) + 1
            yield "sql", "\n".join(lines[here["first"] - 1:number - 1]), here["first"], here["error"]
        else:
            number = min(here["last"], last) + 1
            if not here["met"]:
                yield here["kind"], here["text"], here["first"], None
        here["met"] = True
        text, start = "", number
    if text.strip():
        yield "sql", text, start, None


def run(kind, text, line, error):
    command = ["bash", "-euo", "pipefail"] if kind == "sh" else [
        "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", "-f", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120)
    said = done.stderr.strip()
    if error is not None and done.returncode != 0:
        if error in said and len(said.splitlines()) == 1:
            return
    if done.returncode != 0:
        sys.exit(f"UNTRUE: line {line} of the runbook fails: {said or done.stdout[-500:]}")


def catch_up(here):
    if here["met"] or here["kind"] == "fail":
        return 0
    here["met"] = True
    run(here["kind"], here["text"], here["first"], None)
    return 1


def main():
    lines = open(sys.argv[1], encoding="utf-8").read().split("\n")
    corrected = corrections(sys.argv[2])
    ran = 0
    for first, last, language in blocks(lines):
        # What stands before it, in prose or for a shell, and has a corrected form.
        ran += sum(catch_up(here) for here in corrected if here["last"] < first - 1)
        if language != "sql":
            continue
        for piece in pieces(first, last, lines, corrected):
            run(*piece)
            ran += 1
    ran += sum(catch_up(here) for here in corrected if here["last"] <= len(lines))
    left = [f"{c['first']}-{c['last']}" for c in corrected if not c["met"]]
    if left:
        sys.exit(f"UNTRUE: corrected forms that no line was met for: {', '.join(left)}")
    print(f"{ran} blocks and parts of them ran")


main()
