//! Who a request comes from: password hashes and bearer tokens. Tokens carry their own proof, so any replica with the
//! same seed accepts them and none has to remember them.

use std::fmt::Write;
use std::num::NonZeroU32;

use axum::http::{HeaderMap, header};
use ring::{hmac, pbkdf2};

/// Few rounds on purpose: what a login costs is the dial `app.cpu_us_per_request.login`, not the strength of this hash.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN;

/// Bytes of a token's proof.
const PROOF_BYTES: usize = 32;

/// The salted hash a password is kept as, in hex. The email is the salt.
pub(crate) fn password_hash(email: &str, password: &str) -> String {
    let mut hash = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, email.as_bytes(), password.as_bytes(), &mut hash);
    hex(&hash)
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Issues and checks bearer tokens.
pub(crate) struct Tokens {
    key: hmac::Key,
}

impl Tokens {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &seed.to_le_bytes()) }
    }

    /// A token for this user: `ID.MAC`.
    pub(crate) fn issue(&self, user_id: u32) -> String {
        let id = user_id.to_string();
        let proof = hex(hmac::sign(&self.key, id.as_bytes()).as_ref());
        format!("{id}.{proof}")
    }

    /// The user a token was issued for.
    pub(crate) fn user_id(&self, token: &str) -> Option<u32> {
        let (id, proof) = token.split_once('.')?;
        let proof = unhex(proof)?;
        hmac::verify(&self.key, id.as_bytes(), &proof).ok()?;
        id.parse().ok()
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Without an allocation: the rate limiter asks at every request whose token it carries.
pub(crate) fn unhex(text: &str) -> Option<[u8; PROOF_BYTES]> {
    if text.len() != 2 * PROOF_BYTES || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; PROOF_BYTES];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Tokens, password_hash};

    proptest! {
        #[test]
        fn a_token_names_its_user_and_nothing_else_does(id in any::<u32>(), other in any::<u32>(), noise in ".{0,80}") {
            let tokens = Tokens::seeded(1);
            let token = tokens.issue(id);
            assert_eq!(tokens.user_id(&token), Some(id));
            assert_eq!(Tokens::seeded(2).user_id(&token), None);
            assert_eq!(tokens.user_id(&noise), None);
            for wrong in [format!("{token}0"), format!("{token}00"), token[..token.len() - 2].to_owned()] {
                assert_eq!(tokens.user_id(&wrong), None);
            }
            if other != id {
                let forged = token.replacen(&id.to_string(), &other.to_string(), 1);
                assert_eq!(tokens.user_id(&forged), None);
            }
        }
    }

    #[test]
    fn hashes_differ_by_password_and_by_user() {
        let hash = password_hash("a@shop.example", "x");
        assert_eq!(hash, password_hash("a@shop.example", "x"));
        assert_ne!(hash, password_hash("b@shop.example", "x"));
        assert_ne!(hash, password_hash("a@shop.example", "y"));
    }
}
