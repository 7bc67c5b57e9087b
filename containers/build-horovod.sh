#!/usr/bin/env bash
# Builds a Horovod wheel for the TensorFlow of a Python. It needs g++, make and that Python's pip.
#
# Usage: build-horovod.sh PYTHON FOLDER        (writes FOLDER/horovod-*.whl)
# Environment: HOROVOD_GPU_OPERATIONS=NCCL     on an image with nvcc and NCCL. Without it, the wheel is for CPUs only.
#
# Horovod 0.28.1, the last release, needs two changes:
# - One file includes an XLA header that TensorFlow 2.16 moved. It serves collectives inside XLA-compiled functions, which
#   we do not use, so it is left out.
# - Process sets, including that of all ranks, ignore the interface that HOROVOD_GLOO_IFACE names. Gloo then binds to what
#   the machine's own name resolves to, which on many machines is the loopback, where no other node arrives.
# The wheel fits this one TensorFlow only, so it must not get into a pip cache.
set -euo pipefail

HOROVOD=0.28.1
PYTHON=$(command -v "$1")
mkdir -p "$2"
OUTPUT=$(realpath "$2")

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# The pinned build tools go to an environment of their own, which also sees the packages of PYTHON.
unset PIP_CONSTRAINT
"$PYTHON" -m venv "$WORK/venv"
"$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
    >"$("$WORK/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/target.pth"
PIP=("$WORK/venv/bin/python" -m pip --quiet --no-cache-dir --disable-pip-version-check)
"${PIP[@]}" install 'setuptools==69.5.1' 'wheel==0.45.1' 'cmake==3.31.6' 'cloudpickle==3.1.2' 'packaging==25.0'

"${PIP[@]}" download --no-deps --no-build-isolation --no-binary :all: --dest "$WORK" "horovod==$HOROVOD"
tar -xzf "$WORK/horovod-$HOROVOD.tar.gz" -C "$WORK"
SOURCE=$WORK/horovod-$HOROVOD

# edit FILE PATTERN LINES COMMAND runs a sed command on a file, if as many lines match PATTERN as in the release.
edit() {
    [ "$(grep -c "$2" "$SOURCE/$1")" = "$3" ] || { echo "build-horovod.sh: expected $3 line(s) with $2 in $1" >&2; exit 1; }
    sed -i "$4" "$SOURCE/$1"
}
edit horovod/tensorflow/CMakeLists.txt xla_mpi_ops.cc 1 /xla_mpi_ops.cc/d
edit horovod/common/gloo/gloo_context.cc 'iface = gloo_iface_;' 3 \
    '/::InitializeForProcessSet(/,/CreateDevice/ s/iface = gloo_iface_;/iface = global_context.gloo_iface_;/'

export PATH="$WORK/venv/bin:$PATH" MAKEFLAGS="-j$(nproc)"
export HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1
"${PIP[@]}" wheel --no-deps --no-build-isolation --wheel-dir "$OUTPUT" "$SOURCE"
