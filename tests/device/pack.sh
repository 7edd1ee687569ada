#!/usr/bin/env bash
# Everything that a machine with a GPU and LibTorch, but without MPI, HDF5, OpenCV or a network, needs to check and measure deda:
#   bash tests/device/pack.sh [--out FILE.tar.xz]   default: <build>/device/deda-device.tar.xz, its folder beside it
#                             [--pets DIR]          Oxford-IIIT Pet pictures for the comparison of methods (default ../shared/data/pets)
# There:  tar xf deda-device.tar.xz && bash deda-device/run.sh
# Sets up and builds first. Fails where a library would not be found there, where a path of this machine is inside, or above 60 MiB.
source "$(dirname "${BASH_SOURCE[0]}")/../../cmake/setup.sh"

refuse() { say "pack: $*"; exit 1; }
here=$deda_root/tests/device
data=${DEDA_TEST_DATA:-$deda_root/../shared/data}
archive=; pets=$data/pets; pets_named=0
while [ $# -gt 0 ]; do
  case $1 in
    --out) archive=${2:?--out needs a file}; shift 2 ;;
    --pets) pets=${2:?--pets needs a folder}; pets_named=1; shift 2 ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) fail "unknown argument $1 (bash tests/device/pack.sh --help)" ;;
  esac
done
most_mib=60
[ $pets_named -eq 0 ] || [ -d "$pets/images" ] || fail "--pets $pets holds no images/"

started=$SECONDS
mkdir -p "$deda_build_dir"
deda_packages patchelf xz-utils binutils
deda_setup run
targets=(deda device_check device_gdal)
has_target() { ninja -C "$deda_build_dir" -t query "$1" >/dev/null 2>&1; }
plugin=0; figures=0
if has_target deda_cuda; then plugin=1; targets+=(deda_cuda); fi
if has_target device_figures; then figures=1; targets+=(device_figures); fi
deda_build "${targets[@]}"
say "set-up and build: $((SECONDS - started)) s"

work=$deda_build_dir/device
pack=$work/deda-device
archive=${archive:-$work/deda-device.tar.xz}
rm -rf "$pack"
mkdir -p "$pack"/{bin,lib/deda,lib/openmpi,lib/pmix,share,etc,networks,record}

# ---- programs

built() { find "$deda_build_dir" -name "$1" -type f -not -path "$work/*" | head -n 1; }
cp "$deda_build_dir/jobs/deda" "$(built device_check)" "$pack/bin/"
notes=()
if [ $figures -eq 1 ]; then cp "$(built device_figures)" "$pack/bin/"; else notes+=("left out: bin/device_figures (no such target; parts 4 to 6 are skipped)"); fi
if [ $plugin -eq 1 ]; then
  cp "$deda_build_dir/lib/deda/libdeda_cuda.so" "$pack/lib/deda/"   # by its place: the pretended GPU's has the same name
  readelf -d "$pack/lib/deda/libdeda_cuda.so" | grep -q 'NEEDED.*libtorch_cuda' || refuse "the plugin that was built is not the CUDA one"
else
  notes+=("left out: the CUDA/NCCL plugin (this build found no CUDA toolkit or NCCL headers): nothing runs on a GPU")
fi

# ---- Open MPI: starter, daemon, plugins, help

ompi_path() { ompi_info --parsable --path "$1" 2>/dev/null | sed -n "s/^path:$1://p" | head -n 1; }
command -v ompi_info >/dev/null || refuse "ompi_info is not there: only Open MPI can be carried"
mpi_plugins=$(ompi_path pkglibdir); mpi_texts=$(ompi_path pkgdatadir)
compgen -G "$mpi_plugins/mca_*.so" >/dev/null || refuse "Open MPI's plugins are not at $mpi_plugins"
for name in mpirun orted prted prterun prte; do
  if command -v "$name" >/dev/null; then cp "$(readlink -f "$(command -v "$name")")" "$pack/bin/$name"; fi
done
needed() { readelf -d "$1" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
# Networks other than TCP and shared memory, batch systems, OpenSHMEM, checkpoints, measuring: not needed on one machine, and they
# bring libraries of their own.
not_carried='_(ofi|openib|ucx|psm|psm2|verbs|usnic|ugni|portals4|cuda|flux|jsm|gridengine|tm|lsf|alps|simulator|monitoring|romio[0-9]*|pessimist|treematch)\.so$|mca_(memheap|spml|scoll|sshmem|mtl|crs|vprotocol)_'
carried=0; left_out=0
for file in "$mpi_plugins"/mca_*.so; do
  if [[ ${file##*/} =~ $not_carried ]]; then left_out=$((left_out + 1)); continue; fi
  cp -L "$file" "$pack/lib/openmpi/"; carried=$((carried + 1))
done
notes+=("Open MPI: $carried plugins, left out $left_out (other networks, batch systems, OpenSHMEM, ROMIO, checkpoints, monitoring)")
mkdir -p "$pack/share/openmpi"
find -L "$mpi_texts" -maxdepth 1 -name '*.txt' -exec cp -L {} "$pack/share/openmpi/" \; 2>/dev/null || true

# ---- libraries: all that these files need, and all that those need

declare -A found=()    # name of a library -> where this machine has it
learn() {
  local name path
  while read -r name path; do found[$name]=$path; done < <(ldd "$1" 2>/dev/null | sed -n 's/^[[:space:]]*\([^ ]*\) => \(\/[^ ]*\) (.*/\1 \2/p')
}
# The C library comes with the system, LibTorch and NVIDIA's libraries with LibTorch and the driver.
c_library='^(ld-linux.*|libc|libm|libdl|libpthread|librt|libresolv|libutil|libanl|libmvec|libnss_.*)\.so'
device_library='^lib(cuda|cudart|cublas|cublasLt|cudnn|cufft|cufile|curand|cusolver|cusparse|cusparseLt|cupti|nccl|nvrtc|nvJitLink|nvToolsExt|nvshmem.*|nvidia.*)[-._].*so'
torch_packages=$(cd "$LIBTORCH_ROOT/.." && pwd)
comes_with_system() { [[ $1 =~ $c_library ]]; }
comes_with_torch() { [[ $1 =~ $device_library ]] || [ -e "$LIBTORCH_ROOT/lib/$1" ] || [[ ${found[$1]:-} == "$torch_packages"/* ]]; }

# OpenCV's GDAL is replaced where ours has every symbol that OpenCV takes from it (gdal_without_formats.cpp says why).
gdal=$(built libgdal_without_formats.so); gdal_stands_in=0
symbols() { nm -D "$@" 2>/dev/null | awk '{ sub(/@.*/, "", $NF); print $NF }' | sort -u; }
may_replace_gdal() {  # may_replace_gdal USER LIBRARY
  local open
  open=$(comm -23 <(comm -12 <(symbols --undefined-only "$1") <(symbols --defined-only "$2")) <(symbols --defined-only "$gdal"))
  [ -z "$open" ]
}

todo=("$pack"/bin/* "$pack"/lib/deda/* "$pack"/lib/openmpi/*)
declare -A seen=()
libraries=0
for file in "${todo[@]}"; do learn "$file"; done
while [ ${#todo[@]} -gt 0 ]; do
  file=${todo[0]}; todo=("${todo[@]:1}")
  for name in $(needed "$file"); do
    [ -z "${seen[$name]:-}" ] || continue
    seen[$name]=1
    if comes_with_system "$name" || comes_with_torch "$name"; then continue; fi
    path=${found[$name]:-}
    [ -n "$path" ] || refuse "$name, which ${file##*/} needs, is nowhere on this machine"
    if [[ $name == libgdal.so* ]] && [[ ${file##*/} == libopencv_imgcodecs* ]] && may_replace_gdal "$file" "$path"; then
      path=$gdal; gdal_stands_in=1
    fi
    cp -L "$path" "$pack/lib/$name"
    if [ "$path" = "$gdal" ]; then patchelf --set-soname "$name" "$pack/lib/$name"; fi
    libraries=$((libraries + 1))
    todo+=("$pack/lib/$name")
    if [[ $name == libpmix.so* ]]; then  # its own plugins
      pmix=$(dirname "$(readlink -f "$path")")
      for plugin_file in "$pmix"/pmix/pmix_mca_*.so "$pmix"/pmix*/pmix/pmix_mca_*.so "$pmix"/../pmix2/lib/pmix/pmix_mca_*.so; do
        if [ -e "$plugin_file" ]; then
          cp -L "$plugin_file" "$pack/lib/pmix/"; learn "$plugin_file"; todo+=("$pack/lib/pmix/${plugin_file##*/}")
        fi
      done
      for texts in "$pmix"/../share/pmix "$pmix"/../pmix2/share/pmix; do if [ -d "$texts" ]; then cp -rL "$texts" "$pack/share/"; fi; done
    fi
  done
done
notes+=("libraries: $libraries$([ $gdal_stands_in -eq 1 ] && echo ', of them libgdal a replacement that knows no file format')")

# ---- one search path in every file; no symbols that only debuggers read

elf_files() { find "$pack" -type f \( -path "*/bin/*" -o -name '*.so*' \) -exec sh -c 'for f; do [ "$(head -c 4 "$f" | tail -c 3)" = ELF ] && echo "$f"; done' _ {} +; }
chmod -R u+w "$pack"
# shellcheck disable=SC2016  # for the loader, not for this shell
origin='$ORIGIN'
mapfile -t elves < <(elf_files)
for file in "${elves[@]}"; do
  strip --strip-unneeded "$file"
  case ${file#"$pack"/} in
    bin/*) path="$origin/../lib:$origin/../libtorch/lib" ;;
    lib/*/*) path="$origin/..:$origin/../../libtorch/lib" ;;
    *) path="$origin:$origin/../libtorch/lib" ;;
  esac
  # Setting writes over the old path, which removing it first would leave in the file.
  patchelf --force-rpath --set-rpath "$path" "$file"
done

# ---- scripts, configurations, models, pictures

cp "$here"/{run.sh,environment.sh,pipeline.toml,pets.toml,README.md} "$pack/"
cp -r "$deda_root/configs" "$pack/"
if [ -d "$here/peers" ]; then mkdir -p "$pack/peers"; cp "$here"/peers/*.py "$pack/peers/"; else notes+=("left out: peers (there is no tests/device/peers)"); fi
cp "$deda_root"/tests/golden/{sam,grounding_dino}.json "$pack/networks/"
if [ -e "$data/weights/deeplabv3_mnv2_pascal/graph.json" ]; then
  mkdir -p "$pack/networks/deeplab"
  cp "$data"/weights/deeplabv3_mnv2_pascal/{graph.json,labels.txt,deeplabv3_mnv2_pascal.safetensors} "$pack/networks/deeplab/"
else
  notes+=("left out: the published DeepLab (no $(basename "$data")/weights); a small exported graph stands for it")
fi
ln -sfn "$LIBTORCH_ROOT" "$pack/libtorch"
# shellcheck source=environment.sh
in_pack() { (source "$pack/environment.sh"; "$@"); }
if [ -d "$pets/images" ]; then
  counted=$(in_pack device_check pictures "$pets" "$pack/pets" --side 256 --quality 90) || refuse "the pictures of $pets could not be made smaller"
  notes+=("pets: $counted, shorter side 256")
else
  notes+=("left out: pets (there are no pictures; pack.sh --pets DIR): part 7 is skipped")
fi
say "folder: $((SECONDS - started)) s"

# ---- what the CPU computes here: the record that devices are held against

record=$work/record; rm -rf "$record"; mkdir -p "$record"
deeplab=(); if [ -d "$pack/networks/deeplab" ]; then deeplab=(--deeplab "$pack/networks/deeplab"); fi
in_pack device_check networks --golden "$pack/networks" --toy "$pack/configs/models/toy" --work "$record/weights" --record "$pack/record/networks" \
  --write --inputs "$record/inputs" "${deeplab[@]}" || refuse "the networks' record could not be made"
cp "$record/inputs/vae_encoder.safetensors" "$pack/networks/"
for stage in toy decouple invert generate train; do
  in_pack deda "$stage" --config "$pack/pipeline.toml" --set "dataset.root=\"$record/toy\"" --set "models.base=\"$pack/configs/models/toy\"" \
    --set 'models.device="cpu"' --set 'train.device="cpu"' --out "$record/cpu" >"$record/$stage.log" 2>&1 \
    || { tail -n 20 "$record/$stage.log" >&2; refuse "deda $stage failed on the CPU"; }
done
in_pack device_check summary "$record/cpu" >"$pack/record/pipeline.json" || refuse "the pipeline's record could not be made"
six_steps() {   # six_steps NAME SETTING...: what part 9 is held against
  local name=$1; shift
  in_pack train_six_steps "$record/toy" "$record/$name" --set 'train.device="cpu"' "$@" >"$record/$name.log" 2>&1 \
    || { tail -n 20 "$record/$name.log" >&2; refuse "deda train ($name) failed on the CPU"; }
  in_pack device_check summary "$record/$name" >"$pack/record/$name.json" || refuse "the record of $name could not be made"
}
# shellcheck disable=SC2016  # of environment.sh
for network in $(in_pack eval 'echo "${classifiers[@]}"'); do six_steps "$network" --set "train.network=\"$network\""; done
# shellcheck disable=SC2016
for method in $(in_pack eval 'echo "${mixing_methods[@]}"'); do six_steps "$method" --set "augment.method=\"$method\"" --set train.batch_size=48; done
say "record: $((SECONDS - started)) s"

# ---- verified before it travels

wrong=0
for file in "${elves[@]}"; do
  while read -r line; do
    name=${line%% *}
    case $line in
      linux-vdso* | */ld-linux* | 'statically linked'*) continue ;;
      *'=> not found'*) if comes_with_torch "$name" || [[ $name =~ $device_library ]]; then continue; fi ;;
      *"=> $pack/"* | *"=> $torch_packages/"*) continue ;;
      *) if comes_with_system "$name" || [[ $name =~ $device_library ]]; then continue; fi ;;
    esac
    say "pack: ${file#"$pack"/}: $line"; wrong=$((wrong + 1))
  done < <(in_pack ldd "$file" 2>&1 | sed 's/^[[:space:]]*//')
  if readelf -d "$file" | grep -q RUNPATH; then say "pack: ${file#"$pack"/} has RUNPATH"; wrong=$((wrong + 1)); fi
done
[ $wrong -eq 0 ] || refuse "$wrong libraries would not be found, or not where they should be (above)"
rm "$pack/libtorch"   # run.sh makes it anew, to the LibTorch it finds
{
  echo "pack: deda $(git -C "$deda_root" describe --always --dirty 2>/dev/null || echo 'of an unknown commit'), made $(date -u +%Y-%m-%d), for LibTorch $torch_version"
  printf '%s\n' "${notes[@]}"
} >"$pack/PACK.txt"
printf '%s\n' "${notes[@]}" >&2
for path in "$deda_root" "$deda_build_dir"; do
  if files=$(grep -rlaF -e "$path" "$pack"); then
    refuse "the path $path is inside of: $files"
  fi
done

tar --sort=name --owner=0 --group=0 -C "$work" -cf - deda-device | xz -T0 -6 >"$archive.partial"
mib=$(($(stat -c %s "$archive.partial") / 1048576 + 1))
if [ $mib -gt $most_mib ]; then
  say "pack: $mib MiB; the largest:"
  (cd "$pack" && find . -type f -printf '%s %p\n' | sort -rn | head -n 15) >&2
  refuse "the pack is larger than $most_mib MiB"
fi
mv "$archive.partial" "$archive"
say "$archive: $mib MiB ($(du -sm "$pack" | cut -f 1) MiB unpacked, ${#elves[@]} programs and libraries), $((SECONDS - started)) s"
