//! TLS to the database: spoken where it is asked for, and only with a server whose certificate is good.

use std::process::Command;

use sentiment_tests::{Database, Server, run_clean};

use crate::harness::program;

/// An address that no other server listens on: those of tests have none but their sockets.
const ADDRESS: &str = "127.83.7.1";

/// Gives a server a certificate for its address; returns the file of the authority that signed it.
fn certify(server: &Server) -> String {
    let data = server.data();
    let script = format!(
        "cd '{}' && exec 2>/dev/null
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr -subj /CN=db
         printf 'subjectAltName=IP:{ADDRESS}\\nbasicConstraints=CA:FALSE\\n' >server.ext
         openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.crt
         chmod 600 server.key && chown --reference=. server.key server.crt",
        data.display()
    );
    run_clean(Command::new("bash").args(["-euc", &script]));
    data.join("ca.crt").to_str().unwrap().to_owned()
}

#[test]
fn only_a_server_with_a_good_certificate_is_spoken_to() {
    if Command::new("openssl").arg("version").output().is_err() {
        return sentiment_tests::skip("TLS to the database, for openssl is not installed");
    }
    let server = Server::start(&[&format!("listen_addresses={ADDRESS}")]);
    let mut database = Database::on(&server);
    let authority = certify(&server);
    database.run("ALTER SYSTEM SET ssl = on");
    database.run("SELECT pg_reload_conf()");
    let wait = "SELECT count(*) FROM pg_settings WHERE name = 'ssl' AND setting = 'on'";
    while database.connect("postgres").query_one(wait, &[]).unwrap().get::<_, i64>(0) == 0 {}
    let migrate = |mode: &str, authority: Option<&str>| {
        let mut migrate = program(&database, "postgres");
        let url = format!("postgresql://postgres@{ADDRESS}/{}?sslmode={mode}", database.name());
        migrate
            .env("DATABASE_URL", url)
            .arg("migrate")
            .args(authority.map(|file| format!("--database-ca={file}")));
        migrate.output().unwrap()
    };
    for mode in ["require", "verify-full"] {
        let good = migrate(mode, Some(&authority));
        assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
        let unknown = migrate(mode, None);
        assert!(!unknown.status.success());
        let errors = String::from_utf8_lossy(&unknown.stderr).into_owned();
        assert!(
            errors.contains("no connection to the database") && errors.contains("certificate"),
            "{errors}"
        );
    }
}
