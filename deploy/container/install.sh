#!/bin/sh
# What the image is made of. Its build stages run this, and so does a test, in a folder of its own:
#   install.sh dependencies DIR   a virtual environment with all that requirements.txt locks, each file by its hash
#   install.sh ours DIR           our own distributions into it, built with tools that are locked by hash, too
# Needs uv and a Python; PYTHON names another one than `python3`.
set -eu
cd "$(dirname "$0")/../.."

# Files of the cache are copied, never linked, and bytecode is made now: the root of a container is read-only.
export UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never

dependencies() {
  uv venv --quiet --no-project --python "${PYTHON:-python3}" "$1"
  uv pip sync --quiet --python "$1/bin/python" --require-hashes requirements.txt
}

ours() {
  built=$(mktemp -d)
  uv build --quiet --wheel --all-packages --python "$1/bin/python" \
    --require-hashes --build-constraints requirements-dev.txt --out-dir "$built"
  uv pip install --quiet --python "$1/bin/python" --no-deps --no-index "$built"/*.whl
  rm -r "$built"
  uv pip check --quiet --python "$1/bin/python"
}

"$@"
