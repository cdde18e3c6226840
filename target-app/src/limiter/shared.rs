//! Points that all replicas take from together: a number a user in Redis, which lasts as long as the window and, once there was one request too
//! many, as the block. It is three commands a request, all at the node of that user.

use std::time::Duration;

use super::{Terms, User};
use crate::redis::{Redis, Unanswered};

/// Takes a point from the user; where there is none left, how long it is until there is.
pub(super) async fn take(redis: &Redis, user: User, terms: Terms) -> Result<Option<Duration>, Unanswered> {
    let key = key(user);
    let (count, left) = redis.count(&key, terms.window).await?;
    let points = u64::from(terms.points);
    if count <= points {
        return Ok(None);
    }
    // The first one too many begins the block; those that follow do not lengthen it.
    if count == points + 1 && !terms.block.is_zero() {
        redis.expire(&key, terms.block).await?;
        return Ok(Some(terms.block));
    }
    Ok(Some(left))
}

fn key(user: User) -> String {
    match user {
        User::Known(id) => format!("rl:user:{id}"),
        User::Address(address) => format!("rl:address:{address}"),
    }
}
