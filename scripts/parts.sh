#!/usr/bin/env bash
# Starts the real servers that stand around the bundled target, each on a free port of the loopback interface and with a directory of its
# own that goes when it ends. For development where there is no Docker; with Docker there is target-app/deploy/compose.yaml.
#
#   scripts/parts.sh redis                                one redis-server
#   scripts/parts.sh redis-cluster                        three of them, a third of the slots each
#   scripts/parts.sh prometheus --app 127.0.0.1:8080      scrapes that app, with the rules of target-app/deploy/alerts.yml
#   scripts/parts.sh redis prometheus                     several at once
#
# Prints a line "PART URL" for each, of Redis as `target-app serve --redis` takes it, and then "ready". Runs until it is interrupted, until
# one of them ends (exit code 1), or with --exit-with-stdin until its standard input does. Stops only what it started, by process id.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly here deploy=$here/target-app/deploy
export PATH="$PATH:/usr/sbin:/sbin"

# A server that has not said it is there by then will not.
readonly READY_SECONDS_MAX=30
readonly NODES=3

usage() {
  sed -n '/^#   scripts/s/^# *//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

app=127.0.0.1:8080
with_stdin=
parts=()
while (($#)); do
  case $1 in
    --app) app=${2:?--app takes ADDRESS:PORT}; shift ;;
    --exit-with-stdin) with_stdin=1 ;;
    redis | redis-cluster | prometheus) parts+=("$1") ;;
    *) usage ;;
  esac
  shift
done
((${#parts[@]})) || usage

scratch=$(mktemp -d)
pids=()
stop() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do
    kill "$pid" 2> /dev/null || true
  done
  for pid in ${pids[@]+"${pids[@]}"}; do
    wait "$pid" 2> /dev/null || true
  done
  rm -rf "$scratch"
}
trap stop EXIT
trap 'exit 0' INT TERM

needed() {
  command -v "$1" > /dev/null || { echo "there is no $1 (Debian package $2)" >&2; exit 1; }
}

# A port nobody listens on now, below those that outgoing connections get. Somebody may take it before the server does, which then ends and
# says so.
free_port() {
  local port
  while true; do
    port=$((10000 + RANDOM % 10000))
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || break
  done
  echo "$port"
}

# await LOG COMMAND...: until the command succeeds; where it never does, the log says why.
await() {
  local log=$1 end=$((SECONDS + READY_SECONDS_MAX))
  shift
  until "$@" > /dev/null 2>&1; do
    if ((SECONDS >= end)); then
      echo "not ready after $READY_SECONDS_MAX s: $*" >&2
      tail -n 5 "$log" >&2
      exit 1
    fi
    sleep 0.05
  done
}

# start LOG COMMAND...: in the background, to be stopped at the end.
start() {
  local log=$1
  shift
  "$@" > "$log" 2>&1 < /dev/null &
  pids+=("$!")
}

# start_redis PORT [OPTION...]
start_redis() {
  local port=$1 dir=$scratch/redis-$1
  shift
  mkdir "$dir"
  start "$dir/log" redis-server "$deploy/redis.conf" --bind 127.0.0.1 --port "$port" --dir "$dir" --save '' "$@"
  await "$dir/log" redis-cli -p "$port" ping
}

part_redis() {
  needed redis-server redis-server
  local port
  port=$(free_port)
  start_redis "$port"
  echo "redis redis://127.0.0.1:$port"
}

cluster_is_whole() {
  [[ $(redis-cli -p "$1" cluster info) == *cluster_state:ok* ]]
}

part_redis-cluster() {
  needed redis-server redis-server
  local i port addresses=() urls
  for ((i = 0; i < NODES; i++)); do
    port=$(free_port)
    # The bus between the nodes is by default at the port + 10,000.
    start_redis "$port" --cluster-enabled yes --cluster-config-file nodes.conf
    addresses+=("127.0.0.1:$port")
  done
  redis-cli --cluster create "${addresses[@]}" --cluster-yes > "$scratch/cluster.log" 2>&1 || { cat "$scratch/cluster.log" >&2; exit 1; }
  for i in "${addresses[@]}"; do
    await "$scratch/cluster.log" cluster_is_whole "${i#*:}"
  done
  urls=$(IFS=,; echo "${addresses[*]/#/redis://}")
  echo "redis-cluster $urls"
}

part_prometheus() {
  needed prometheus prometheus
  local dir=$scratch/prometheus address=
  mkdir "$dir"
  cp "$deploy/alerts.yml" "$dir"
  sed "s/app:8080/$app/" "$deploy/prometheus.yml" > "$dir/prometheus.yml"
  start "$dir/log" prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/data" --web.listen-address=127.0.0.1:0
  await "$dir/log" grep -q 'msg="Server is ready' "$dir/log"
  address=$(sed -n 's/.*msg="Listening on" address=//p' "$dir/log")
  echo "prometheus http://$address"
}

for part in "${parts[@]}"; do
  "part_$part"
done
echo ready
if [[ $with_stdin ]]; then
  # Ends with our standard input; without the redirection a job in the background has none.
  cat <&0 > /dev/null &
  stdin_pid=$!
  pids+=("$stdin_pid")
fi
ended=
wait -n -p ended "${pids[@]}" || true
[[ $ended == "${stdin_pid:-none}" ]] && exit 0
echo "one of the servers has ended (process $ended)" >&2
exit 1
