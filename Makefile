# Everything sets itself up: `make demo` and `make test` work in a fresh clone on a bare Debian 12.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.NOTPARALLEL:

PYTHON ?= python3
BIN := .venv/bin
# Debian packages that the tests run for real; `make demo` needs none of them.
SYSTEM_PACKAGES := postgresql poppler-utils nsd \
  postfix postfix-pgsql postfix-sqlite opendkim dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-pgsql dovecot-sqlite \
  freeradius freeradius-postgresql freeradius-utils nginx-light libnginx-mod-http-dav-ext \
  swaks libnet-ssleay-perl msmtp fetchmail isync neomutt thunderbird xvfb xdotool libnss3-tools zbar-tools procmail

.PHONY: help demo test check lint docs bench migration system-packages clean

help:
	@echo 'make demo             the main job end to end, on a sample in ./demo-data'
	@echo 'make test             all tests, on SQLite and on a private PostgreSQL'
	@echo 'make check            format, lint, types, imports, command reference, and all tests'
	@echo 'make bench            what is fast, measured'
	@echo 'make docs             write docs/commands.md anew'
	@echo 'make migration NAME=  draft the next migration from changed table classes'
	@echo 'make system-packages  what the tests need of Debian (as root, or by sudo)'

demo: .venv/installed
	@rm -rf demo-data && mkdir demo-data
	@cd demo-data && ../$(BIN)/isp demo

test: .venv/installed-dev .venv/system-packages
	@$(BIN)/pytest

# The quick ones first; `make check test` runs the tests once.
check: lint test

lint: .venv/installed-dev
	@$(BIN)/ruff format --check --quiet . || { echo 'not formatted: run ruff format'; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > .venv/imports || { cat .venv/imports; exit 1; }
	@$(BIN)/python docs/generate.py --check

docs: .venv/installed-dev
	@$(BIN)/python docs/generate.py

bench: .venv/installed-dev
	@for each in benchmarks/*.py; do echo "== $$each"; $(BIN)/python $$each; done

migration: .venv/installed-dev
	@$(BIN)/python tests/draft_migration.py '$(NAME)'

clean:
	@rm -rf .venv build dist demo-data *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Set-up, done once: what stands in pyproject.toml decides when again.

.venv/installed: pyproject.toml | .venv/bin/pip
	@$(BIN)/pip install -qq --disable-pip-version-check --editable .
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/pip
	@$(BIN)/pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch .venv/installed $@

# Debian's own Python leaves venv to a package of its own.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Python 3.11 or newer is needed: make PYTHON=...'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(call install,python3-venv); }
	@$(PYTHON) -m venv --clear .venv

system-packages: .venv/system-packages

.venv/system-packages: Makefile | .venv/bin/pip
	@$(call install,$(SYSTEM_PACKAGES))
	@touch $@

# Installs the packages that are missing, or says who must. Their servers are not started: tests start
# private ones (policy-rc.d tells Debian so while it installs).
define install
missing=(); for package in $(1); do \
  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
    || missing+=($$package); \
done; \
if [ $${#missing[@]} -gt 0 ]; then \
  if ! command -v apt-get > /dev/null; then \
    echo "not Debian: install what stands for $${missing[*]}, then touch $@"; exit 1; fi; \
  if [ $$(id -u) = 0 ]; then as=(env); elif sudo -n true 2>/dev/null; then as=(sudo -n env); \
  else echo "ask an administrator: apt-get install $${missing[*]}"; exit 1; fi; \
  echo "installing $${missing[*]}"; log=$$(mktemp); quiet=/usr/sbin/policy-rc.d; \
  if [ -e $$quiet ]; then quiet=; else \
    printf '#!/bin/sh\nexit 101\n' | "$${as[@]}" tee $$quiet > /dev/null; "$${as[@]}" chmod 755 $$quiet; fi; \
  done=0; { "$${as[@]}" apt-get -qq update && "$${as[@]}" DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install --yes --no-install-recommends "$${missing[@]}"; \
  } > $$log 2>&1 || done=$$?; \
  [ -z "$$quiet" ] || "$${as[@]}" rm $$quiet; \
  [ $$done = 0 ] || { cat $$log; exit 1; }; rm $$log; \
fi
endef
