//! What a request can ask of the app: the kinds of store operation and the classes of CPU cost. Routes name them, profiles
//! price them, `explain` adds them up, so all three read the same two lists.

use std::fmt;

/// One kind of store operation. Each checks a pooled connection out once, of each server that it has to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    ProductsList,
    ProductById,
    ProductsByIds,
    ProductsSearch,
    UserInsert,
    UserByEmail,
    UserById,
    LeadInsert,
    LeadsList,
    OrderInsert,
    OrderById,
    OrdersByIds,
}

impl Operation {
    pub const ALL: [Self; 12] = [
        Self::ProductsList,
        Self::ProductById,
        Self::ProductsByIds,
        Self::ProductsSearch,
        Self::UserInsert,
        Self::UserByEmail,
        Self::UserById,
        Self::LeadInsert,
        Self::LeadsList,
        Self::OrderInsert,
        Self::OrderById,
        Self::OrdersByIds,
    ];

    /// Whether it reads the catalog, which all see alike and which caches keep.
    pub fn is_of_catalog(self) -> bool {
        matches!(self, Self::ProductsList | Self::ProductById | Self::ProductsByIds)
    }

    /// The name used in dials.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProductsList => "products_list",
            Self::ProductById => "product_by_id",
            Self::ProductsByIds => "products_by_ids",
            Self::ProductsSearch => "products_search",
            Self::UserInsert => "user_insert",
            Self::UserByEmail => "user_by_email",
            Self::UserById => "user_by_id",
            Self::LeadInsert => "lead_insert",
            Self::LeadsList => "leads_list",
            Self::OrderInsert => "order_insert",
            Self::OrderById => "order_by_id",
            Self::OrdersByIds => "orders_by_ids",
        }
    }

    /// The collection it is about.
    pub(crate) fn collection(self) -> &'static str {
        match self {
            Self::ProductsList | Self::ProductById | Self::ProductsByIds | Self::ProductsSearch => "products",
            Self::UserInsert | Self::UserByEmail | Self::UserById => "users",
            Self::LeadInsert | Self::LeadsList => "leads",
            Self::OrderInsert | Self::OrderById | Self::OrdersByIds => "orders",
        }
    }

    /// Whether it changes something, which only a primary can do.
    pub fn writes(self) -> bool {
        matches!(self, Self::UserInsert | Self::LeadInsert | Self::OrderInsert)
    }

    /// How it finds its documents with or without the indexes. That of `_id` is always there, as in MongoDB; the email of a new user
    /// is looked for before it is added.
    pub fn plan(self, indexed: bool) -> Plan {
        match self {
            Self::ProductById | Self::UserById | Self::OrderById => Plan::IxScan,
            Self::LeadInsert | Self::OrderInsert => Plan::None,
            Self::UserInsert if indexed => Plan::None,
            _ if indexed => Plan::IxScan,
            _ => Plan::CollScan,
        }
    }
}

/// How an operation finds its documents, in MongoDB's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It seeks them in an index.
    IxScan,
    /// It goes through all there are.
    CollScan,
    /// It looks for none.
    None,
}

impl Plan {
    pub fn name(self) -> &'static str {
        match self {
            Self::IxScan => "IXSCAN",
            Self::CollScan => "COLLSCAN",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much CPU time a request costs, by the sort of work it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CpuClass {
    /// One document out.
    Read,
    /// A page of documents out.
    List,
    /// A text query.
    Search,
    /// A document in.
    Write,
    /// A password check.
    Login,
    /// A query in GraphQL: read, validated and put together.
    Graphql,
    /// A file out.
    Static,
    /// The start of a WebSocket.
    Upgrade,
    /// An answer to a request that the rate limiter rejects: HTTP and nothing else.
    Rejected,
    /// Metrics, health and documents about the app itself: never charged and never queued, so that they answer when
    /// the app is out of everything else.
    Operational,
}

impl CpuClass {
    /// The classes that have a dial.
    pub const DIALLED: [Self; 9] = [
        Self::Read,
        Self::List,
        Self::Search,
        Self::Write,
        Self::Login,
        Self::Graphql,
        Self::Static,
        Self::Upgrade,
        Self::Rejected,
    ];
}
