"""`video-resizer fsck` on the store of a real server."""
import json
import subprocess

from kit import media

FRAME = "/videos/small.mp4?mode=frame&width=300&format=png"
ORIGINAL = "/videos/small.mp4"


def fsck(server, *arguments):
    """@return (exit code, standard output, standard error)"""
    done = subprocess.run([str(media.BIN / "video-resizer"), "fsck", "--config", str(server.config_path), *arguments],
                          capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_fsck_of_a_store_from_use_to_repair(running):
    for target in (FRAME, ORIGINAL):
        assert running.get(target)[0].status == 200
    running.wait_stored(2)
    code, out, err = fsck(running)
    assert code == 2 and out == "" and str(running.pid) in err, "somebody has it open"

    running.stop()
    code, out, err = fsck(running)
    assert (code, err) == (0, ""), out
    assert "2 entries" in out and out.endswith("clean\n")
    code, out, _ = fsck(running, "--json")
    report = json.loads(out)
    assert code == 0 and report["clean"] and report["cleanStop"]
    assert (report["entries"], report["bodiesVerified"], report["findings"]) == (2, 2, [])

    body = next(p for p in running.files() if p.stat().st_size == media.clip("small.mp4").stat().st_size)
    data = bytearray(body.read_bytes())
    data[1000] ^= 1
    body.write_bytes(data)
    orphan = body.parent / (body.parent.name + "0123456789abcd")
    orphan.write_bytes(b"left by a crash")
    assert fsck(running, "--quick", "--json")[0] == 1
    code, out, _ = fsck(running, "--json")
    report = json.loads(out)
    assert (code, report["counts"]) == (1, {"body-checksum": 1, "orphan-file": 1})
    checksum = next(f for f in report["findings"] if f["flaw"] == "body-checksum")
    assert checksum["where"] == "video:videos/small.mp4" and checksum["detail"] == str(body)
    assert body.exists() and orphan.exists(), "looking changes nothing"

    code, out, _ = fsck(running, "--repair")
    assert code == 1 and "2 of 2 repaired" in out
    assert not body.exists() and not orphan.exists()
    assert fsck(running)[0] == 0

    running.resume()
    assert running.metric("video_resizer_kv_entries") == 1
    assert running.get(FRAME)[0]["X-Cache-Source"] == "KV"
    reply, again = running.get(ORIGINAL)
    assert reply["X-Cache-Status"] == "MISS" and again == media.clip("small.mp4").read_bytes()


def test_fsck_says_why_it_cannot_look(server):
    server.write_config()
    code, out, err = fsck(server)
    assert code == 2 and out == "" and "no store here" in err
    assert not server.data.exists() or not any(server.data.iterdir()), "looking makes no store"
    code, _, err = fsck(server, "--data", "/dev/null/nowhere")
    assert code == 2 and err
    server.write_config("{ nonsense")
    code, _, err = fsck(server)
    assert code == 2 and err
