#!/bin/sh
# Makes certificates with the call that the Python package's gen_cert.sh had:
#
#   gen_cert.sh server           the server's certificate
#   gen_cert.sh NAME [FLAG...]   a client's, with a folder to send
#
# It is "sqlflow_playground keytool server" and "keytool client NAME", after
# "keytool init" where there is no certificate authority yet. FLAGs go to that
# command. As before, it is no error if the certificate is there already.
#
# The key store is ./key_store, or $SQLFLOW_PLAYGROUND_KEY_STORE, or --key_store.
set -eu

program=sqlflow_playground

usage() {
	echo "Usage: gen_cert.sh server|NAME [FLAG...]" >&2
	echo "FLAGs are those of '$program keytool server' and '$program keytool client'." >&2
	exit 2
}

if [ $# -eq 0 ]; then
	usage
fi
name=$1
shift
case $name in
'' | -*) usage ;;
esac

# Beside this script (make install), on PATH, or one above (a source checkout).
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
if [ -f "$here/$program" ] && [ -x "$here/$program" ]; then
	program=$here/$program
elif command -v "$program" >/dev/null 2>&1; then
	:
elif [ -f "$here/../$program" ] && [ -x "$here/../$program" ]; then
	program=$here/../$program
else
	echo "gen_cert.sh: $program is not in $here, not on PATH and not in $here/..: run make, or make install" >&2
	exit 1
fi

# What the flags say that concerns this script too.
store=${SQLFLOW_PLAYGROUND_KEY_STORE:-key_store}
force=false
previous=
for arg in "$@"; do
	if [ "$previous" = --key_store ]; then
		store=$arg
	fi
	case $arg in
	--key_store=*) store=${arg#--key_store=} ;;
	--force | --force=true) force=true ;;
	esac
	previous=$arg
done

if [ ! -e "$store/ca/ca.crt" ]; then
	"$program" keytool init --key_store "$store"
fi

if [ "$name" = server ]; then
	there=$store/server/server.crt
else
	there=$store/clients/$name
fi
if [ "$force" = false ] && [ -e "$there" ]; then
	echo "gen_cert.sh: $there is already there" >&2
	exit 0
fi

if [ "$name" = server ]; then
	exec "$program" keytool server "$@" --key_store "$store"
fi
exec "$program" keytool client "$@" --key_store "$store" -- "$name"
