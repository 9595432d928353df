"""The acts of the office: load, ask the rules, write, record. Nothing here commits."""
