# shellcheck shell=bash
# Slurm whose srun cannot start this Open MPI (`srun --mpi=list` names no pmix, or MPI_Init says "not built with SLURM's PMI support").
# `export DEDA_SITE=slurm_no_pmix`.
#
#   #SBATCH --nodes=2
#   #SBATCH --gpus-per-node=4
#   #SBATCH --ntasks-per-node=1 --cpus-per-task=64
#   #SBATCH --time=24:00:00
#   #SBATCH --requeue --no-kill
#   #SBATCH --open-mode=append
#   #SBATCH --signal=B:USR2@300

#   module load gcc/12 openmpi/4.1 hdf5/1.14-parallel opencv cuda/12.6
# A study: each step is one task, which starts its ranks by mpirun, apart from Slurm, on the step's node (a run with one rank needs no mpirun).
export DEDA_SRUN_MPI=mpirun
