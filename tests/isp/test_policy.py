"""The operator's policy: every knob documented in the profile, every wrong one refused by name.

The knobs are read off the types, so a knob that is added is tested with the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path

import msgspec.inspect as types
import pytest

from isp.errors import Fault, Refused
from isp.policy import Policy, load, parse, profile_names, profile_text

PROFILE = profile_text("consumer-isp")
_HEADER = re.compile(r"\[([a-z0-9_.]+)\]")
_KNOB = re.compile(r"([a-z0-9_]+) = ([^#]*?) *(#.*)?")

BAD_TEXTS = ("\\u0007", "\\n", "x\\u007f")


def _knobs(struct: types.StructType, inside: str = "") -> Iterator[tuple[str, types.Field]]:
    """Every knob by its dotted name; a section is entered, not named."""
    for knob in struct.fields:
        dotted = f"{inside}{knob.name}"
        if isinstance(knob.type, types.StructType):
            yield from _knobs(knob.type, f"{dotted}.")
        else:
            yield dotted, knob


def _sections(struct: types.StructType, inside: str = "") -> Iterator[tuple[str, types.Field]]:
    for knob in struct.fields:
        if isinstance(knob.type, types.StructType):
            dotted = f"{inside}{knob.name}"
            yield dotted, knob
            yield from _sections(knob.type, f"{dotted}.")


def _root() -> types.StructType:
    found = types.type_info(Policy)
    assert isinstance(found, types.StructType)
    return found


KNOBS = dict(_knobs(_root()))
SECTIONS = dict(_sections(_root()))
REQUIRED = sorted(name for name, knob in KNOBS.items() if knob.required)
OPTIONAL = sorted(set(KNOBS) - set(REQUIRED))


def _lines() -> Iterator[tuple[int, str, re.Match[str]]]:
    """Where each knob of the profile stands: line, dotted name, key, value and comment."""
    section = ""
    for number, line in enumerate(PROFILE.splitlines()):
        if header := _HEADER.fullmatch(line):
            section = f"{header[1]}."
        elif knob := _KNOB.fullmatch(line):
            yield number, section + knob[1], knob


PLACES = {dotted: (number, knob) for number, dotted, knob in _lines()}


def _with(dotted: str, value: str | None) -> str:
    """The profile with another value of one knob, or without the knob."""
    lines = PROFILE.splitlines()
    number, knob = PLACES[dotted]
    lines[number] = "" if value is None else f"{knob[1]} = {value}"
    return "\n".join(lines)


def _without_section(dotted: str) -> str:
    """The profile without a section and what is inside it."""
    kept, dropping = [], False
    for line in PROFILE.splitlines():
        if header := _HEADER.fullmatch(line):
            dropping = f"{header[1]}.".startswith(f"{dotted}.")
        if not dropping:
            kept.append(line)
    return "\n".join(kept)


def _refused(text: str) -> Refused:
    with pytest.raises(Refused) as refused:
        parse(text)
    assert "\n" not in str(refused.value)
    return refused.value


def test_the_profile_holds_every_knob_and_no_other() -> None:
    assert set(PLACES) == set(KNOBS)


@pytest.mark.parametrize("dotted", KNOBS)
def test_every_knob_is_documented_above_or_beside_it(dotted: str) -> None:
    """A comment beside the knob, right above it, or above its group and naming it."""
    lines = PROFILE.splitlines()
    number, knob = PLACES[dotted]
    beside = (knob[3] or "").replace("[example]", "").strip("# ")
    above = lines[number - 1].startswith("#")
    first = number
    while lines[first - 1].strip() and not lines[first - 1].startswith("["):
        first -= 1
    comments = " ".join(line for line in lines[first:number] if line.startswith("#")).casefold()
    named = re.search(rf"\b{knob[1].replace('_', ' ')}\b", comments)
    assert beside or above or named, f"{dotted} is not explained in the profile"


def _words(kind: types.Type) -> Iterator[object]:
    if isinstance(kind, types.VarTupleType):
        yield from _words(kind.item_type)
    if isinstance(kind, types.LiteralType):
        yield from kind.values


@pytest.mark.parametrize(
    ("dotted", "word"), [(dotted, word) for dotted, k in KNOBS.items() for word in _words(k.type)]
)
def test_every_word_that_a_knob_takes_is_named_in_its_section(dotted: str, word: str) -> None:
    trade, text = "", {"": ""}
    for line in PROFILE.splitlines():
        if header := _HEADER.fullmatch(line):
            trade = header[1].partition(".")[0]
        text[trade] = f"{text.get(trade, '')}{line}\n"
    section = dotted.partition(".")[0] if "." in dotted else ""
    assert f'"{word}"' in text[section], f"{dotted} takes {word!r}; the profile does not say so"


def test_what_must_be_replaced_before_real_use_is_marked_as_an_example() -> None:
    marked = {dotted for dotted, (_, knob) in PLACES.items() if "[example]" in (knob[3] or "")}
    assert marked >= {name for name in REQUIRED if name.startswith(("operator.", "transfer."))}
    assert {f"mail.{name}.host" for name in ("imap", "pop3", "submission")} <= marked


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_is_a_valid_policy_under_its_own_name(name: str) -> None:
    assert parse(profile_text(name)).profile == name


@pytest.mark.parametrize("dotted", OPTIONAL)
def test_the_default_of_a_knob_is_what_the_profile_says(dotted: str) -> None:
    assert parse(_with(dotted, None)) == parse(PROFILE)


@pytest.mark.parametrize("dotted", REQUIRED)
def test_all_04_a_missing_knob_is_refused_by_its_dotted_name(dotted: str) -> None:
    refused = _refused(_with(dotted, None))
    assert refused.field == dotted
    assert "missing" in refused.why


@pytest.mark.parametrize("dotted", SECTIONS)
def test_all_04_a_missing_section_is_refused_by_its_name_or_has_the_profiles_values(
    dotted: str,
) -> None:
    text = _without_section(dotted)
    if SECTIONS[dotted].required:
        refused = _refused(text)
        assert refused.field == dotted
        assert "missing" in refused.why
    else:
        assert parse(text) == parse(PROFILE)


def test_every_kind_of_section_is_among_those_left_out() -> None:
    assert {section.required for section in SECTIONS.values()} == {True, False}
    assert {"operator", "contract", "mail", "mail.imap", "mail.password"} <= set(SECTIONS)


@pytest.mark.parametrize("section", ["", *SECTIONS])
def test_all_04_an_unknown_knob_is_refused_by_its_dotted_name(section: str) -> None:
    text = PROFILE.replace(f"[{section}]\n", f"[{section}]\nno_such = 1\n")
    if not section:
        text = f"no_such = 1\n{PROFILE}"
    refused = _refused(text)
    assert refused.field == f"{section}.no_such".lstrip(".")
    assert "unknown" in refused.why


def test_all_04_an_unknown_section_is_refused_by_its_name() -> None:
    assert _refused(f"{PROFILE}\n[no_such]\nx = 1\n").field == "no_such"
    assert _refused(f"{PROFILE}\n[mail.no_such]\nx = 1\n").field == "mail.no_such"


def _wrong(kind: types.Type) -> list[str]:
    """Values of the wrong type, and values of the right one that are out of range."""
    if isinstance(kind, types.IntType):
        wrong = ["true", "1.0", '"1"', "[]"]
        wrong += [str(kind.ge - 1)] if kind.ge is not None else []
        wrong += [str(kind.le + 1)] if kind.le is not None else []
        return wrong
    if isinstance(kind, types.StrType):
        wrong = ["1", "true", "[]", *(f'"{text}"' for text in BAD_TEXTS)]
        wrong += ['""'] if kind.min_length else []
        wrong += [f'"{"x" * (kind.max_length + 1)}"'] if kind.max_length else []
        if kind.pattern and kind.max_length is None:  # a number or a prefix, of exact form
            wrong += ['""', '"x"', '"12345678901234567890"']
        return wrong
    if isinstance(kind, types.LiteralType):
        return ["1", '""', '"no such word"', "true"]
    if isinstance(kind, types.BoolType):
        return ["0", "1", '"true"']
    if isinstance(kind, types.TimeType):
        return ['"10:00:00"', "1000", "2026-04-01"]
    assert isinstance(kind, types.VarTupleType), kind
    inner = kind.item_type
    assert isinstance(inner, types.LiteralType | types.DateType | types.StrType), inner
    return ["1", '"x"', "[1]", '["no such word"]', '["2026-01-01"]', "[2026-01-01T10:00:00]"]


@pytest.mark.parametrize(
    ("dotted", "value"),
    [(dotted, value) for dotted, knob in KNOBS.items() for value in _wrong(knob.type)],
)
def test_all_04_a_wrong_value_is_refused_by_its_dotted_name(dotted: str, value: str) -> None:
    field = _refused(_with(dotted, value)).field
    assert field in {dotted, f"{dotted}[0]"}  # of a list, its element


@pytest.mark.parametrize(
    "dotted", [dotted for dotted, knob in KNOBS.items() if isinstance(knob.type, types.StrType)]
)
def test_all_04_a_line_break_behind_a_right_value_is_refused(dotted: str) -> None:
    """It would go on into a header of mail, or into a record of the bank's file."""
    quoted = PLACES[dotted][1][2]
    assert _refused(_with(dotted, quoted[:-1] + '\\n"')).field == dotted


def _limits(kind: types.Type) -> list[str]:
    if isinstance(kind, types.IntType):
        return [str(limit) for limit in (kind.ge, kind.le) if limit is not None]
    if isinstance(kind, types.LiteralType):
        return [f'"{word}"' for word in kind.values]
    return []


@pytest.mark.parametrize(
    ("dotted", "value"),
    [(dotted, value) for dotted, knob in KNOBS.items() for value in _limits(knob.type)],
)
def test_values_at_the_limit_are_taken(dotted: str, value: str) -> None:
    found: object = parse(_with(dotted, value))
    for name in dotted.split("."):
        found = getattr(found, name)
    assert str(found) == value.strip('"')


@pytest.mark.parametrize(
    ("dotted", "right", "wrong"),
    [
        ("contract.cutoff_day", ("1", "28"), ("0", "29", "31")),  # a day that every month has
        ("transfer.day", ("1", "28"), ("0", "29")),
        ("contract.withdrawal_days", ("8", "60"), ("7", "61")),  # the law asks for eight
        ("contract.cheapest_within_months", ("1", "120"), ("0", "121")),
        ("contract.renewal_notice_days", ("0", "366"), ("-1", "367")),
        ("transfer.fee", ("0", "10000000"), ("-1", "10000001")),
        ("mail.submission.port", ("1", "65535"), ("0", "65536")),
        ("mail.password.length", ("10", "64"), ("9", "65")),
        ("mail.quota_mb", ("1", "1000000"), ("0", "1000001")),
        ("numbers.customer", ('"C"', '"ABC"'), ('""', '"ABCD"', '"c"', '"1"', '"Ａ"')),
        (
            "operator.registration_number",
            ('"T7000012050002"',),
            ('"7000012050002"', '"T700001205000"', '"T70000120500021"', '"t7000012050002"'),
        ),
        ("operator.postal_code", ('"100-0001"',), ('"1000001"', '"100-001"', '"１００-0001"')),
        ("transfer.consignor_code", ('"0123456789"',), ('"123456789"', '"12345678901"')),
        ("transfer.bank", ('"0001"',), ('"001"', '"00001"')),
        ("transfer.branch", ('"001"',), ('"01"', '"0001"')),
        ("transfer.account_number", ('"0123456"',), ('"123456"', '"12345678"')),
        ("desk.phone", ('"0"', f'"{"0" * 200}"'), ('""', f'"{"0" * 201}"')),
        ("desk.url", ('""', f'"{"u" * 200}"'), (f'"{"u" * 201}"',)),
    ],
)
def test_all_04_the_range_of_a_knob(
    dotted: str, right: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    for value in right:
        parse(_with(dotted, value))
    for value in wrong:
        assert _refused(_with(dotted, value)).field == dotted, value


@pytest.mark.parametrize("text", ["profile = ", "[mail", "profile = 'a'\nprofile = 'b'", "\x00"])
def test_all_04_what_is_no_toml_is_refused_by_the_file_on_one_line(text: str) -> None:
    with pytest.raises(Refused, match="not valid TOML") as refused:
        parse(text, "office.toml")
    assert refused.value.field == "office.toml"
    assert "\n" not in str(refused.value)


def test_all_04_the_refusal_of_a_knob_names_the_file() -> None:
    with pytest.raises(Refused) as refused:
        parse(_with("contract.cutoff_day", "29"), "office.toml")
    assert str(refused.value) == "contract.cutoff_day: Expected `int` <= 28 (office.toml)"


def test_a_file_is_read_and_a_missing_or_unreadable_one_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "isp.toml"
    with pytest.raises(Fault, match=r"isp init.*--config"):
        load(path)
    with pytest.raises(Fault, match="cannot read"):
        load(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Fault, match="cannot read"):
        load(path)
    path.write_text(PROFILE, "utf-8")
    assert load(path) == parse(PROFILE)
    path.write_text(_with("billing.run_day", "0"), "utf-8")
    with pytest.raises(Refused, match=r"isp\.toml"):
        load(path)


@pytest.mark.parametrize("name", ["", "no-such", "../consumer-isp", "consumer-isp.toml"])
def test_all_04_an_unknown_profile_is_refused_and_the_known_ones_are_named(name: str) -> None:
    with pytest.raises(Refused, match="consumer-isp") as refused:
        profile_text(name)
    assert refused.value.field == "profile"


def test_the_numbers_of_the_specification_are_the_defaults() -> None:
    policy = parse(PROFILE)
    assert (policy.contract.cutoff_day, policy.contract.withdrawal_days) == (15, 8)
    assert policy.contract.cheapest_within_months == 36
    assert (policy.transfer.day, policy.transfer.fee) == (23, 200)
    assert policy.billing.rounding == "floor"
    assert policy.card.brands == ("jcb", "visa", "mastercard", "amex", "diners")
    assert (policy.mail.submission.port, policy.mail.submission.security) == (587, "starttls")
    assert (policy.desk.opens, policy.desk.closes) == (time(10), time(21))
    assert policy.desk.hours == "10:00-21:00"
    assert policy.language == "ja"


def test_days_on_which_the_bank_is_closed_are_dates() -> None:
    assert parse(_with("calendar.closed", "[2026-08-13, 2026-08-14]")).calendar.closed == (
        date(2026, 8, 13),
        date(2026, 8, 14),
    )
