"""Jinja2 and Typst templates; `fonts/` carries the Japanese fonts that documents embed."""
