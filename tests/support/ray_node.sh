# Start node r1 or r2 of the Ray of `ray_cluster.sh`: its number is the argument.
set -eu
log="$RAY_TMPDIR/node$1.log"
unshare -u -m sh -c "hostname r$1; mount -t tmpfs none '$XDG_CACHE_HOME'; exec $RAY start --address=$RAY_ADDRESS \
    --node-ip-address=10.9.9.$1 --num-cpus=2 --num-gpus=1 --disable-usage-stats" >>"$log" 2>&1 || { cat "$log"; exit 9; }
