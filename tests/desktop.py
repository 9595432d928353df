"""A desktop for tests: an X server without a screen, and Thunderbird on it, on an empty profile.

Use:

    with Screen() as screen, Thunderbird(screen, folder, hosts, authority) as program:
        program.fill("#email", "taro@example.jp")        # by the mouse and the keys of xdotool
        program.click("#forward")
        program.wait_for("seen('#password')")            # JavaScript in its window, for its value

What a member does is done by mouse and keys; what a test has to see is asked over Marionette, the
program's own remote control (length, colon, JSON: firefox-source-docs.mozilla.org, "Marionette").
Nothing waits for a fixed time, and all of it ends after SECONDS. What was on the screen when
something did not happen is in `folder`/screen.png.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

WHERE = "/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS = 90
"""How long one Thunderbird may live, on a machine that does much else."""
LOOKS = """
function* every(selector, within = document) {
  yield* within.querySelectorAll(selector);
  for (const each of within.querySelectorAll("*")) {
    const inside = each.shadowRoot || each.contentDocument;
    if (inside) yield* every(selector, inside);
  }
}
const seen = selector => {
  for (const each of every(selector)) {
    if (each.getClientRects().length && !each.disabled) return each;
  }
  return null;
};
const text = selector => {
  const found = seen(selector);
  const shown = found?.contentDocument ? found.contentDocument.body : found;
  return shown?.textContent.trim() ?? "";
};
const middle = selector => {
  const found = seen(selector);
  if (!found) return null;
  const rectangle = found.getBoundingClientRect();
  const x = rectangle.x + rectangle.width / 2;
  const y = rectangle.y + rectangle.height / 2;
  const top = found.getRootNode().elementFromPoint(x, y);
  if (!found.contains(top)) return null;
  const { mozInnerScreenX, mozInnerScreenY } = found.ownerDocument.defaultView;
  return [Math.round(mozInnerScreenX + x), Math.round(mozInnerScreenY + y)];
};
"""
"""By a CSS selector, and also inside of other elements: the first that can be seen, what it says, and
where to click it, unless something covers it."""


def program(name: str) -> str:
    found = shutil.which(name, path=WHERE)
    if found is None:
        raise RuntimeError(f"{name} is not installed: run `make system-packages`")
    return found


class Screen:
    """Xvfb on a display number that it chooses itself."""

    def __enter__(self) -> Self:
        reads, writes = os.pipe()
        self._process = subprocess.Popen(
            [
                *(program("Xvfb"), "-displayfd", str(writes), "-screen", "0", "1280x1024x24"),
                *("-nolisten", "tcp", "-noreset", "-r"),  # -r: a busy machine repeats no key
            ],
            pass_fds=[writes],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(writes)
        with open(reads) as told:
            number = told.readline().strip()
        if not number:
            self.__exit__()
            raise RuntimeError("Xvfb does not start")
        self.environment = {"PATH": WHERE, "LC_ALL": "C.UTF-8", "DISPLAY": f":{number}"}
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)

    def do(self, *words: object) -> None:
        """An act of `xdotool`."""
        done = subprocess.run(
            [program("xdotool"), *(str(word) for word in words)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=20,
        )
        if done.returncode:
            raise RuntimeError(f"xdotool {words[0]}: {done.stderr}")

    def type(self, text: str) -> None:
        """Real keys, for whatever has the focus."""
        self.do("type", "--delay", 5, "--", text)

    def press(self, *keys: str) -> None:
        """Such as `Tab`, `ctrl+Return`."""
        self.do("key", *keys)

    def click(self, x: int, y: int) -> None:
        self.do("mousemove", x, y, "click", 1)

    def picture(self, file: Path) -> None:
        """What is on the screen, for a person who wonders."""
        command = [program("import"), "-window", "root", str(file)]
        subprocess.run(command, env=self.environment, check=True, timeout=20)


PREFS: dict[str, str | int | bool] = {
    # Marionette on a free port, and none of the settings that it would make for tests of pages.
    "marionette.port": 0,
    "remote.prefs.recommended": False,
    # Nothing to the outside: a proxy that is not there, for all but this machine.
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.policy.dataSubmissionPolicyBypassNotification": True,
    "app.update.enabled": False,
    "mail.inappnotifications.enabled": False,
    # No pages and questions of the first start.
    "mail.shell.checkDefaultClient": False,
    "mailnews.start_page.enabled": False,
    "mail.rights.version": 1,
    "intl.locale.requested": "en-US",
}
"""What makes a profile one of a test machine, and says nothing about mail."""


class Thunderbird:
    """Thunderbird with an empty profile, but for PREFS, `hosts` and an `authority` to be trusted.

    `hosts` are names, such as of a web server, that stand for this machine.
    """

    def __init__(
        self, screen: Screen, folder: Path, hosts: Sequence[str], authority: Path | None
    ) -> None:
        self.screen, self.folder = screen, folder
        self.profile = folder / "profile"
        self.profile.mkdir(parents=True)
        ours = ",".join(hosts)
        prefs = PREFS | {"network.dns.localDomains": ours, "network.proxy.no_proxies_on": ours}
        lines = (
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
            for name, value in prefs.items()
        )
        (self.profile / "user.js").write_text("".join(lines), "utf-8")
        if authority is not None:
            self._trust("-N", "--empty-password")
            self._trust("-A", "-n", "authority", "-t", "C,,", "-i", str(authority))

    def _trust(self, *words: str) -> None:
        command = [program("certutil"), *words, "-d", f"sql:{self.profile}"]
        subprocess.run(command, check=True, capture_output=True, timeout=20)

    def __enter__(self) -> Self:
        self._end = time.monotonic() + SECONDS
        log = (self.folder / "thunderbird.log").open("wb")
        self._process = subprocess.Popen(
            [
                *(program("thunderbird"), "--profile", str(self.profile), "--no-remote"),
                *("--marionette", "--remote-allow-system-access"),
            ],
            env=self.screen.environment | {"HOME": str(self.folder), "NO_AT_BRIDGE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self._socket = socket.socket()
        try:
            self._connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=10)

    def _connect(self) -> None:
        file = self.profile / "MarionetteActivePort"
        while not (file.exists() and file.read_text()):
            if self._process.poll() is not None or time.monotonic() > self._end:
                raise RuntimeError(f"Thunderbird does not start: {self.said()}")
            time.sleep(0.05)
        self._socket.settimeout(SECONDS)
        self._socket.connect(("127.0.0.1", int(file.read_text())))
        self._number = 0
        self._receive()
        self.command("WebDriver:NewSession")
        self.command("Marionette:SetContext", value="chrome")

    def said(self) -> str:
        return (self.folder / "thunderbird.log").read_text("utf-8", "replace")[-3000:]

    # A member's acts

    def click(self, selector: str) -> None:
        """Click an element, once it is there, is enabled, and has come to rest."""
        places: list[Any] = [None]

        def rests() -> bool:
            places.append(self.run("return middle(arguments[0])", selector))
            return places[-1] is not None and places[-1] == places[-2]

        self.until(rests, f"{selector} cannot be clicked")
        self.screen.click(*places[-1])

    def fill(self, selector: str, value: str) -> None:
        """Type into a field in place of what is in it."""
        self.click(selector)
        self.screen.press("ctrl+a")
        self.screen.type(value)
        self.wait_for(f"seen({json.dumps(selector)})?.value === {json.dumps(value)}")

    def write(self, selector: str, text: str) -> None:
        """Type into an editor."""
        self.click(selector)
        self.screen.type(text)
        self.wait_for(f"text({json.dumps(selector)}) === {json.dumps(text)}")

    # What a test sees

    def until(self, condition: Callable[[], Any], why: str) -> Any:
        """What the condition gives, once it is true; `why` is the fault when time is up."""
        while not (value := condition()):
            if time.monotonic() > self._end:
                self.screen.picture(self.folder / "screen.png")
                raise AssertionError(f"{why}: see {self.folder}/screen.png; {self.said()}")
            time.sleep(0.05)
        return value

    def wait_for(self, expression: str) -> Any:
        """The value of JavaScript in the window, once it is a true one."""
        return self.until(lambda: self.run(f"return {expression}"), f"not true: {expression}")

    def turn_to(self, document: str) -> None:
        """Look at the window that shows this document from now on."""
        self.until(lambda: self._turned_to(document), f"no window shows {document}")

    def _turned_to(self, document: str) -> bool:
        for window in self.windows():
            with suppress(RuntimeError):  # it has gone meanwhile
                self.command("WebDriver:SwitchToWindow", handle=window)
                if self.run("return document.documentURI").endswith(f"/{document}"):
                    return True
        return False

    def windows(self) -> list[str]:
        found: list[str] = self.command("WebDriver:GetWindowHandles")
        return found

    def prefs(self) -> dict[str, str | int | bool]:
        """What stands in the profile's prefs.js."""
        self.run("Services.prefs.savePrefFile(null)")
        lines = (self.profile / "prefs.js").read_text("utf-8")
        written = re.findall(r'^user_pref\((".*?"), (.*)\);$', lines, re.MULTILINE)
        return {json.loads(name): json.loads(value) for name, value in written}

    # Remote control

    def run(self, script: str, *words: object) -> Any:
        """What JavaScript returns in the window."""
        return self.command("WebDriver:ExecuteScript", script=LOOKS + script, args=words)

    def command(self, name: str, **words: object) -> Any:
        self._number += 1
        written = json.dumps([0, self._number, name, words]).encode()
        self._socket.sendall(b"%d:%b" % (len(written), written))
        _, number, wrong, answer = self._receive()
        if wrong or number != self._number:
            raise RuntimeError(f"{name}: {wrong}")
        return answer.get("value") if isinstance(answer, dict) else answer

    def _receive(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            length += self._bytes(1)
        return json.loads(self._bytes(int(length[:-1])))

    def _bytes(self, count: int) -> bytes:
        read = bytearray()
        while len(read) < count:
            more = self._socket.recv(count - len(read))
            if not more:
                raise RuntimeError(f"Thunderbird has gone: {self.said()}")
            read += more
        return bytes(read)
