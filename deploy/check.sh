#!/usr/bin/env bash
# Every file of deploy/ by the checker of its trade: `make check` runs this. `check.sh NAME...` runs some of them only.
# A tool that is not there is told, and fails where CI is set.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN:-.venv/bin}
PATH="$PWD/$BIN:$PATH:/usr/sbin"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

tool() {
  if type -P "$1" >/dev/null; then return; fi
  echo "NOT CHECKED: there is no $1 on this machine ($2)" >&2
  if [ -n "${CI:-}" ]; then exit 1; fi
  return 1
}

# What a tool prints is of interest where it is not content.
quietly() {
  if ! "$@" > "$work/said" 2>&1; then cat "$work/said" >&2; return 1; fi
}

scripts() { shellcheck deploy/*.sh deploy/*/*.sh .ci/run; }

container() { hadolint deploy/container/Containerfile; }

compose() { check-jsonschema --quiet --builtin-schema vendor.compose-spec deploy/compose/compose.yaml; }

valid() { kubernetes-validate --strict --quiet --no-warn "$@"; }

kustomize() {
  tool kubectl "make kubernetes installs one" || return 0
  local overlay
  for overlay in deploy/kubernetes/overlays/*/; do
    kubectl kustomize "$overlay" > "$work/$(basename "$overlay").yaml"
  done
  valid "$work"/*.yaml
}

chart() {
  tool helm "make kubernetes installs one" || return 0
  local chart=deploy/helm/downhaul rendered="$work/chart"
  helm lint --strict --quiet "$chart"
  mkdir "$rendered"
  helm template flags "$chart" > "$rendered/default.yaml"
  helm template flags "$chart" --set api.autoscaling.enabled=true,streams.autoscaling.enabled=true,route.enabled=true \
    --set 'imagePullSecrets[0].name=pull' > "$rendered/all.yaml"
  helm template flags "$chart" --set disruptionBudget.enabled=false,networkPolicy.enabled=false \
    --set-json 'podAnnotations={}' > "$rendered/least.yaml"
  valid "$rendered"/*.yaml
}

prometheus() {
  tool promtool "make promtool installs one" || return 0
  quietly promtool check config deploy/prometheus/prometheus.yml
  quietly promtool test rules deploy/prometheus/*.test.yml
}

systemd() {
  if [[ $OSTYPE != linux* ]]; then return; fi
  tool systemd-analyze "make systemd installs one" || return 0
  # It looks whether the program is there, which is for whoever installs it.
  local unit="$work/downhaul.service"
  sed 's|^ExecStart=/opt/downhaul/bin/downhaul-server|ExecStart=/bin/true|' deploy/systemd/downhaul.service > "$unit"
  cp -r deploy/systemd/downhaul.service.d "$work/"
  systemd-analyze verify --man=no "$unit"
  # 1.4 of 10 when this was written: what is needed to serve HTTP and to write to a folder.
  quietly systemd-analyze security --offline=true --threshold=15 "$unit"
}

for check in "${@:-scripts container compose kustomize chart prometheus systemd}"; do
  for name in $check; do "$name"; done
done
