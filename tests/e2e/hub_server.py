"""A hub on the loopback: the part of the Hugging Face Hub's API that downloads use, and misbehaviour on request.

    with HubServer() as hub:
        hub.add("org/model", {"config.json": b"{}", "model.safetensors": weights})
        hub.misbehave(drop(1000), "model.safetensors", times=3)
        ... run a client with HF_ENDPOINT=hub.endpoint ...

Small files are served by the hub itself (127.0.0.1); for large ones it redirects to another host (localhost), as the
real one does. `requests` records what was asked of either. Standard library only.
"""

import hashlib
import json
import re
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def git_digest(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(name):
    return name.endswith((".safetensors", ".bin", ".gguf"))


def digest_of(name, data):
    """The blob's name in the cache."""
    return hashlib.sha256(data).hexdigest() if is_large(name) else git_digest(data)


@dataclass
class Request:
    method: str
    host: str  # "hub" or "store"
    path: str
    headers: dict

    @property
    def token(self):
        return self.headers.get("Authorization")


@dataclass
class Fault:
    act: object
    where: str
    method: str
    host: str
    left: int
    used: int = 0


# Faults: functions of (handler, answer) that change or replace an answer, and say whether they have sent it themselves.


@dataclass
class Answer:
    status: int
    headers: dict = field(default_factory=dict)
    body: bytes = b""


def drop(after):
    """The connection breaks after so many bytes of the body."""

    def act(handler, answer):
        handler.send_head(answer)
        handler.wfile.write(answer.body[:after])
        handler.wfile.flush()
        handler.hang_up()
        return True

    return act


def refuse_connection(handler, answer):
    handler.hang_up()
    return True


def short(count):
    """A shorter range than was asked for, properly announced."""

    def act(handler, answer):
        first, last, total = map(int, re.findall(r"\d+", answer.headers["Content-Range"]))
        last = min(last, first + count - 1)
        answer.body = answer.body[: last - first + 1]
        answer.headers["Content-Range"] = f"bytes {first}-{last}/{total}"

    return act


def other_range(handler, answer):
    first, last, total = map(int, re.findall(r"\d+", answer.headers["Content-Range"]))
    answer.headers["Content-Range"] = f"bytes {first + 1}-{last}/{total}"
    answer.body = answer.body[1:]


def ignore_range(handler, answer):
    answer.status = 200
    answer.headers.pop("Content-Range", None)
    answer.body = handler.whole


def corrupt(handler, answer):
    middle = len(answer.body) // 2
    answer.body = answer.body[:middle] + bytes([answer.body[middle] ^ 1]) + answer.body[middle + 1 :]


def status(code, **headers):
    """status(429, Retry_After=1)"""

    def act(handler, answer):
        answer.status = code
        answer.headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        answer.body = b"no"

    return act


def header(name, value):
    def act(handler, answer):
        answer.headers[name] = value

    return act


def drip(bytes_per_second, *, beyond=0):
    """The body arrives a byte at a time, of ranges that begin at `beyond` or later."""

    def act(handler, answer):
        if int(re.search(r"\d+", answer.headers["Content-Range"])[0]) < beyond:
            return False
        handler.send_head(answer)
        for byte in answer.body:
            try:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
            except OSError:
                break
            time.sleep(1 / bytes_per_second)
        handler.close_connection = True
        return True

    return act


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer()

    def do_HEAD(self):
        self.answer()

    def log_message(self, *arguments):
        pass

    def hang_up(self):
        self.close_connection = True
        self.connection.close()

    def send_head(self, answer):
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()

    def answer(self):
        hub, host = self.server.hub, self.server.role
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        hub.record(Request(self.command, host, path, dict(self.headers)))
        self.whole = b""
        answer = hub.api(self, path) if host == "hub" else hub.store(self, path)
        try:
            for fault in hub.faults_for(self.command, host, path):
                if fault.act(self, answer):
                    return
            self.send_head(answer)
            if self.command != "HEAD":
                self.wfile.write(answer.body)
        except OSError:
            self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub, role):
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub, self.role = hub, role
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is nothing to report


class HubServer:
    def __init__(self):
        self.lock = threading.Lock()
        self.models = {}  # id -> {commit: {file: bytes}}
        self.refs = {}  # id -> {revision: commit}
        self.digests = {}  # (id, commit, file) -> digest
        self.names = {}  # digest -> (bytes, file), of large files
        self.gated = set()
        self.tokens = {"hf_good"}
        self.requests = []
        self.faults = []
        self.hub_server = Server(self, "hub")
        self.store_server = Server(self, "store")
        self.endpoint = f"http://127.0.0.1:{self.hub_server.server_port}"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for server in (self.hub_server, self.store_server):
            server.shutdown()
            server.server_close()

    def add(self, model, files, revision="main"):
        """A commit with these files, which the revision then is."""
        digests = {name: digest_of(name, data) for name, data in files.items()}
        content = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
        commit = hashlib.sha1(f"{model}\n{content}".encode()).hexdigest()
        with self.lock:
            self.models.setdefault(model, {})[commit] = dict(files)
            self.refs.setdefault(model, {})[revision] = commit
            self.digests |= {(model, commit, name): digest for name, digest in digests.items()}
            self.names |= {digest: (files[name], name) for name, digest in digests.items() if is_large(name)}
        return commit

    def add_folder(self, model, folder, revision="main"):
        return self.add(model, {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}, revision)

    def misbehave(self, act, where="", *, times=1, method="GET", host=""):
        """The next `times` requests whose path contains `where` fail like that."""
        with self.lock:
            self.faults.append(Fault(act, where, method, host, times))
            return self.faults[-1]

    def record(self, request):
        with self.lock:
            self.requests.append(request)

    def faults_for(self, method, host, path):
        name = self.names.get(path.rsplit("/", 1)[-1], (b"", ""))[1]
        with self.lock:
            for fault in self.faults:
                if fault.left > 0 and fault.method == method and fault.where in path + "/" + name and fault.host in host:
                    if host == "hub" and fault.host == "" and method == "GET" and is_large(path):
                        continue  # the redirection: what fails is what it leads to
                    fault.left -= 1
                    fault.used += 1
                    return [fault]
        return []

    def asked_for(self, where, method="GET", host=""):
        with self.lock:
            return [r for r in self.requests if r.method == method and where in r.path and host in r.host]

    # ---------------------------------------------------------------- answers

    def refusal(self, handler, model):
        token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            return Answer(401, {"X-Error-Message": "Invalid credentials"}, b"{}")
        if model not in self.models:
            return Answer(404 if token else 401, {"X-Error-Code": "RepoNotFound"}, b"{}")
        return None

    def api(self, handler, path):
        info = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path)
        if info:
            return self.refusal(handler, info[1]) or self.info(info[1], info[2])
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if file:
            return self.refusal(handler, file[1]) or self.file(handler, *file.groups())
        return Answer(404, {}, b"no such page")

    def commit_of(self, model, revision):
        commit = self.refs[model].get(revision, revision)
        return commit if commit in self.models[model] else None

    def info(self, model, revision):
        commit = self.commit_of(model, revision)
        if commit is None:
            return Answer(404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
        listing = {"id": model, "sha": commit, "siblings": [{"rfilename": f} for f in self.models[model][commit]]}
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(listing).encode())

    def file(self, handler, model, revision, name):
        if model in self.gated:
            token = handler.headers.get("Authorization")
            return Answer(403 if token else 401, {"X-Error-Code": "GatedRepo"}, b"{}")
        commit = self.commit_of(model, revision)
        data = self.models[model].get(commit, {}).get(name)
        if data is None:
            return Answer(404, {"X-Error-Code": "EntryNotFound"}, b"{}")
        digest = self.digests[model, commit, name]
        headers = {"X-Repo-Commit": commit}
        if is_large(name):
            place = f"http://localhost:{self.store_server.server_port}/{digest}?X-Signature=secret"
            headers |= {"Location": place, "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data))}
            return Answer(302, headers)
        return self.ranged(handler, data, headers | {"ETag": f'"{digest}"'})

    def store(self, handler, path):
        data = self.names.get(path[1:])
        if data is None or "X-Signature=secret" not in handler.path:
            return Answer(403, {}, b"signature expired")
        return self.ranged(handler, data[0], {"ETag": '"the store\'s own"'})

    @staticmethod
    def ranged(handler, data, headers):
        handler.whole = data
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range", ""))
        headers["Accept-Ranges"] = "bytes"
        if asked is None:
            return Answer(200, headers | {"Content-Length": str(len(data))} if handler.command == "HEAD" else headers, data)
        first, last = int(asked[1]), min(int(asked[2]), len(data) - 1)
        if first > last:
            return Answer(416, {"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return Answer(206, headers, data[first : last + 1])
