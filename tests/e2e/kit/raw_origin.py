"""An HTTP origin that sends exactly the bytes a test wants, and keeps exactly the bytes it got."""
import socket
import threading


class Asked:
    """One request as it arrived."""

    def __init__(self, head, body):
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = first.split(" ")
        self.fields = [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "") for line in lines if line]
        self.body = body

    def get(self, name):
        """All values of that name."""
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def one(self, name):
        values = self.get(name)
        assert len(values) <= 1, (name, values)
        return values[0] if values else None


def answer(*lines, body=b"", status="200 OK", length=True):
    """Bytes of a response; the length line is added unless told otherwise."""
    head = [f"HTTP/1.1 {status}", *lines]
    if length:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


class RawOrigin:
    """`answers`: target (or path) -> bytes, or a function of Asked that gives bytes, or an iterable of bytes sent piece by
    piece. None closes the connection without an answer. Everything may be changed while it runs."""

    def __init__(self):
        self.answers = {}
        self.requests = []
        self.sent = 0                  # bytes handed to the kernel
        self.ended = threading.Event()  # a piecewise answer was broken off by the other side
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self.url = "http://" + self.address
        self._open = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def asked(self, target=None):
        with self._lock:
            return [r for r in self.requests if target is None or r.target.split("?")[0] == target or r.target == target]

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = connection.recv(65536)
                    if not data:
                        return
                    buffer += data
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                while len(buffer) < length:
                    data = connection.recv(65536)
                    if not data:
                        return
                    buffer += data
                asked = Asked(head, buffer[:length])
                buffer = buffer[length:]
                with self._lock:
                    self.requests.append(asked)
                reply = self.answers.get(asked.target, self.answers.get(asked.target.split("?")[0], answer(status="404 Not Found")))
                if callable(reply):
                    reply = reply(asked)
                if reply is None:
                    return
                for piece in [reply] if isinstance(reply, bytes) else reply:
                    try:
                        connection.sendall(piece)
                    except OSError:
                        self.ended.set()
                        return
                    self.sent += len(piece)
                if not isinstance(reply, bytes) and getattr(reply, "closes", True):
                    return
        except OSError:
            pass
        finally:
            connection.close()
            with self._lock:
                self._open.discard(connection)
