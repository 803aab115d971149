"""A real HTTP server that answers as it is told to: what the client's tests run against."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = {"access_token": "t-1", "token_type": "Bearer", "expires_in": 300}
HANG_UP = object()


class Server:
    """Answers each (method, path) from its own list of (status, headers, body), the last one again and again."""

    def __init__(self):
        self.script, self.seen = {("POST", "/auth/token"): [(200, {}, TOKEN)]}, []
        script, seen = self.script, self.seen

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                seen.append((self.command, self.path, dict(self.headers), body))
                answers = script.get((self.command, self.path), [(404, {}, {})])
                told = answers.pop(0) if len(answers) > 1 else answers[0]
                if told is HANG_UP:
                    self.close_connection = True
                    return
                status, headers, content = told
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = answer  # noqa: N815 - the library's names

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def count(self, method, path):
        return sum(seen[:2] == (method, path) for seen in self.seen)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
