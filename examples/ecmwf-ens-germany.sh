#!/bin/sh
# The whole path on real data: ingest, learn on 2002 to 2007, backtest and verify 2008 to 2010, scorecard.
#
#   examples/ecmwf-ens-germany.sh DATA [HOME]
#
# DATA holds t2m.parquet, HOME (default: home-germany) is made. Interrupted and run again, it goes on.
set -eu
here=$(dirname "$0")
data=${1:?name the folder that holds t2m.parquet}
home=${2:-home-germany}
if [ -z "${SKYPROOF:-}" ]; then
  SKYPROOF=skyproof
  [ ! -x "$here/../.venv/bin/skyproof" ] || SKYPROOF=$here/../.venv/bin/skyproof
fi
mkdir -p "$home"
cp "$here/ecmwf-ens-germany.settings.yaml" "$home/skyproof.yaml"
step() { "$SKYPROOF" --home "$home" "$@"; }

step ingest "$here/ecmwf-ens-germany.yaml" --data "$data"
step release list | grep -q rel_ || step learn --as-of 2007-12-31T18:00Z --since 2002-01-01
step backtest --from 2008-01-01 --to 2010-12-29 | tail -n 4
step verify
step scorecard
step scorecard --out "$home/scorecard.html"
