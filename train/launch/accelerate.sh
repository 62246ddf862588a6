#!/bin/sh
# The same through accelerate. Its configuration says how: DDP, or FSDP with fsdp.yaml beside this file.
#   train/launch/accelerate.sh train/pyr-135m train/launch/fsdp.yaml
set -eu
exec pyr train "$1" --set "launch=[accelerate, launch, --config_file, $2]"
