"""Figures of the steps: what each shows, that nothing leaves its place, and that no text is lost."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp import policy
from isp.documents import Language, printable
from provisioning import figures, guides
from provisioning.client_files import client_of, clients
from provisioning.figures import WIDTH, balanced, button, figure, text_width, wrapped
from provisioning.settings import Settings, connection_settings, settings_for
from provisioning.steps import Control, Field, Step

POLICY = policy.parse(policy.profile_text("consumer-isp"))
ADDRESS, CONNECTION = "hanako.yamada@example.jp", "k00000001@ppp.example.jp"
LANGUAGES: tuple[Language, ...] = ("ja", "en")
SVG = "{http://www.w3.org/2000/svg}"
EVERY = [(client.key, language) for client in clients() for language in LANGUAGES]


def made(
    key: str, language: Language, name: str = "山田 花子", address: str = ADDRESS
) -> guides.Guide[Settings]:
    client = client_of(key)
    if client.kind == "mail":
        own: Settings = settings_for(address, name, POLICY.mail, legacy=client.legacy)
    else:
        own = connection_settings(CONNECTION, "b-flets", language)
    return guides.guide_for(key, own, language, POLICY.desk, POLICY.operator)


def read(svg: str) -> ElementTree.Element:
    """The drawing; refused by the parser where it is not well-formed."""
    return ElementTree.fromstring(svg)


def lines(svg: str) -> list[str]:
    return [text.text or "" for text in read(svg).iter(f"{SVG}text")]


def shown(svg: str) -> str:
    """All that is written, as one text without blanks."""
    return re.sub(r"\s", "", "".join(lines(svg)))


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def step(*fields: Field, text: str = "[OK] をクリックします。", path: str = "設定") -> Step:
    return Step((path,), fields, text)


# What every figure shows


@pytest.mark.req("ISP-16", "ISP-17", "ALL-05")
@pytest.mark.parametrize(("key", "language"), EVERY)
def test_isp_17_each_figure_shows_its_step_with_the_members_own_values(
    key: str, language: Language
) -> None:
    guide = made(key, language)
    for each in guide.steps:
        svg = figure(each, guide.title)
        if not svg:
            assert not each.fields and not each.commands and len(each.path) == 1
            continue
        drawing, said = read(svg), shown(svg)
        assert drawing.get("role") == "img"
        way = " › ".join(each.path)
        assert drawing.get("aria-label") == drawing.findtext(f"{SVG}title") == way
        if each.commands:
            assert said == squeezed(each.path[-1] + "".join(f"${it}" for it in each.commands))
            continue
        if each.drawing != "wiring":
            assert squeezed(each.path[-1]) in said
        for field in each.fields:
            assert squeezed(field.value) in said
            # What is chosen by a click is drawn as the button alone, not as a list beside it.
            clicked = field.control == "choice" and field.value == button(each.text)
            assert (squeezed(field.label) in said) != clicked
        if language == "en" and guide.kind == "connection":
            assert not re.search("[\u3041-\u30ff\u4e00-\u9fff]", said)


@pytest.mark.parametrize(("key", "language"), EVERY)
def test_a_figure_needs_no_other_file_and_nothing_runs_in_it(key: str, language: Language) -> None:
    guide = made(key, language)
    for each in guide.steps:
        svg = figure(each, guide.title)
        for element in read(svg).iter() if svg else ():
            assert element.tag.removeprefix(SVG) in guides_shapes()
            assert not [name for name in element.attrib if name == "id" or name.startswith("on")]
        assert svg.count("http") == bool(svg)  # the name space alone
        assert not re.search(r"url\(|href|style=|%s", svg)


def guides_shapes() -> set[str]:
    return {"svg", "title", "rect", "circle", "path", "text"}


@pytest.mark.parametrize(("key", "language"), EVERY)
def test_nothing_leaves_its_figure(key: str, language: Language) -> None:
    guide = made(key, language, name="W" * 80, address=f"{'w' * 64}@{'long.' * 8}example.jp")
    for each in guide.steps:
        svg = figure(each, guide.title)
        if not svg:
            continue
        drawing = read(svg)
        tall = float(drawing.get("height", "0"))
        assert drawing.get("viewBox") == f"0 0 {WIDTH} {tall:g}"
        for element in drawing.iter():
            x, y = float(element.get("x", "0")), float(element.get("y", "0"))
            if element.tag == f"{SVG}rect":
                assert x >= 0 and x + float(element.get("width", "0")) <= WIDTH
                assert y >= 0 and y + float(element.get("height", "0")) <= tall
            if element.tag == f"{SVG}text":
                mono = "Mono" in element.get("font-family", "")
                wide = text_width(element.text or "", mono=mono) * float(
                    element.get("font-size", "0")
                )
                left = x - wide / 2 if element.get("text-anchor") == "middle" else x
                assert left >= 0 and left + wide <= WIDTH
                assert 0 < y <= tall


# Controls


def marked(svg: str) -> int:
    return svg.count(f'fill="{figures._MARK}"')


@pytest.mark.parametrize(
    ("control", "fill", "marks"),
    [("text", 1, 1), ("secret", 1, 1), ("choice", 1, 0), ("empty", 1, 0)],
)
def test_what_is_typed_is_marked(control: Control, fill: int, marks: int) -> None:
    svg = figure(step(Field("サーバー", "imap.example.jp", control=control)), "")
    assert marked(svg) == marks
    assert "サーバー" in lines(svg) and "imap.example.jp" in lines(svg)
    assert svg.count("<circle") == (8 if control == "secret" else 0)
    assert ("stroke-dasharray" in svg) is (control == "empty")


def test_a_box_is_ticked_only_where_the_step_says_so() -> None:
    def of(control: Control) -> str:
        return figure(step(Field("認証が必要", "値", control=control)), "")

    tick = "l3.5 4 6-7.5"
    assert [tick in of(each) for each in ("ticked", "unticked", "maybe", "on", "off")] == [
        *(True, False, False, False, False)
    ]
    assert of("on") != of("off")


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize("language", LANGUAGES)
def test_isp_17_steps_have_the_controls_that_their_values_mean(language: Language) -> None:
    found = {
        field.value: field.control
        for key in ("windows-mail", "iphone", "macosx-10-6", "windows-11", "router")
        for each in made(key, language).steps
        for field in each.fields
    }
    said = {**vars(guides.words(language, "mail")), **vars(guides.words(language, "connection"))}
    wanted = {
        ADDRESS: "text",
        "587": "text",
        said["password_source"]: "secret",
        said["tick"]: "ticked",
        said["untick"]: "unticked",
        said["on"]: "on",
        "（空欄のまま）" if language == "ja" else "(leave empty)": "empty",
        "ご家族で使うときはチェックを付ける"
        if language == "ja"
        else "tick the box if your family uses it, too": "maybe",
    }
    assert {value: found.get(value) for value in wanted} == wanted


def test_a_phone_has_a_way_back_and_a_window_has_signs_to_close_it() -> None:
    field = Field("サーバー", "x")
    window = figure(Step(("a", "設定"), (field,), ""), "")
    phone = figure(Step(("a", "設定"), (field,), "", drawing="phone"), "")
    assert "m0-8l-8 8" in window and "m0-8l-8 8" not in phone
    assert "l-6 6 6 6" in phone and "l-6 6 6 6" not in window


def test_menus_are_numbered_in_their_order_and_the_last_is_marked() -> None:
    svg = figure(Step(("スタート", "設定", "ネットワーク"), (), "上の順に開きます。"), "")
    assert lines(svg) == ["1", "スタート", "2", "設定", "3", "ネットワーク"]
    assert marked(svg) == 1


def test_wiring_ends_at_the_members_own_device() -> None:
    wires = (Field("回線", "フレッツ"), Field("機器", "ONU"))
    svg = figure(Step(("配線",), wires, "つなぎます。", drawing="wiring"), "ホームルーター")
    assert lines(svg) == ["回線", "フレッツ", "機器", "ONU", "ホームルーター"]


def test_there_is_no_figure_where_there_is_nothing_to_draw() -> None:
    assert figure(Step(("確認",), (), "確かめます。"), "x") == ""
    assert lines(figure(Step(("確認",), (), "[OK] をクリックします。"), "x")) == ["確認", "OK"]


def test_a_terminal_shows_the_commands() -> None:
    svg = figure(Step(("ターミナル", "確認"), (), "", ("mbsync --list isp", "a < b & c")), "")
    assert lines(svg) == ["確認", "$", "mbsync --list isp", "$", "a < b & c"]


# The button to click


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("次のとおり入力し、[次へ] をクリックします。", "次へ"),
        ("右上の [設定] から開きます。次のとおり入力し、[続行] をクリックします。", "続行"),
        ("[続ける] をクリックし、次のとおり入力して [サインイン] をクリックします。", "サインイン"),
        ("次のとおり入力し、[接続] をクリックします。[閉じる] をクリックすれば完了です。", "接続"),
        ("パスワードを入力し、[接続]、[完了] の順にクリックします。", "接続"),
        ("次のとおり入力します。[適用]（または [OK]）、[接続] の順にクリックします。", "適用"),
        ("[設定] または [保存] をクリックします。", "設定"),
        ("[IMAP] を選び、入力します。", ""),
        ("[次へ]、[保存] の順にタップします。", "次へ"),
        ("Fill in the form and click [Connect]. Click [Close].", "Connect"),
        ("Click [Continue], fill in the form and click [Sign In].", "Sign In"),
        ("Open the menu [≡]. Fill in the form and tap [Next].", "Next"),
        ("Click [IMAP].", "IMAP"),
        ("When it is [Connected], you are done.", ""),
    ],
)
def test_the_button_is_the_one_to_click_once_the_form_is_filled_in(text: str, name: str) -> None:
    assert button(text) == name


# Lines


@given(text=st.text(max_size=120), room=st.integers(3, 40), mono=st.booleans())
def test_no_letter_is_lost_and_no_line_too_long(text: str, room: int, mono: bool) -> None:
    text = printable(text)
    found = wrapped(text, room, mono=mono)
    assert found
    assert squeezed("".join(found)) == squeezed(text)
    for line in found:
        hanging = line[-1:] if line[-1:] in figures._NOT_AT_START else ""
        assert text_width(line.removesuffix(hanging).rstrip(), mono=mono) <= room


@given(text=st.text(alphabet="abc deア設定、", max_size=60), room=st.integers(4, 20))
def test_balanced_lines_are_as_few(text: str, room: int) -> None:
    assert len(balanced(text, room)) == len(wrapped(text, room))


def test_words_stay_whole_and_marks_do_not_begin_a_line() -> None:
    assert wrapped("Incoming mail server", 9) == ("Incoming mail", "server")
    assert wrapped("受信メールサーバー。", 9) == ("受信メールサーバー。",)
    assert wrapped("ネットワークのセットアップ", 8) == ("ネットワークの", "セットアップ")
    assert wrapped("a" * 10, 3, mono=True) == ("aaaaa", "aaaaa")
    assert wrapped("hanako.yamada@example.jp", 10, mono=True) == ("hanako.yamada", "@example.jp")


def test_on_a_phone_a_finger_taps_and_no_pointer_clicks() -> None:
    phone, window = (figures._window(1, 0, (), 1, 90, phone=phone) for phone in (True, False))
    assert "<circle" in phone and "l4-3.6" not in phone
    assert "<circle" not in window and "l4-3.6" in window


# Names that mean harm


@pytest.mark.req("ISP-17")
@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        '"><image href="x"/>',
        "]]></title><b>",
        "%s %d %(x)s %%",
        "&amp;&#x41;",
        "' onload='x",
        "{address}",
    ],
)
def test_a_hostile_name_is_drawn_as_it_is(name: str) -> None:
    harmless = step(Field("名前", "x" * len(name), typed=True, control="text"), path="題")
    hostile = step(
        Field(name, name, typed=True, control="text"), path=name, text=f"[{name}] をクリック"
    )
    svg = figure(hostile, name)
    assert {element.tag for element in read(svg).iter()} == {
        element.tag for element in read(figure(harmless, "")).iter()
    }
    assert shown(svg) == squeezed(name) * (4 if button(hostile.text) == name else 3)


@given(name=st.text(max_size=60))
def test_no_name_makes_another_element(name: str) -> None:
    inert = printable(name).strip()
    svg = figure(step(Field("名前", inert, control="text"), path="題"), "")
    assert {element.tag for element in read(svg).iter()} <= {
        f"{SVG}{shape}" for shape in guides_shapes()
    }
    assert shown(svg) == squeezed(f"題名前{inert}OK")
