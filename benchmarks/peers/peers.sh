#!/usr/bin/env bash
# Time YOLACT beside its peers: benchmarks/peers/peers.sh [OPTIONS OF `python -m benchmarks peers`]
#
# Peers that are no dependency go into an environment of their own (.peers, ignored by git; 400 MB), which sees the workbench's
# packages, torch among them, so that all run in one process on the same torch. PYTHON names the workbench's interpreter.
# A package index is needed the first time.
set -euo pipefail
PEERS=(ultralytics==8.4.190)
caller=$PWD
arguments=("$@")
for index in "${!arguments[@]}"; do
    if [[ ${arguments[index]} == --out && ${arguments[index + 1]:-/} != /* ]]; then arguments[index + 1]=$caller/${arguments[index + 1]}; fi
done
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PYTHON=${PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python3)}

# a folder that was left half made lacks the stamp
stamp=.peers/${PEERS[*]}
if [[ ! -f $stamp ]]; then
    "$PYTHON" -m venv --clear .peers
    site='import site; print(site.getsitepackages()[0])'
    "$PYTHON" -c "$site" >"$(.peers/bin/python -c "$site")/workbench.pth"
    .peers/bin/python -m pip install --quiet --disable-pip-version-check "${PEERS[@]}"
    touch "$stamp"
fi
exec .peers/bin/python -m benchmarks peers "${arguments[@]}"
