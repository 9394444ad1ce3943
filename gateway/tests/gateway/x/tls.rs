//! TLS to X: spoken only with a service whose certificate is good.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sentiment_tests::run_clean;

use super::{Gateway, TOKEN, migrated};

/// A service of TLS and of no X, killed when it is dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes an authority, and with it a certificate for 127.0.0.1, in a folder of its own.
fn certify(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let script = "exec 2>/dev/null
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout x.key -out x.csr -subj /CN=x
        printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' >x.ext
        openssl x509 -req -in x.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile x.ext -out x.crt";
    run_clean(Command::new("bash").args(["-euc", script]).current_dir(folder));
}

#[test]
fn only_a_service_with_a_good_certificate_is_told_the_token() {
    if Command::new("openssl").arg("version").output().is_err() {
        return sentiment_tests::skip("TLS to X, for openssl is not installed");
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("x-tls");
    certify(&folder);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // It answers whatever it is asked with a page about the connection.
    let service = Command::new("openssl")
        .args(["s_server", "-quiet", "-www", "-cert", "x.crt", "-key", "x.key", "-accept"])
        .arg(format!("127.0.0.1:{port}"))
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _service = Service(service.unwrap());
    let url = format!("https://127.0.0.1:{port}");
    let arguments = ["--x-url", &url, "--x-token", TOKEN, "--x-back-off", "0.1"];
    let database = migrated();
    let unknown = Gateway::beside(&database, &arguments);
    unknown.await_log("invalid peer certificate");
    drop(unknown);
    let authority = folder.join("ca.crt");
    let known = Gateway::among(&database, &arguments, &[("SSL_CERT_FILE", authority.to_str().unwrap())]);
    known.await_log("an answer that is no JSON");
}
