"""Mailboxes, passwords, submission server, setup guides, access accounts."""
