#!/bin/sh
# Wait until a flag is on:  wait-for-flag.sh SERVICE/FLAG [SECONDS] [QUERY]      (QUERY: region=eu&variant=green)
# Exit code 0: it is on. 1: it was not, for as long (600 s when not said). 2: it cannot be: wrong token, flag or query.
# Needs curl, DOWNHAUL_URL, and DOWNHAUL_TOKEN_FILE or DOWNHAUL_TOKEN.
set -eu
flag=${1:?SERVICE/FLAG is missing} limit=${2:-600} query=${3:-}
token=${DOWNHAUL_TOKEN:-$(cat "${DOWNHAUL_TOKEN_FILE:?neither DOWNHAUL_TOKEN nor DOWNHAUL_TOKEN_FILE is set}")}
end=$(($(date +%s) + limit))

while :; do
  # The token by stdin: what is on a command line, everybody on the machine can read.
  status=$(printf 'header = "Authorization: Bearer %s"\n' "$token" |
    curl --silent --config - --max-time 10 --output /dev/null --write-out '%{http_code}' "$DOWNHAUL_URL/gate/v1/$flag?$query") || :
  case $status in
    200) echo "$flag is on"; exit 0 ;;
    403 | 000 | 408 | 429 | 5??) ;;
    *) echo "$flag: the answer is $status; it would not help to wait" >&2; exit 2 ;;
  esac
  [ "$(date +%s)" -lt "$end" ] || { echo "$flag was not on for $limit s (the last answer: $status)" >&2; exit 1; }
  sleep 5
done
