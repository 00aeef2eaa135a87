#!/bin/sh
# Pins every dependency with hashes, for every platform; the files name no package index.
set -eu
cd "$(dirname "$0")/.."
# What the tests need comes first: both files then hold one version of everything.
for extra in dev runtime; do
  flags="--constraint requirements/dev.txt"
  [ "$extra" = dev ] && flags="--extra dev"
  # shellcheck disable=SC2086
  uv pip compile pyproject.toml --group build $flags --universal --python-version 3.11 \
    --generate-hashes --no-annotate --no-header --quiet --output-file "requirements/$extra.txt"
done
# Apart from what the product needs: the peers of the skill benchmark and of the API's, and a client of others that a test runs.
for group in bench-skill peers clients; do
  uv pip compile --group "$group" --universal --python-version 3.11 \
    --generate-hashes --no-annotate --no-header --quiet --output-file "requirements/${group%-skill}.txt"
done
