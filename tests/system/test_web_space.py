"""Members' web pages by the real nginx, as `isp web-space render` configures it (ISP-20, ISP-22)."""

from __future__ import annotations

import base64
import getpass
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from desk import TODAY, acts, contract, joined, member, on
from office import Office

HOST = "web.example.jp"
GROUP = "www-data" if os.geteuid() == 0 else getpass.getuser()
NGINX = """\
{modules}
{user}
worker_processes 1;
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log info;
events {{ worker_connections 256; }}
http {{
	include /etc/nginx/mime.types;
	default_type application/octet-stream;
	access_log {home}/access.log;
	include {home}/nginx/web-space.conf;
}}
"""


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        raise RuntimeError(f"{name} is not installed: run `make system-packages`")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Reply:
    """What a browser or a program for uploads gets."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Nginx:
    """The web server on a folder that was rendered, and who asks it."""

    office: Office
    home: Path
    port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def root(self) -> Path:
        return self.home / "web"

    def start(self) -> None:
        self.office.ok(
            *("web-space", "render", "-o", self.home / "nginx", "--listen", "127.0.0.1"),
            *("--port", self.port, "--http-port", self.http_port),
        )
        configuration = self.home / "nginx.conf"
        modules = Path("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")
        configuration.write_text(
            NGINX.format(
                home=self.home,
                modules=f"load_module {modules};",
                user=f"user {GROUP};" if os.geteuid() == 0 else "",
            )
        )
        command = [program("nginx"), "-p", str(self.home), "-e", str(self.home / "error.log")]
        self.process = subprocess.Popen([*command, "-c", str(configuration)])
        for _ in range(200):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"nginx does not start: {(self.home / 'error.log').read_text()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=10)

    def __call__(
        self,
        method: str,
        space: str,
        path: str,
        login: tuple[str, str] | None = None,
        body: bytes | None = None,
        **headers: str,
    ) -> Reply:
        """One request to the host of a space, the certificate checked."""
        host = f"{space}.{HOST}"
        trusted = ssl.create_default_context(cafile=str(self.office.folder / "web-space.crt"))
        raw = socket.create_connection(("127.0.0.1", self.port), 10)
        with trusted.wrap_socket(raw, server_hostname=host) as wire:
            connection = http.client.HTTPConnection(host, self.port)
            connection.sock = wire
            if login is not None:
                word = base64.b64encode(":".join(login).encode()).decode()
                headers["Authorization"] = f"Basic {word}"
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.putrequest(method, path, skip_host=True)
            for name, value in {"Host": f"{host}:{self.port}", **named}.items():
                connection.putheader(name, value)
            if "Content-Length" not in named:
                connection.putheader("Content-Length", str(len(body or b"")))
            connection.endheaders(body)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())


@pytest.fixture
def nginx(office: Office) -> Iterator[Nginx]:
    """The office's spaces in a folder that the web server's user can reach."""
    home = Path(tempfile.mkdtemp(prefix="isp-web-", dir="/tmp"))
    home.chmod(0o755)
    made = Nginx(office, home)
    try:
        text = office.config.read_text("utf-8")
        for knob, value in (("root", "web"), ("archive", "web-archive")):
            text = text.replace(f'{knob} = "{value}"', f'{knob} = "{home}/{value}"')
        text = text.replace('group = "www-data"', f'group = "{GROUP}"')
        office.config.write_text(text, "utf-8")
        yield made
    finally:
        made.stop()
        shutil.rmtree(home)


def opened(office: Office, name: str, customer: str | None = None) -> tuple[str, tuple[str, str]]:
    """A contract with a space: its number, and what the member logs in with."""
    number = joined(office) if customer is None else contract(office, customer, opened_on=TODAY)
    answer = office.ok(*on(TODAY), "web-space", "open", number, "--name", name)
    return number, (name, answer["password"])


PAGE = "<!DOCTYPE html><title>太郎</title>".encode()


@pytest.mark.req("ISP-20", "ISP-22")
def test_isp_20_a_web_space_lives_with_its_contract(office: Office, nginx: Nginx) -> None:
    number, taro = opened(office, "taro")
    nginx.start()
    empty = nginx("GET", "taro", "/")
    assert empty.status == 403 and b"0120-000-000" in empty.body, "nothing has been uploaded"

    assert nginx("PUT", "taro", "/index.html", body=PAGE).status == 401
    assert nginx("PUT", "taro", "/index.html", ("taro", "wrong"), PAGE).status == 401
    assert nginx("PUT", "taro", "/index.html", taro, PAGE).status == 201
    shown = nginx("GET", "taro", "/")
    assert (shown.status, shown.body) == (200, PAGE)
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert "strict-transport-security" in shown.headers

    new = ("taro", office.ok(*on(TODAY), "web-space", "reissue", number)["password"])
    assert nginx("PUT", "taro", "/a.txt", taro, b"a").status == 401, "the old password is dead"
    assert nginx("PUT", "taro", "/a.txt", new, b"a").status == 201

    office.ok(*on(TODAY), "contract", "suspend", number)
    office.ok(*on(TODAY), "daily")
    barred = nginx("GET", "taro", "/")
    assert barred.status == 503
    for said in (
        "0120-000-000",
        "10:00-21:00",
        "公開は停止されています",
        "not available at present",
    ):
        assert said.encode() in barred.body
    assert nginx("PUT", "taro", "/a.txt", new, b"b").status == 503
    office.ok(*on(TODAY), "contract", "resume", number)
    office.ok(*on(TODAY), "daily")
    assert nginx("GET", "taro", "/a.txt").body == b"a"
    assert nginx("PUT", "taro", "/a.txt", new, b"b").status == 204

    office.ok(*on(TODAY), "contract", "cancel", number, "--received", TODAY)
    office.ok(*on("2026-05-01"), "daily")
    assert office.ok("web-space", "show", "taro")["remove_on"] == "2026-05-30"
    assert nginx("GET", "taro", "/").status == 503, "off the net from the end of the contract"
    assert (nginx.root / "taro" / "public" / "a.txt").read_bytes() == b"b"
    office.ok(*on("2026-05-30"), "daily")
    gone = nginx("GET", "taro", "/")
    assert gone.status == 404 and b"0120-000-000" in gone.body
    assert not (nginx.root / "taro").exists()
    kept = nginx.home / "web-archive" / "taro@2026-05-30"
    assert (kept / "public" / "a.txt").read_bytes() == b"b", "never deleted at once"
    assert office.ok(*on("2026-05-30"), "check")["ok"]
    office.ok(*on("2026-08-28"), "daily")
    assert not kept.exists(), "after the days in the archive"
    assert [each["act"] for each in acts(office, "taro")] == [
        *("web-space.opened", "web-space.password-reissued", "web-space.suspended"),
        *("web-space.resumed", "web-space.closed", "web-space.removed"),
    ]
    other = contract(office, member(office, "2026-08-28", email="jiro@example.com"), "2026-08-28")
    refused = office.refused("web-space", "open", other, "--name", "taro")
    assert refused.startswith("name: taro is or was another member's")


@pytest.mark.req("ISP-20")
def test_isp_20_members_reach_their_own_space_only(office: Office, nginx: Nginx) -> None:
    _, taro = opened(office, "taro")
    _, jiro = opened(office, "jiro", member(office, email="jiro@example.com"))
    nginx.start()
    secret = nginx.root / "secret.txt"
    secret.write_text("nobody's")
    secret.chmod(0o644)
    (nginx.root / "taro" / "public" / "link.txt").symlink_to(secret)
    (nginx.root / "taro" / "public" / "loop").symlink_to(nginx.root)
    assert nginx("PUT", "jiro", "/index.html", jiro, b"jiro").status == 201

    assert nginx("PUT", "jiro", "/index.html", taro, b"x").status == 401
    assert nginx("PUT", "jiro", "/index.html", ("jiro", taro[1]), b"x").status == 401
    assert nginx("DELETE", "jiro", "/index.html", taro).status == 401
    assert nginx("PROPFIND", "jiro", "/", taro).status == 401
    assert nginx("PUT", "nobody", "/index.html", taro, b"x").status == 404
    for tried in (
        *("/../../jiro/public/x", "/%2e%2e/%2e%2e/jiro/public/x", "/..%2f..%2fjiro/public/x"),
        *("/a/../../../jiro/public/x", "/%2e%2e%5cjiro/x", "/..;/x", "//../x"),
    ):
        nginx("PUT", "taro", tried, taro, b"x")
        assert nginx("GET", "taro", tried.replace("x", "index.html")).body != b"jiro"
    there = f"https://taro.{HOST}:{nginx.port}"
    for destination in (
        *(f"{there}/../../jiro/public/moved", f"{there}/%2e%2e/%2e%2e/jiro/public/moved"),
        *(f"https://jiro.{HOST}:{nginx.port}/moved", "/../../jiro/public/moved"),
        *(f"{there}/..%2f..%2fjiro/public/moved", f"{there}/%2e%2e/%2e%2e/.passwords/moved"),
    ):
        nginx("PUT", "taro", "/mine.txt", taro, b"mine")
        for method in ("COPY", "MOVE"):
            nginx(method, "taro", "/mine.txt", taro, Destination=destination)
    everything = {
        str(file.relative_to(nginx.root)) for file in nginx.root.rglob("*") if file.is_file()
    }
    outside = {each for each in everything if not each.startswith("taro/public/")}
    assert outside == {
        *(".lock", "secret.txt", "jiro/public/index.html"),
        *(".passwords/taro", ".passwords/jiro"),
    }
    assert nginx("GET", "taro", "/link.txt").status == 403, "links are not followed"
    assert nginx("GET", "taro", "/loop/secret.txt").status == 404
    assert b"nobody's" not in nginx("GET", "taro", "/loop/.passwords/jiro").body


@pytest.mark.req("ISP-20")
def test_isp_20_a_program_for_uploads_finds_its_way(office: Office, nginx: Nginx) -> None:
    """Folders, listing, moving, deleting (RFC 4918), and what nobody may do to a space."""
    _, taro = opened(office, "taro")
    nginx.start()
    there = f"https://taro.{HOST}:{nginx.port}"
    assert "PROPFIND" in nginx("OPTIONS", "taro", "/", taro).headers["allow"]
    assert nginx("MKCOL", "taro", "/photos/", taro).status == 201
    assert nginx("PUT", "taro", "/photos/cat.jpg", taro, b"cat").status == 201
    listed = nginx("PROPFIND", "taro", "/photos/", taro, Depth="1")
    assert listed.status == 207 and b"cat.jpg" in listed.body
    moved = nginx("MOVE", "taro", "/photos/cat.jpg", taro, Destination=f"{there}/cat.jpg")
    assert moved.status == 204 or moved.status == 201
    assert nginx("GET", "taro", "/cat.jpg").headers["content-type"] == "image/jpeg"
    assert nginx("GET", "taro", "/photos/").status == 403, "no listing for visitors"
    assert nginx("DELETE", "taro", "/photos/", taro).status == 204

    assert nginx("DELETE", "taro", "/", taro).status == 403
    copied = nginx("COPY", "taro", "/cat.jpg", taro, Destination=f"{there}/copy.jpg")
    assert copied.status == 405, "nginx follows links with it, and folders into themselves"
    assert nginx("MOVE", "taro", "/", taro, Destination=f"{there}/all/").status == 403
    assert nginx("GET", "taro", "/cat.jpg").status == 200
    script = b"<?php echo 1 + 1; ?>"
    assert nginx("PUT", "taro", "/run.php", taro, script).status == 201
    ran = nginx("GET", "taro", "/run.php")
    assert (ran.body, ran.headers["content-type"]) == (script, "application/octet-stream")
    assert nginx("POST", "taro", "/run.php", taro).status == 405
    assert nginx("PUT", "taro", "/.htaccess", taro, b"x").status == 201
    assert nginx("GET", "taro", "/.htaccess").status == 404, "hidden files are not shown"
    with socket.create_connection(("127.0.0.1", nginx.http_port), 5) as plain:
        plain.sendall(f"GET /x HTTP/1.0\r\nHost: taro.{HOST}\r\n\r\n".encode())
        said = plain.recv(4096)
    assert f"Location: https://taro.{HOST}:{nginx.port}/x".encode() in said


@pytest.mark.req("ISP-20")
def test_isp_20_a_full_space_takes_nothing_more(office: Office, nginx: Nginx) -> None:
    number = joined(office)
    answer = office.ok("web-space", "open", number, "--name", "taro", "--quota-mb", 1)
    taro = ("taro", answer["password"])
    nginx.start()
    assert nginx("PUT", "taro", "/big", taro, bytes(1_100_000)).status == 201
    [listed] = office.ok("web-space", "list", "--over-quota")
    assert (listed["name"], listed["used_mb"], listed["quota_mb"]) == ("taro", 2, 1)
    office.ok("daily")
    full = nginx("PUT", "taro", "/more", taro, b"x")
    assert full.status == 507 and "容量".encode() in full.body and b"0120-000-000" in full.body
    assert nginx("GET", "taro", "/big").status == 200
    assert nginx("DELETE", "taro", "/big", taro).status == 204
    office.ok("daily")
    assert nginx("PUT", "taro", "/more", taro, b"x").status == 201
    huge = nginx("PUT", "taro", "/huge", taro, Content_Length=str(101 * 1024 * 1024))
    assert huge.status == 413

    rendered = nginx.home / "nginx"
    nginx.office.ok("web-space", "render", "-o", rendered)
    assert (rendered / "projects").read_text() == f"100001:{nginx.root}/taro\n"
    assert (rendered / "projid").read_text() == "web-taro:100001\n"
    assert (rendered / "limits").read_text() == "limit -p bhard=1m web-taro\n"


def test_isp_20_the_old_address_leads_to_the_space(office: Office, nginx: Nginx) -> None:
    opened(office, "taro")
    nginx.start()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection(("127.0.0.1", nginx.port), 5)
    with context.wrap_socket(raw, server_hostname=HOST) as wire:
        wire.sendall(f"GET /~taro/a HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
        assert f"Location: https://taro.{HOST}:{nginx.port}/".encode() in wire.recv(4096)
