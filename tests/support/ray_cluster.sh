# Start a Ray of a head without CPUs and two nodes, each with a host name, a cache and a GPU of its own; then run a command.
#   unshare -n -p -f --mount-proc --kill-child bash ray_cluster.sh COMMAND ...
# RAY is the program `ray`; XDG_CACHE_HOME is what every node has for itself.
set -eu
ip link set lo up
for number in 1 2 3; do ip addr add "10.9.9.$number/32" dev lo; done
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled RAY_ADDRESS=10.9.9.3:6399 RAY_TMPDIR
export RAY_health_check_period_ms=1000 RAY_health_check_failure_threshold=3
export RAY_health_check_timeout_ms=1000 RAY_health_check_initial_delay_ms=1000
RAY_TMPDIR=$(mktemp -d /tmp/rXXXX) # a socket's path is short
trap 'rm -rf "$RAY_TMPDIR"' EXIT
$RAY start --head --node-ip-address=10.9.9.3 --port=6399 --num-cpus=0 --num-gpus=0 --include-dashboard=false \
    --disable-usage-stats --temp-dir="$RAY_TMPDIR" >"$RAY_TMPDIR/head.log" 2>&1 || { cat "$RAY_TMPDIR/head.log"; exit 9; }
for number in 1 2; do bash "$(dirname "$0")/ray_node.sh" "$number"; done
"$@"
