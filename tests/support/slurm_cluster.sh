# Start a SLURM of two nodes with two GPU files each, in a network and process namespace of its own; then run a command.
#   unshare -n -p -f --mount-proc --kill-child bash slurm_cluster.sh FOLDER COMMAND ...
set -eu
folder=$1
shift
ip link set lo up
ip addr add 10.9.9.1/32 dev lo # an address beside 127.0.0.1, or getaddrinfo gives none
mkdir -p "$folder"/munge "$folder"/state "$folder"/spool_n1 "$folder"/spool_n2 "$folder"/run "$folder"/log
chmod 700 "$folder"/munge
mungekey --create --keyfile="$folder/munge/key"
munged --key-file="$folder/munge/key" --socket="$folder/munge/sock" --pid-file="$folder/munge/pid" \
    --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" --force
for number in 0 1 2 3; do mknod "$folder/gpu$number" c 1 3; done
host=$(hostname -s)
cat >"$folder/slurm.conf" <<EOF
ClusterName=ci
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/sock,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool_%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd_%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd_%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=10
KillWait=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0,requeue_delay=0
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[17001-17002] CPUs=2 RealMemory=2000 Gres=gpu:2
PartitionName=low Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=3
PartitionName=high Nodes=n[1-2] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
EOF
printf 'NodeName=n1 Name=gpu File=%s/gpu[0-1]\nNodeName=n2 Name=gpu File=%s/gpu[2-3]\n' "$folder" "$folder" >"$folder/gres.conf"
echo 'CgroupPlugin=cgroup/v1' >"$folder/cgroup.conf"
export SLURM_CONF="$folder/slurm.conf"
slurmctld -c
printf '127.0.0.1 localhost %s n1.site n2.site\n' "$host" >"$folder/hosts"
for node in n1 n2; do
    if [ -n "${NODES_APART-}" ]; then # a host name and a cache of its own, as on two machines
        unshare -u -m sh -c "hostname $node.site; mount --bind '$folder/hosts' /etc/hosts; \
            mount -t tmpfs none '$XDG_CACHE_HOME'; exec slurmd -N $node"
    else
        slurmd -N "$node"
    fi
done
while [ "$(sinfo -h -N -o %T | grep -c idle)" -lt 2 ]; do sleep 0.1; done
exec "$@"
