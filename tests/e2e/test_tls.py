"""HTTPS and HTTP/2 on the main listener, by clients that are not ours: curl, h2load, Python's ssl and h2."""
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import pytest

from kit import media, wire
from kit.server import Server
from kit.wait import until

TARGET = "/videos/small.mp4?width=160"
OF_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection"}


def certificate(folder, name):
    """A new key and a self-signed certificate. @return the two paths"""
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(crt)], check=True, capture_output=True)
    return crt, key


@pytest.fixture
def secure(server):
    """A started server that speaks TLS, with small.mp4 and long.mp4."""
    crt, key = certificate(server.folder, "localhost")
    server.config["tls"] = {"certificate": str(crt), "key": str(key)}
    server.ready = lambda: wire.fetch(server.admin, "/readyz")[0].status == 200
    for name in ("small.mp4", "long.mp4"):
        server.add(media.clip(name), name)
    server.start()
    return server


class Curled:
    def __init__(self, folder, address, target, *arguments, scheme="https"):
        head, body = folder / "curl.head", folder / "curl.body"
        for path in (head, body):
            path.unlink(missing_ok=True)
        done = subprocess.run(["curl", "-sk", "--max-time", "60", "-D", str(head), "-o", str(body), "-w", "%{http_version}", *arguments,
                               f"{scheme}://{address}{target}"], capture_output=True, text=True)
        self.code, self.version = done.returncode, done.stdout
        blocks = [b for b in (head.read_bytes().decode("latin-1") if head.exists() else "").split("\r\n\r\n") if b]
        first, *lines = blocks[-1].split("\r\n") if blocks else ["- 0"]
        self.status = int(first.split(" ")[1])
        self.fields = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}
        self.body = body.read_bytes() if body.exists() else b""


def shown(address):
    """Common name of the certificate that a new connection sees."""
    text = subprocess.run(["openssl", "s_client", "-connect", address, "-showcerts"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return re.search(r"subject=.*CN ?= ?(\S+)", text.stdout).group(1)


def secure_socket(address, alpn):
    host, port = address.rsplit(":", 1)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    plain = socket.create_connection((host, int(port)), timeout=30)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain)


class H2:
    """One HTTP/2 connection whose windows move only as the test says."""

    def __init__(self, address, window=65535):
        self.socket = secure_socket(address, "h2")
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, validate_outbound_headers=False))
        self.connection.initiate_connection()
        self.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.connection.increment_flow_control_window(2**30)
        self.statuses, self.bodies, self.ended, self.resets = {}, {}, set(), {}
        self.goaway = None
        self.closed = False
        self.flush()

    def flush(self):
        data = self.connection.data_to_send()
        if data:
            try:
                self.socket.sendall(data)
            except OSError:
                self.closed = True

    def ask(self, target, method="GET"):
        stream = self.connection.get_next_available_stream_id()
        self.connection.send_headers(stream, [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", target)],
                                     end_stream=True)
        self.flush()
        self.bodies[stream] = b""
        return stream

    def reset(self, stream):
        self.connection.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self.flush()

    def open_window(self, stream, size):
        self.connection.increment_flow_control_window(size, stream)
        self.flush()

    def step(self):
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return
        for event in self.connection.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.statuses[event.stream_id] = int(dict(event.headers)[b":status"])
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.resets[event.stream_id] = event.error_code
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = event.error_code
        self.flush()

    def run(self, done):
        while not done() and not self.closed:
            self.step()
        return done()

    def close(self):
        self.socket.close()


@pytest.mark.parametrize("protocol, version", [("--http1.1", "1.1"), ("--http2", "2")])
def test_every_kind_of_answer(secure, tmp_path, protocol, version):
    def ask(target, *arguments):
        reply = Curled(tmp_path, secure.address, target, protocol, *arguments)
        assert reply.code == 0 and reply.version == version
        if version == "2":
            assert not OF_CONNECTION & set(reply.fields)
        return reply

    cold = ask(TARGET)
    assert cold.status == 200 and cold.fields["x-cache-status"] == "MISS" and "content-length" not in cold.fields
    secure.wait_stored(1)
    hit = ask(TARGET)
    assert hit.fields["x-cache-status"] == "HIT" and len(hit.body) == int(hit.fields["content-length"])
    head = ask(TARGET, "--head")
    assert head.status == 200 and head.body.startswith(b"HTTP/") and head.fields["content-length"] == hit.fields["content-length"]
    part = ask(TARGET, "-r", "100-999")
    assert part.status == 206 and part.body == hit.body[100:1000]
    assert part.fields["content-range"] == f"bytes 100-999/{len(hit.body)}"
    parts = ask(TARGET, "-r", "0-9,500-599")
    assert parts.status == 206 and parts.fields["content-type"].startswith("multipart/byteranges") and hit.body[500:600] in parts.body
    assert ask(TARGET, "-H", f"If-None-Match: {hit.fields['etag']}").status == 304
    assert ask(TARGET, "-r", "99999999-").status == 416
    assert ask("/videos/none.mp4").status == 404
    assert ask(TARGET, "-X", "DELETE").status == 405
    assert ask(TARGET, "-H", "X-Request-ID: mine.1").fields["x-request-id"] == "mine.1"
    assert json.loads(ask("/videos/" + "a" * 20000).body)["error"]["code"] == "URI_TOO_LONG"
    entry = secure.wait_log(lambda e: e.get("event") == "request" and e.get("request_id") == "mine.1", "the access line")
    assert entry["peer"] == "127.0.0.1" and entry["layer"] == "edge" and entry["complete"] is True and entry["bytes"] == len(hit.body)


def test_a_cold_video_is_the_same_bytes_whichever_way_it_comes(secure, tmp_path):
    plain = Server(tmp_path / "plain")
    plain.add(media.clip("long.mp4"), "long.mp4")
    plain.start()
    try:
        target = "/videos/long.mp4?width=200"
        expected = plain.get(target)[1]
    finally:
        plain.stop()
    one = Curled(tmp_path, secure.address, target, "--http1.1")
    assert one.fields["x-cache-status"] == "MISS" and one.body == expected
    secure.open_admin("t")
    two = Curled(tmp_path, secure.address, target + "&nocache=1", "--http2")
    assert two.code == 0 and two.version == "2" and two.body == expected
    assert secure.transforms() == 2, "the second was made anew"


def test_a_hundred_streams_share_one_production_and_each_gets_all(secure, tmp_path):
    target = "/videos/long.mp4?width=240"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        load = pool.submit(subprocess.run, ["h2load", "-n", "100", "-c", "1", "-m", "100", f"https://{secure.address}{target}"],
                           capture_output=True, text=True, timeout=120)
        text = load.result().stdout
    assert "100 total, 100 started, 100 done, 100 succeeded, 0 failed" in text, text
    assert secure.transforms() == 1
    joined = int(re.search(r"traffic: .*\((\d+)\) data", text).group(1))
    assert joined % 100 == 0
    again = subprocess.run(["h2load", "-n", "2000", "-c", "4", "-m", "50", "-H", "Range: bytes=0-9999", f"https://{secure.address}{target}"],
                           capture_output=True, text=True, timeout=120).stdout
    assert "2000 succeeded, 0 failed" in again and "(20000000) data" in again, again


def test_a_stream_reset_by_the_client_is_a_client_that_left(secure):
    client = H2(secure.address)
    stream = client.ask("/videos/long.mp4?width=300")
    assert client.run(lambda: client.bodies[stream])
    client.reset(stream)
    entry = secure.wait_log(lambda e: e.get("event") == "request" and e.get("complete") is False, "the access line of the reset stream")
    assert entry["error"] == "client_gone" and entry["status"] == 200
    other = client.ask("/readyz")
    assert client.run(lambda: other in client.ended), "the connection goes on"
    client.close()


def test_a_failed_production_never_ends_a_stream_cleanly(secure, tmp_path):
    client = H2(secure.address, 2**30)
    stream = client.ask("/videos/long.mp4?width=1280")
    assert client.run(lambda: client.bodies[stream])
    busy = max(secure.workers(), key=lambda pid: int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11]))
    os.kill(busy, signal.SIGKILL)
    client.run(lambda: stream in client.ended or stream in client.resets)
    assert stream in client.resets and stream not in client.ended
    entry = secure.wait_log(lambda e: e.get("event") == "request" and e.get("error") == "body_failed", "the access line")
    assert entry["complete"] is False
    client.close()


def test_slow_readers_cost_neither_memory_nor_the_others_time(secure):
    target = "/videos/long.mp4"  # the source itself, or close to it
    body = None
    warm = H2(secure.address, 2**30)
    stream = warm.ask(target)
    assert warm.run(lambda: stream in warm.ended)
    body = warm.bodies[stream]
    secure.wait_stored(1)
    hit = warm.ask(target)
    assert warm.run(lambda: hit in warm.ended)
    body = warm.bodies[hit]
    before = secure.status_kib("VmRSS")
    slow = [H2(secure.address, 20000) for _ in range(4)]
    streams = [(client, client.ask(target)) for client in slow for _ in range(100)]
    for client, stream in streams:
        assert client.run(lambda: len(client.bodies[stream]) == 20000)
    assert secure.status_kib("VmRSS") - before < 48 * 1024, "400 stalled readers"
    quick = warm.ask(target)
    assert warm.run(lambda: quick in warm.ended) and warm.bodies[quick] == body
    client, stream = streams[-1]
    client.open_window(stream, 2**30)
    assert client.run(lambda: stream in client.ended) and client.bodies[stream] == body
    for client in slow + [warm]:
        client.close()


def test_a_flood_of_resets_ends_its_connection_and_nobody_elses(secure):
    other = H2(secure.address)
    flood = H2(secure.address)
    try:
        for _ in range(3000):
            stream = flood.connection.get_next_available_stream_id()
            flood.connection.send_headers(stream, [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", TARGET)],
                                          end_stream=True)
            flood.connection.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            flood.flush()
            if flood.closed:
                break
        flood.run(lambda: False)
    except h2.exceptions.ProtocolError:
        pass
    until(lambda: secure.metric("video_resizer_http_refused_total", reason="h2_resets") == 1, "the flood is counted")
    assert flood.goaway in (None, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
    stream = other.ask("/readyz")
    assert other.run(lambda: stream in other.ended) and other.statuses[stream] == 200
    assert secure.transforms() <= 1
    other.close()
    flood.close()


def test_sighup_shows_a_new_certificate_and_keeps_the_old_when_the_new_is_broken(secure):
    crt, key = (pathlib.Path(secure.config["tls"][k]) for k in ("certificate", "key"))
    assert shown(secure.address) == "localhost"
    old = secure_socket(secure.address, "http/1.1")

    new_crt, new_key = certificate(secure.folder, "second")
    os.replace(new_crt, crt)  # the key is still the old one
    mark = len(secure.log)
    secure.signal(signal.SIGHUP)
    refused = secure.wait_event("config_reload_refused", after=mark)
    assert f"/tls/key: {key}: does not belong to the certificate in {crt}" in refused["problem"]
    assert shown(secure.address) == "localhost"

    os.replace(new_key, key)
    secure.signal(signal.SIGHUP)
    secure.wait_event("config_reloaded", after=mark)
    assert shown(secure.address) == "second"
    assert secure.metric("video_resizer_tls_certificate_end_seconds") > 1.7e9

    crt.write_text("nonsense")
    mark = len(secure.log)
    secure.signal(signal.SIGHUP)
    refused = secure.wait_event("config_reload_refused", after=mark)
    assert f"/tls/certificate: {crt}: not a PEM certificate chain" in refused["problem"]
    assert shown(secure.address) == "second"

    # Other files, by the configuration.
    crt3, key3 = certificate(secure.folder, "third")
    secure.config["tls"] = {"certificate": str(crt3), "key": str(key3)}
    secure.write_config()
    mark = len(secure.log)
    secure.signal(signal.SIGHUP)
    secure.wait_event("config_reloaded", after=mark)
    assert shown(secure.address) == "third"
    assert not secure.events("config_needs_restart", after=mark)

    # Who was connected all the time noticed nothing.
    old.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert old.recv(4096).startswith(b"HTTP/1.1 200 ")
    old.close()


@pytest.mark.parametrize("broken, field", [("missing", "/tls/certificate"), ("mismatch", "/tls/key")])
def test_without_a_usable_certificate_it_does_not_start(server, broken, field):
    crt, key = certificate(server.folder, "one")
    if broken == "missing":
        crt = server.folder / "none.crt"
    else:
        key = certificate(server.folder, "two")[1]
    server.config["tls"] = {"certificate": str(crt), "key": str(key)}
    server.write_config()
    server.launch()
    assert server.process.wait(30) == 1
    server._finish()
    culprit = crt if broken == "missing" else key
    assert any(line.startswith("not started: ") and f"{field}: {culprit}: " in line for line in server.raw_log), server.log_tail()


def test_plain_http_on_the_tls_port_is_told_so(secure):
    reply, body = wire.fetch(secure.address, "/readyz")
    assert reply.status == 400 and json.loads(body)["error"]["code"] == "TLS_REQUIRED"


def test_links_are_https(secure, tmp_path):
    reply = Curled(tmp_path, secure.address, "/videos/long.mp4?width=360", "--http2", "-H", "Prefer: respond-async")
    assert reply.status == 202 and json.loads(reply.body)["sse"].startswith(f"https://{secure.address}/")


def test_sigterm_lets_streams_end(secure, tmp_path):
    path = tmp_path / "streamed.mp4"
    # Not by H2: that library takes GOAWAY for the end of everything.
    client = subprocess.Popen(["curl", "-skN", "--http2", "--max-time", "60", "-o", str(path), f"https://{secure.address}/videos/long.mp4?width=1280"])
    until(lambda: path.exists() and path.stat().st_size > 0, "the answer has begun")
    mark = len(secure.log)
    secure.signal(signal.SIGTERM)
    secure.wait_event("draining", after=mark)
    assert secure.events("request") == [], "it had not ended yet"
    assert client.wait(60) == 0
    secure.stop()
    assert media.decode_errors(path) == ""
    assert abs(media.duration_of(media.probe(path)) - 30) < 0.5
