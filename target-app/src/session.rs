//! Who a request comes from: password hashes and bearer tokens. Tokens carry their own end and proof, so any replica with the
//! same seed accepts them and none has to remember them.

use std::fmt::Write;
use std::num::NonZeroU32;
use std::time::Duration;

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
    lasts: Duration,
}

/// Why a token names no user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadToken {
    NotOurs,
    /// It is one of ours, and its time is over.
    Expired,
}

impl Tokens {
    /// `lasts` is how long those issued here can be used; of one from elsewhere its issuer has said so in it.
    pub(crate) fn seeded(seed: u64, lasts: Duration) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &seed.to_le_bytes()), lasts }
    }

    /// A token for this user: `ID.END.MAC`, of which the end is in milliseconds since 1970.
    pub(crate) fn issue(&self, user_id: u32, now_ms: u64) -> String {
        let lasts_ms = u64::try_from(self.lasts.as_millis()).unwrap_or(u64::MAX);
        let claims = format!("{user_id}.{}", now_ms.saturating_add(lasts_ms));
        let proof = hex(hmac::sign(&self.key, claims.as_bytes()).as_ref());
        format!("{claims}.{proof}")
    }

    /// The user a token was issued for. From the instant of its end on it is expired (RFC 7519, 4.1.4).
    pub(crate) fn user_id(&self, token: &str, now_ms: u64) -> Result<u32, BadToken> {
        let (user_id, end_ms) = self.claims(token).ok_or(BadToken::NotOurs)?;
        if now_ms < end_ms { Ok(user_id) } else { Err(BadToken::Expired) }
    }

    /// What a token of ours says. Nothing of it is looked at before its proof.
    fn claims(&self, token: &str) -> Option<(u32, u64)> {
        let (claims, proof) = token.rsplit_once('.')?;
        hmac::verify(&self.key, claims.as_bytes(), &unhex(proof)?).ok()?;
        let (user_id, end_ms) = claims.split_once('.')?;
        Some((user_id.parse().ok()?, end_ms.parse().ok()?))
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
    use std::time::Duration;

    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{BadToken, Tokens, password_hash};

    const NOW_MS: u64 = 1_700_000_000_000;

    fn tokens(seed: u64) -> Tokens {
        Tokens::seeded(seed, Duration::from_secs(60))
    }

    proptest! {
        #[test]
        fn a_token_names_its_user_and_nothing_else_does(id in any::<u32>(), other in any::<u32>(), noise in ".{0,80}") {
            let ours = tokens(1);
            let token = ours.issue(id, NOW_MS);
            let none = Err(BadToken::NotOurs);
            prop_assert_eq!(ours.user_id(&token, NOW_MS), Ok(id));
            prop_assert_eq!(tokens(2).user_id(&token, NOW_MS), none);
            prop_assert_eq!(ours.user_id(&noise, NOW_MS), none);
            for wrong in [format!("{token}0"), format!("{token}00"), token[..token.len() - 2].to_owned()] {
                prop_assert_eq!(ours.user_id(&wrong, NOW_MS), none);
            }
            let (claims, proof) = token.rsplit_once('.').unwrap();
            let (_, end) = claims.split_once('.').unwrap();
            for forged in [format!("{other}.{end}.{proof}"), format!("{id}.{}.{proof}", u64::MAX), format!("{id}.{proof}")] {
                prop_assert_eq!(ours.user_id(&forged, NOW_MS), if forged == token { Ok(id) } else { none });
            }
        }

        #[test]
        fn a_token_ends_to_the_millisecond_and_whoever_has_the_seed_says_so(id in any::<u32>(), ttl_s in 1_u64..2_592_000) {
            let token = Tokens::seeded(1, Duration::from_secs(ttl_s)).issue(id, NOW_MS);
            let end_ms = NOW_MS + ttl_s * 1_000;
            prop_assert_eq!(tokens(1).user_id(&token, end_ms - 1), Ok(id));
            for late_ms in [end_ms, end_ms + 1, u64::MAX] {
                prop_assert_eq!(tokens(1).user_id(&token, late_ms), Err(BadToken::Expired));
                prop_assert_eq!(tokens(2).user_id(&token, late_ms), Err(BadToken::NotOurs));
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
