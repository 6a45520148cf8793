#!/usr/bin/env bash
# A real Slurm cluster on one machine, for the tests beside this file.
#
#   one-machine-slurm.sh install    Slurm, munge and MariaDB from Debian's packages, their services left off
#   one-machine-slurm.sh start      configure and start; returns when every node is idle
#   one-machine-slurm.sh status     one line a daemon, then sinfo; exit 0 only if all of it is up
#   one-machine-slurm.sh controller-down, controller-up    end and start slurmctld alone
#   one-machine-slurm.sh stop       end the daemons that this script started (by pid file), keep state
#   one-machine-slurm.sh clean      stop, then remove all state and the links in /etc/slurm
#
# Needs root and Debian 12 (or alike); neither systemd nor cgroups. Listens on 127.0.0.1 only. `start` is
# idempotent: what runs already is left running. All state lies in CLUSTER_DIR (/tmp/tenter-cluster).
#
# Nodes claim more than the machine has, so that the profile's own requests fit. GPUs are device files that
# Slurm deals out, of no use to torch. Memory is enforced by polling a step's RSS once a second; a job over
# it ends as FAILED, for without cgroups nobody tells OUT_OF_MEMORY. A time limit is noticed up to 30 s late.
#
# Partitions: cpu (every node), gpu (the first nodes), low (preempted by requeueing), high (preempts low).
# Account: lab. With ACCOUNTING=none there are neither accounts nor a database, as on many small clusters.
set -euo pipefail

DIR=${CLUSTER_DIR:-/tmp/tenter-cluster}
ACCOUNTING=${ACCOUNTING:-slurmdbd}  # or none
NODES=3
CPUS=4       # that each node claims
MEM=64000    # MB that each node claims
GPUS=2       # on each of the
GPU_NODES=2  # first nodes
PORT=16817   # the first of six

CTLD_PORT=$PORT; DBD_PORT=$((PORT + 1)); SQL_PORT=$((PORT + 2)); NODE_PORT=$((PORT + 3))
HOST=$(hostname -s)
CONF=$DIR/etc/slurm.conf
# Clients must find their file at the compiled-in place: Snakemake's plugin strips SLURM_CONF from what it starts.
LINKS=/etc/slurm
RUN=$DIR/run; LOG=$DIR/log
MUNGE_SOCK=$RUN/munge.sock
PACKAGES=(munge slurmctld slurmd slurm-client slurmdbd mariadb-server)

say() { printf '[one-machine-slurm] %s\n' "$*" >&2; }
die() { say "ERROR: $*"; exit 1; }

# ---- processes, by pid file only --------------------------------------------------------
# A pid counts only if the process lives and is the daemon that was started; a zombie does not.
is_live() { # is_live <pid> <comm>
  [ -n "$1" ] && [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ] &&
    ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}
alive() { # alive <name> <comm>
  local pid; pid=$(cat "$RUN/$1.pid" 2>/dev/null) || return 1
  is_live "$pid" "$2"
}
end() { # end <name> <comm>: TERM, wait up to 15 s, then KILL
  alive "$1" "$2" || { rm -f "$RUN/$1.pid"; return 0; }
  local pid; pid=$(cat "$RUN/$1.pid")
  kill -TERM "$pid" 2>/dev/null || true
  for _ in $(seq 150); do is_live "$pid" "$2" || break; sleep 0.1; done
  is_live "$pid" "$2" && kill -KILL "$pid" 2>/dev/null || true
  rm -f "$RUN/$1.pid"
}
until_ok() { # until_ok <seconds> <what> <command...>
  local end=$((SECONDS + $1)) what=$2; shift 2
  while ! "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || die "timed out waiting for $what; see $LOG"
    sleep 0.1
  done
}

# ---- install ----------------------------------------------------------------------------
installed() { dpkg -s "${PACKAGES[@]}" >/dev/null 2>&1; }
do_install() {
  installed && return 0
  # The packages must start no services of their own: forbidden for the time of the install.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' > $policy; chmod 755 $policy; made=1; fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
    install -y -qq --no-install-recommends "${PACKAGES[@]}" >/tmp/one-machine-slurm-apt.log 2>&1 ||
    { tail -5 /tmp/one-machine-slurm-apt.log >&2; die "apt-get failed"; }
  [ -z "$made" ] || rm -f $policy
}

# ---- configure --------------------------------------------------------------------------
write_conf() {
  if [ -e "$DIR" ] && [ ! -e "$DIR/.one-machine-slurm" ] && [ -n "$(ls -A "$DIR")" ]; then
    die "$DIR exists and was not made by this script"
  fi
  mkdir -p "$DIR"/{etc,run,log,state,spool,sql,dev}; touch "$DIR/.one-machine-slurm"
  chmod 755 "$DIR" "$DIR"/{etc,run,log}
  # A controller that comes upon the state of the other mode would refuse it.
  [ "$(cat "$DIR/accounting" 2>/dev/null || echo "$ACCOUNTING")" = "$ACCOUNTING" ] || rm -rf "$DIR/state"/*
  echo "$ACCOUNTING" > "$DIR/accounting"
  [ -s "$DIR/etc/munge.key" ] || (umask 077; head -c 1024 /dev/urandom > "$DIR/etc/munge.key")
  chown root: "$DIR/etc" "$DIR/etc/munge.key"; chmod 400 "$DIR/etc/munge.key"
  write_slurm_conf > "$CONF"
  # Slurm counts a GPU only if it has a device file.
  local i
  for i in $(seq 0 $((GPUS - 1))); do
    [ -c "$DIR/dev/gpu$i" ] || mknod -m 666 "$DIR/dev/gpu$i" c 1 3
  done
  echo "NodeName=node[1-$GPU_NODES] Name=gpu Type=fake File=$DIR/dev/gpu[0-$((GPUS - 1))]" > "$DIR/etc/gres.conf"
  write_dbd_conf > "$DIR/etc/slurmdbd.conf"
  chmod 600 "$DIR/etc/slurmdbd.conf"
  local f
  mkdir -p $LINKS
  for f in slurm.conf gres.conf slurmdbd.conf; do
    if [ -e $LINKS/$f ] && [ ! -L $LINKS/$f ]; then die "$LINKS/$f is a real file, and stays"; fi
    ln -sfn "$DIR/etc/$f" $LINKS/$f
  done
}
write_slurm_conf() {
  # cred_expire: a requeued job waits so long before it begins again (120 s if not said).
  # linuxproc, jobacct_gather/linux: no cgroups. config_overrides: nodes may claim more than there is.
  cat <<END
ClusterName=onemachine
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$CTLD_PORT
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$MUNGE_SOCK,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MpiDefault=none
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool/%n
SlurmctldPidFile=$RUN/slurmctld.pid
SlurmdPidFile=$RUN/slurmd.%n.pid
SlurmctldLogFile=$LOG/slurmctld.log
SlurmdLogFile=$LOG/slurmd.%n.log
SlurmctldDebug=info
SlurmdDebug=info
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,bf_interval=2,batch_sched_delay=0,default_queue_depth=1000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PriorityType=priority/basic
DefMemPerCPU=200
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MinJobAge=300
InactiveLimit=0
KillWait=5
Waittime=0
SlurmctldTimeout=30
SlurmdTimeout=30
MessageTimeout=20
GresTypes=gpu
END
  [ "$ACCOUNTING" = none ] || cat <<END
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$DBD_PORT
AccountingStoragePass=$MUNGE_SOCK
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations,limits,qos
AccountingStoreFlags=job_comment
END
  local i gres
  for i in $(seq $NODES); do
    gres=; [ "$i" -gt $GPU_NODES ] || gres=" Gres=gpu:fake:$GPUS"
    echo "NodeName=node$i NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((NODE_PORT + i - 1)) CPUs=$CPUS RealMemory=$MEM$gres State=UNKNOWN"
  done
  cat <<END
PartitionName=cpu  Nodes=ALL MaxTime=7-00:00:00 DefaultTime=00:10:00 State=UP PriorityTier=10 Default=YES
PartitionName=gpu  Nodes=node[1-$GPU_NODES] MaxTime=7-00:00:00 DefaultTime=00:10:00 State=UP PriorityTier=10
PartitionName=low  Nodes=ALL MaxTime=7-00:00:00 DefaultTime=00:10:00 State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=ALL MaxTime=7-00:00:00 DefaultTime=00:10:00 State=UP PriorityTier=20 PreemptMode=OFF
END
}
write_dbd_conf() {
  cat <<END
DbdHost=$HOST
DbdAddr=127.0.0.1
DbdPort=$DBD_PORT
AuthType=auth/munge
AuthInfo=$MUNGE_SOCK
CommunicationParameters=NoInAddrAny
SlurmUser=root
PidFile=$RUN/slurmdbd.pid
LogFile=$LOG/slurmdbd.log
DebugLevel=info
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$SQL_PORT
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
END
}

# ---- start ------------------------------------------------------------------------------
start_munge() {
  alive munged munged && return 0
  munged --key-file="$DIR/etc/munge.key" --socket="$MUNGE_SOCK" --pid-file="$RUN/munged.pid" \
    --log-file="$LOG/munged.log" --seed-file="$RUN/munged.seed" --num-threads=4 --force >>"$LOG/munged.out" 2>&1
  until_ok 30 munged bash -c "munge -S '$MUNGE_SOCK' -n | unmunge -S '$MUNGE_SOCK'"
}
start_sql() {
  alive mariadbd mariadbd && return 0
  chown -R mysql: "$DIR/sql"
  mkdir -p "$RUN/sql"; chown mysql: "$RUN/sql"
  if [ ! -d "$DIR/sql/mysql" ]; then
    mariadb-install-db --no-defaults --user=mysql --datadir="$DIR/sql" --skip-test-db \
      --auth-root-authentication-method=socket >"$LOG/mariadb-install.log" 2>&1
  fi
  setsid mariadbd --no-defaults --user=mysql --datadir="$DIR/sql" --socket="$RUN/sql/sock" \
    --bind-address=127.0.0.1 --port="$SQL_PORT" --pid-file="$RUN/sql/pid" \
    --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
    --innodb-flush-log-at-trx-commit=0 --performance-schema=OFF >>"$LOG/mariadbd.log" 2>&1 </dev/null &
  echo $! > "$RUN/mariadbd.pid"
  until_ok 60 mariadbd mariadb-admin --no-defaults --socket="$RUN/sql/sock" ping
  mariadb --no-defaults --socket="$RUN/sql/sock" -e "
    CREATE DATABASE IF NOT EXISTS slurm_acct_db;
    CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'slurm';
    CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm';
    GRANT ALL ON slurm_acct_db.* TO 'slurm'@'localhost';
    GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1';"
}
start_dbd() {
  alive slurmdbd slurmdbd && return 0
  slurmdbd
  until_ok 60 slurmdbd timeout 5 sacctmgr -n list cluster
}
make_account() {
  { sacctmgr -n list cluster format=cluster%20 | grep -qw onemachine || sacctmgr -i add cluster onemachine
    sacctmgr -n list account format=account%20 | grep -qw lab ||
      sacctmgr -i add account lab Description=lab Organization=test
    sacctmgr -n list assoc user=root format=account%20 | grep -qw lab ||
      sacctmgr -i add user root Account=lab DefaultAccount=lab; } >>"$LOG/accounts.log" 2>&1
}
start_ctld() {
  alive slurmctld slurmctld && return 0
  slurmctld -f "$CONF"
  until_ok 30 slurmctld timeout 5 scontrol ping
}
start_node() { # start_node <i>
  alive "slurmd.node$1" slurmd && return 0
  mkdir -p "$DIR/spool/node$1"
  slurmd -f "$CONF" -N "node$1"
}
resume_nodes() { # a node drained or down in an earlier life is put back to work
  local n
  for n in $(sinfo -h -N -p cpu -o '%N %t' | awk '$2 ~ /^(drain|drng|down|inval)/ {print $1}'); do
    scontrol update NodeName="$n" State=RESUME 2>/dev/null || true
  done
}
all_idle() { [ "$(sinfo -h -N -p cpu -o %t | grep -cE '^(idle|mix|alloc)$')" = $NODES ]; }

do_start() {
  installed || die "Slurm is not installed; run: $0 install"
  write_conf
  start_munge
  [ "$ACCOUNTING" = none ] || { start_sql; start_dbd; make_account; }
  start_ctld
  local i; for i in $(seq $NODES); do start_node "$i"; done
  sleep 0.3; resume_nodes
  until_ok 60 "$NODES nodes" all_idle
  say "up: $NODES nodes"
}
do_stop() {
  local f
  for f in "$RUN"/slurmd.node*.pid; do [ ! -e "$f" ] || end "$(basename "$f" .pid)" slurmd; done
  end slurmctld slurmctld; end slurmdbd slurmdbd; end mariadbd mariadbd; end munged munged
  say "stopped"
}
do_status() {
  local code=0 n want=("munged munged" "slurmctld slurmctld")
  [ "$ACCOUNTING" = none ] || want+=("mariadbd mariadbd" "slurmdbd slurmdbd")
  for n in $(seq $NODES); do want+=("slurmd.node$n slurmd"); done
  for n in "${want[@]}"; do
    # shellcheck disable=SC2086
    if alive $n; then echo "up    ${n%% *}"; else echo "DOWN  ${n%% *}"; code=3; fi
  done
  [ $code != 0 ] || sinfo -o '%9P %5a %10l %6D %6t %N %G'
  return $code
}
do_clean() {
  do_stop
  local f
  for f in slurm.conf gres.conf slurmdbd.conf; do
    [ "$(readlink $LINKS/$f 2>/dev/null)" != "$DIR/etc/$f" ] || rm -f $LINKS/$f
  done
  [ ! -e "$DIR/.one-machine-slurm" ] || rm -rf "$DIR"
}

[ "$(id -u)" = 0 ] || die "run as root"
case "${1:-}" in
  install) do_install ;;
  start) do_start ;;
  status) do_status ;;
  controller-down) end slurmctld slurmctld ;;
  controller-up) start_ctld ;;
  stop) do_stop ;;
  clean) do_clean ;;
  *) sed -n '2,18p' "$0"; exit 2 ;;
esac
