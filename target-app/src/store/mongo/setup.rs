//! What is there before the first request: the client, the indexes production has, and the documents of the seed.
//!
//! Several processes may begin at once. Every step may be repeated, so none waits for another and one that dies half-way leaves nothing to mend.

use std::time::Duration;

use mongodb::bson::{Document as Bson, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{ClientOptions, IndexOptions};
use mongodb::{Collection, Database, IndexModel};

use super::{DUPLICATE_KEY, EMAIL_KEY};
use crate::profile::Store as Dials;
use crate::store::backend::Uri;
use crate::store::{StoreError, seed};

/// The database of a URI that names none.
const DATABASE: &str = "eco_bottle";
/// What production waits for a server, where the URI does not say `serverSelectionTimeoutMS`. The driver's own is 30 s.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Documents of one insert.
const BATCH: usize = 1_000;
/// Another process made the same index, with other options or under another name: IndexOptionsConflict, IndexKeySpecsConflict.
const INDEX_IS_THERE: [i32; 2] = [85, 86];
/// What the database was filled with stands in this document of `counters`.
const FILLED: &str = "seed";

/// The options of a URI, and the name of its database.
pub(super) async fn options(uri: &Uri) -> Result<(ClientOptions, String), StoreError> {
    // The driver's message may quote what it could not read.
    let mut options = ClientOptions::parse(uri.secret())
        .await
        .map_err(|e| StoreError::Unavailable(format!("{uri}: {}", uri.hidden_in(&e.to_string()))))?;
    options.app_name.get_or_insert_with(|| "target-app".to_owned());
    options.server_selection_timeout.get_or_insert(SERVER_SELECTION_TIMEOUT);
    let name = options.default_database.get_or_insert_with(|| DATABASE.to_owned()).clone();
    Ok((options, name))
}

/// Makes the indexes and fills the database, if that has not been done. Whether it has a text index: not every server that speaks
/// the protocol can make one.
pub(super) async fn fill(database: &Database, dials: &Dials) -> Result<bool, StoreError> {
    let text = indexes(database).await?;
    let counters = database.collection::<Bson>("counters");
    let filled = doc! {
        "products": i64::from(dials.products), "users": i64::from(dials.users),
        "seed": i64::try_from(dials.seed).unwrap_or(i64::MAX),
    };
    if let Some(mut before) = counters.find_one(doc! {"_id": FILLED}).await? {
        before.remove("_id");
        if before != filled {
            return Err(StoreError::Backend(format!(
                "the database {} was filled with {before} and the dials say {filled}: name another one or drop it",
                database.name()
            )));
        }
        return Ok(text);
    }
    insert(&database.collection("products"), seed::products(dials).map(product)).await?;
    let users = (1_i64..).zip(seed::users(dials)).map(|(id, user)| {
        doc! {"_id": id, "email": user.email, "name": user.name, "passwordHash": user.password_hash}
    });
    insert(&database.collection("users"), users).await?;
    for (name, at_least) in [("users", i64::from(dials.users)), ("leads", 0), ("orders", 0)] {
        // Of two who make one document at once, the second may be told that it is there.
        let raise = || counters.update_one(doc! {"_id": name}, doc! {"$max": {"n": at_least}}).upsert(true);
        match raise().await {
            Err(e) if is_duplicate(&e) => drop(raise().await?),
            raised => drop(raised?),
        }
    }
    let mut mark = doc! {"_id": FILLED};
    mark.extend(filled);
    match counters.insert_one(mark).await {
        Err(e) if !is_duplicate(&e) => Err(e.into()),
        _ => Ok(text),
    }
}

async fn indexes(database: &Database) -> Result<bool, StoreError> {
    let make = async |name: &str, keys: Bson, options: Option<IndexOptions>| {
        let index = IndexModel::builder().keys(keys).options(options).build();
        database.collection::<Bson>(name).create_index(index).await.map(drop)
    };
    make("products", doc! {"category": 1, "price": 1}, None).await?;
    make("leads", doc! {"email": 1, "createdAt": -1}, None).await?;
    make("leads", doc! {"status": 1, "createdAt": -1}, None).await?;
    make("users", doc! {EMAIL_KEY: 1}, Some(IndexOptions::builder().unique(true).build())).await?;
    // A word is found as it stands, as in the embedded store: no stems, and none that are left out.
    let plain = IndexOptions::builder().default_language("none".to_owned()).build();
    match make("products", doc! {"name": "text", "description": "text"}, Some(plain)).await {
        Ok(()) => Ok(true),
        Err(e) => match e.kind.as_ref() {
            ErrorKind::Command(refusal) => Ok(INDEX_IS_THERE.contains(&refusal.code)),
            _ => Err(e.into()),
        },
    }
}

fn product(product: seed::Product) -> Bson {
    doc! {
        "_id": i64::from(product.id), "name": product.name, "category": product.category,
        "description": product.description, "price": product.price, "stock": i64::from(product.stock),
    }
}

/// Inserts those that are not there yet.
async fn insert(into: &Collection<Bson>, documents: impl Iterator<Item = Bson>) -> Result<(), StoreError> {
    let mut documents = documents.peekable();
    while documents.peek().is_some() {
        let batch: Vec<_> = documents.by_ref().take(BATCH).collect();
        match into.insert_many(batch).ordered(false).await {
            Err(e) if !is_duplicate(&e) => return Err(e.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Whether nothing else was wrong than that a document is there already.
fn is_duplicate(error: &Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::InsertMany(failure) => {
            failure.write_concern_error.is_none()
                && failure.write_errors.iter().flatten().all(|error| error.code == DUPLICATE_KEY)
        }
        ErrorKind::Write(mongodb::error::WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
        _ => false,
    }
}
