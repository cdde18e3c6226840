#!/usr/bin/env bash
# Installs the peers that package registries have into a cache of their own, and builds what is ours if it is not there:
#
#   benches/peers/install.sh CACHE
#
# What is already there in the right version is left alone. What cannot be had is named and does not stop the rest. Versions are pinned, so that
# two runs on two days compare the same things.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p "$1/log"
cache=$(cd "$1" && pwd)
readonly cache

readonly OHA=1.16.0 DRILL=0.9.1 LOCUST=2.47.0 K9=0.1.0 MATPLOTLIB=3.11.2 AUTOCANNON=9.0.0
# The last artillery for Node before 22, and the one after.
readonly ARTILLERY_NODE_18=2.0.21 ARTILLERY_NODE_22=2.0.34

# program : Debian package
readonly PROGRAMS=(nginx:nginx-light wrk:wrk h2load:nghttp2-client hey:hey taskset:util-linux npm:npm)

has() { command -v "$1" > /dev/null 2>&1 || [[ -x /usr/sbin/$1 ]]; }

# step NAME COMMAND...: runs quietly, keeps what it said, and goes on whatever happened.
step() {
  local name=$1
  shift
  echo "installing $name" >&2
  if ! nice -n 19 "$@" > "$cache/log/$name.log" 2>&1; then
    echo "SKIPPED $name: it could not be installed, see $cache/log/$name.log" >&2
  fi
}

debian_packages() {
  local entry
  local -a missing=()
  for entry in "${PROGRAMS[@]}"; do
    has "${entry%%:*}" || missing+=("${entry##*:}")
  done
  ((${#missing[@]})) || return 0
  if [[ $(id -u) == 0 ]] && has apt-get; then
    export DEBIAN_FRONTEND=noninteractive
    step apt-update apt-get update -q
    # One at a time: what this release of Debian lacks must not keep the others away.
    for entry in "${missing[@]}"; do
      step "$entry" apt-get install -q -y --no-install-recommends "$entry"
    done
  else
    echo "SKIPPED ${missing[*]}: Debian packages, to be installed by root" >&2
  fi
}

# crate NAME VERSION
crate() {
  [[ $("$cache/bin/$1" --version 2> /dev/null) == *" $2"* ]] && return
  step "$1" env CARGO_TARGET_DIR="$cache/build" cargo install --locked --force --root "$cache" --version "$2" "$1"
}

python_packages() {
  local packages=("locust==$LOCUST" "k9-load==$K9" "matplotlib==$MATPLOTLIB") each
  [[ -x $cache/venv/bin/python ]] || python3 -m venv "$cache/venv"
  for each in "${packages[@]}"; do
    "$cache/venv/bin/python" -c 'import importlib.metadata as m, sys; n, v = sys.argv[1].split("=="); sys.exit(m.version(n) != v)' "$each" 2> /dev/null \
      || step "${each%%=*}" "$cache/venv/bin/pip" install -q --disable-pip-version-check "$each"
  done
}

# node_package NAME VERSION
node_package() {
  grep -qs "\"version\": \"$2\"" "$cache/node/node_modules/$1/package.json" && return
  # Without scripts: neither needs what a script would fetch.
  step "$1" npm install --prefix "$cache/node" --no-audit --no-fund --ignore-scripts "$1@$2"
}

node_packages() {
  has npm || { echo "SKIPPED autocannon, artillery: there is no npm" >&2; return; }
  local artillery=$ARTILLERY_NODE_18
  (($(node -p 'parseInt(process.versions.node)') >= 22)) && artillery=$ARTILLERY_NODE_22
  node_package autocannon "$AUTOCANNON"
  node_package artillery "$artillery"
}

debian_packages
python_packages
node_packages
crate oha "$OHA"
crate drill "$DRILL"
step goose cargo build --release --locked --manifest-path benches/peers/goose/Cargo.toml --target-dir "$cache/build"
[[ -x target/release/plimsoll ]] || step plimsoll cargo build --release --locked
# The floor is a mode of this bench.
compgen -G "target/release/deps/cost_per_request-*" > /dev/null \
  || step floor cargo bench --locked --bench cost_per_request --no-run
