#!/usr/bin/env bash
# Prepare what must travel to a GPU machine without a network: benchmarks/gpu/wheels.sh NUCLEI [PACKAGE...]
#
#   .whl/  wheels, in the versions that constraints.txt pins, for Python 3.12 on x86-64 Linux, of what a machine with torch and
#          torchvision usually lacks; PACKAGEs in place of that list where you know better
#   .gpu/  the nuclei (NUCLEI: their COCO-format folder) as JPEG, and ImageNet weights where torch hub's cache has them
#
# Git ignores both folders. benchmarks/gpu/gpu.sh takes what lies there.
set -euo pipefail
[[ $# -ge 1 && -d $1/annotations ]] || { echo >&2 "usage: benchmarks/gpu/wheels.sh NUCLEI [PACKAGE...]; NUCLEI holds annotations/ and images/"; exit 2; }
nuclei=$(cd "$1" && pwd)
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PYTHON=${PYTHON:-python3}
packages=("$@")
[[ $# -gt 0 ]] || packages=(
    pycocotools pydantic pydantic_core annotated-types typing_extensions typing-inspection ruamel.yaml click
    rich markdown-it-py mdurl Pygments pandas python-dateutil six
    matplotlib contourpy cycler fonttools kiwisolver pyparsing packaging
)

platforms=()
for tag in 2_28 2_27 2_24 2_17; do platforms+=(--platform "manylinux_${tag}_x86_64"); done
platforms+=(--platform manylinux2014_x86_64)
pinned=() plain=()
for package in "${packages[@]}"; do
    line=$(grep -i "^${package//[-_.]/[-_.]}==" constraints.txt) || { echo >&2 "constraints.txt does not pin $package"; exit 2; }
    # fonttools without its compiled part is a fifth of the size
    if [[ $package == fonttools ]]; then plain+=("$line"); else pinned+=("$line"); fi
done
fetch() { "$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --dest .whl.part "$@"; }
rm -rf .whl.part && mkdir .whl.part
[[ ${#pinned[@]} == 0 ]] || fetch --python-version 3.12 --implementation cp "${platforms[@]}" "${pinned[@]}"
[[ ${#plain[@]} == 0 ]] || fetch --python-version 3.12 --implementation py --abi none --platform any "${plain[@]}"
rm -rf .whl && mv .whl.part .whl

PYTHONPATH=$PWD "$PYTHON" -m benchmarks gpu-data "$nuclei" .gpu/nuclei-jpeg
cache=${TORCH_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/torch}/hub/checkpoints
pretrained=mobilenet_v2-b0353104.pth
if [[ -f $cache/$pretrained ]]; then
    mkdir -p .gpu/torch/hub/checkpoints && cp --no-preserve=mode "$cache/$pretrained" .gpu/torch/hub/checkpoints/
else
    echo "no $pretrained in $cache: without ImageNet weights the networks train from random ones"
fi
du -sm .whl .gpu
