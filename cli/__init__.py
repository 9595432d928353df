"""The command line: one file per noun, `app.py` holds clock, config and transaction."""
