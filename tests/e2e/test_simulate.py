"""`video-resizer simulate`: replays the log of a real run, makes traces, draws."""
import json
import subprocess
import xml.etree.ElementTree as ElementTree

from kit import media


def simulate(*arguments, given=None):
    done = subprocess.run([str(media.BIN / "video-resizer"), "simulate", *arguments], input=given, capture_output=True, timeout=120)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def rows(table):
    """{(policy, size): cells}"""
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]
    return {(c[0], c[1]): c for c in cells[2:]}


def test_the_servers_own_log_is_a_trace(server, tmp_path):
    server.add(media.clip("small.mp4"), "small.mp4")
    server.start()
    stills = [f"/videos/small.mp4?mode=frame&time={n}s&width=64" for n in range(3)]
    for target in stills + stills[:1] * 5 + ["/videos/none.mp4?width=64"]:
        server.get(target)
    server.stop()
    log = tmp_path / "access.log"
    log.write_text("\n".join(server.raw_log) + "\n")
    hits = [e for e in server.events("request") if e["layer"] == "edge"]
    assert hits and all(e["entity_bytes"] == e["bytes"] and e["encode_ms"] > 0 for e in hits)

    code, table, complaint = simulate("--trace", str(log), "--policy", "lru,cost-aware", "--size", "10MB")
    assert code == 0, complaint
    assert table.startswith("8 requests for 3 entries of ")
    for policy in ("lru", "cost-aware"):
        assert rows(table)[(policy, "10 MB")][2] == "62.50 %"  # everything fits: all but the first requests are hits


def test_a_made_up_trace_is_replayed_and_drawn(tmp_path):
    code, trace, _ = simulate("--generate", "scan", "--requests", "5000", "--seed", "3")
    assert code == 0 and trace.startswith("timestamp,id,size,cost\n") and trace.count("\n") == 5001
    assert trace == simulate("--generate", "scan", "--requests", "5000", "--seed", "3")[1]
    plot = tmp_path / "plot.svg"
    code, table, complaint = simulate("--trace", "-", "--policy", "lru,s3-fifo,sieve,cost-aware", "--sizes", "20MB,100MB",
                                      "--plot", str(plot), given=trace.encode())
    assert code == 0, complaint
    assert len(rows(table)) == 8
    assert rows(table)[("lru", "20 MB")][6] == "+0.0 %"
    svg = ElementTree.parse(plot).getroot()
    assert len(svg.findall("{http://www.w3.org/2000/svg}polyline")) == 8


def test_what_cannot_be_read_is_named(tmp_path):
    trace = tmp_path / "t.csv"
    trace.write_text("1,a,100\n2,b,many\n")
    code, table, complaint = simulate("--trace", str(trace), "--size", "1GB")
    assert (code, table) == (1, "") and 'line 2, size: "many" is no number of bytes' in complaint
    code, _, complaint = simulate("--trace", str(tmp_path / "none"), "--size", "1GB")
    assert code == 1 and "No such file" in complaint
    log = tmp_path / "t.log"
    log.write_text(json.dumps({"event": "request", "key": "k", "time": "yesterday"}) + "\n")
    code, _, complaint = simulate("--trace", str(log), "--size", "1GB")
    assert code == 1 and "line 1, time" in complaint
    assert simulate("--trace", str(trace), "--size", "1GB", "--policy", "random")[0] == 1
    assert simulate("--trace", str(trace))[0] == 2
