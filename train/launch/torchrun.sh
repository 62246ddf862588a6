#!/bin/sh
# One node, as many processes as there are devices: the conductor starts torchrun for every phase.
#   train/launch/torchrun.sh train/pyr-135m 8
set -eu
exec pyr train "$1" --set processes="$2"
