"""A real web server on loopback that gives files, parts of files, and trouble."""

import contextlib
import http.server
import re
import threading


class FileServer(http.server.ThreadingHTTPServer):
    """Serves ``files`` by name; ``requests`` keeps name and Range of each request.

    ``cut_after`` is how many bytes it sends before it drops a connection;
    ``knows_ranges`` tells whether it sends parts.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {}
        self.requests = []
        self.cut_after = None
        self.knows_ranges = True

    def url(self, name):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name, wanted = self.path[1:], self.headers.get("Range")
        self.server.requests.append((name, wanted))
        content = self.server.files.get(name)
        if content is None:
            self.send_error(404)
            return
        start = 0
        if wanted and self.server.knows_ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = self.server.cut_after
        self.wfile.write(content[start:] if cut is None else content[start : start + cut])

    def log_message(self, *arguments):
        """Say nothing."""


@contextlib.contextmanager
def running_file_server():
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
