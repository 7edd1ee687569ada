# shellcheck shell=bash
# Slurm whose GPUs have types, on a partition with several kinds: say the kind, else the nodes of one job may differ. `export DEDA_SITE=slurm_typed_gpus`.
#
#   #SBATCH --nodes=2
#   #SBATCH --gpus-per-node=v100:4                    # or --gres=gpu:v100:4; `sinfo -o "%N %G"` tells the names
#   #SBATCH --ntasks-per-node=1 --cpus-per-task=40
#   #SBATCH --time=24:00:00
#   #SBATCH --requeue --no-kill
#   #SBATCH --open-mode=append
#   #SBATCH --signal=B:USR2@300
#
# The study's steps ask for gpu:1 without a type, in an environment without the job's own request: Slurm refuses steps that mix both forms.
# Numbers are equal on equal devices only (README.md): all of a table on one kind.

#   module load gcc/12 openmpi/4.1 hdf5/1.14-parallel opencv cuda/12.6
export DEDA_SRUN_MPI=${DEDA_SRUN_MPI:-pmix}
# V100s need a LibTorch for CUDA 12.6:
#   export LIBTORCH_ROOT=/sw/libtorch-2.7.1-cu126
