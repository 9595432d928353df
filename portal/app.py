"""The portal [設定案内サーバー]: what mail programs and members ask by HTTP, answered without a log-in.

A known address and an unknown one get the same answer in the same time, since no mailbox is
looked up. It stands behind a web server that holds the certificate and passes the Host header on.
Nothing that was asked is logged: addresses are in it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isp.documents import Language
from isp.errors import Refused
from isp.policy import Policy
from portal.domains import ServedDomains
from portal.pages import front_page, guide_page, language_of, problem_page
from portal.signing import signer
from provisioning import autoconfig
from provisioning.addresses import MailAddress
from provisioning.autoconfig import NotServed, address_at, domain_of_host
from provisioning.dns_records import sts_policy

BODY_LIMIT: Final = 64 * 1024
QUERY_LIMIT: Final = 2 * 1024
BODY_SECONDS: Final = 10
START_SECONDS: Final = 3
"""How long the first reading of the domains may hold up the start."""

HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
        b"frame-ancestors 'none'",
    ),
)
XML: Final = "text/xml; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
PROFILE: Final = "application/x-apple-aspen-config"


class Away(Exception):
    """The domains have never been read: nothing can be said yet."""


class Portal:
    """Each answer by its path; `domains.names` is all that changes between two requests."""

    def __init__(self, policy: Policy, root: Path, domains: ServedDomains) -> None:
        self.policy = policy
        self.domains = domains
        self.signer = signer(policy.web, root)
        # As many as there are domains: others are refused before.
        self.thunderbird_of = cache(partial(autoconfig.thunderbird, policy=policy))

    @property
    def served(self) -> frozenset[str]:
        if self.domains.names is None:
            raise Away
        return self.domains.names

    def routes(self) -> list[Route]:
        json_path = "/autodiscover/autodiscover.json"
        return [
            *(Route(f"/{path}", self.thunderbird) for path in autoconfig.THUNDERBIRD_PATHS),
            Route("/autodiscover/autodiscover.xml", self.outlook, methods=["POST"]),
            Route(json_path, self.redirect),
            Route(f"{json_path}/v1.0/{{email}}", self.redirect),
            Route("/mobileconfig", self.apple),
            Route(f"/{autoconfig.STS_PATH}", self.mta_sts),
            Route("/guide/{client}", self.guide),
            Route("/", self.front),
            Route("/healthz", self.health),
        ]

    # For programs ---------------------------------------------------------------------------------

    async def thunderbird(self, request: Request) -> Response:
        written = request.query_params.get("emailaddress", "")
        if written:
            domain = address_at(written, self.served, "emailaddress").domain
        else:
            domain = self._domain_of_host(request)
        return Response(self.thunderbird_of(domain), media_type=XML)

    async def outlook(self, request: Request) -> Response:
        body = await _body(request)
        try:
            address = address_at(autoconfig.outlook_asks(body), self.served, "EMailAddress")
        except NotServed as unknown:
            return _outlook_error(404, autoconfig.UNKNOWN_ADDRESS, unknown)
        except Refused as wrong:
            return _outlook_error(400, autoconfig.INVALID_REQUEST, wrong)
        return Response(autoconfig.outlook(address, self.policy.mail), media_type=XML)

    async def redirect(self, request: Request) -> Response:
        asked = {name.lower(): value for name, value in request.query_params.items()}
        written = request.path_params.get("email") or asked.get("email", "")
        try:
            domain = address_at(written, self.served, "Email").domain
            found = autoconfig.outlook_redirect(asked.get("protocol", ""), domain)
        except Refused as wrong:
            code = "InvalidProtocol" if wrong.field == "Protocol" else "InvalidEmail"
            told = json.dumps({"ErrorCode": code, "ErrorMessage": str(wrong)})
            status = 404 if isinstance(wrong, NotServed) else 400
            return Response(told, status, media_type="application/json")
        return Response(found, media_type="application/json")

    async def mta_sts(self, request: Request) -> Response:
        self._domain_of_host(request)
        return Response(sts_policy(self.policy.dns), media_type=TEXT)

    async def health(self, request: Request) -> Response:
        """Fit to answer: 503 until the domains have been read once (`served`)."""
        del request
        _ = self.served
        return Response("ok\n", media_type=TEXT)

    def _domain_of_host(self, request: Request) -> str:
        return domain_of_host(request.headers.get("host", ""), self.served)

    # For members ----------------------------------------------------------------------------------

    async def front(self, request: Request) -> Response:
        if "address" not in request.query_params:
            return _page(front_page(self.policy, self._language(request)))
        return self._for_member(request, self._front)

    async def guide(self, request: Request) -> Response:
        return self._for_member(request, self._guide)

    async def apple(self, request: Request) -> Response:
        return self._for_member(request, self._apple)

    def _front(self, request: Request, language: Language, address: MailAddress) -> Response:
        return _page(front_page(self.policy, language, address))

    def _guide(self, request: Request, language: Language, address: MailAddress) -> Response:
        page = guide_page(self.policy, language, request.path_params["client"], address)
        if page is None:
            return _page(problem_page(self.policy, language, "no-guide", address), 404)
        return _page(page)

    def _apple(self, request: Request, language: Language, address: MailAddress) -> Response:
        profile = autoconfig.apple(address, self.policy, language)
        if self.signer is not None:
            profile = autoconfig.signed(profile, self.signer)
        name = {"content-disposition": 'attachment; filename="mail.mobileconfig"'}
        return Response(profile, media_type=PROFILE, headers=name)

    def _for_member(
        self, request: Request, answer: Callable[[Request, Language, MailAddress], Response]
    ) -> Response:
        """The answer for a well-formed address of ours; else the page that says what to correct."""
        language = self._language(request)
        written = request.query_params.get("address", "")
        try:
            return answer(request, language, address_at(written, self.served, "address"))
        except NotServed:
            return _page(problem_page(self.policy, language, "not-served"), 404)
        except Refused:
            return _page(problem_page(self.policy, language, "malformed"), 400)
        except Away:
            return _page(problem_page(self.policy, language, "away"), 503)

    def _language(self, request: Request) -> Language:
        return language_of(
            request.query_params.get("lang", ""),
            request.headers.get("accept-language", ""),
            self.policy.language,
        )


def _page(html: str, status: int = 200) -> Response:
    return Response(html, status, media_type=HTML)


def _outlook_error(status: int, code: int, wrong: Refused) -> Response:
    return Response(autoconfig.outlook_error(code, str(wrong)), status, media_type=XML)


async def _body(request: Request) -> bytes:
    """What was posted, up to its limit, and within its time."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise HTTPException(413)
    except TimeoutError:
        raise HTTPException(408) from None
    except ClientDisconnect:
        raise HTTPException(400) from None
    return bytes(body)


# Around all answers -------------------------------------------------------------------------------


async def _refused(request: Request, wrong: Exception) -> Response:
    """In one line: which field, what is wrong with it (ALL-04)."""
    del request
    return Response(f"{wrong}\n", 404 if isinstance(wrong, NotServed) else 400, media_type=TEXT)


async def _away(request: Request, wrong: Exception) -> Response:
    del request, wrong
    return Response("domains: not known yet, try again\n", 503, media_type=TEXT)


class Guarded:
    """Limits before, headers after; Outlook writes its path in capitals as it likes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        path = scope["path"]
        if len(scope["query_string"]) > QUERY_LIMIT or len(path) > QUERY_LIMIT:
            answer: ASGIApp = Response("address: too long\n", 414, media_type=TEXT)
        elif _announced(scope) > BODY_LIMIT:
            answer = Response("body: too long\n", 413, media_type=TEXT)
        else:
            answer = self.app
            if path[:14].lower() == "/autodiscover/":
                scope = {**scope, "path": path.lower()}
        await answer(scope, receive, with_headers)


def _announced(scope: Scope) -> int:
    """The length of the body as its header says; the parser has checked that it is a number."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


def portal(policy: Policy, root: Path, url: str) -> Guarded:
    """The ASGI app for a policy, the folder that its paths count from, and a database."""
    domains = ServedDomains(url, policy.web.refresh_seconds)

    @asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        domains.start()
        await asyncio.to_thread(domains.wait, START_SECONDS)
        yield
        domains.stop()

    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        Refused: _refused,
        Away: _away,
    }
    routes = Portal(policy, root, domains).routes()
    return Guarded(Starlette(routes=routes, exception_handlers=handlers, lifespan=running))
