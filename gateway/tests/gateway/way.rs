//! A way to a database that can be cut, so that what comes afterwards is taken and never answered.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use sentiment_tests::Database;

/// What goes this way, and whether it is cut.
#[derive(Default)]
struct State {
    open: Vec<TcpStream>,
    is_cut: bool,
}

/// The way. It lives until the test's process ends.
pub struct Way {
    state: Arc<Mutex<State>>,
    /// What goes into `DATABASE_URL`.
    pub url: String,
}

impl Way {
    pub fn to(database: &Database<'_>) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgresql://postgres@{}/{}", listener.local_addr().unwrap(), database.name());
        let socket = format!("{}/.s.PGSQL.5432", database.server().socket());
        let state: Arc<Mutex<State>> = Arc::default();
        let way = Way { state: state.clone(), url };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = state.lock().unwrap();
                state.open.push(client.try_clone().unwrap());
                if !state.is_cut {
                    join(client, UnixStream::connect(&socket).unwrap());
                }
            }
        });
        way
    }

    /// Ends all connections; those that come now are taken, and that is all.
    pub fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_cut = true;
        for client in state.open.drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// Lets through what comes from now on.
    pub fn mend(&self) {
        self.state.lock().unwrap().is_cut = false;
    }
}

fn join(client: TcpStream, server: UnixStream) {
    let (from_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        pass(from_client, &server);
        let _ = server.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        pass(from_server, &client);
        let _ = client.shutdown(Shutdown::Both);
    });
}

/// Passes on what comes, until there is no more.
fn pass(mut from: impl Read, mut to: impl Write) {
    let mut bytes = [0; 1 << 14];
    while let Ok(count) = from.read(&mut bytes) {
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}
