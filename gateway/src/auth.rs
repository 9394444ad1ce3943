//! Who may do what: keys, scopes and rates, before a request is read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::config::Scope;
use crate::keys::{Caller, Keys, Lease};
use crate::limits::{Client, Network, Rate};
use crate::problem::Problem;

/// What decides on requests.
#[derive(Debug)]
pub struct Gate {
    keys: Keys,
    public: Option<Scope>,
    rate: Rate,
}

impl Gate {
    /// `public` is what needs no key.
    pub fn new(keys: Keys, public: &[Scope], rate: Rate) -> Gate {
        Gate { keys, public: public.iter().max().copied(), rate }
    }

    /// Whether this needs no key.
    pub fn is_public(&self, scope: Scope) -> bool {
        self.public.is_some_and(|public| public >= scope)
    }

    /// The right of a caller to go on with what takes long; nobody called where none is needed.
    pub fn lease(&self, caller: Option<Caller>, scope: Scope) -> Lease {
        caller.map_or_else(Lease::for_ever, |caller| self.keys.lease(caller, scope))
    }

    /// Counts what shows nothing good: a guess at a key, or at a signature.
    pub fn count_stranger(&self, address: IpAddr) -> Result<(), Problem> {
        self.rate.count(Client::Stranger(Network::of(address)))
    }

    /// Who calls: nobody, where no key is given or needed.
    async fn check(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        scope: Scope,
    ) -> Result<Option<Caller>, Problem> {
        let Some(given) = headers.get(header::AUTHORIZATION) else {
            if self.is_public(scope) {
                self.rate.count(Client::Visitor(Network::of(address)))?;
                return Ok(None);
            }
            self.count_stranger(address)?;
            return Err(unauthorised("a key is needed: Authorization: Bearer sgk_..."));
        };
        let secret = given.to_str().ok().and_then(|given| {
            let (scheme, secret) = given.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
        });
        let hash = secret.and_then(Keys::hash);
        // Guesses count against whoever guesses, before the database is asked.
        let guess = hash.is_none_or(|hash| self.keys.may_be_guessed(&hash));
        if guess {
            self.count_stranger(address)?;
        }
        let caller = match hash {
            Some(hash) => self.keys.find(hash).await?,
            None => None,
        };
        let Some(caller) = caller else {
            if !guess {
                self.count_stranger(address)?;
            }
            return Err(unauthorised("this key is not known, or was revoked"));
        };
        let key = &caller.key;
        self.rate.count(Client::Key(key.id))?;
        if key.has_expired() {
            return Err(unauthorised("this key has expired"));
        }
        if !key.allows(scope) {
            let detail = format!("this key lacks the scope {}", scope.name());
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        Ok(Some(caller))
    }
}

fn unauthorised(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

/// Lets a request through that may do what the scope says, with its [`Caller`].
pub async fn require(
    State((gate, scope)): State<(Arc<Gate>, Scope)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if let Some(caller) = gate.check(request.headers(), peer.ip(), scope).await? {
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use clap::Parser;

    use super::*;
    use crate::config::Settings;
    use crate::database::Address;

    /// A database that is away tells which keys it would have been asked about.
    #[tokio::test]
    async fn guesses_are_counted_before_the_database_is_asked() {
        let url = "host=/nowhere user=a dbname=a";
        let settings = Settings::parse_from(["gateway", "key", "list", "--database-url", url]).database;
        let pool = Address::new(&settings).unwrap().pool(&settings).unwrap();
        let gate = Gate::new(Keys::new(pool), &[], Rate::new(3));
        let ask = async |secret: String| {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {secret}").parse().unwrap())]);
            let asked = gate.check(&headers, IpAddr::from([127, 0, 0, 1]), Scope::Read).await;
            asked.unwrap_err().status().as_u16()
        };
        let key = |byte: u8| format!("sgk_{}", URL_SAFE_NO_PAD.encode([byte; 32]));
        assert_eq!(ask("sgk_no".into()).await, 401);
        assert_eq!(ask(format!("{}A", key(1))).await, 401);
        assert_eq!(ask(key(1)).await, 503);
        assert_eq!(ask(key(2)).await, 429);
    }
}
