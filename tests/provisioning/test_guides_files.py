"""Configuration files of the command line's mail programs, read by the programs themselves."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp import policy
from isp.documents import printable
from isp.errors import Refused
from provisioning import guides
from provisioning.client_files import Syntax, client_from, client_of, clients
from provisioning.settings import settings_for

POLICY = policy.parse(policy.profile_text("consumer-isp"))
ADDRESS = "hanako.yamada+1@example.jp"
KEYS = [client.key for client in clients() if client.files]
HOSTILE = [
    'Taro "T" Yamada',
    "`touch broken`",
    "$(touch broken) $HOME ${HOME}",
    '" ; set real_name = "x',
    '"\nset shell = "x"',
    "back\\slash \\\\ and \\",
    "\\",
    "'; touch broken; '",
    "#not a comment {password}",
    "山田 花子",
    "\\n\\x41\\042",
]


def contents(key: str, name: str = "山田 花子", **servers: policy.Server) -> str:
    mail = msgspec.structs.replace(POLICY.mail, **servers)
    own = settings_for(ADDRESS, name, mail, legacy=False)
    (file,) = guides.guide_for(key, own, "ja", POLICY.desk, POLICY.operator).files
    assert file.mode == "0600"
    return file.content


def run(folder: Path, *words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A program at home in `folder`, where the member's password lies, too."""
    password = folder / ".mail-password"
    password.write_text('p"a$s`s wörd\n')
    password.chmod(0o600)
    return subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={"HOME": str(folder), "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=20,
    )


def placed(folder: Path, content: str) -> Path:
    file = folder / "configuration"
    file.write_text(content)
    file.chmod(0o600)
    return file


def neomutt(folder: Path, content: str) -> dict[str, str]:
    """Every variable of NeoMutt with its value after reading the file."""
    done = run(folder, "neomutt", "-D", "-F", placed(folder, content))
    assert (done.returncode, done.stderr) == (0, "")
    return dict(re.findall(r"^set (\w+) = (.*)$", done.stdout, re.MULTILINE))


def fetchmail(folder: Path, content: str) -> dict[str, object]:
    """The one server of the file with the one user, as fetchmail has read it."""
    done = run(folder, "fetchmail", "-f", placed(folder, content), "--configdump")
    assert done.returncode == 0, done.stderr
    (program,) = re.findall(r"^fetchmailrc = (\{.*?^\})$", done.stdout, re.MULTILINE | re.DOTALL)
    source = re.sub(r"\bTRUE\b", "True", re.sub(r"\bFALSE\b", "False", program))
    (server,) = ast.literal_eval(source)["servers"]
    (user,) = server["users"]
    return {**server, **user}


# What the programs make of them


@pytest.mark.req("ISP-17")
def test_isp_17_msmtp_sends_by_its_file_with_tls_verified(tmp_path: Path) -> None:
    file = placed(tmp_path, contents("msmtp"))
    done = run(tmp_path, "msmtp", "-C", file, "--pretend", "--debug", "x@example.com")
    assert done.returncode == 0, done.stderr
    read = dict(re.findall(r"^(\w+) += (.*)$", done.stdout, re.MULTILINE))
    wanted = {
        "host": "smtp.example.jp",
        "port": "587",
        "tls": "on",
        "tls_starttls": "on",
        "tls_trust_file": "/etc/ssl/certs/ca-certificates.crt",
        "tls_certcheck": "on",
        "auth": "PLAIN",
        "user": ADDRESS,
        "password": "*",
        "passwordeval": "cat ~/.mail-password",
        "from": ADDRESS,
    }
    assert {name: read.get(name) for name in wanted} == wanted


@pytest.mark.req("ISP-17")
def test_isp_17_fetchmail_fetches_by_its_file_with_tls_verified(tmp_path: Path) -> None:
    read = fetchmail(tmp_path, contents("fetchmail"))
    wanted = {
        "pollname": "imap.example.jp",
        "protocol": "IMAP",
        "service": "993",
        "auth": "password",
        "remote": ADDRESS,
        "password": None,
        "ssl": True,
        "sslproto": "TLS1.2+",
        "sslcertck": True,
        "sslcertfile": "/etc/ssl/certs/ca-certificates.crt",
        "keep": True,
    }
    assert {name: read.get(name) for name in wanted} == wanted


@pytest.mark.req("ISP-17")
def test_isp_17_fetchmail_finds_its_password_in_the_line_of_netrc_that_the_guide_gives(
    tmp_path: Path,
) -> None:
    own = settings_for(ADDRESS, "", POLICY.mail, legacy=False)
    guide = guides.guide_for("fetchmail", own, "en", POLICY.desk, POLICY.operator)
    (step,) = [step for step in guide.steps if step.path[-1] == "~/.netrc"]
    machine, login, _ = (field.value for field in step.fields)
    here = contents("fetchmail").replace("imap.example.jp", "127.0.0.1").replace("993", "9")
    file = placed(tmp_path, here)
    without = run(tmp_path, "fetchmail", "-f", file)
    assert "password" in without.stderr + without.stdout
    netrc = tmp_path / ".netrc"
    netrc.write_text(
        f"machine {machine} login {login} password s3cret\n".replace("imap.example.jp", "127.0.0.1")
    )
    netrc.chmod(0o600)
    with_it = run(tmp_path, "fetchmail", "-f", file)
    assert "password" not in with_it.stderr + with_it.stdout
    assert "127.0.0.1" in with_it.stderr + with_it.stdout  # it went on to connect


@pytest.mark.req("ISP-17")
def test_isp_17_mbsync_reads_its_file_up_to_the_server(tmp_path: Path) -> None:
    file = placed(tmp_path, contents("mbsync"))
    done = run(tmp_path, "mbsync", "-c", file, "--list", "isp")
    assert "imap.example.jp" in done.stderr  # there is no such server
    assert done.stderr.count("\n") == 1
    other = run(tmp_path, "mbsync", "-c", file, "--list", "other")
    assert "No channel or group named 'other'" in other.stderr


@pytest.mark.req("ISP-17")
def test_isp_17_neomutt_reads_and_sends_by_its_file_with_tls_verified(tmp_path: Path) -> None:
    read = neomutt(tmp_path, contents("neomutt", "Hanako"))
    wanted = {
        "from": f'"{ADDRESS}"',
        "real_name": '"Hanako"',
        "imap_user": f'"{ADDRESS}"',
        "smtp_user": f'"{ADDRESS}"',
        "folder": '"imaps://imap.example.jp:993/"',
        "spool_file": '"imaps://imap.example.jp:993/INBOX"',
        "smtp_url": '"smtp://smtp.example.jp:587/"',
        "ssl_force_tls": "yes",
        "ssl_verify_host": "yes",
        "ssl_ca_certificates_file": '"/etc/ssl/certs/ca-certificates.crt"',
        "imap_pass": r'"p\"a$s`s wörd"',
        "smtp_pass": r'"p\"a$s`s wörd"',
    }
    assert {name: read.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leaves_its_quotes_in_neomutt(name: str, tmp_path: Path) -> None:
    read = neomutt(tmp_path, contents("neomutt", name))
    shown = read["real_name"][1:-1]
    assert re.sub(r"\\(.)", r"\1", shown) == printable(name)
    assert not (tmp_path / "broken").exists()
    plain = neomutt(tmp_path, contents("neomutt", "x"))
    assert {**read, "real_name": ""} == {**plain, "real_name": ""}


@pytest.mark.parametrize("user", ['a"b\\c@x', "a\\", '"', "\\x41\\n@x", "a # b ' c@x"])
def test_no_user_name_leaves_its_quotes(user: str, tmp_path: Path) -> None:
    """Addresses of members have no such letters; the rule holds nevertheless."""

    def of(key: str) -> str:
        (file,) = guides.configuration_files(key, settings_for(user, "", POLICY.mail, legacy=False))
        return file.content

    assert fetchmail(tmp_path, of("fetchmail"))["remote"] == user
    assert re.sub(r"\\(.)", r"\1", neomutt(tmp_path, of("neomutt"))["imap_user"][1:-1]) == user
    sent = run(tmp_path, "msmtp", "-C", placed(tmp_path, of("msmtp")), "--pretend", "x@example.com")
    assert f"\nuser = {user}\n" in sent.stdout
    listed = run(tmp_path, "mbsync", "-c", placed(tmp_path, of("mbsync")), "--list", "isp")
    assert "imap.example.jp" in listed.stderr
    assert listed.stderr.count("\n") == 1


# The rule of escaping


def read_back(line: str, syntax: Syntax) -> str:
    """The value between the quotes as the program's own rules read it."""
    if syntax == "msmtp":  # from the first quote to the last
        return line[line.index('"') + 1 : line.rindex('"')]
    if syntax == "fetchmail":  # to the next quote, then numbers of letters
        value, rest = line[line.index('"') + 1 :].split('"', 1)
        assert rest == ""
        return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), value)
    assert syntax == "mbsync" or not re.search(r"(?<!\\)(?:\\\\)*[$`]", line)
    return shlex.split(line.replace("\\$", "$").replace("\\`", "`"))[1]


@given(value=st.text(max_size=60), syntax=st.sampled_from(["msmtp", "fetchmail", "mbsync"]))
def test_whatever_is_escaped_is_read_back_as_it_was(value: str, syntax: Syntax) -> None:
    inert = printable(value)
    line = f'user "{guides.escaped(inert, syntax)}"'
    assert "\n" not in line
    assert read_back(line, syntax) == inert


@given(value=st.text(alphabet="ab\\\"'$`; \u5c71", max_size=40))
def test_nothing_runs_between_the_quotes_of_neomutt(value: str) -> None:
    escaped = guides.escaped(value, "neomutt")
    position, read = 0, ""
    while position < len(escaped):  # as NeoMutt reads: a backslash takes the next letter as it is
        if escaped[position] == "\\":
            position += 1
        else:
            assert escaped[position] not in '"$`'
        read += escaped[position]
        position += 1
    assert read == value


# What the policy decides


@pytest.mark.parametrize("security", ["ssl", "starttls", "none"])
def test_isp_17_encryption_follows_the_policy(security: policy.Security, tmp_path: Path) -> None:
    server = policy.Server(host="mail.example.jp", port=1234, security=security)
    made = {key: contents(key, imap=server, submission=server) for key in KEYS}
    assert (
        run(
            tmp_path, "msmtp", "-C", placed(tmp_path, made["msmtp"]), "--pretend", "a@example.jp"
        ).returncode
        == 0
    )
    said = {
        "ssl": ("tls on\ntls_starttls off", "IMAPS", True, "imaps://", "smtps://"),
        "starttls": ("tls on\ntls_starttls on", "STARTTLS", False, "imap://", "smtp://"),
        "none": ("tls off\ntls_starttls off", "None", False, "imap://", "smtp://"),
    }[security]
    assert said[0] in made["msmtp"]
    assert f"SSLType {said[1]}\n" in made["mbsync"]
    read = fetchmail(tmp_path, made["fetchmail"])
    assert (read["ssl"], read["sslcertck"]) == (said[2], security != "none")
    assert read["sslproto"] == ("" if security == "none" else "TLS1.2+")
    mutt = neomutt(tmp_path, made["neomutt"])
    assert mutt["folder"] == f'"{said[3]}mail.example.jp:1234/"'
    assert mutt["smtp_url"] == f'"{said[4]}mail.example.jp:1234/"'
    assert mutt["ssl_force_tls"] == ("no" if security == "none" else "yes")


@pytest.mark.req("ISP-01")
@pytest.mark.parametrize("key", KEYS)
def test_isp_01_no_file_carries_a_password(key: str) -> None:
    said = contents(key)
    assert "password" not in client_of(key).files[0].content.replace(".mail-password", "").replace(
        "passwordeval", ""
    ).replace("auth password", "")
    assert ".mail-password" in said or key == "fetchmail"


@pytest.mark.parametrize("key", KEYS)
def test_every_form_shows_the_file_as_it_is(key: str) -> None:
    own = settings_for(ADDRESS, "Hanako & Co", POLICY.mail, legacy=False)
    guide = guides.guide_for(key, own, "en", POLICY.desk, POLICY.operator)
    (file,) = guide.files
    assert file.content in guides.guide_text(guide, "en")
    page = guides.guide_html(guide, "en")
    for line in file.content.splitlines():
        assert line.replace("&", "&amp;").replace('"', "&#34;").replace("'", "&#39;") in page


# A client's file

FILE = """
kind = "mail"
legacy = false
title.ja = "新しいソフト"
title.en = "New program"
[[steps]]
path.ja = ["設定"]
path.en = ["Settings"]
text.ja = "入力します。"
text.en = "Type."
[[files]]
path = "~/.newrc"
syntax = "msmtp"
words.tls = { ssl = "on", starttls = "on", none = "off" }
content = \"\"\"
tls {imap_tls}
user "{username}"
\"\"\"
"""


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("{username}", "{password}", "unknown placeholder {password}; there are: address, "),
        ("{imap_tls}", "{imap_ssl}", "unknown placeholder {imap_ssl}"),
        ("{username}", "}", "a brace is not part of a placeholder"),
        (', none = "off"', "", "words.tls lacks none"),
        ('none = "off"', 'no = "off"', "no"),
        ('"~/.newrc"', '"/etc/passwd"', "regex"),
        ('"~/.newrc"', '"~/.newrc"\nmode = "0644"', "0644"),
        ('syntax = "msmtp"', 'syntax = "pine"', "pine"),
        ('kind = "mail"', 'kind = "connection"', "`files` are for mail programs"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(before: str, after: str, why: str) -> None:
    client_from("new", FILE)
    assert before in FILE
    with pytest.raises(Refused) as refused:
        client_from("new", FILE.replace(before, after))
    assert refused.value.field == "clients/new.toml"
    assert why in refused.value.why
