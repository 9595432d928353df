"""What follows a change of the mail side, once it is committed: servers hear of it, sessions end."""

from __future__ import annotations

from collections.abc import Sequence

from cli.app import App
from isp.errors import Fault

JOB = "mail-sessions"


def end_sessions(app: App, addresses: Sequence[str]) -> None:
    """End what members have open in Dovecot under a password or right that is no more (ISP-01).

    Without `platform.doveadm` there is no Dovecot to ask. Where it does not answer, the addresses
    are parked, and `isp daily` asks again.
    """
    from cli.daily import park, unpark
    from provisioning.sessions import NotEnded, end

    command = app.policy.platform.doveadm
    if not command or not addresses:
        return
    app.feed_servers()  # or the next log-in would be let in by the old state
    failed: list[NotEnded] = []
    with app.transaction() as session:
        for address in addresses:
            try:
                end(command, address)
                unpark(session, JOB, address)
            except NotEnded as why:
                failed.append(why)
                park(session, app.shift, JOB, address, why)
    if failed:
        raise Fault(
            f"platform.doveadm: {failed[0]}; the change is made, but what is open in Dovecot stays "
            "open until `isp daily` has asked again"
        )
