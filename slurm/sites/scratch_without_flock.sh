# shellcheck shell=bash
# Scratch that refuses flock(2) ("Function not implemented", "No locks available": Lustre without -o flock) or keeps it within a node (Lustre with
# -o localflock). `export DEDA_SITE=scratch_without_flock`; the #SBATCH lines are those of slurm_gres.sh or slurm_gpus_per_node.sh.

# HDF5 would refuse to open its files; stores have one writer each and need no locks of HDF5:
export HDF5_USE_FILE_LOCKING=FALSE
# Open MPI locks in collective writes over several nodes, else 4.1 loses bytes (slurm/README.md). By fcntl(2), which such file systems may refuse as well:
# that is no loss here, a study's stages are on one node each.

# Who runs what: a study claims its items by link(2), which needs no locks, so any number of drivers may share the folder. Two calls of a single stage at once
# are what writer.lock guards against, and cannot here: start none by hand in a folder that a study works on.

# Where another file system with locks is large enough for results, take that instead: `deda study run FILE.toml --out /project/$USER/deda`. Data may stay on the
# scratch: reading needs no locks.
export DEDA_SRUN_MPI=${DEDA_SRUN_MPI:-pmix}
