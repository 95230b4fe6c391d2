"""Reads a store as docs/formats describes it, with nothing of opsledger: checks every hash and number that is written
there, and says what it found. The frames are decoded by the lz4 command.

    store_reader.py STORE    prints JSON: entries, events, root, and of each snapshot its entry and its runs
"""

import hashlib
import json
import re
import struct
import subprocess
import sys
import uuid
from pathlib import Path

MASK = 2**64 - 1


def sha(data):
    return hashlib.sha256(data).digest()


def lz4(frame):
    return subprocess.run(["lz4", "-dc"], input=frame, stdout=subprocess.PIPE, check=True).stdout


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "cut short"
        self.at += count
        return self.data[self.at - count : self.at]

    def read(self, form):
        values = struct.unpack(">" + form, self.take(struct.calcsize(">" + form)))
        return values[0] if len(values) == 1 else values

    def text(self):
        return self.take(self.read("H")).decode()


# --- Maps of streams


def mixed(value):
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & MASK
    return value ^ value >> 33


def buckets_of(frames):
    """The buckets that the map of these frames, each a set of streams, must have."""
    pairs = sorted(
        (mixed(mixed(stream.int >> 64) ^ stream.int & MASK) >> 24, number)
        for number, streams in enumerate(frames) for stream in streams)
    if not pairs:
        return []
    size = 0
    while len(pairs) >> size > 512 and size < 16:
        size += 1
    width = (len(frames) - 1).bit_length()
    buckets = []
    for number in range(1 << size):
        inside = [(hash >> 16 - size & 0xFFFFFF, frame) for hash, frame in pairs if hash >> 40 - size == number]
        bits, last = "", 0
        for hash, frame in inside:
            quotient, remainder = divmod(hash - last, 16384)
            bits += "1" * quotient + "0" + format(remainder, "014b")
            bits += format(frame, f"0{width}b") if width else ""
            last = hash
        bits += "0" * (-len(bits) % 8)
        buckets.append(struct.pack(">I", len(inside))
                       + bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)))
    return buckets


# --- The tree


def node(left, right):
    return sha(b"\x01" + left + right)


def grow(frontier, leaf):
    """Adds a leaf to (size, roots)."""
    size, roots = frontier
    roots = list(roots)
    size += 1
    bit = 1
    while size & bit == 0:
        leaf = node(roots.pop(), leaf)
        bit <<= 1
    return size, roots + [leaf]


def root(frontier):
    roots = frontier[1]
    if not roots:
        return sha(b"")
    result = roots[-1]
    for left in reversed(roots[:-1]):
        result = node(left, result)
    return result


ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


def unescaped(field):
    return None if field == "\\N" else re.sub(r"\\(.)", lambda match: ESCAPES[match[1]], field)


def micros(text):
    match = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?\+00", text)
    assert match, f"{text} is no time"
    import datetime

    moment = datetime.datetime(*map(int, match.groups()[:6]), tzinfo=datetime.timezone.utc)
    return int(moment.timestamp()) * 1_000_000 + int((match[7] or "0").ljust(6, "0"))


def leaf_of(fields):
    entry, index, stream, version, kind, at, actor, cause, command, data, content, salt, commitment = fields
    if commitment is not None:
        committed = bytes.fromhex(commitment[2:])
    elif content is not None:
        committed = sha(bytes.fromhex(salt[2:]) + content.encode())
    else:
        committed = bytes(32)
    kind, actor = kind.encode(), actor.encode()
    return sha(
        b"\x00opsledger/event/v1\n"
        + struct.pack(">QI", int(entry), int(index))
        + uuid.UUID(stream).bytes
        + struct.pack(">Iq", int(version), micros(at))
        + struct.pack(">H", len(kind)) + kind
        + struct.pack(">H", len(actor)) + actor
        + struct.pack(">Q", int(cause or 0))
        + (uuid.UUID(command).bytes if command else bytes(16))
        + sha(data.encode())
        + committed
    )


# --- Files with an index


class Framed:
    def __init__(self, path):
        self.name = path.name
        data = self.data = path.read_bytes()
        assert data[-8:] == b"OPSLEDGR", "its end is none"
        length, form = struct.unpack(">II", data[-16:-8])
        assert form == 1, f"format {form}"
        self.end = len(data) - length - 8
        assert data[self.end : self.end + 8] == struct.pack("<II", 0x184D2A5A, length), "no skippable frame"
        assert data[-80:-48] == sha(data[self.end : -80]), "SHA-256 of the index"
        assert data[-48:-16] == sha(data[:-48]), "SHA-256 of the file"
        body = Reader(data[self.end + 8 : -80])
        self.kind, identity, self.first, self.last, self.generation, particulars, count, buckets = body.read("I16sqqIIII")
        self.identity = uuid.UUID(bytes=identity)
        self.particulars = Reader(body.take(particulars))
        self.records = [body.read("QIIII32sqqqq") for _ in range(count)]
        sums = [body.read("I8s") for _ in range(buckets)]
        assert body.at == len(body.data), "bytes too many"
        length = sum(size for size, _ in sums)
        self.end -= length + 8 if sums else 0
        assert not sums or self.data[self.end : self.end + 8] == struct.pack("<II", 0x184D2A5C, length), "no map"
        self.buckets, at = [], self.end + 8
        for size, check in sums:
            self.buckets.append(self.data[at : at + size])
            assert sha(self.buckets[-1])[:8] == check, "SHA-256 of a bucket"
            at += size

    def lines(self, number):
        offset, size, text_bytes, lines, _, digest = self.records[number][:6]
        text = lz4(self.data[offset : offset + size])
        assert len(text) == text_bytes and sha(text) == digest, f"frame {number}"
        assert text.endswith(b"\n") and text.count(b"\n") == lines, f"lines of frame {number}"
        return [line.split("\t") for line in text.decode().split("\n")[:-1]]


def read_segments(store, identity):
    frontier, positions, expected, leaves = (0, []), [], 1, {}
    last_leaf = bytes(32)
    for path in sorted((store / "segments").glob("*.lz4")):
        file = Framed(path)
        assert file.kind == 1 and file.identity == identity
        assert file.name == f"{file.first:020}-{file.last:020}.lz4" and file.first == expected, file.name
        expected = file.last + 1
        entry_count, before, after = file.particulars.read("QQQ")
        named, own_named = file.particulars.take(32), file.particulars.take(32)
        roots = [[file.particulars.take(32) for _ in range(size.bit_count())] for size in (before, after)]
        assert (before, roots[0]) == frontier, "another history"
        own, entries, offset, of_frames = (0, []), set(), 0, []
        for number, record in enumerate(file.records):
            assert record[0] == offset
            offset += record[1]
            streams, times = set(), []
            for line in file.lines(number):
                fields = [unescaped(field) for field in line]
                positions.append((int(fields[0]), int(fields[1])))
                entries.add(int(fields[0]))
                streams.add(uuid.UUID(fields[2]))
                times.append(micros(fields[5]))
                last_leaf = leaf_of(fields)
                frontier, own = grow(frontier, last_leaf), grow(own, last_leaf)
                leaves[int(fields[0])] = (frontier, last_leaf)
            inside = positions[-record[3] :]
            assert record[6:8] == (inside[0][0], inside[-1][0]), "entries of a frame"
            assert record[8:10] == (min(times), max(times)), "times of a frame"
            of_frames.append(streams)
        assert file.buckets == buckets_of(of_frames), "the map of streams"
        assert offset == file.end
        assert (after, roots[1]) == frontier and root(frontier) == named and root(own) == own_named
        assert len(entries) == entry_count
    assert positions == sorted(set(positions)), "the order of the log"
    return expected - 1, frontier, leaves


def read_snapshot(path, identity, leaves):
    file = Framed(path)
    assert file.kind == 2 and file.identity == identity and file.first == file.last
    assert file.name == f"{file.last:020}.lz4"
    size, named, leaf, count = file.particulars.read("Q32s32sI")
    frontier, last_leaf = leaves[max(entry for entry in leaves if entry <= file.last)]
    assert (size, named, leaf) == (frontier[0], root(frontier), last_leaf), "its tree"
    runs, number, offset = {}, 0, 0
    for run in range(count):
        name = file.particulars.text()
        columns = [file.particulars.text() for _ in range(file.particulars.read("H"))]
        lines = file.particulars.read("Q")
        line = f"opsledger-run {name} ({', '.join(columns)})\n".encode()
        header = struct.pack("<II", 0x184D2A5B, len(line)) + line
        assert file.data[offset : offset + len(header)] == header, f"what names {name}"
        offset += len(header)
        rows = []
        while number < len(file.records) and file.records[number][4] == run:
            assert file.records[number][0] == offset
            offset += file.records[number][1]
            part = file.lines(number)
            assert all(len(row) == len(columns) for row in part)
            rows += part
            number += 1
        assert len(rows) == lines
        runs[name] = lines
    assert number == len(file.records) and offset == file.end
    return {"entry": file.last, "runs": runs}


def read_tiles(store, leaves):
    """Each tile against the leaves, level by level."""
    ordered, level, count = leaves, 0, 0
    while True:
        folder = store / "tiles" / "tile" / str(level)
        if not folder.exists():
            return count
        above = []
        for index in range(len(ordered) // 256):
            hashes = ordered[256 * index : 256 * index + 256]
            groups = re.findall("...", f"{index:0{-(-len(str(index)) // 3) * 3}}")
            tile = folder / "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
            if tile.exists():
                assert tile.read_bytes() == b"".join(hashes), tile
                count += 1
            while len(hashes) > 1:
                hashes = [node(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
            above += hashes
        ordered, level = above, level + 1


def all_leaves(store):
    leaves = []
    for path in sorted((store / "segments").glob("*.lz4")):
        file = Framed(path)
        for number in range(len(file.records)):
            leaves += [leaf_of([unescaped(field) for field in line]) for line in file.lines(number)]
    return leaves


def main():
    store = Path(sys.argv[1])
    text = (store / "ledger.json").read_text()
    record = json.loads(text)
    assert record["format"] == 1
    assert hashlib.sha256(text[: text.rindex(',"sha256"')].encode()).hexdigest() == record["sha256"]
    identity = uuid.UUID(record["identity"])
    last_entry, frontier, leaves = read_segments(store, identity)
    snapshots = [
        read_snapshot(path, identity, leaves) for path in sorted((store / "snapshots").glob("*.lz4"))
    ]
    tiles = read_tiles(store, all_leaves(store))
    print(json.dumps({"last_entry": last_entry, "events": frontier[0], "root": root(frontier).hex(), "snapshots": snapshots, "tiles": tiles}))


main()
