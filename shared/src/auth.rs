//! API tokens and the callers behind them (decisions, Tenancy and identity).
//!
//! A token is `trn_`, 32 base-62 characters from the system's random source and six that check them, so that a
//! mistyped or truncated one is told apart from an unknown one without asking the database, and secret scanners
//! can recognise it. Only its SHA-256 is stored.

use std::time::Duration;

use rand::RngExt as _;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use crate::db;
use crate::domain::identity::Role;
use crate::error::{Error, Result};

const PREFIX: &str = "trn_";
const RANDOM_CHARS: usize = 32;
const CHECK_CHARS: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How long a replica may go on believing in a token. Below the 5 s in which a revocation has to work everywhere.
const CACHE_TIME: Duration = Duration::from_secs(3);

/// Whoever sent a request, as its token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The token.
    pub token_id: Uuid,
    /// The only project the caller can see.
    pub project_id: Uuid,
    /// The user that the token belongs to.
    pub user_id: Uuid,
    /// What the caller may do.
    pub role: Role,
    /// Whether the caller may look after queues, which are no project's.
    pub is_operator: bool,
}

impl Caller {
    /// Lets the caller through if its role is at least `role`.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the role that is needed.
    pub fn require(&self, role: Role) -> Result<()> {
        if self.role < role {
            return Err(Error::Forbidden(format!("This needs the role '{role}'; the token has '{}'", self.role)));
        }
        Ok(())
    }

    /// Lets the caller through if its token is an operator's.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the way to such a token.
    pub fn require_operator(&self) -> Result<()> {
        if !self.is_operator {
            let how = "This needs an operator's token, which is made by: testrun admin create-token --operator";
            return Err(Error::Forbidden(how.to_owned()));
        }
        Ok(())
    }
}

/// A token as handed out, once.
#[derive(Debug)]
pub struct Token(SecretString);

impl Token {
    /// Makes a new random token.
    #[must_use]
    pub fn generate() -> Self {
        let mut rng = rand::rng();
        let body: String =
            (0..RANDOM_CHARS).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect();
        Self(format!("{PREFIX}{body}{}", check_characters(&body)).into())
    }

    /// Reads a token from a request.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if prefix, length or check characters are wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let malformed = Error::Unauthenticated("The API token is malformed");
        let Some(rest) = text.strip_prefix(PREFIX) else { return Err(malformed) };
        if rest.len() != RANDOM_CHARS + CHECK_CHARS || !rest.is_ascii() {
            return Err(malformed);
        }
        let (body, check) = rest.split_at(RANDOM_CHARS);
        if check != check_characters(body) {
            return Err(malformed);
        }
        Ok(Self(text.to_owned().into()))
    }

    /// What the database stores and looks up.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.expose_secret().as_bytes()).into()
    }

    /// The beginning of the token, for lists.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("{}…", &self.0.expose_secret()[..PREFIX.len() + 4])
    }

    /// The token itself, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

fn check_characters(body: &str) -> String {
    let mut crc = crc32fast::hash(body.as_bytes());
    let mut characters = [b'0'; CHECK_CHARS];
    for character in characters.iter_mut().rev() {
        *character = ALPHABET[(crc % 62) as usize];
        crc /= 62;
    }
    characters.iter().copied().map(char::from).collect()
}

/// Looks tokens up, and believes an answer for three seconds.
#[derive(Debug, Clone)]
pub struct Authenticator {
    db: PgPool,
    cache: moka::future::Cache<[u8; 32], Option<Caller>>,
}

impl Authenticator {
    /// An authenticator with an empty cache.
    #[must_use]
    pub fn new(db: PgPool) -> Self {
        let cache = moka::future::Cache::builder().max_capacity(10_000).time_to_live(CACHE_TIME).build();
        Self { db, cache }
    }

    /// The caller behind an `Authorization` header's value.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a missing, malformed, unknown, revoked or expired token;
    /// [`Error::Database`] if it could not be looked up.
    pub async fn authenticate(&self, authorization: Option<&str>) -> Result<Caller> {
        let Some(authorization) = authorization else {
            return Err(Error::Unauthenticated("An API token is required: Authorization: Bearer <token>"));
        };
        let Some(token) = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        else {
            return Err(Error::Unauthenticated("The Authorization header must be: Bearer <token>"));
        };
        let hash = Token::parse(token.1.trim())?.hash();
        let known = match self.cache.get(&hash).await {
            Some(known) => known,
            None => {
                let found = db::api_tokens::use_token(&self.db, hash).await?;
                self.cache.insert(hash, found).await;
                found
            }
        };
        known.ok_or(Error::unknown_token())
    }

    /// Looks every token up anew: tokens, roles or projects have changed. Other processes notice within the cache's time.
    pub fn forget(&self) {
        self.cache.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_round_trip_and_every_single_typing_error_is_noticed() {
        let token = Token::generate();
        assert_eq!(Token::parse(token.reveal()).expect("its own text").hash(), token.hash());
        for position in PREFIX.len()..token.reveal().len() {
            let mut mistyped: Vec<u8> = token.reveal().bytes().collect();
            mistyped[position] = if mistyped[position] == b'a' { b'b' } else { b'a' };
            let mistyped = String::from_utf8(mistyped).expect("still text");
            assert!(Token::parse(&mistyped).is_err(), "character {position} was changed unnoticed");
        }
    }

    #[test]
    fn what_is_not_a_token_is_refused_without_a_panic() {
        for text in ["", "trn_", "trn_ä", "Bearer", &"trn_".repeat(20), &format!("trn_{}", "ä".repeat(19))] {
            assert!(Token::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn debugging_a_token_does_not_show_it() {
        let token = Token::generate();
        assert!(!format!("{token:?}").contains(token.reveal()));
    }
}
