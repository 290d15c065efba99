#!/bin/sh
# Keep a user's database with one heart beat, with curl alone; for a crontab, say.
#
#   set -a; . ~/.sqlflow_playground/ann/sqlflow_playground.env; set +a
#   scripts/heart_beat.sh [USER_ID]
#
# It reads the same environment as create_db.sh. Exit codes: 0, 1 refused, 2 usage, 3 unreachable.
set -eu

usage() {
	echo "heart_beat.sh: $1" >&2
	echo "usage: set -a; . CLIENT/sqlflow_playground.env; set +a; heart_beat.sh [USER_ID]" >&2
	exit 2
}

user=${1:-${SQLFLOW_USER_ID:-}}
[ -n "$user" ] || usage "no user id: name one, or set SQLFLOW_USER_ID"
for name in SQLFLOW_PLAYGROUND_SERVRE SQLFLOW_PLAYGROUND_SERVER_CA SQLFLOW_PLAYGROUND_CLIENT_KEY SQLFLOW_PLAYGROUND_CLIENT_CERT; do
	eval "value=\${$name:-}"
	[ -n "$value" ] || usage "$name is not set"
done

answer=$(curl --silent --show-error --max-time 20 --get --data-urlencode "user_id=$user" \
	--cacert "$SQLFLOW_PLAYGROUND_SERVER_CA" --key "$SQLFLOW_PLAYGROUND_CLIENT_KEY" --cert "$SQLFLOW_PLAYGROUND_CLIENT_CERT" \
	--write-out '\n%{http_code}' "${SQLFLOW_PLAYGROUND_SERVRE%/}/api/heart_beat") || exit 3
status=$(printf '%s\n' "$answer" | tail -n 1)
body=$(printf '%s\n' "$answer" | sed '$d')
if [ "$status" != 200 ]; then
	printf '%s\n' "$body" >&2
	exit 1
fi
printf '%s\n' "$body"
