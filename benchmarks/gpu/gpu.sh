#!/usr/bin/env bash
# All GPU work in one call: benchmarks/gpu/gpu.sh SECONDS OUT [--results FOLDER] [--device cpu] [--tiny]. See docs/gpu.md.
# Takes what benchmarks/gpu/wheels.sh put into .whl and .gpu; PYTHON names another interpreter.
set -euo pipefail
caller=$PWD
[[ $# -ge 2 ]] || { echo >&2 "usage: benchmarks/gpu/gpu.sh SECONDS OUT [--results FOLDER] [--device cpu] [--tiny]"; exit 2; }
begun=$SECONDS seconds=$1 out=$2
shift 2
[[ $seconds =~ ^[0-9]+$ ]] || { echo >&2 "benchmarks/gpu/gpu.sh: '$seconds' is not a number of seconds"; exit 2; }
[[ $out == /* ]] || out=$caller/$out
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PYTHON=${PYTHON:-python3}
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1

# where the machine lacks a package, from wheels: nothing is fetched
needed="import click, matplotlib, pandas, pycocotools, pydantic, rich, ruamel.yaml"
if ! "$PYTHON" -c "$needed" 2>/dev/null && compgen -G '.whl/*.whl' >/dev/null; then
    site=$PWD/results/gpu-site-$(ls .whl | sha256sum | cut -c1-12)
    if [[ ! -d $site ]]; then
        rm -rf "$site.part"
        "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site.part" .whl/*.whl
        mv "$site.part" "$site"
    fi
    PYTHONPATH+=:$site
fi
[[ ! -d .gpu/torch ]] || export TORCH_HOME=$PWD/.gpu/torch

exec "$PYTHON" -m benchmarks gpu $((seconds - (SECONDS - begun))) "$out" "$@"
