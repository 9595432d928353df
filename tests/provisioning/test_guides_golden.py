"""Every guide word for word, so that a change of any sentence is seen and read by a person.

After a change that is meant: `python tests/provisioning/test_guides_golden.py` writes them anew;
read the difference before you commit it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isp import policy
from isp.documents import Language
from provisioning import guides
from provisioning.client_files import Client, clients
from provisioning.settings import Settings, connection_settings, settings_for

FOLDER = Path(__file__).resolve().parent.parent / "golden" / "guides"
POLICY = policy.parse(policy.profile_text("consumer-isp"))
LANGUAGES: tuple[Language, ...] = ("ja", "en")
NAMES: dict[Language, str] = {"ja": "山田 花子", "en": "Hanako Yamada"}
WHOLE = ("windows-mail", "thunderbird", "windows-xp", "router")
LINES = {"windows-xp": "flets-adsl", "windows-vista": "b-flets"}


def settings(client: Client, language: Language) -> Settings:
    """Hanako Yamada's, over each of the three lines somewhere."""
    if client.kind == "connection":
        line = LINES.get(client.key, "flets-hikari-next")
        return connection_settings("k00000001@ppp.example.jp", line, language)
    return settings_for(
        "hanako.yamada@example.jp", NAMES[language], POLICY.mail, legacy=client.legacy
    )


def forms() -> dict[str, str]:
    """Each file's name and what it should hold: all as text, one legacy and one modern in full."""
    found = {}
    for client in clients():
        for language in LANGUAGES:
            own = settings(client, language)
            guide = guides.guide_for(client.key, own, language, POLICY.desk, POLICY.operator)
            name = f"{client.key}.{language}"
            found[f"{name}.txt"] = guides.guide_text(guide, language)
            if client.key in WHOLE:
                found[f"{name}.html"] = guides.guide_html(guide, language)
                told = guides.guide_json(guide)
                found[f"{name}.json"] = json.dumps(told, ensure_ascii=False, indent=2) + "\n"
    return found


FORMS = forms()


@pytest.mark.parametrize("name", sorted(FORMS))
def test_guide_is_word_for_word_as_read_before(name: str) -> None:
    assert FORMS[name] == (FOLDER / name).read_text("utf-8")


def test_no_guide_is_left_over() -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(FORMS)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file in FOLDER.iterdir():
        file.unlink()
    for name, text in FORMS.items():
        (FOLDER / name).write_text(text, "utf-8")
