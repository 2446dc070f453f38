#!/usr/bin/env bash
# The study of the gap between training and inference: `bash benchmarks/gap.sh FOLDER`.
#
# Path-traces 20 rooms to train on and 24 to measure on, trains seven recipes, and repaints twelve photos with all of them
# from five noises; gap.json and gap.jpg are then copied beside this file, gap.html stays in FOLDER/study. All commands go on where
# they were stopped.
set -euo pipefail
wall_rooms "$1/rooms" --train 0-19 --validation 100-123 --size 192x144 --spp 128 --seed 2028
wall_gap "$1/rooms" --out "$1/study" --bundle tiny --photos 12 --trainings 1 --steps 600 --batch 8 --accumulate 1 --lr 3e-3 --warmup 60 \
    --variants 2 --workers 0 --denoising 12 --scales 0,0.5 --negative_prompt ''
cp "$1/study/gap.json" "$1/study/gap.jpg" "$(dirname "$0")"
# the same LoRAs at half the guidance: gap_guidance.json
mkdir -p "$1/half" && cp -rn "$1/study/loras" "$1/half"
wall_gap "$1/rooms" --out "$1/half" --bundle tiny --photos 12 --trainings 1 --conditions original,aligned,aligned_color_loss --guidance 2.5 --guidances '' \
    --steps 600 --batch 8 --accumulate 1 --lr 3e-3 --warmup 60 --variants 2 --workers 0 --denoising 12 --scales '' --negative_prompt ''
cp "$1/half/gap.json" "$(dirname "$0")/gap_guidance.json"
