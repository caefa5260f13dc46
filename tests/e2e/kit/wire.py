"""HTTP/1.1 by hand over a plain socket, so that tests see exactly what is sent and how it ends."""
import json
import socket
import time


class Cut(Exception):
    """The connection ended before the message did."""


class Reply:
    """One response, read at the pace of the test."""

    def __init__(self, connection, method):
        self._connection = connection
        self._method = method
        self.started = time.monotonic()
        self.first_byte_at = None
        self.complete = False
        self.status = None
        self.fields = []
        self._read_head()
        self._left = None
        self._chunked = False
        if method == "HEAD" or self.status in (204, 304) or 100 <= self.status < 200:
            self._left = 0
        elif (self["Transfer-Encoding"] or "").lower() == "chunked":
            self._chunked = True
        elif self["Content-Length"] is not None:
            self._left = int(self["Content-Length"])
        self.complete = self._left == 0

    def _read_head(self):
        head = self._connection.take_until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        version, status, *reason = first.split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), first
        self.version, self.status = version, int(status)
        for line in lines:
            if line:
                name, colon, value = line.partition(":")
                assert colon and name == name.strip(), f"bad field line {line!r}"
                self.fields.append((name, value.strip()))

    def __getitem__(self, name):
        """The field's value, None when absent; values of repeated fields joined."""
        values = [v for n, v in self.fields if n.lower() == name.lower()]
        return ", ".join(values) if values else None

    def __contains__(self, name):
        return self[name] is not None

    def some(self, most=65536):
        """The next body bytes, b"" at the complete end. Raises Cut when the connection ends early."""
        if self.complete:
            return b""
        if self._chunked:
            if not self._left:
                line = self._connection.take_until(b"\r\n")
                self._left = int(line.split(b";")[0], 16)
                if self._left == 0:
                    while self._connection.take_until(b"\r\n"):
                        pass
                    self.complete = True
                    return b""
            data = self._connection.take_some(min(most, self._left))
            self._left -= len(data)
            if self._left == 0:
                assert self._connection.take_until(b"\r\n") == b""
        elif self._left is None:
            data = self._connection.take_some(most, end_is_fine=True)
            self.complete = not data
        else:
            data = self._connection.take_some(min(most, self._left))
            self._left -= len(data)
            self.complete = self._left == 0
        if data and self.first_byte_at is None:
            self.first_byte_at = time.monotonic()
        return data

    def body(self):
        """All the rest of the body."""
        parts = []
        while True:
            data = self.some(1 << 20)
            if not data:
                return b"".join(parts)
            parts.append(data)

    def skip(self):
        """Reads the rest away without keeping it. @return how many bytes"""
        total = 0
        while self._left and not self._chunked:
            taken = self._connection.drop(self._left)
            self._left -= taken
            total += taken
            self.complete = self._left == 0
        while not self.complete:
            total += len(self.some(1 << 20))
        return total

    def json(self):
        return json.loads(self.body())


class Connection:
    """A client's connection. `receive_buffer` makes a client that cannot take much."""

    def __init__(self, address, receive_buffer=None, timeout=60.0):
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, int(port)))
        self._buffer = b""
        self.host = address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Leaves as a crashed client does: with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def begin(self, target, method="GET", headers=(), body=b""):
        """Sends a request; reply(method) reads the answer later."""
        lines = [f"{method} {target} HTTP/1.1"]
        headers = list(dict(headers).items()) if not isinstance(headers, (list, tuple)) else list(headers)
        if not any(n.lower() == "host" for n, _ in headers):
            lines.append(f"Host: {self.host}")
        lines += [f"{n}: {v}" for n, v in headers]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)

    def ask(self, target, method="GET", headers=(), body=b""):
        self.begin(target, method, headers, body)
        return Reply(self, method)

    def reply(self, method="GET"):
        """Reads a response to something that was sent by hand."""
        return Reply(self, method)

    def _more(self):
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionError as e:
            raise Cut(str(e)) from e
        self._buffer += data
        return bool(data)

    def take_until(self, mark):
        while mark not in self._buffer:
            if not self._more():
                raise Cut(f"the connection ended while waiting for {mark!r}; got {self._buffer[:200]!r}")
        taken, _, self._buffer = self._buffer.partition(mark)
        return taken

    def take_some(self, most, end_is_fine=False):
        if not self._buffer:
            try:
                data = self.socket.recv(most)
            except ConnectionError as e:
                raise Cut(str(e)) from e
            if not data and not end_is_fine:
                raise Cut("the connection ended inside a body")
            return data
        taken, self._buffer = self._buffer[:most], self._buffer[most:]
        return taken

    def drop(self, most):
        """Lets the kernel throw away up to `most` bytes (MSG_TRUNC): the cheapest reader there is."""
        if self._buffer:
            return len(self.take_some(most))
        try:
            n = self.socket.recv_into(_SINK, min(most, len(_SINK)), socket.MSG_TRUNC)
        except ConnectionError as e:
            raise Cut(str(e)) from e
        if n == 0:
            raise Cut("the connection ended inside a body")
        return n

    def at_end(self):
        """Waits for the server to close; True when it did so without further bytes."""
        try:
            return not self._buffer and self.socket.recv(1) == b""
        except ConnectionError:
            return True


_SINK = bytearray(4 << 20)


def fetch(address, target, method="GET", headers=(), timeout=60.0):
    """One request on a connection of its own. @return (reply, whole body)"""
    with Connection(address, timeout=timeout) as c:
        reply = c.ask(target, method, headers)
        return reply, reply.body()
