//! Accounts: registration, login for a bearer token, and who that token belongs to.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::input::Body;
use super::reply::Challenge;
use super::{Problem, to_the_end};
use crate::app::App;
use crate::clock;
use crate::limiter::Peer;
use crate::session::{self, BadToken};
use crate::store::{Document, NewUser};

/// Longest email address there is (RFC 5321, 4.5.3.1.3, less the brackets).
const EMAIL_MAX_BYTES: usize = 254;
/// Longest name. A hundred thousand users are kept, so what each may take has to be bounded.
pub(super) const NAME_MAX_CHARS: usize = 200;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Registration {
    #[schema(max_length = 254, pattern = r"^[!-?A-~]+@[!-?A-~]*\.[!-?A-~]*$")]
    email: String,
    password: String,
    #[serde(default)]
    #[schema(max_length = 200)]
    name: String,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Login {
    email: String,
    password: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    /// For `Authorization: Bearer`; it ends after `session.token_ttl_s`.
    token: String,
    user_id: u32,
}

/// Registers a user; emails are unique.
#[utoipa::path(post, path = "/api/users", request_body = Registration, responses(
    (status = 201, description = "the user"), (status = 409, body = Problem), (status = 422, body = Problem),
    (status = 503, body = Problem),
))]
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    Body(user): Body<Registration>,
) -> Result<(StatusCode, Document), Problem> {
    let email = checked_email(user.email)?;
    check_length("name", &user.name, NAME_MAX_CHARS)?;
    let password_hash = session::password_hash(&email, &user.password);
    to_the_end(async move {
        let new = NewUser { email: email.clone(), name: user.name, password_hash };
        let added = app.store.add_user(new).await?;
        app.guard.audit().record("registration", peer.map(|peer| peer.0), || json!({"email": email}));
        Ok((StatusCode::CREATED, added))
    })
    .await
}

/// Exchanges email and password for a token.
#[utoipa::path(post, path = "/api/login", request_body = Login, responses(
    (status = 200, body = Session), (status = 401, body = Problem), (status = 503, body = Problem),
))]
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    Body(login): Body<Login>,
) -> Result<Json<Session>, Problem> {
    to_the_end(async move { session_of(&app, login, peer.map(|peer| peer.0)).await }).await
}

async fn session_of(app: &App, login: Login, peer: Option<Peer>) -> Result<Json<Session>, Problem> {
    let hash = session::password_hash(&login.email, &login.password);
    let known = app.store.credentials(login.email.clone()).await?;
    let audit = app.guard.audit();
    match known.filter(|known| known.password_hash == hash) {
        Some(user) => {
            audit.record("login", peer, || json!({"user_id": user.id}));
            Ok(Json(Session { token: app.tokens.issue(user.id, clock::unix_ms()), user_id: user.id }))
        }
        None => {
            // As much of it as can be an address: who tries may send anything.
            let email = || login.email.chars().take(EMAIL_MAX_BYTES).collect::<String>();
            audit.record("login_failed", peer, || json!({"email": email()}));
            Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong_login", "no user has this email and password"))
        }
    }
}

/// The user of the bearer token.
#[utoipa::path(get, path = "/api/me", params(("authorization" = String, Header)), responses(
    (status = 200, description = "the user"),
    (status = 401, body = Problem, description = "`unauthorized`, or `token_expired`: log in again",
        headers(("WWW-Authenticate" = String, description = "what is asked for, and `error=\"invalid_token\"` if that is not it"))),
    (status = 503, body = Problem),
))]
pub(crate) async fn me(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Document, Problem> {
    let refused =
        |word, challenge, detail| Problem::new(StatusCode::UNAUTHORIZED, word, detail).challenge(challenge);
    let token = session::bearer(&headers).ok_or_else(|| {
        let detail = "an Authorization header of the form `Bearer TOKEN` is needed";
        refused("unauthorized", Challenge::TokenNeeded, detail)
    })?;
    let id = app.tokens.user_id(token, clock::unix_ms()).map_err(|bad| match bad {
        BadToken::NotOurs => {
            refused("unauthorized", Challenge::TokenInvalid, "this token is not one of ours")
        }
        BadToken::Expired => {
            refused("token_expired", Challenge::TokenInvalid, "this token has expired; log in again")
        }
    })?;
    let user = app.store.user(id).await?;
    user.ok_or_else(|| refused("unauthorized", Challenge::TokenInvalid, "the user of this token is gone"))
}

/// The same bound stands in the schemas of those who have such a text.
pub(super) fn check_length(member: &str, text: &str, max_chars: usize) -> Result<(), Problem> {
    if text.chars().count() > max_chars {
        return Err(Problem::invalid("too_long", format!("{member} is at most {max_chars} characters long")));
    }
    Ok(())
}

/// The email, if it can be one; the same rule stands as a pattern in the schemas of those who have one.
pub(super) fn checked_email(email: String) -> Result<String, Problem> {
    let visible = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
    let parts = email.split_once('@').filter(|(user, host)| !user.is_empty() && host.contains('.'));
    if !parts.is_some_and(|(user, host)| visible(user) && visible(host)) || email.len() > EMAIL_MAX_BYTES {
        return Err(Problem::invalid("invalid_email", format!("{email:?} is not an email address")));
    }
    Ok(email)
}
