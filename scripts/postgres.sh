# shellcheck shell=bash
# Which PostgreSQL the other scripts use, and as whom its server runs. Sourced, never run.

oldest_major=14
newest_major=18

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$root/$target ;; esac
# shellcheck disable=SC2034  # used by the scripts that source this file
readonly root target oldest_major newest_major

say() { printf '%s\n' "$*"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
    warn "$*"
    exit 1
}

# Prints the major version that a pg_config speaks of, or nothing ("PostgreSQL 17.2 (Debian ...)", "PostgreSQL 18beta1").
major_of() {
    "$1" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9][0-9]*\).*/\1/p'
}

# Prints what keeps us from building and running with this pg_config, or with --without-headers from running alone; nothing if it is
# fit. Debian's libpq-dev brings a pg_config that names a server and headers that may not be there.
unfit() {
    local major
    major=$(major_of "$1")
    if [[ -z $major ]]; then
        say "$1 does not answer as pg_config"
    elif ((major < oldest_major || major > newest_major)); then
        say "$1 is of PostgreSQL $major; supported are $oldest_major to $newest_major"
    elif [[ ${2:-} != --without-headers && ! -f $("$1" --includedir-server)/postgres.h ]]; then
        say "$1 has no server headers in $("$1" --includedir-server): install them (Debian: postgresql-server-dev-$major)"
    elif [[ ! -x $("$1" --bindir)/postgres ]]; then
        say "$1 has no server in $("$1" --bindir): install it (Debian: postgresql-$major)"
    fi
}

# Prints the pg_config to use: PG_CONFIG if set, else that on the path, else the newest where packages put theirs; with
# --without-headers also one that nothing can be built with.
find_pg_config() {
    local candidate reason
    if [[ -n ${PG_CONFIG:-} ]]; then
        candidate=$(command -v -- "$PG_CONFIG") || die "PG_CONFIG=$PG_CONFIG: no such program; name the pg_config of a server, or none to have one looked for"
        reason=$(unfit "$candidate" "$@")
        [[ -z $reason ]] || die "PG_CONFIG: $reason"
        say "$candidate"
        return
    fi
    while IFS= read -r candidate; do
        if [[ -x $candidate && -z $(unfit "$candidate" "$@") ]]; then
            say "$candidate"
            return
        fi
    done < <(
        command -v pg_config
        printf '%s\n' /usr/lib/postgresql/*/bin/pg_config /usr/pgsql-*/bin/pg_config | sort -rV
    )
    return 1
}

# The same, for scripts that cannot go on without one.
need_pg_config() {
    find_pg_config || die "no PostgreSQL $oldest_major to $newest_major with server headers found; scripts/requirements installs one"
}

# The same, for what builds nothing: that which others take, so that it finds what they installed, or else one without headers.
need_server_pg_config() {
    if [[ -n ${PG_CONFIG:-} ]] || ! find_pg_config; then
        find_pg_config --without-headers || die "no PostgreSQL $oldest_major to $newest_major found; PG_CONFIG names another's pg_config"
    fi
}

# Prints the user a server runs as. PostgreSQL refuses to run as root, so root lends it a user without rights.
server_user() {
    if ((EUID != 0)); then
        id -un
    elif id postgres >/dev/null 2>&1; then
        say postgres
    else
        say nobody
    fi
}

# Runs a command as that user, with an environment that does not depend on the caller's: a server passes its own on to
# every session. From /, since it may not enter the folder we are in.
as_server_user() {
    local user lend=()
    if ((EUID == 0)); then
        user=$(server_user)
        lend=(setpriv --reuid="$(id -u "$user")" --regid="$(id -g "$user")" --clear-groups --inh-caps=-all --)
    fi
    (
        cd /
        exec env -i PATH=/usr/bin:/bin LC_ALL=C HOME=/ LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}" "${lend[@]}" "$@"
    )
}

# Makes a folder that the server's user can enter. Where it cannot (a checkout under /root, say), the folder is made
# under /tmp (not TMPDIR, which may be root's own) and a link stands in its place.
make_reachable() {
    local place
    if [[ ! -d $1 ]]; then
        rm -f -- "$1"
        mkdir -p -- "$1"
    fi
    if ! as_server_user test -x "$(readlink -f -- "$1")"; then
        rmdir -- "$1"
        place=$(mktemp -d /tmp/pg_sentiment.XXXXXX)
        chmod 755 "$place"
        ln -s -- "$place" "$1"
    fi
}

# Removes what make_reachable made, and all that is in it.
remove_reachable() {
    [[ ! -L $1 ]] || rm -rf -- "$(readlink -- "$1")"
    rm -rf -- "$1"
}

# Puts a file under a name: put_file MODE FROM TO. Nobody ever sees half of it, for it is made beside that name, with
# its mode, and renamed; and what a running server has mapped of an older one stays. SELinux labels TO.XXXXXX as it does a
# library TO, and PostgreSQL takes it for neither a control file nor a script.
put_file() (
    new=$(mktemp -- "$3.XXXXXX")
    trap 'rm -f -- "$new"' EXIT
    # Only once install has ended: it would go on, and leave the file behind.
    trap 'exit 130' INT TERM
    install -m "$1" -- "$2" "$new" && mv -f -- "$new" "$3"
)

# Puts the extension in place: put_extension LIBRARY SOURCES PKGLIBDIR EXTENSIONDIR. The library comes first, for it
# serves what older scripts made too; the control file, which names the newest script, last.
put_extension() {
    local script
    put_file 755 "$1" "$3/pg_sentiment.so"
    for script in "$2"/sql/pg_sentiment--*.sql; do
        put_file 644 "$script" "$4/${script##*/}"
    done
    put_file 644 "$2/pg_sentiment.control" "$4/pg_sentiment.control"
}

# Writes down for which PostgreSQL the library was built just now, and of which bytes that is true: cargo, called without make,
# would put others there.
record_built() {
    local library=$target/release/libpg_sentiment.so
    say "$(sha256sum <"$library" | cut -d ' ' -f 1) $(major_of "$1") $1" >"$library.built"
}

# Prints what keeps the library from being used with the PostgreSQL of this pg_config; nothing if it was built for it. With
# --or-unknown, nothing either if nobody wrote down what it was built for.
not_built_for() {
    local library=$target/release/libpg_sentiment.so sum='' major='' by=''
    if [[ ! -f $library ]]; then
        say "$library is not built yet: run make"
        return
    fi
    [[ ! -f $library.built ]] || read -r sum major by <"$library.built" || true
    if [[ $sum != "$(sha256sum <"$library" | cut -d ' ' -f 1)" ]]; then
        [[ ${2:-} == --or-unknown ]] || say "for which PostgreSQL $library was built is not known: run make"
    elif [[ $major != "$(major_of "$1")" ]]; then
        say "$library was built for PostgreSQL $major ($by), and $1 is of $(major_of "$1"): name the same PG_CONFIG, or run make for this one"
    fi
}
