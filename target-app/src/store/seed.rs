//! What the shop starts with: products and users made from the seed, the same every time.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rusqlite::{Connection, params};
use serde_json::json;

use super::schema;
use crate::profile::Store as Dials;
use crate::session;

/// Every seeded user has this password, and the email `userN@shop.example` with N counted from 1.
pub(crate) const PASSWORD: &str = "correct-horse";

const CATEGORIES: [&str; 8] =
    ["bottles", "flasks", "tumblers", "lunchboxes", "straws", "lids", "sleeves", "filters"];
const MATERIALS: [&str; 8] =
    ["steel", "glass", "bamboo", "copper", "titanium", "cork", "ceramic", "aluminum"];
const MANNERS: [&str; 8] =
    ["insulated", "collapsible", "leakproof", "lightweight", "engraved", "recycled", "wide-mouth", "slim"];
const PLACES: [&str; 6] = ["the trail", "the office", "the gym", "long flights", "school", "the kitchen"];

/// Fills an empty store.
pub(super) fn fill(connection: &mut Connection, dials: &Dials) -> rusqlite::Result<()> {
    let mut random = StdRng::seed_from_u64(dials.seed);
    let mut pick = |words: &[&'static str]| words[random.random_range(0..words.len())];
    let transaction = connection.transaction()?;
    {
        let mut document = transaction.prepare(schema::ADD_PRODUCT)?;
        let mut text = transaction.prepare(schema::ADD_PRODUCT_TEXT)?;
        for id in 1..=dials.products {
            let (category, material, manner) = (pick(&CATEGORIES), pick(&MATERIALS), pick(&MANNERS));
            let name = format!("{manner} {material} {} no. {id}", category.trim_end_matches('s'));
            let description =
                format!("A {manner} {material} companion for {}, made to be used again.", pick(&PLACES));
            let price = 5.0 + f64::from(id * 37 % 9_500) / 100.0;
            let doc = json!({
                "id": id, "name": name, "category": category, "description": description, "price": price,
                "stock": id * 13 % 500,
            });
            document.execute(params![id, doc.to_string()])?;
            text.execute(params![id, name, description])?;
        }
        let mut user = transaction.prepare(schema::ADD_USER)?;
        for n in 1..=dials.users {
            let email = format!("user{n}@shop.example");
            let doc = json!({"email": email, "name": format!("User {n}")});
            user.query_row(params![session::password_hash(&email, PASSWORD), doc.to_string()], |_| Ok(()))?;
        }
    }
    transaction.commit()
}
