# Start a Ray of a head without CPUs, whose autoscaler starts nodes of 2 CPUs and a GPU on demand, four at most, and ends
# one that is idle for 6 s; then run a command. The nodes are processes of this host, as Ray's own tests have them.
#   unshare -n -p -m -f --mount-proc --kill-child bash ray_autoscaling.sh COMMAND ...
# RAY is the program `ray`.
set -eu
ip link set lo up # the provider of such nodes knows the head by this address and port alone
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled RAY_ADDRESS=127.0.0.1:6379 RAY_TMPDIR
export RAY_raylet_start_wait_time_s=300 AUTOSCALER_UPDATE_INTERVAL_S=1 RAY_FAKE_CLUSTER=1
RAY_TMPDIR=$(mktemp -d /tmp/rXXXX) # a socket's path is short
trap 'rm -rf "$RAY_TMPDIR"' EXIT
cat >"$RAY_TMPDIR/nodes.json" <<EOF
{"cluster_name": "autoscaling", "max_workers": 8, "upscaling_speed": 10.0, "idle_timeout_minutes": 0.1,
 "provider": {"type": "fake_multinode", "use_node_id_as_ip": true, "disable_node_updaters": true,
              "disable_launch_config_check": true},
 "available_node_types": {
   "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
   "gpu": {"resources": {"CPU": 2, "GPU": 1, "object_store_memory": 80000000}, "node_config": {}, "min_workers": 0,
           "max_workers": 4}},
 "head_node_type": "ray.head.default", "auth": {}, "file_mounts": {}, "cluster_synced_files": [],
 "file_mounts_sync_continuously": false, "rsync_exclude": [], "rsync_filter": [], "initialization_commands": [],
 "setup_commands": [], "head_setup_commands": [], "worker_setup_commands": [], "head_start_ray_commands": [],
 "worker_start_ray_commands": []}
EOF
PATH="$(dirname "$RAY"):$PATH" $RAY start --head --node-ip-address=127.0.0.1 --port=6379 --num-cpus=0 --num-gpus=0 \
    --include-dashboard=false --disable-usage-stats --temp-dir="$RAY_TMPDIR" \
    --autoscaling-config="$RAY_TMPDIR/nodes.json" >"$RAY_TMPDIR/head.log" 2>&1 || { cat "$RAY_TMPDIR/head.log"; exit 9; }
"$@"
