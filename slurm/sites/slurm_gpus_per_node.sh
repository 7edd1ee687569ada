# shellcheck shell=bash
# Slurm where GPUs are asked for as --gpus-per-node=N (20.11 and newer; many sites refuse --gres). `export DEDA_SITE=slurm_gpus_per_node`.
#
#   #SBATCH --nodes=2
#   #SBATCH --gpus-per-node=4
#   #SBATCH --ntasks-per-node=1 --cpus-per-task=64   # cores of a node for this job: a run gets a GPU's share, here 16
#   #SBATCH --time=24:00:00
#   #SBATCH --requeue --no-kill
#   #SBATCH --open-mode=append
#   #SBATCH --signal=B:USR2@300
#
# Where the site wants memory by GPU: --mem-per-gpu=60G. --gpus-per-task and --ntasks-per-gpu work, too.
# srun would take what the job was asked with (SLURM_GPUS_PER_NODE) for each step, and the second step would wait: the study's steps start without these
# variables.

#   module load gcc/12 openmpi/4.1 hdf5/1.14-parallel opencv cuda/12.6
export DEDA_SRUN_MPI=${DEDA_SRUN_MPI:-pmix}
