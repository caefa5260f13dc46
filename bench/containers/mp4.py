"""Boxes of fragmented MP4 (ISO/IEC 14496-12): list fragments, reserve a `free` box, overwrite it with a `sidx` (§8.16.3).

    mp4.py FILE        prints the top-level boxes in runs
"""
import dataclasses
import io
import struct
import sys

HEADER, REFERENCE = 32, 12  # bytes of a version 0 sidx without references, and of each reference
LIMIT = 65535               # reference_count has 16 bits


@dataclasses.dataclass
class Fragment:
    """One moof and its mdat. Times in ticks of the indexed track."""
    offset: int
    size: int
    earliest: int   # presentation time
    duration: int
    key: bool       # the first sample of the indexed track is a sync sample


def boxes(file, at, end):
    """(type, offset, header bytes, size) of the boxes in [at, end)."""
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            size, header = struct.unpack(">Q", file.read(8))[0], 16
        yield kind.decode("latin-1"), at, header, size or end - at
        at += size or end - at


def length(file):
    return file.seek(0, 2)


def find(file, path, at, end):
    """First box at `path` ("moov/trak/mdia"), as (offset of its payload, its end)."""
    first, _, rest = path.partition("/")
    for kind, offset, header, size in boxes(file, at, end):
        if kind == first:
            return find(file, rest, offset + header, offset + size) if rest else (offset + header, offset + size)
    raise LookupError(path)


def tracks(file):
    """[(handler, track id, timescale)], the video track first."""
    out = []
    start, end = find(file, "moov", 0, length(file))
    for kind, offset, header, size in boxes(file, start, end):
        if kind != "trak":
            continue
        inside = (offset + header, offset + size)
        file.seek(find(file, "mdia/hdlr", *inside)[0] + 8)
        handler = file.read(4).decode()
        numbers = []
        for path in ("tkhd", "mdia/mdhd"):  # track id and timescale lie at the same place of the two boxes
            at, _ = find(file, path, *inside)
            file.seek(at)
            file.seek(at + (20 if file.read(1)[0] else 12))
            numbers.append(struct.unpack(">I", file.read(4))[0])
        out.append((handler, *numbers))
    return sorted(out, key=lambda track: track[0] != "vide")


def _run(data, duration, flags):
    """(presentation offsets, durations, flags of the first sample) of a trun's payload."""
    version, bits = data[0], int.from_bytes(data[1:4], "big")
    count = struct.unpack_from(">I", data, 4)[0]
    at = 8 + (4 if bits & 1 else 0)
    if bits & 4:
        flags = struct.unpack_from(">I", data, at)[0]
        at += 4
    durations, shifts = [], []
    for i in range(count):
        if bits & 0x100:
            durations.append(struct.unpack_from(">I", data, at)[0])
            at += 4
        else:
            durations.append(duration)
        at += 4 if bits & 0x200 else 0
        if bits & 0x400:
            if i == 0:
                flags = struct.unpack_from(">I", data, at)[0]
            at += 4
        if bits & 0x800:
            shifts.append(struct.unpack_from(">i" if version else ">I", data, at)[0])
            at += 4
        else:
            shifts.append(0)
    return shifts, durations, flags


def fragments(file, track):
    """All fragments in order; `track` is the one that is indexed."""
    out, moof = [], None
    for kind, offset, header, size in boxes(file, 0, length(file)):
        if kind == "moof":
            moof = Fragment(offset, size, 0, 0, False)
            earliest = None
            for name, at, head, long in boxes(file, offset + header, offset + size):
                if name != "traf":
                    continue
                inside = list(boxes(file, at + head, at + long))
                payload = {}
                for name, at2, head2, long2 in inside:
                    file.seek(at2 + head2)
                    payload.setdefault(name, []).append(file.read(long2 - head2))
                tfhd = payload["tfhd"][0]
                bits, identity = int.from_bytes(tfhd[1:4], "big"), struct.unpack_from(">I", tfhd, 4)[0]
                if identity != track:
                    continue
                p, duration, flags = 8, 0, 0
                p += 8 * bool(bits & 1) + 4 * bool(bits & 2)
                if bits & 8:
                    duration, p = struct.unpack_from(">I", tfhd, p)[0], p + 4
                p += 4 * bool(bits & 0x10)
                if bits & 0x20:
                    flags = struct.unpack_from(">I", tfhd, p)[0]
                tfdt = payload["tfdt"][0]
                clock = struct.unpack_from(">Q" if tfdt[0] else ">I", tfdt, 4)[0]
                for i, trun in enumerate(payload.get("trun", [])):
                    shifts, durations, first = _run(trun, duration, flags)
                    if i == 0:
                        moof.key = not first & 0x10000
                    for shift, ticks in zip(shifts, durations):
                        earliest = clock + shift if earliest is None else min(earliest, clock + shift)
                        clock += ticks
                        moof.duration += ticks
            moof.earliest = earliest
        elif kind == "mdat" and moof is not None:
            moof.size = offset + size - moof.offset
            out.append(moof)
            moof = None
    return out


def runs_of(parts, room, groups):
    """Where fragments are put together, as [(first, end)]: by key frame (when `groups`), then evenly until at most `room` remain."""
    starts = [i for i, part in enumerate(parts) if i == 0 or part.key or not groups]
    starts = starts[::-(-len(starts) // room)]
    return list(zip(starts, starts[1:] + [len(parts)]))


def joined(parts, runs):
    out = []
    for first, end in runs:
        run = parts[first:end]
        known = [part.earliest for part in run if part.earliest is not None]
        out.append(Fragment(run[0].offset, sum(part.size for part in run), min(known) if known else None,
                            sum(part.duration for part in run), run[0].key))
    return out


def sidx(parts, track, timescale, first_offset=0, leaves=False):
    """The box. References name media, or, with `leaves`, further sidx boxes."""
    assert len(parts) <= LIMIT
    out = struct.pack(">IIIIIHH", 0, track, timescale, parts[0].earliest, first_offset, 0, len(parts))
    for part in parts:
        assert part.size < 1 << 31
        out += struct.pack(">III", part.size | (1 << 31 if leaves else 0), part.duration, (1 << 31 | 1 << 28) if part.key and not leaves else 0)
    return struct.pack(">I4s", len(out) + 8, b"sidx") + out


def hierarchy(parts, track, timescale, per_leaf=128):
    """A sidx whose references are sidx boxes which lie right behind it, each for `per_leaf` parts."""
    groups = [parts[i:i + per_leaf] for i in range(0, len(parts), per_leaf)]
    leaf_sizes = [HEADER + REFERENCE * len(group) for group in groups]
    total = sum(leaf_sizes)
    leaves, before, media = b"", 0, 0
    for group, size in zip(groups, leaf_sizes):
        before += size
        leaves += sidx(group, track, timescale, first_offset=total - before + media)
        media += sum(part.size for part in group)
    top = [Fragment(0, size, group[0].earliest, sum(part.duration for part in group), True) for group, size in zip(groups, leaf_sizes)]
    return sidx(top, track, timescale, leaves=True) + leaves


def fit(box, room):
    """`box` at the end of `room` bytes, a free box before it. The anchor of a sidx is its end, so its first offset is 0."""
    spare = room - len(box)
    assert spare == 0 or spare >= 8, spare
    return (struct.pack(">I4s", spare, b"free") + bytes(spare - 8) if spare else b"") + box


def room_for(references, count):
    """Bytes to reserve for `count` sidx boxes of so many references."""
    return (HEADER + REFERENCE * references) * count + 8


def with_mehd(data, seconds):
    """The fragmented file `data` with a movie extends header (§8.8.2): the duration is known before the fragments are."""
    file = io.BytesIO(data)
    timescale_at = find(file, "moov/mvhd", 0, len(data))[0] + (20 if data[find(file, "moov/mvhd", 0, len(data))[0]] else 12)
    timescale = struct.unpack_from(">I", data, timescale_at)[0]
    mvex, moov = find(file, "moov/mvex", 0, len(data))[0], find(file, "moov", 0, len(data))[0]
    out = bytearray(data)
    out[mvex:mvex] = struct.pack(">I4sII", 16, b"mehd", 0, round(seconds * timescale))
    for payload in (mvex, moov):
        struct.pack_into(">I", out, payload - 8, struct.unpack_from(">I", out, payload - 8)[0] + 16)
    return bytes(out)


def reserved(source, target, room):
    """Copies the fragmented file `source`, with a free box of `room` bytes behind its moov."""
    with open(source, "rb") as file, open(target, "wb") as out:
        _, end = find(file, "moov", 0, length(file))
        file.seek(0)
        out.write(file.read(end))
        out.write(struct.pack(">I4s", room, b"free") + bytes(room - 8))
        while block := file.read(1 << 20):
            out.write(block)
    return end


def patch(path, at, room, count=2, groups=False, tree=False):
    """Overwrites the free box of `room` bytes at `at` by a sidx for each of the first `count` tracks; with `groups` a reference is a
    group of pictures, else a fragment; with `tree` a sidx of sidx boxes. Too little room means coarser references.
    @return number of references in each"""
    with open(path, "r+b") as file:
        indexed = tracks(file)[:count]
        parts = [fragments(file, identity) for _, identity, _ in indexed]
        if tree:
            box = hierarchy(joined(parts[0], runs_of(parts[0], LIMIT, True)), *indexed[0][1:])
        else:
            runs = runs_of(parts[0], ((room - 8) // len(indexed) - HEADER) // REFERENCE, groups)
            box = b""
            for (_, identity, timescale), its in reversed(list(zip(indexed, parts))):
                box = sidx(joined(its, runs), identity, timescale, first_offset=len(box)) + box
        file.seek(at)
        file.write(fit(box, room))
        return len(runs) if not tree else len(parts[0])


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as f:
        last = None
        for kind, offset, _, size in boxes(f, 0, length(f)):
            if kind in ("moof", "mdat") and last in ("moof", "mdat"):
                last = kind
                continue
            print(f"{offset:>12} {kind} {size}")
            last = kind
