#!/bin/sh
#SBATCH --job-name=pyr
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
# Two nodes of eight devices. The conductor runs on the first node and starts each phase on all of them;
# 120 s before the end of the allocation it is asked to stop: it saves, and the requeued job goes on.
#   sbatch train/launch/slurm.sh train/pyr-135m
set -eu
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
launch="[srun, --kill-on-bad-exit=1, torchrun, --nnodes=$SLURM_NNODES, --nproc_per_node=8"
launch="$launch, --rdzv_backend=c10d, '--rdzv_endpoint=$first:29500']"
pyr train "$1" --set "launch=$launch" &
pyr=$!
trap 'kill -TERM $pyr' TERM
# The first wait ends with the signal, the second with the process.
wait $pyr || wait $pyr || code=$?
exit "${code:-0}"
