#!/usr/bin/env bash
# A million connected users from one machine, against nginx on the same one: both ends of every connection are here, so this takes about
# 13 GB of memory and two million sockets. Prints a row for docs/performance.md.
#
#   benches/million/run.sh [USERS] [RAMP] [PLIMSOLL]
#
# Needs nginx and python3, and cargo if PLIMSOLL is not built yet. Agents and source addresses are chosen by the tool; nginx gets one worker
# for every 15,000 users, since each of them has the descriptor limit of a process as well.
set -euo pipefail
users=${1:-1000000} ramp=${2:-300s} plimsoll=${3:-target/release/plimsoll}
here=$(dirname "$0")
if [[ ! -x $plimsoll ]]; then
  # Only the default is ours to build.
  (($# < 3)) || { echo "run.sh: there is no program $plimsoll" >&2; exit 1; }
  plimsoll=$(cd "$here/../.." && pwd)/target/release/plimsoll
  (cd "$here/../.." && cargo build --locked --release)
fi
for tool in nginx python3; do
  command -v "$tool" >/dev/null || { echo "run.sh: $tool is missing" >&2; exit 1; }
done
dir=$(mktemp -d)
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
workers=$((users / 15000 + 1)) files=$(ulimit -Hn)
cat >"$dir/nginx.conf" <<CONF
daemon off; worker_processes $workers; worker_rlimit_nofile $files; pid $dir/pid; error_log $dir/error.log;
events { worker_connections $((files - 64)); }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; connection_pool_size 256; client_header_buffer_size 512;
  client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir; uwsgi_temp_path $dir; scgi_temp_path $dir;
  server { listen 127.0.0.1:$port reuseport backlog=4096; location / { return 200 "ok"; } } }
CONF
ulimit -n "$files"
nginx -c "$dir/nginx.conf" -p "$dir" 2>/dev/null &
nginx=$!
trap 'kill "$nginx" 2>/dev/null || true; wait "$nginx" 2>/dev/null || true; rm -rf "$dir"' EXIT
sleep 1
MILLION_HTTP="http://127.0.0.1:$port" python3 "$here/measure.py" "$plimsoll" "$here/visits.yaml" "$users" "$ramp" "$nginx" "$dir/run"
