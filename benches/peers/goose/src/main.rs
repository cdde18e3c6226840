//! One `get /` by Goose, for `benches/peers`. What Goose takes on its command line comes from there; the wait between two requests of a user
//! is a property of the program, so it comes by the environment: `THINK_MS`, 0 for none.

use goose::prelude::{
    GooseAttack, GooseError, GooseUser, Scenario, Transaction, TransactionResult, scenario, transaction,
};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), GooseError> {
    let think_ms = std::env::var("THINK_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let think = Duration::from_millis(think_ms);
    let mut read = scenario!("read").register_transaction(transaction!(get));
    if think_ms > 0 {
        read = read.set_wait_time(think, think)?;
    }
    GooseAttack::initialize()?.register_scenario(read).execute().await?;
    Ok(())
}

async fn get(user: &mut GooseUser) -> TransactionResult {
    user.get("/").await?;
    Ok(())
}
