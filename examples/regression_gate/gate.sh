#!/usr/bin/env bash
# gate.sh OLD_MODEL NEW_MODEL DATA: status 0, 1 (regression) or 3 (cannot be told).
set -euo pipefail
old=$1 new=$2 data=$3
out=${OUT:-build/gate}
mkdir -p "$out"
cp "$old" "$out/old.${old##*.}"
cp "$new" "$out/new.${new##*.}"
edge-tester compare "$out/old.${old##*.}" "$out/new.${new##*.}" "$data" --report-directory "$out/records" \
    --replicates "${REPLICATES:-10}" --min-duration-s "${MIN_DURATION_S:-5}" >&2
edge-tester gate --baseline "$out/records/old.json" --candidate "$out/records/new.json" \
    --max-slowdown "${MAX_SLOWDOWN:-3%}" --max-accuracy-loss "${MAX_ACCURACY_LOSS:-0.5}"
