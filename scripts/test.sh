#!/usr/bin/env bash
# Runs every test there is, in slices, from any directory; what CI runs is this.
#
#   scripts/test.sh                 all slices, in the order of --list
#   scripts/test.sh fmt clippy      only these
#   scripts/test.sh --list          the names of the slices
#
# As root on Debian it first installs what the tests need and the machine lacks. Otherwise it names what is missing and what is
# skipped for the lack of it. Every slice is run even if one before it failed; the exit code is 0 only if all passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Debian keeps servers such as nginx where only root's PATH looks.
export PATH="$PATH:/usr/sbin:/sbin"
# The database of whoever runs this is not for tests to write to.
unset TARGET_MONGODB_URI

readonly SLICES=(install fmt clippy unit integration tidy doc deny deploy fuzz build openapi cost e2e find accuracy bottlenecks)

# program : Debian package : what is skipped without it ("needed" if nothing can be)
readonly PROGRAMS=(
  "cc:build-essential:needed"
  "python3:python3:tests against Python's http.server and of the store in a MongoDB (integration), the check of the found load line (find), the answers about the five bottlenecks (accuracy), the table of bottlenecks (bottlenecks), the document of the target (openapi)"
  "nginx:nginx-light:tests against nginx, as a server and as the gateway of the target (integration), and of its exporter (e2e)"
  "nghttpd:nghttp2-server:tests against nghttpd (integration)"
  "node:nodejs:tests against Node's http (integration)"
  "redis-server:redis-server:tests against Redis and a cluster of it, and of scripts/parts.sh (integration), and of its exporter (e2e)"
  "uvicorn:uvicorn:tests against uvicorn (integration)"
  "prometheus:prometheus:the alert rules at a real Prometheus (integration, e2e)"
  "prometheus-node-exporter:prometheus-node-exporter:the alert rule on memory at a real node_exporter, and its preset (e2e)"
  "prometheus-redis-exporter:prometheus-redis-exporter:the preset of redis_exporter at a real one (e2e)"
  "prometheus-nginx-exporter:prometheus-nginx-exporter:the preset of nginx-prometheus-exporter at a real one (e2e)"
  "valgrind:valgrind:the count of a request's instructions (cost)"
  "chromium:chromium:the look at the report in a browser (find)"
)

# A find is eight levels of about sixteen seconds, and a page is drawn at once; past these times something hangs.
readonly FIND_SECONDS_MAX=600
readonly PAGE_SECONDS_MAX=60
# Ten searches of about a minute each, and a few more where something else loads the machine.
readonly ACCURACY_SECONDS_MAX=1200
# The table is five runs of three quarters of a minute and nine of twenty seconds, and a few more where something else loads the machine.
readonly BOTTLENECKS_SECONDS_MAX=600
readonly OPENAPI_SECONDS_MAX=300
# Pinned, since a later version may look for what this one does not.
readonly SCHEMATHESIS_VERSION=4.32.5
# It carries the schema of compose files.
readonly CHECK_JSONSCHEMA_VERSION=0.39.0
# Speaks MongoDB's wire protocol, for the tests of the target's real store. It is young, and tests rely on what it does.
readonly SECANTUSDB_VERSION=0.7.0b3
# What is left out of a build that nobody has asked for more (Cargo.toml), but is tested. The same in all slices, or each would build all anew.
readonly FEATURES=(--features mongodb)
# The exit code of a run that is INVALID (docs/exit-codes.md).
readonly GENERATOR_WAS_THE_LIMIT=3
# Long enough for a mistake that a new line of a reader makes easy; whoever works on a reader runs its target for longer.
readonly FUZZ_SECONDS=20

scratch=$(mktemp -d)
readonly scratch
trap 'rm -rf "$scratch"' EXIT
: > "$scratch/skipped"

has() { command -v "$1" > /dev/null 2>&1; }

skip() {
  echo "SKIPPED $1"
  echo "$1" >> "$scratch/skipped"
}

slice_install() {
  local entry program package without
  local -a packages=()
  for entry in "${PROGRAMS[@]}"; do
    IFS=: read -r program package without <<< "$entry"
    has "$program" || packages+=("$package")
  done
  # Debian's Python makes no virtual environment without it.
  python3 -c 'import ensurepip' 2> /dev/null || packages+=(python3-venv)
  if ((${#packages[@]})) && [[ $(id -u) == 0 ]] && has apt-get; then
    echo "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -q -y --no-install-recommends "${packages[@]}"
  fi
  for entry in "${PROGRAMS[@]}"; do
    IFS=: read -r program package without <<< "$entry"
    if has "$program"; then
      continue
    elif [[ $without == needed ]]; then
      echo "$program is needed to build: install the package $package" >&2
      return 1
    else
      skip "$without: there is no $program (package $package)"
    fi
  done
  # Fuzzing needs a nightly compiler, which is not fetched for it: who has one gets the tool as well.
  if ! has cargo-fuzz && cargo +nightly --version > /dev/null 2>&1; then
    cargo install --locked --quiet cargo-fuzz || echo "cargo-fuzz could not be installed"
  fi
  # A toolchain installed with the minimal profile has neither; rust-toolchain.toml asks for both.
  if has rustup; then
    cargo fmt --version > /dev/null 2>&1 || rustup component add rustfmt
    cargo clippy --version > /dev/null 2>&1 || rustup component add clippy
  fi
}

slice_fmt() {
  cargo fmt --all --check
}

slice_clippy() {
  cargo clippy --locked --workspace "${FEATURES[@]}" --all-targets -- -D warnings
}

slice_unit() {
  cargo test --locked --workspace "${FEATURES[@]}" --lib --bins
  cargo test --locked --workspace "${FEATURES[@]}" --doc
}

# The test targets of both packages: tests/NAME.rs and tests/NAME/main.rs.
test_targets() {
  local path
  for path in tests/*.rs tests/*/main.rs target-app/tests/*.rs target-app/tests/*/main.rs; do
    [[ -e $path ]] || continue
    path=${path#*tests/}
    path=${path%/main.rs}
    echo "${path%.rs}"
  done
}

# The environment is made where the tests look for it.
install_secantusdb() {
  local tools=$PWD/target/secantusdb-$SECANTUSDB_VERSION
  if ! "$tools/bin/secantusd-py" --help > /dev/null 2>&1; then
    rm -rf "$PWD"/target/secantusdb-*
    { python3 -m venv --clear "$tools" && "$tools/bin/pip" install --quiet "SecantusDB==$SECANTUSDB_VERSION"; } || true
  fi
  "$tools/bin/secantusd-py" --help > /dev/null 2>&1
}

slice_integration() {
  local name
  install_secantusdb \
    || skip "tests of the target's store in a MongoDB (integration): SecantusDB could not be installed (python3 -m venv, pip)"
  local -a targets=()
  while read -r name; do
    # These two have slices of their own.
    [[ $name == e2e* || $name == tidy ]] || targets+=(--test "$name")
  done < <(test_targets)
  # The whole workspace, as in the other slices: one package alone would be built with other features, and so again.
  cargo test --locked --workspace "${FEATURES[@]}" --no-fail-fast "${targets[@]}"
}

slice_tidy() {
  cargo test --locked --workspace "${FEATURES[@]}" --test tidy
}

# The pages are for those who work on the code, so links to private items are wanted.
slice_doc() {
  RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --workspace "${FEATURES[@]}" --no-deps --document-private-items
}

slice_deny() {
  if ! has cargo-deny; then
    skip "licenses, advisories and sources of dependencies (deny): there is no cargo-deny (cargo install cargo-deny)"
  elif cargo deny fetch db; then
    cargo deny --workspace check
  else
    skip "advisories of dependencies (deny): their database could not be fetched"
    cargo deny --workspace check licenses bans sources
  fi
}

# What is deployed with Docker, which is not asked for: so only the form of compose.yaml is looked at.
slice_deploy() {
  local tools=$PWD/target/check-jsonschema-$CHECK_JSONSCHEMA_VERSION
  local tool=$tools/bin/check-jsonschema
  if ! "$tool" --version > /dev/null 2>&1; then
    { python3 -m venv --clear "$tools" && "$tools/bin/pip" install --quiet "check-jsonschema==$CHECK_JSONSCHEMA_VERSION"; } || true
  fi
  if ! "$tool" --version > /dev/null 2>&1; then
    skip "the form of target-app/deploy/compose.yaml (deploy): check-jsonschema could not be installed (python3 -m venv, pip)"
    return
  fi
  "$tool" --builtin-schema vendor.compose-spec target-app/deploy/compose.yaml
}

# Each reader of what comes from outside, for a short while: cargo +nightly fuzz run TARGET goes on from what is found.
slice_fuzz() {
  if ! has cargo-fuzz; then
    skip "fuzzing of the readers (fuzz): there is no cargo-fuzz (cargo install cargo-fuzz)"
    return
  elif ! cargo +nightly --version > /dev/null 2>&1; then
    skip "fuzzing of the readers (fuzz): there is no nightly compiler (rustup toolchain install nightly)"
    return
  fi
  local target
  for target in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$target" .rs)
    cargo +nightly fuzz run "$target" -- -max_total_time="$FUZZ_SECONDS" -timeout=10 -rss_limit_mb=4096 -verbosity=0 -print_final_stats=1
  done
}

slice_build() {
  cargo build --locked --release
}

# The bundled target's own description of itself, against thousands of requests that are made of it (PyPI's schemathesis; see
# target-app/schemathesis.toml).
slice_openapi() {
  local plimsoll=$PWD/target/release/plimsoll config=$PWD/target-app/schemathesis.toml
  local tools=$PWD/target/schemathesis-$SCHEMATHESIS_VERSION url='' served token status=0
  local tool=$tools/bin/schemathesis
  if ! "$tool" --version > /dev/null 2>&1; then
    { python3 -m venv --clear "$tools" && "$tools/bin/pip" install --quiet "schemathesis==$SCHEMATHESIS_VERSION"; } || true
  fi
  if ! "$tool" --version > /dev/null 2>&1; then
    skip "the OpenAPI document against the target (openapi): schemathesis could not be installed (python3 -m venv, pip)"
    return
  fi
  cargo build --locked --release
  : > "$scratch/served"
  "$plimsoll" target serve baseline --listen 127.0.0.1:0 --dial mongodb.service_time_ms=1 > "$scratch/served" &
  served=$!
  # A slice has a shell of its own, and the target must not outlive it. The number goes into the trap: this function is over by then.
  # shellcheck disable=SC2064
  trap "kill $served 2> /dev/null || true" EXIT
  export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
  for _ in {1..100}; do
    url=$(sed -n 's/^listening //p' "$scratch/served")
    [[ -n $url ]] && break
    sleep 0.1
  done
  [[ -n $url ]] || { echo "the target did not say where it listens" >&2; return 1; }
  token=$(python3 - "$url" <<'END'
import json, sys, urllib.request
body = json.dumps({"email": "user1@shop.example", "password": "correct-horse"}).encode()
request = urllib.request.Request(sys.argv[1] + "/api/login", body, {"content-type": "application/json"})
print(json.load(urllib.request.urlopen(request))["token"])
END
  )
  (cd "$scratch" && timeout --kill-after=10 "$OPENAPI_SECONDS_MAX" "$tool" --config-file "$config" run "$url/openapi.json" \
    --header "Authorization: Bearer $token" --max-examples 100 --seed 1 --workers 1 --no-color) || status=$?
  kill "$served" 2> /dev/null || true
  # It must have lived to be killed.
  wait "$served" || { echo "the target ended with exit code $?" >&2; status=1; }
  return "$status"
}

# What a request may cost the generator: instructions, and CPU time beside the floor's.
slice_cost() {
  if ! taskset -c 0,1 true 2> /dev/null; then
    skip "what a request costs (cost): the generator and its server need a core each, 0 and 1"
    return
  fi
  cargo bench --locked --quiet --bench cost_per_request -- gate
}

# Against the optimized executable, because the target's dials hold only then, and one at a time, because each puts the machine under
# load. The tests themselves are built as the others are: with their own features all dependencies would be built once more.
slice_e2e() {
  if test_targets | grep -q '^e2e'; then
    cargo build --locked --release
    PLIMSOLL_BIN="$PWD/target/release/plimsoll" cargo test --locked --workspace "${FEATURES[@]}" --no-fail-fast --test 'e2e*' -- --test-threads=1
  else
    skip "end-to-end tests (e2e): there are none"
  fi
}

# A search as a user runs it, and its answer held against the one computed from the target's dials alone.
slice_find() {
  local plimsoll=target/release/plimsoll scenario=scenarios/mongo-ceiling.yaml run="$scratch/find"
  cargo build --locked --release
  "$plimsoll" target explain baseline --scenario "$scenario" --json > "$scratch/computed.json"
  local status=0
  search "$plimsoll" "$scenario" "$run" || status=$?
  if ((status == GENERATOR_WAS_THE_LIMIT)); then
    echo "the generator was the limit, as it is where something else loads the machine; searching once more"
    status=0
    search "$plimsoll" "$scenario" "$run" || status=$?
  fi
  ((status == 0)) || return "$status"
  if has python3; then
    python3 scripts/check_find.py "$scratch/computed.json" "$scratch/found.json"
  else
    skip "the check of the found load line (find): there is no python3"
  fi
  look_at "$run/report.html"
}

# One search, which says why where it fails: its answer is one JSON document, which nobody would see.
search() {
  local plimsoll=$1 scenario=$2 run=$3 status=0
  rm -rf "$run"
  timeout --kill-after=10 "$FIND_SECONDS_MAX" "$plimsoll" find "$scenario" --quiet --json --out "$run" > "$scratch/found.json" || status=$?
  if ((status)); then
    echo "plimsoll find $scenario ended with exit code $status:" >&2
    "$plimsoll" report "$run" --format text >&2 || true
  fi
  return "$status"
}

# Opens the report with the network turned off, as it will be opened on a jump host, and looks at what the browser made of it.
look_at() {
  if ! has chromium; then
    skip "the look at the report in a browser (find): there is no chromium"
    return
  fi
  timeout --kill-after=10 "$PAGE_SECONDS_MAX" chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
    --user-data-dir="$scratch/browser" --host-resolver-rules="MAP * ~NOTFOUND" \
    --dump-dom "file://$1" > "$scratch/page.html" 2> "$scratch/browser.log" || { cat "$scratch/browser.log" >&2; return 1; }
  local drawn wrong
  drawn=$(grep -c '<svg' "$scratch/page.html" || true)
  wrong=$(grep -cE 'NaN|>undefined<' "$scratch/page.html" || true)
  echo "report: lines with charts $drawn, lines with numbers that are none $wrong"
  ((drawn > 0 && wrong == 0))
}

# The five bottlenecks as a search answers for them: the line, who gives way, and the wall that comes next, each met once the first is dialled away.
slice_accuracy() {
  if ! has python3; then
    skip "the answers about the five bottlenecks (accuracy): there is no python3"
    return
  fi
  cargo build --locked --release
  python3 -m doctest scripts/accuracy.py
  timeout --kill-after=10 "$ACCURACY_SECONDS_MAX" python3 scripts/accuracy.py --check --ci bottlenecks
}

# Each bottleneck of the bundled target bites where it is computed to, by its readings alone, and each profile that cures it does. A run of which the generator was the limit is run again
# by the script itself.
slice_bottlenecks() {
  if ! has python3; then
    skip "the table of bottlenecks (bottlenecks): there is no python3"
    return
  fi
  cargo build --locked --release
  python3 -m doctest scripts/bottlenecks.py
  timeout --kill-after=10 "$BOTTLENECKS_SECONDS_MAX" python3 scripts/bottlenecks.py --small --plimsoll target/release/plimsoll
}

# Runs one slice apart from this shell, so that `set -e` holds inside and a failure ends the slice only.
run_slice() {
  local name=$1 begin=$SECONDS status
  echo "=== $name"
  set +e
  (
    set -e
    "slice_$name"
  )
  status=$?
  set -e
  local verdict=passed
  if ((status)); then
    verdict=FAILED
    failed+=("$name")
  fi
  times+=("$(printf '%-12s %6d s  %s' "$name" "$((SECONDS - begin))" "$verdict")")
  echo "=== $name $verdict after $((SECONDS - begin)) s"
}

chosen=("$@")
if [[ ${1:-} == --list ]]; then
  printf '%s\n' "${SLICES[@]}"
  exit 0
fi
((${#chosen[@]})) || chosen=("${SLICES[@]}")
for name in "${chosen[@]}"; do
  if [[ " ${SLICES[*]} " != *" $name "* ]]; then
    echo "there is no slice '$name'; there are: ${SLICES[*]}" >&2
    exit 2
  fi
done

failed=()
times=()
for name in "${chosen[@]}"; do
  run_slice "$name"
done

echo
printf '%s\n' "${times[@]}"
printf '%-12s %6d s\n' "in all" "$SECONDS"
while read -r line; do
  echo "skipped: $line"
done < <(sort -u "$scratch/skipped")
if ((${#failed[@]})); then
  echo "FAILED: ${failed[*]}"
  exit 1
fi
echo "all slices passed"
