#!/usr/bin/env bash
# Makes sure that what the build and the tests need is there. Installs Debian
# packages where it may, and else names the command.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { # need PROGRAM WHAT COMMAND
  command -v "$1" >/dev/null 2>&1 && return
  echo "missing: $2. Install it with: $3" >&2
  exit 1
}

need go "Go 1.26 or newer" "see https://go.dev/doc/install"
need python3 "Python 3.11 or newer" "apt-get install python3 python3-venv"
need cc "a C compiler" "apt-get install gcc g++"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed" >&2; exit 1; }

if [ "${1:-}" = tests ]; then
  if ! command -v initdb >/dev/null 2>&1 && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
      echo "installing PostgreSQL for the tests"
      apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null
    else
      echo "missing: PostgreSQL's server programs (initdb). Install them with: sudo apt-get install postgresql" >&2
      exit 1
    fi
  fi
  scripts/servers.sh
fi

# The project's own Python: for the SDK's tests, and uv for making environments quickly.
if [ ! -x .venv/bin/uv ]; then
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check 'uv==0.9.*' pytest
fi
