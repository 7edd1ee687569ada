# shellcheck shell=bash
# One node with V100s and no scheduler: `export DEDA_SITE=v100_node`, then either of
#   bash -c 'source slurm/env.sh && exec "$DEDA_BIN" study run FILE.toml --machine v100'
#   bash -c 'source slurm/env.sh && exec "$DEDA_BIN" study run FILE.toml --machine v100 --gpus 0,1'    # the others are somebody else's
# A study takes its local launcher here: one run per GPU, each with its share of the cores. Nobody ends it at a time limit; INT or USR2 to the process stops
# it with exit code 75, and the same call goes on. Closing the terminal must not: call it in tmux, or with nohup.

# No #SBATCH lines: there is no Slurm.
# V100s (sm_70) need a LibTorch for CUDA 12.6: those for CUDA 13 no longer hold kernels for them. Set it before cmake/setup.sh, too:
#   export LIBTORCH_ROOT=/opt/libtorch-2.7.1-cu126
# A V100 has neither bf16 nor TF32: train.precision = "fp32". Networks that make masks and CDPs take fp16 there by themselves ("auto").
