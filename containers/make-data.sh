#!/usr/bin/env bash
# Makes the data sets of an image: FOLDER/PRESET for each preset, and FOLDER/SHA256 with the hashes of their manifests,
# which results call data_sha256. The data stage of the Dockerfile calls it.
#
# Usage: make-data.sh WORKLOAD "PRESET ..." FOLDER
set -euo pipefail

WORKLOAD=$1 PRESETS=$2 FOLDER=$3
[ -n "$PRESETS" ] || { echo "make-data.sh: expected one preset or more in PRESETS, got none" >&2; exit 2; }
mkdir -p "$FOLDER"
for preset in $PRESETS; do
    hepbench data generate "$WORKLOAD" --preset "$preset" --output "$FOLDER/$preset"
done
chmod -R a+rX,go-w "$FOLDER"
cd "$FOLDER"
sha256sum ./*/manifest.json >SHA256
