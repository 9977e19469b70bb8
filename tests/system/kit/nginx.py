"""A real nginx as mail proxy in front of the server, and the HTTP service that it asks about each login."""
import base64
import os
import shutil
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from .server import PORTS
from .wait import until
from .wire import Endpoint

PROGRAM = shutil.which("nginx") or "/usr/sbin/nginx"
MODULE = "/usr/lib/nginx/modules/ngx_mail_module.so"


def is_installed():
    return os.path.exists(PROGRAM) and os.path.exists(MODULE)


class Judge:
    """nginx's auth_http: who is let in as whom, and to which server.  `questions` are the headers it got."""

    def __init__(self, upstream, passwords, subjects):
        self.questions = []
        judge = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                judge.questions.append(dict(self.headers))
                identity = judge.identify(self.headers, passwords, subjects)
                self.send_response(200)
                if identity is None:
                    self.send_header("Auth-Status", "Invalid login or password")
                else:
                    self.send_header("Auth-Status", "OK")
                    self.send_header("Auth-Server", "127.0.0.1")
                    self.send_header("Auth-Port", str(upstream.port))
                    if identity:
                        self.send_header("Auth-User", identity)
                self.end_headers()

            def log_message(self, *_):
                pass
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @staticmethod
    def identify(headers, passwords, subjects):
        """The identity, "" for nobody in particular, None for a refusal."""
        method = headers.get("Auth-Method")
        if method == "none":
            return ""
        if method == "external":
            verified = headers.get("Auth-SSL-Verify") == "SUCCESS"
            return subjects.get(headers.get("Auth-SSL-Subject")) if verified else None
        user = unquote(headers.get("Auth-User", ""))
        return user if passwords.get(user) == unquote(headers.get("Auth-Pass", "")) else None


class Nginx:
    def __init__(self, folder, zoo, upstream, passwords=(), subjects=(), methods="plain external"):
        self.folder = folder / "nginx"
        self.folder.mkdir()
        self.judge = Judge(upstream, dict(passwords), dict(subjects))
        self.endpoint = Endpoint(next(PORTS), "implicit", "nginx")
        path = self.folder / "nginx.conf"
        path.write_text(f"""
            load_module {MODULE};
            daemon off;
            {"user root;" if os.geteuid() == 0 else ""}
            worker_processes 1;
            pid {self.folder}/pid;
            error_log {self.folder}/error.log info;
            events {{ worker_connections 64; }}
            mail {{
                server_name proxy.example.org;
                auth_http 127.0.0.1:{self.judge.port}/auth;
                xclient on;
                smtp_auth {methods};
                server {{
                    listen 127.0.0.1:{self.endpoint.port} ssl;
                    protocol smtp;
                    ssl_certificate {zoo.server.certificate};
                    ssl_certificate_key {zoo.server.key};
                    ssl_client_certificate {zoo.staff.file};
                    ssl_verify_client optional;
                }}
            }}
        """)
        self.process = subprocess.Popen([PROGRAM, "-c", str(path), "-p", str(self.folder), "-e", "stderr"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=(self.folder / "stderr").open("wb"))
        until(self.is_listening, self.errors)

    def is_listening(self):
        assert self.process.poll() is None, self.errors()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.endpoint.port)) == 0

    def errors(self):
        return "nginx: " + "".join(p.read_text(errors="replace") for p in self.folder.glob("*err*"))

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.judge.http.shutdown()
        self.judge.http.server_close()


def plain(user, password):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()
