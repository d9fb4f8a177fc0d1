#!/usr/bin/env bash
# Builds the servers that tests send to, from the Go module proxy, into .tools.
# Each is built once: remove the program to have it built again.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .tools
export GOFLAGS=-buildvcs=false GOWORK=off

# Mailpit takes e-mail and tells over HTTP what it got.
MAILPIT=v1.27.11
if [ ! -x .tools/mailpit ]; then
  echo "building Mailpit $MAILPIT for the tests"
  GOBIN="$PWD/.tools" go install "github.com/axllent/mailpit@$MAILPIT"
fi

# Alertmanager does not build as it is fetched: its web pages are made apart. A
# page that says so stands in for them.
ALERTMANAGER=v0.34.2
if [ ! -x .tools/alertmanager ]; then
  echo "building Alertmanager $ALERTMANAGER for the tests"
  fetched=$(go mod download -json "github.com/prometheus/alertmanager@$ALERTMANAGER" | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
  work=$(mktemp -d)
  trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
  cp -r "$fetched/." "$work"
  chmod -R u+w "$work"
  mkdir -p "$work/ui/app/dist"
  echo 'built without its web pages' > "$work/ui/app/dist/index.html"
  (cd "$work" && go build -o "$OLDPWD/.tools/alertmanager" ./cmd/alertmanager)
fi
