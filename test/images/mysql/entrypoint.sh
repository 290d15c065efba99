#!/bin/bash
# Starts MariaDB for one user of the playground and touches /work/mysql-inited
# once it answers queries. Runs as root (MariaDB then runs as mysql), as root
# without any capability, or as any other user that may write to /work,
# /var/lib/mysql, /run/mysqld and /tmp.
set -eu

data=/var/lib/mysql
filled=/usr/share/sqlflow/mysql # a data folder with root/root and the iris tables
socket=/run/mysqld/mysqld.sock

rm -f /work/mysql-inited

# A new container, or an empty volume. The folder mysql is copied last: while it
# is missing the copy is not complete, and the next start begins it again.
if [[ ! -d $data/mysql ]]; then
    rm -rf "$data/mysql.half"
    for entry in "$filled"/*; do
        [[ $entry == "$filled/mysql" ]] || cp -R "$entry" "$data/"
    done
    cp -R "$filled/mysql" "$data/mysql.half"
    mv "$data/mysql.half" "$data/mysql"
fi

as=()
if [[ $(id -u) == 0 ]]; then
    as=(--user=root)
    if setpriv --reuid=mysql --regid=mysql --clear-groups true 2>/dev/null &&
        chown -R mysql:mysql "$data" /run/mysqld 2>/dev/null; then
        as=(--user=mysql)
    fi
fi

mariadbd "${as[@]}" --datadir="$data" --socket="$socket" \
    --bind-address="${MYSQL_HOST:-0.0.0.0}" --port="${MYSQL_PORT:-3306}" &
server=$!
trap 'kill -TERM "$server" 2>/dev/null || true' TERM INT

while kill -0 "$server" 2>/dev/null; do
    if MYSQL_PWD=root mariadb --no-defaults --user=root --socket="$socket" \
        --execute='SELECT COUNT(*) FROM iris.train' >/dev/null 2>&1; then
        touch /work/mysql-inited
        break
    fi
    sleep 0.1
done

# A signal ends wait early; only a server that is gone ends the container.
status=0
while kill -0 "$server" 2>/dev/null; do
    wait "$server" && status=0 || status=$?
done
exit "$status"
