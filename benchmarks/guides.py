"""How many setup guides one core makes a second of its time: `python benchmarks/guides.py [guides]`.

Each is made from the start, for a member of its own: settings, guide, page.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from isp import policy
from isp.documents import Language
from provisioning import guides
from provisioning.client_files import Client, clients
from provisioning.settings import Settings, connection_settings, settings_for

POLICY = policy.parse(policy.profile_text("consumer-isp"))
LANGUAGES: tuple[Language, ...] = ("ja", "en")


def settings_of(client: Client, language: Language, ordinal: int) -> Settings:
    if client.kind == "connection":
        name = f"k{ordinal:08}@ppp.example.jp"
        return connection_settings(name, "flets-hikari-next", language)
    address, name = f"member{ordinal}@example.jp", f"会員 {ordinal}"
    return settings_for(address, name, POLICY.mail, legacy=client.legacy)


def rate(render: Callable[[guides.Guide[Settings], Language], str | bytes], number: int) -> float:
    """Guides a second, over all clients and both languages in turn."""
    every = [(client, language) for client in clients() for language in LANGUAGES]
    for warm_up in (True, False):
        started = time.process_time()
        for ordinal in range(len(every) if warm_up else number):
            client, language = every[ordinal % len(every)]
            settings = settings_of(client, language, ordinal)
            guide = guides.guide_for(client.key, settings, language, POLICY.desk, POLICY.operator)
            render(guide, language)
    return number / (time.process_time() - started)


def main(number: int) -> None:
    for name, render, share in (
        ("HTML", guides.guide_html, 1),
        ("text", guides.guide_text, 1),
        ("PDF", guides.guide_pdf, 100),
    ):
        print(f"{name}: {rate(render, max(1, number // share)):,.0f} guides/s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
