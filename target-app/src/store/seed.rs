//! What the shop starts with: products and users made from the seed, the same every time.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rusqlite::{Connection, params};
use serde_json::json;

use super::documents::NewUser;
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

/// A product as every backend is filled with it.
pub(super) struct Product {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) category: &'static str,
    pub(super) description: String,
    pub(super) price: f64,
    pub(super) stock: u32,
}

/// The products, in the order of their ids.
pub(super) fn products(dials: &Dials) -> impl Iterator<Item = Product> + use<> {
    let mut random = StdRng::seed_from_u64(dials.seed);
    let mut pick = move |words: &[&'static str]| words[random.random_range(0..words.len())];
    (1..=dials.products).map(move |id| {
        let (category, material, manner) = (pick(&CATEGORIES), pick(&MATERIALS), pick(&MANNERS));
        Product {
            id,
            name: format!("{manner} {material} {} no. {id}", category.trim_end_matches('s')),
            category,
            description: format!(
                "A {manner} {material} companion for {}, made to be used again.",
                pick(&PLACES)
            ),
            price: 5.0 + f64::from(id * 37 % 9_500) / 100.0,
            stock: id * 13 % 500,
        }
    })
}

/// The users; the first has the id 1.
pub(super) fn users(dials: &Dials) -> impl Iterator<Item = NewUser> + use<> {
    (1..=dials.users).map(|n| {
        let email = format!("user{n}@shop.example");
        let password_hash = session::password_hash(&email, PASSWORD);
        NewUser { email, name: format!("User {n}"), password_hash }
    })
}

/// Fills an empty embedded store.
pub(super) fn fill(connection: &mut Connection, dials: &Dials) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut document = transaction.prepare(schema::ADD_PRODUCT)?;
        let mut text = transaction.prepare(schema::ADD_PRODUCT_TEXT)?;
        for Product { id, name, category, description, price, stock } in products(dials) {
            let doc = json!({
                "id": id, "name": name, "category": category, "description": description, "price": price, "stock": stock,
            });
            document.execute(params![id, doc.to_string()])?;
            text.execute(params![id, name, description])?;
        }
        let mut user = transaction.prepare(schema::ADD_USER)?;
        for (id, NewUser { email, name, password_hash }) in (1_u32..).zip(users(dials)) {
            let doc = json!({"email": email, "name": name});
            user.query_row(params![id, password_hash, doc.to_string(), 0], |_| Ok(()))?;
        }
        transaction.execute(schema::LAST_ID, params!["users", dials.users])?;
    }
    transaction.commit()
}
