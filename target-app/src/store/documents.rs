//! The shapes that go into and come out of a store.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// A JSON document as the store keeps it: passed on as text, never parsed on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document(pub(crate) String);

impl Document {
    /// The document as a value, for those who do not pass it on as it is.
    pub(crate) fn parsed<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_str(&self.0).map_err(|e| StoreError::Backend(e.to_string()))
    }
}

/// Which products, cheapest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProductFilter {
    pub(crate) category: Option<String>,
    pub(crate) max_price: Option<f64>,
    /// Counted from one.
    pub(crate) page: u32,
}

/// A user before it has an id.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NewUser {
    pub(crate) email: String,
    pub(crate) name: String,
    /// Salted hash, in hex; see `session`.
    pub(crate) password_hash: String,
}

/// What a login is checked against.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) id: u32,
    pub(crate) password_hash: String,
}

/// Someone who asked to be called back.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NewLead {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) message: String,
    pub(crate) created_at_ms: u64,
}

/// An order of one product.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NewOrder {
    pub(crate) product_id: u32,
    pub(crate) quantity: u32,
    pub(crate) created_at_ms: u64,
    /// The job that places it, if one does: of these there is one order, however often it is asked for.
    pub(crate) job_id: Option<u32>,
}

impl NewOrder {
    /// What it costs at this price of a piece, to the cent.
    pub(crate) fn total(&self, price: f64) -> f64 {
        (price * 100.0).round() * f64::from(self.quantity) / 100.0
    }
}
