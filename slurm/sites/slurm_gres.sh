# shellcheck shell=bash
# Slurm where GPUs are asked for as --gres=gpu:N, a count per node (the oldest form; every Slurm with GPUs knows it). `export DEDA_SITE=slurm_gres`.
# A study takes all that the job has, however it was asked for: whole nodes pack best, since no other job's steps are in the way.
#
#   #SBATCH --nodes=2
#   #SBATCH --gres=gpu:4                  # per node
#   #SBATCH --exclusive                   # all cores and, with --mem=0, all memory of the nodes, to be shared by the runs
#   #SBATCH --mem=0
#   #SBATCH --time=24:00:00
#   #SBATCH --requeue --no-kill           # a lost node ends its runs, not the job
#   #SBATCH --open-mode=append
#   #SBATCH --signal=B:USR2@300
#
# Without --exclusive ask for cores, too: --ntasks-per-node=1 --cpus-per-task=32 (a run gets its GPU's share of them).

#   module load gcc/12 openmpi/4.1 hdf5/1.14-parallel opencv cuda/12.6
# How srun reaches MPI here (`srun --mpi=list` tells):
export DEDA_SRUN_MPI=${DEDA_SRUN_MPI:-pmix}
