#!/bin/sh
# engine.sh COMMAND...: run a command that needs a Docker engine.
#
# Uses the engine that `docker version` reaches. Where there is none, and this is Debian and the user is root,
# it installs Debian's engine and gVisor, starts one engine in a temporary folder, with no change to the
# machine's network settings, and removes it afterwards with everything that it holds.
set -eu

if docker version >/dev/null 2>&1; then
  exec "$@"
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "no Docker engine answers here: start one, or let DOCKER_HOST name its address, and try again" >&2
  exit 1
fi
if ! command -v dockerd >/dev/null || ! command -v runsc >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends docker.io runsc >/dev/null
fi

folder=$(mktemp -d)
stop() {
  # Containers first: without its engine a container would live on.
  docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null
  [ ! -e "$folder/pid" ] || kill "$(cat "$folder/pid")"
  while [ -e "$folder/pid" ]; do sleep 0.1; done
  rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM
cat >"$folder/daemon.json" <<CONFIG
{"runtimes": {"runsc": {
  "path": "$(command -v runsc)", "runtimeArgs": ["--platform=ptrace", "--network=none", "--host-uds=open"]
}}}
CONFIG
export DOCKER_HOST="unix://$folder/docker.sock"
setsid dockerd --config-file "$folder/daemon.json" --host "$DOCKER_HOST" --pidfile "$folder/pid" \
  --data-root "$folder/data" --exec-root "$folder/exec" \
  --iptables=false --ip6tables=false --ip-forward=false --bridge=none >"$folder/log" 2>&1 </dev/null &
for _ in $(seq 200); do
  docker version >/dev/null 2>&1 && break
  sleep 0.05
done
docker version >/dev/null || { cat "$folder/log" >&2; exit 1; }
"$@"
