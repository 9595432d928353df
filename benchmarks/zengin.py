"""How fast the bank's file is written and read: `python benchmarks/zengin.py [items]`."""

from __future__ import annotations

import resource
import sys
import time
from collections import deque
from io import BytesIO

from billing import zengin

HEADER = zengin.Header(
    "1234567890", "ｻﾝﾌﾟﾙﾈﾂﾄ(ｶ", "0123", "0001", "ﾐｽﾞﾎ", "001", "ﾄｳｷﾖｳ", "1", "1234567"
)


def item(ordinal: int, result_code: str = "0") -> zengin.Item:
    return zengin.Item(
        "0001", "ﾐｽﾞﾎ", "001", "ﾄｳｷﾖｳｴｲｷﾞﾖｳﾌﾞ", "1", f"{ordinal % 10_000_000:07d}",
        "ﾔﾏﾀﾞ ﾀﾛｳ", 4_180, "0", f"C{ordinal:08d}", result_code,
    )  # fmt: skip


def main(items: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    deque(zengin.request(HEADER, map(item, range(items)), line_end="crlf"), maxlen=0)
    took = time.perf_counter() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"written with items made: {items / took:,.0f} records/s, memory grown {grown} KiB")

    ready = [item(ordinal) for ordinal in range(min(items, 200_000))]
    started = time.perf_counter()
    content = b"".join(zengin.result(HEADER, ready, line_end="crlf"))
    print(f"written, items ready: {len(ready) / (time.perf_counter() - started):,.0f} records/s")
    started = time.perf_counter()
    found = zengin.parse(BytesIO(content))
    print(f"parsed: {len(found.items) / (time.perf_counter() - started):,.0f} records/s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 999_999)
