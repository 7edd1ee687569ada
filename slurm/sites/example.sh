# shellcheck shell=bash
# Site profile: copy to slurm/sites/<your site>.sh and say `export DEDA_SITE=<your site>`. Keep what your site needs.

# Modules that bring a C++20 compiler, Open MPI with PMIx, parallel HDF5 and OpenCV:
#   module load gcc/12 openmpi/4.1 hdf5/1.14-parallel opencv cuda/12.6
# A LibTorch of the site's own (V100 nodes need one built for CUDA 12.6: CUDA 13 no longer builds for them):
#   export LIBTORCH_ROOT=/sw/libtorch-2.7.1-cu126
# How srun reaches MPI here (`srun --mpi=list` tells):
export DEDA_SRUN_MPI=${DEDA_SRUN_MPI:-pmix}
# File systems that refuse locks:
#   export HDF5_USE_FILE_LOCKING=FALSE
# Network of the NCCL traffic:
#   export NCCL_SOCKET_IFNAME=ib0
