"""Web space [ホームページ]: names, what a contract entitles to, and nginx's configuration (ISP-20).

One space per contract, opened when the member asks, closed with the contract. Each has a host of
its own, so that a page of one member cannot act for another (docs/decisions/0041).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Final

from isp.documents import environment
from isp.errors import Refused
from isp.policy import Desk, Operator
from provisioning.wanted import Action, ContractState, Status, removal_day

RESERVED: Final = frozenset(
    {
        *("abuse", "admin", "administrator", "api", "autoconfig", "autodiscover", "billing", "cdn"),
        *("dav", "dns", "ftp", "help", "hostmaster", "imap", "info", "isp", "localhost", "login"),
        *(
            "mail",
            "member",
            "members",
            "mta-sts",
            "mx",
            "news",
            "noc",
            "ns",
            "ns1",
            "ns2",
            "official",
        ),
        *("pop", "pop3", "portal", "postmaster", "root", "secure", "security", "shop", "smtp"),
        *("ssl", "status", "support", "system", "test", "webdav", "webmail", "webmaster", "wpad"),
        *("www", "www1", "www2"),
    }
)
"""Names that visitors, mail programs or certificate authorities take for the operator's own."""

PROJECTS_FROM: Final = 100_000
"""Project IDs of the file system's quota begin here, beyond those given by hand."""


@dataclass(frozen=True, slots=True)
class SpaceState:
    """What of a space is decided: `remove_on` is the first day on which it is to be gone.

    A suspended space without such a day is suspended because its contract is.
    """

    status: Status
    remove_on: date | None = None


@dataclass(frozen=True, slots=True)
class Space:
    """A space as the web server has to know it; `number` is unique and never changes."""

    number: int
    name: str
    status: Status
    password_hash: str
    quota_mb: int


def space_name(text: str) -> str:
    """The name of a space, as it stands in its host name: 3 to 32 of a-z, 0-9 and hyphens inside."""
    name = text.strip().lower()
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{1,30}[a-z0-9]", name):
        raise Refused(
            "name",
            f"{text!r}: write 3 to 32 letters a-z, digits and hyphens, no hyphen at the ends",
        )
    if name[2:4] == "--":
        raise Refused(
            "name", f"{name}: hyphens in 3rd and 4th place mean another script (RFC 5891)"
        )
    if name in RESERVED:
        raise Refused(
            "name", f"{name} is reserved, visitors would take it for ours; choose another"
        )
    return name


def for_space(
    contract: ContractState, space: SpaceState, today: date, grace_days: int
) -> Action | None:
    """The one thing to do about a space tonight, or nothing.

    When the contract is over the pages are taken from the net, and kept for the days of grace; a
    day of removal that has been set is kept.
    """
    if space.status == "removed":
        return None
    remove_on = space.remove_on
    if remove_on is None and contract.ended_on is not None:
        remove_on = removal_day(contract.ended_on, grace_days)
    if remove_on is not None and remove_on <= today:
        return Action("remove", remove_on)
    if remove_on != space.remove_on:
        return Action("schedule", remove_on)
    if contract.status == "suspended" and space.status == "active":
        return Action("suspend")
    waits = space.status == "suspended" and remove_on is None
    return Action("resume") if waits and contract.status in ("applied", "active") else None


def space_after(space: SpaceState, action: Action) -> SpaceState:
    """The space once the action is done; one that is to be removed is off the net at once."""
    if action.act == "resume":
        return SpaceState("active")
    if action.act == "suspend":
        return SpaceState("suspended", space.remove_on)
    return SpaceState("removed" if action.act == "remove" else "suspended", action.remove_on)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServer:
    """What nginx needs to know; paths are absolute."""

    host: str
    root: PurePosixPath
    folder: PurePosixPath
    certificate: PurePosixPath
    key: PurePosixPath
    group: str
    quota_mb: int
    listen: str = "*"
    port: int = 443
    http_port: int = 80


_PAGES: Final = {
    "404": (
        "ページが見つかりません",
        "お探しのページはありません。アドレスをご確認ください。",
        "There is no such page. Please check the address.",
    ),
    "503": (
        "このホームページは現在ご覧いただけません",
        "このホームページの公開は停止されています。このホームページの会員の方は、"
        "サポートデスクへお電話ください。",
        "This web site is not available at present. If it is yours, please call the support desk.",
    ),
    "507": (
        "容量がいっぱいです",
        "ホームページの容量の上限を超えているため、保存できません。不要なファイルを削除してください。"
        "空きは翌朝までに反映されます。",
        "This web space is full, so nothing can be added. Please delete what is not needed; "
        "uploads are possible again by the next morning.",
    ),
}
"""Pages by their status: title, Japanese, English."""


def web_server_files(
    server: WebServer, spaces: Sequence[Space], operator: Operator, desk: Desk
) -> dict[str, str]:
    """nginx's configuration, its pages, and quotas for the file system, by file name (ISP-22)."""
    if not server.host:
        raise Refused("web_space.host", "is empty: name the host under which spaces are served")
    for knob in ("root", "folder", "certificate", "key"):
        path = str(getattr(server, knob))
        if not re.fullmatch(r"/[A-Za-z0-9._/+@-]{0,200}", path):
            raise Refused(knob, f"{path!r}: write a whole path of ASCII letters, digits and ._+@-")
    if not re.fullmatch(r"\*|[0-9.]{7,15}|\[[0-9a-f:]{2,39}\]", server.listen):
        raise Refused("listen", f"{server.listen!r} is no address: 192.0.2.1, [2001:db8::1] or *")
    templates = environment()
    values = {name: getattr(server, name) for name in WebServer.__slots__} | {
        "desk": desk,
        "addresses": ("*", "[::]") if server.listen == "*" else (server.listen,),
    }
    files = {
        name: templates.get_template(f"web_space/{name}.j2").render(values)
        for name in ("web-space.conf", "README.txt")
    }
    page = templates.get_template("web_space/page.html.j2")
    for status, (title, ja, en) in _PAGES.items():
        files[f"pages/{status}.html"] = page.render(
            title=title, ja=ja, en=en, operator=operator, desk=desk
        )
    return files | quota_files(server.root, spaces)


def quota_files(root: PurePosixPath, spaces: Sequence[Space]) -> dict[str, str]:
    """Project quotas of XFS and ext4: `projects` and `projid` as in /etc, `limits` for xfs_quota."""
    kept = [space for space in spaces if space.status != "removed"]
    lines = {
        "projects": [f"{PROJECTS_FROM + each.number}:{root}/{each.name}" for each in kept],
        "projid": [f"web-{each.name}:{PROJECTS_FROM + each.number}" for each in kept],
        "limits": [f"limit -p bhard={each.quota_mb}m web-{each.name}" for each in kept],
    }
    return {name: "".join(f"{line}\n" for line in each) for name, each in lines.items()}
