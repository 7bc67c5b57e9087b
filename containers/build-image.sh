#!/usr/bin/env bash
# Builds the image of a workload, labels it with the hashes of its data and says how large it is. `make image` calls it.
# An image for CUDA gets a second name such as mlpf-gpu-bmk, in the manner of hep-score's GPU workloads.
#
# Usage: build-image.sh WORKLOAD VERSION IMAGE [option of docker build] ...
# Environment: DOCKER  the client, default docker or, where there is none, podman
set -euo pipefail
cd "$(dirname "$0")/.."

WORKLOAD=$1 VERSION=$2 IMAGE=$3
shift 3
DOCKER=${DOCKER:-$(command -v docker || command -v podman || echo docker)}
[ -f "benchmarks/workloads/$WORKLOAD/workload.py" ] || {
    echo "make image: expected a folder of benchmarks/workloads/ with a workload.py as WORKLOAD, got $WORKLOAD" >&2
    exit 2
}

"$DOCKER" build --file containers/Dockerfile --tag "$IMAGE" \
    --build-arg WORKLOAD="$WORKLOAD" \
    --build-arg IMAGE="${IMAGE##*/}" \
    --build-arg VERSION="$VERSION" \
    --build-arg REVISION="$(git describe --always --dirty --abbrev=40 --exclude '*')" \
    "$@" .

# A Dockerfile cannot make a label of a file, so the label comes from the image that is finished.
inside() { "$DOCKER" run --rm --network none --entrypoint "$1" "$IMAGE" "${@:2}"; }
echo "FROM $IMAGE" | "$DOCKER" build --quiet --tag "$IMAGE" --label "hepbench.data.sha256=$(inside paste -sd' ' /data/SHA256)" -

NAMES=("$IMAGE")
if [[ " $* " = *" ACCELERATOR=cuda "* ]]; then
    NAMES+=("${IMAGE/-bmk:/-gpu-bmk:}")
    "$DOCKER" tag "${NAMES[@]}"
fi

bytes=$("$DOCKER" image inspect --format '{{.Size}}' "$IMAGE")
data=$(inside du --summarize --bytes /data | cut --fields 1)
echo "${NAMES[*]}: $((bytes / 1000000)) MB, of which data $((data / 1000000)) MB"
