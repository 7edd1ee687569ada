# shellcheck shell=bash disable=SC2154
# The environment of a pack's programs: sourced by run.sh, and by pack.sh when it makes the record. Needs `pack`, the unpacked folder.
# Open MPI and PMIx were built to live elsewhere and look for their plugins and help texts by these.
export OPAL_PREFIX=$pack OPAL_BINDIR=$pack/bin OPAL_LIBDIR=$pack/lib OPAL_PKGLIBDIR=$pack/lib/openmpi OPAL_DATADIR=$pack/share
export OPAL_PKGDATADIR=$pack/share/openmpi OPAL_SYSCONFDIR=$pack/etc OMPI_MCA_mca_base_component_path=$pack/lib/openmpi
export PMIX_PREFIX=$pack PMIX_LIBDIR=$pack/lib PMIX_PKGLIBDIR=$pack/lib/pmix PMIX_PKGDATADIR=$pack/share/pmix PMIX_SYSCONFDIR=$pack/etc
# One machine: no remote shell is looked for (Open MPI would not start where there is no ssh).
export OMPI_MCA_plm=isolated
export PMIX_MCA_mca_base_component_path=$pack/lib/pmix PMIX_MCA_pcompress_base_silence_warning=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl_vader_single_copy_mechanism=none
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
# Every library is found by the search path inside of the files; what else is on this machine must not come before.
unset LD_LIBRARY_PATH LD_PRELOAD
export PATH=$pack/bin:$PATH OMP_NUM_THREADS=1 DEDA_PLUGIN_DIR=$pack/lib/deda

# What part 9 trains and pack.sh records: one epoch of six steps, more than a graph needs to be recorded, at a rate that lets no rounding grow.
classifiers=(resnet18 resnet50 densenet121 vit_b_16)
mixing_methods=(mixup cutmix saliencymix snapmix puzzlemix comixup guided-sr guided-ap)
train_six_steps() {  # train_six_steps TOY OUT SETTING...
  local toy=$1 out=$2; shift 2
  deda train --config "$pack/pipeline.toml" --set "dataset.root=\"$toy\"" --set 'augment.method="plain"' --set augment.resize_shorter=64 \
    --set augment.crop=64 --set train.batch_size=8 --set train.learning_rate=1e-3 --set train.epochs=1 --set 'train.milestones=[]' --out "$out" "$@"
}
