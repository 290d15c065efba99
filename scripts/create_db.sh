#!/bin/sh
# Ask the playground for a database with curl alone, and print its data source.
#
#   . ~/.sqlflow_playground/ann/sqlflow_playground.env   # see `set -a`
#   scripts/create_db.sh [USER_ID]
#
# It reads SQLFLOW_PLAYGROUND_SERVRE, ..._SERVER_CA, ..._CLIENT_KEY, ..._CLIENT_CERT and
# SQLFLOW_USER_ID from the environment; `set -a` before sourcing the env file exports
# them. Exit codes: 0, 1 refused, 2 usage, 3 unreachable.
set -eu

usage() {
	echo "create_db.sh: $1" >&2
	echo "usage: set -a; . CLIENT/sqlflow_playground.env; set +a; create_db.sh [USER_ID]" >&2
	exit 2
}

user=${1:-${SQLFLOW_USER_ID:-}}
[ -n "$user" ] || usage "no user id: name one, or set SQLFLOW_USER_ID"
for name in SQLFLOW_PLAYGROUND_SERVRE SQLFLOW_PLAYGROUND_SERVER_CA SQLFLOW_PLAYGROUND_CLIENT_KEY SQLFLOW_PLAYGROUND_CLIENT_CERT; do
	eval "value=\${$name:-}"
	[ -n "$value" ] || usage "$name is not set"
done

# The id as a JSON string; control characters but newline and tab are not for a shell.
json=$(printf '%s' "$user" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/	/\\t/g' | awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }')

# A create may take 17 s; 429 and 503 say when to come again, all else is final.
tries=0
while :; do
	answer=$(curl --silent --show-error --max-time 60 \
		--cacert "$SQLFLOW_PLAYGROUND_SERVER_CA" --key "$SQLFLOW_PLAYGROUND_CLIENT_KEY" --cert "$SQLFLOW_PLAYGROUND_CLIENT_CERT" \
		--header 'Content-Type: application/json' --data-binary "{\"user_id\": \"$json\"}" --write-out '\n%{http_code} %header{retry-after}' \
		"${SQLFLOW_PLAYGROUND_SERVRE%/}/api/create_db") || exit 3
	told=$(printf '%s\n' "$answer" | tail -n 1)
	body=$(printf '%s\n' "$answer" | sed '$d')
	status=${told%% *}
	wait=${told#* }
	case $status in 429 | 503) ;; *) break ;; esac
	tries=$((tries + 1))
	[ "$tries" -lt 20 ] || break
	case $wait in '' | *[!0-9]*) wait=5 ;; esac # curl before 7.84 does not tell
	[ ! -t 2 ] || echo "create_db.sh: the server is not ready, again in ${wait}s" >&2
	sleep "$wait"
done
if [ "$status" != 200 ]; then
	printf '%s\n' "$body" >&2
	exit 1
fi
printf '%s\n' "$body" | sed -n 's/.*"data_source" *: *"\([^"]*\)".*/\1/p'
