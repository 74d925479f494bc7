"""Pages in Chromium call Longhaul's server: one of this machine and one that is allowed can, in both eras, and read all
that a client has to read; a foreign one and one without an origin read nothing.

    python3 pages.py LONGHAUL_BINARY CHROMIUM
"""
import http.server
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 60

# Every name is this machine's, and nothing is looked up elsewhere.
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * 127.0.0.1",
]

LEGACY = ["2025-11-25", 202, 0, "text/event-stream", 204, 404]
MODERN = ["longhaul", 0]
ERRORS = [401, 'Bearer error="invalid_token"', -32700, 406, True]
# Refused without a token, which such a request cannot bring, or for its type: readable either way.
SIMPLE = ([401], [415])
CAN = {"legacy": (LEGACY,), "modern": (MODERN,), "errors": (ERRORS,), "simple": SIMPLE}
# What `fetch` says of an answer that a page may not read, and of nothing else here.
CANNOT = dict.fromkeys(CAN, ("TypeError",))
EXPECTED = {"loopback": CAN, "allowed": CAN, "foreign": CANNOT, "sandboxed": CANNOT}

outcomes = queue.Queue()
frames = {}


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        if path == "/page":
            with open(os.path.join(HERE, "page.html"), "rb") as page:
                self.answer(page.read())
        elif path == "/":
            self.answer("".join(frames["html"]).encode())
        else:
            self.send_error(404)

    def do_POST(self):
        outcomes.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(b"")

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(binary, folder, allowed):
    """The server, and where it listens."""
    config = os.path.join(folder, "longhaul.toml")
    with open(config, "w") as file:
        file.write(f"[mcp]\nallowed_origins = [{json.dumps(allowed)}]\n")
    with open(os.path.join(folder, "log"), "wb") as log:
        server = subprocess.Popen(
            [binary, "--config", config, "--data", os.path.join(folder, "data"), "serve", "--http", "127.0.0.1:0"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for line in server.stderr:
            log.write(line)
            _, found, rest = line.decode().partition("listening on ")
            if found:
                # Nobody reads the rest, and it must not stop for that.
                threading.Thread(target=server.stderr.read, daemon=True).start()
                return server, rest.split()[0]
    with open(os.path.join(folder, "log")) as log:
        sys.exit(f"the server did not start: {log.read()}")


def main(binary, chromium):
    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    port = pages.server_address[1]
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run(
            [binary, "--json", "--data", os.path.join(folder, "data"), "token", "new", "page"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        token = json.loads(made.stdout)["token"]
        server, url = serve(binary, folder, f"http://app.example:{port}")
        hosts = {"loopback": "127.0.0.1", "allowed": "app.example", "foreign": "evil.example", "sandboxed": "127.0.0.1"}
        html = []
        for name, host in hosts.items():
            query = urllib.parse.urlencode(
                {"name": name, "server": url, "token": token, "tell": f"http://{host}:{port}/outcome"})
            sandbox = ' sandbox="allow-scripts"' if name == "sandboxed" else ""
            html.append(f'<iframe{sandbox} src="http://{host}:{port}/page?{query.replace("&", "&amp;")}"></iframe>')
        frames["html"] = html
        browser = subprocess.Popen(
            [chromium, *FLAGS, f"--user-data-dir={folder}/profile", "--remote-debugging-port=0", f"http://127.0.0.1:{port}/"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            told = [outcomes.get(timeout=SECONDS) for _ in hosts]
        except queue.Empty:
            sys.exit(f"not every page was heard of in {SECONDS} s")
        finally:
            for process in (browser, server):
                process.terminate()
                process.wait(20)
    status = 0
    for outcome in told:
        name = outcome.pop("name")
        for which, expected in EXPECTED[name].items():
            if outcome[which] not in expected:
                print(f"FAILED {name}, {which}: {outcome[which]}, and not {' or '.join(map(str, expected))}")
                status = 1
    print(f"browser: {len(told)} pages, {sum(len(of) for of in EXPECTED.values())} attempts" if not status else "browser: failed")
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
