"""A web server on loopback that serves a few files as servers do: with ranges, cut off, moved."""

import contextlib
import http.server
import threading


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `files`, bytes by path. `requests` has the path and the Range header of each."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.requests = {}, []
        self.ranges = True
        self.cuts = []  # bytes after which the next responses end, one for each
        self.moved = {}  # addresses by path
        self.content_type = "application/octet-stream"
        self.gate = None  # an event that responses wait for

    def address(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, path = self.server, self.path.lstrip("/")
        server.requests.append((path, self.headers["Range"]))
        if server.gate:
            server.gate.wait(10)
        if path in server.moved:
            self.send_response(302)
            self.send_header("Location", server.moved[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if path not in server.files:
            self.send_error(404)
            return
        content, start = server.files[path], 0
        if server.ranges and self.headers["Range"]:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", server.content_type)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        self.wfile.write(rest[: server.cuts.pop(0)] if server.cuts else rest)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving():
    """Yield a running FileServer."""
    with running(FileServer()) as server:
        yield server


@contextlib.contextmanager
def running(server):
    """Yield a server that runs until the block ends, also by an error."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
