"""An HTTP server of a test, in threads of its own on a free port of 127.0.0.1."""
import http.server
import threading


class Listening:
    """`answer(handler, method)` is called for every request of one of `methods`, in that request's thread."""

    def __init__(self, answer, methods):
        def do(method):
            return lambda handler: answer(handler, method)

        quiet = {"protocol_version": "HTTP/1.1", "log_message": lambda *_: None}
        handler = type("Handler", (http.server.BaseHTTPRequestHandler,), {**quiet, **{"do_" + m: do(m) for m in methods}})

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request, client_address):
                pass  # clients may leave

        self._server = Listener(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
