//! Points that all replicas take from together: a number a user in Redis, which lasts as long as the window and, once there was one request too
//! many, as the block. It is three commands a request, all at the node of that user.

use std::time::Duration;

use super::{Terms, User};
use crate::redis::{Redis, Unanswered};

/// Takes a point from the user; where there is none left, how long it is until there is.
pub(super) async fn take(redis: &Redis, user: User, terms: Terms) -> Result<Option<Duration>, Unanswered> {
    let redis = redis.clone();
    // A client that goes away may not leave a count behind without the block that belongs to it.
    let judged = tokio::spawn(async move { judge(&redis, &key(user), terms).await });
    judged.await.unwrap_or(Err(Unanswered))
}

async fn judge(redis: &Redis, key: &str, terms: Terms) -> Result<Option<Duration>, Unanswered> {
    let (count, left) = redis.count(key, terms.window).await?;
    let points = u64::from(terms.points);
    if count <= points {
        return Ok(None);
    }
    // The first one too many begins the block; those that follow do not lengthen it. Without an answer to that there is none, and what is
    // left of the window is what there is to wait for.
    let begins = count == points + 1 && !terms.block.is_zero();
    let blocked = begins && redis.expire(key, terms.block).await.unwrap_or(false);
    Ok(Some(if blocked { terms.block } else { left }))
}

fn key(user: User) -> String {
    match user {
        User::Known(id) => format!("rl:user:{id}"),
        User::Address(address) => format!("rl:address:{address}"),
    }
}
