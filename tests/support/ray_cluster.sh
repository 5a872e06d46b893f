# Start a Ray of a head without CPUs and two nodes, each with a host name, a cache and a GPU of its own; then run a command.
#   unshare -n -p -m -f --mount-proc --kill-child bash ray_cluster.sh COMMAND ...
# NODES are the numbers of the nodes that are there from the first ("1 2"). RAY is the program `ray`; XDG_CACHE_HOME is
# what every node has for itself.
set -eu
ip link set lo up
for number in 1 2 3; do ip addr add "10.9.9.$number/32" dev lo; done
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled RAY_ADDRESS=10.9.9.3:6399 RAY_TMPDIR
export RAY_health_check_period_ms=1000 RAY_health_check_failure_threshold=5 RAY_health_check_timeout_ms=5000
export RAY_raylet_start_wait_time_s=300
printf '127.0.0.1 localhost\n10.9.9.3 %s\n10.9.9.1 r1\n10.9.9.2 r2\n' "$(hostname)" >"$XDG_CACHE_HOME.hosts"
mount --bind "$XDG_CACHE_HOME.hosts" /etc/hosts
RAY_TMPDIR=$(mktemp -d /tmp/rXXXX) # a socket's path is short
trap 'rm -rf "$RAY_TMPDIR"' EXIT
$RAY start --head --node-ip-address=10.9.9.3 --port=6399 --num-cpus=0 --num-gpus=0 --include-dashboard=false \
    --disable-usage-stats --temp-dir="$RAY_TMPDIR" >"$RAY_TMPDIR/head.log" 2>&1 || { cat "$RAY_TMPDIR/head.log"; exit 9; }
for number in ${NODES:-1 2}; do bash "$(dirname "$0")/ray_node.sh" "$number"; done
"$@"
