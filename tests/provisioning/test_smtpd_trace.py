"""The header fields that a submission server adds: pure text."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isp.calendar import TOKYO
from provisioning.trace import Handover, hops, traced

AT = datetime(2026, 4, 10, 9, 30, tzinfo=TOKYO)
HANDOVER = Handover("pc.example.jp", "2001:db8::7", "smtp.example.jp", "TLSv1.3 X", "ID", AT)
RECEIVED = (
    b"Received: from pc.example.jp ([IPv6:2001:db8::7])\r\n"
    b"\tby smtp.example.jp with ESMTPSA (TLSv1.3 X)\r\n"
    b"\tid ID; Fri, 10 Apr 2026 09:30:00 +0900\r\n"
)
DATE = b"Date: Fri, 10 Apr 2026 09:30:00 +0900\r\n"
MESSAGE_ID = b"Message-ID: <ID@smtp.example.jp>\r\n"


@pytest.mark.parametrize(
    ("message", "added"),
    [
        (b"Subject: x\r\n\r\ntext\r\n", RECEIVED + DATE + MESSAGE_ID),
        (b"DATE: x\r\nSubject: x\r\n\r\ntext\r\n", RECEIVED + MESSAGE_ID),
        (b"Message-Id : x\r\n\r\ntext\r\n", RECEIVED + DATE),
        (b"Date: x\r\nMessage-ID: <x>\r\n\r\ntext\r\n", RECEIVED),
        # What stands in the text, or folded inside a field, is no field.
        (b"Subject: x\r\n\r\nDate: x\r\nMessage-ID: y\r\n", RECEIVED + DATE + MESSAGE_ID),
        (b"Subject: x\r\n Date: x\r\n\r\n", RECEIVED + DATE + MESSAGE_ID),
        (b"\r\nDate: x\r\n", RECEIVED + DATE + MESSAGE_ID),
        (b"only text\r\n", RECEIVED + DATE + MESSAGE_ID + b"\r\n"),
        (b"", RECEIVED + DATE + MESSAGE_ID + b"\r\n"),
    ],
)
def test_only_what_is_missing_is_added(message: bytes, added: bytes) -> None:
    assert traced(message, HANDOVER) == added + message


@pytest.mark.parametrize("hello", ["", "a b", "x\r\ny: z", "日本", "(", "x" * 256, "a;b"])
def test_a_name_that_is_none_is_not_repeated(hello: str) -> None:
    handover = Handover(hello, "192.0.2.7", "smtp.example.jp", "TLSv1.3 X", "ID", AT)
    assert handover.received.startswith("Received: from unknown ([192.0.2.7])\r\n")


@given(st.binary(max_size=200))
def test_the_message_itself_is_never_touched(message: bytes) -> None:
    result = traced(message, HANDOVER)
    assert result.endswith(message) and result.startswith(RECEIVED)


def test_hops_are_counted_in_the_header_alone() -> None:
    assert hops(b"Received: x\r\nRECEIVED : y\r\nX: z\r\n\r\nReceived: text\r\n") == 2
