#!/bin/bash
#SBATCH --job-name=workbench
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
#
# Run one command of the workbench on all nodes of a job:
#
#   sbatch docs/howto/slurm.sh evaluate --preset small --n 1000 --out out/small
#
# Without GPUs leave the line --gpus-per-node out. On every node: this environment, with the extra
# ray, and the weights. The store lies on a disk of the first node, as it refuses a network file
# system; what is in it comes back to $KEPT at the end, five minutes before the time is up, and
# where the job is cancelled. Submitted again, or requeued, the job goes on from there.
set -euo pipefail

KEPT=${KEPT:-$SLURM_SUBMIT_DIR/out/store}
VENV=${VENV:-$SLURM_SUBMIT_DIR/.venv}
source "$VENV/bin/activate"

export WORKBENCH_STORE=${TMPDIR:-/tmp}/workbench-store-$SLURM_JOB_ID
export RAY_USAGE_STATS_ENABLED=0
mkdir -p "$WORKBENCH_STORE" "$KEPT"
cp -a "$KEPT/." "$WORKBENCH_STORE/"

command=
keep() {
    trap '' TERM
    [ -z "$command" ] || { kill -TERM "$command" 2>/dev/null && wait "$command"; } || true
    cp -a "$WORKBENCH_STORE/." "$KEPT/"
    kill $(jobs -p) 2>/dev/null || true
    rm -rf "$WORKBENCH_STORE"
}
trap keep EXIT
trap 'exit 143' TERM

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
place=$(srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address)
place=${place%% *}:$((20000 + SLURM_JOB_ID % 20000))

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="${place%:*}" --port="${place#*:}" \
    --include-dashboard=false --disable-usage-stats --block &
until ray status --address="$place" > /dev/null 2>&1; do sleep 2; done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    srun --overlap --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) \
        --exclude="$head" ray start --address="$place" --disable-usage-stats --block &
fi

each=${SLURM_GPUS_ON_NODE:-1}
RAY_ADDRESS=$place workbench "$@" --runner "Ray(actors=$((each * SLURM_JOB_NUM_NODES)))" &
command=$!
wait "$command"
