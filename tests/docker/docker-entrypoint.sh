#!/usr/bin/env bash
# What the documentation of the official image promises, no more: a first start makes a database with POSTGRES_USER,
# POSTGRES_PASSWORD and POSTGRES_DB and runs what is in /docker-entrypoint-initdb.d; other commands than postgres just run.
set -euo pipefail

[[ ${1:-} == postgres ]] || exec "$@"

if ((EUID == 0)); then
    install -d -o postgres -g postgres -m 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

run_scripts() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sh) bash "$file" ;;
            *.sql) psql --no-psqlrc --no-password --set=ON_ERROR_STOP=1 --username="$user" --dbname="$database" --file="$file" ;;
        esac
    done
}

if [[ ! -s $PGDATA/PG_VERSION ]]; then
    initdb --username="$user" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:?}") --auth-local=trust --auth-host=trust
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    pg_ctl start --wait --pgdata="$PGDATA" --options="-c listen_addresses=''"
    [[ $database == postgres ]] || createdb --username="$user" "$database"
    run_scripts
    pg_ctl stop --wait --mode=fast --pgdata="$PGDATA"
fi
exec "$@"
