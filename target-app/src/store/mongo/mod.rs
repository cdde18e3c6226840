//! The store in a real MongoDB, through the official driver. The limits of its pool are the dials; how long a connection is held
//! is the server's own time, so no dial tells the ceiling.
//!
//! Documents are as a Node service would have them: integers as `_id`, counted in `counters`, and `createdAt` as a time.

mod answer;
mod pool;
mod setup;

use std::future::{Future, IntoFuture};
use std::sync::Arc;

use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, Document as Record, doc};
use mongodb::error::{ErrorKind, WriteFailure};
use mongodb::options::ReturnDocument;
use mongodb::{Client, Collection, Database};

use self::answer::json;
use self::pool::Pool;
use super::backend::Uri;
use super::{
    Answer, Credentials, Document, Figures, NewLead, NewOrder, NewUser, PAGE_SIZE, Pooled, ProductFilter,
    Store, StoreError,
};
use crate::clock;
use crate::demand::Operation;
use crate::profile::Dials;

/// The whole deployment as its figures call it: the driver's pools of all servers are counted together.
const NAME: &str = "mongodb";
/// The code of an error about a unique index.
const DUPLICATE_KEY: i32 = 11_000;
/// The key of the unique index on users.
const EMAIL_KEY: &str = "email";

/// A MongoDB behind the driver's pool.
pub(crate) struct Mongo {
    shop: Arc<Shop>,
    figures: Figures,
}

/// The collections.
struct Shop {
    pool: Pool,
    products: Collection<Record>,
    users: Collection<Record>,
    leads: Collection<Record>,
    orders: Collection<Record>,
    counters: Collection<Record>,
    /// Whether products have a text index; else a search reads them all.
    text_index: bool,
}

/// Fills the database, on connections that are counted nowhere. Whether it has a text index.
pub(crate) async fn prepare(uri: &Uri, dials: &Dials) -> Result<bool, StoreError> {
    let (options, name) = setup::options(uri).await?;
    let client = Client::with_options(options)?;
    let text_index = setup::fill(&client.database(&name), &dials.store).await;
    client.shutdown().await;
    text_index
}

impl Mongo {
    /// Fills the database if nobody has yet, and opens it.
    pub(crate) async fn open(uri: &Uri, dials: &Dials, figures: Figures) -> Result<Self, StoreError> {
        let text_index = prepare(uri, dials).await?;
        let (mut options, name) = setup::options(uri).await?;
        let pool = Pool::of(&mut options, &dials.mongodb, figures.pool(NAME));
        let database = Client::with_options(options)?.database(&name);
        Ok(Self { shop: Arc::new(Shop::of(&database, pool, text_index)), figures })
    }

    /// One operation. It runs as a task of its own, so that a client who goes away stops none.
    fn operate<T: Send + 'static, F: Future<Output = Result<T, StoreError>> + Send + 'static>(
        &self,
        operation: Operation,
        work: impl FnOnce(Arc<Shop>) -> F,
    ) -> Answer<T> {
        let (work, figures) = (work(Arc::clone(&self.shop)), self.figures.clone());
        let task = tokio::spawn(async move {
            let began = clock::now();
            let answer = work.await;
            // It always has the indexes.
            figures.ended(operation, operation.plan(true), NAME, clock::now().duration_since(began));
            answer
        });
        Box::pin(async move { task.await.unwrap_or_else(|e| Err(StoreError::Backend(e.to_string()))) })
    }
}

impl Shop {
    fn of(database: &Database, pool: Pool, text_index: bool) -> Self {
        let collection = |name| database.collection(name);
        Self {
            pool,
            products: collection("products"),
            users: collection("users"),
            leads: collection("leads"),
            orders: collection("orders"),
            counters: collection("counters"),
            text_index,
        }
    }

    /// One page of what is found.
    async fn page(
        &self,
        from: &Collection<Record>,
        filter: Record,
        sort: Record,
        skip: u64,
    ) -> Result<Vec<Document>, StoreError> {
        let find = async {
            let found = from.find(filter).sort(sort).skip(skip).limit(PAGE_SIZE.into()).await?;
            found.try_collect::<Vec<_>>().await
        };
        Ok(self.pool.turn(find).await?.iter().map(json).collect())
    }

    /// All that fit. A loader asks for at most a hundred of one kind, which are one batch of the driver's.
    async fn found(&self, from: &Collection<Record>, filter: Record) -> Result<Vec<Document>, StoreError> {
        let find = async { from.find(filter).await?.try_collect::<Vec<_>>().await };
        Ok(self.pool.turn(find).await?.iter().map(json).collect())
    }

    async fn one(
        &self,
        from: &Collection<Record>,
        filter: Record,
        without: Option<&str>,
    ) -> Result<Option<Record>, StoreError> {
        let mut find = from.find_one(filter);
        if let Some(field) = without {
            find = find.projection(doc! {field: 0});
        }
        self.pool.turn(find.into_future()).await
    }

    /// The next id of a collection, counted by the server so that all replicas count together.
    async fn next_id(&self, of: &str) -> Result<i64, StoreError> {
        let count = self
            .counters
            .find_one_and_update(doc! {"_id": of}, doc! {"$inc": {"n": 1_i64}})
            .return_document(ReturnDocument::After);
        let counter = self.pool.turn(count.into_future()).await?;
        let next = counter.and_then(|counter| counter.get_i64("n").ok());
        next.ok_or_else(|| StoreError::Backend(format!("the counter of {of} is gone")))
    }

    /// Adds the record under the next id, and gives it back.
    async fn add(&self, into: &Collection<Record>, record: Record) -> Result<Document, StoreError> {
        let mut added = doc! {"_id": self.next_id(into.name()).await?};
        added.extend(record);
        self.pool.turn(into.insert_one(&added).into_future()).await?;
        Ok(json(&added))
    }
}

impl Store for Mongo {
    fn products(&self, filter: ProductFilter) -> Answer<Vec<Document>> {
        self.operate(Operation::ProductsList, move |shop| async move {
            let skip = u64::from(filter.page.saturating_sub(1)) * u64::from(PAGE_SIZE);
            let mut wanted = Record::new();
            let sort = if filter.category.is_some() {
                doc! {"price": 1}
            } else {
                doc! {"_id": 1}
            };
            wanted.extend(filter.category.map(|category| ("category".to_owned(), category.into())));
            wanted.extend(filter.max_price.map(|price| ("price".to_owned(), doc! {"$lte": price}.into())));
            shop.page(&shop.products, wanted, sort, skip).await
        })
    }

    fn product(&self, id: u32) -> Answer<Option<Document>> {
        self.operate(Operation::ProductById, move |shop| async move {
            Ok(shop.one(&shop.products, by_id(id), None).await?.as_ref().map(json))
        })
    }

    fn products_by_ids(&self, ids: Vec<u32>) -> Answer<Vec<Document>> {
        self.operate(Operation::ProductsByIds, move |shop| async move {
            shop.found(&shop.products, by_ids(&ids)).await
        })
    }

    fn search(&self, words: Vec<String>) -> Answer<Vec<Document>> {
        self.operate(Operation::ProductsSearch, move |shop| async move {
            // A quotation mark would end the phrase that a word is searched as.
            let words: Vec<_> =
                words.iter().map(|word| word.replace('"', "")).filter(|word| !word.is_empty()).collect();
            if words.is_empty() {
                return Ok(Vec::new());
            }
            if shop.text_index {
                let phrases: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                let best_first = doc! {"score": {"$meta": "textScore"}};
                return shop
                    .page(&shop.products, doc! {"$text": {"$search": phrases.join(" ")}}, best_first, 0)
                    .await;
            }
            let has = |word: &String| {
                let pattern = doc! {"$regex": literal(word), "$options": "i"};
                doc! {"$or": [{"name": pattern.clone()}, {"description": pattern}]}
            };
            let all: Vec<_> = words.iter().map(has).collect();
            shop.page(&shop.products, doc! {"$and": all}, doc! {"_id": 1}, 0).await
        })
    }

    fn add_user(&self, user: NewUser) -> Answer<Document> {
        self.operate(Operation::UserInsert, move |shop| async move {
            let id = shop.next_id(shop.users.name()).await?;
            let mut record =
                doc! {"_id": id, "email": &user.email, "name": user.name, "passwordHash": user.password_hash};
            match shop.pool.turn(try_insert(&shop.users, &record)).await? {
                Inserted::Yes => {
                    record.remove("passwordHash");
                    Ok(json(&record))
                }
                Inserted::EmailTaken => Err(StoreError::Duplicate { what: "email", value: user.email }),
            }
        })
    }

    fn credentials(&self, email: String) -> Answer<Option<Credentials>> {
        self.operate(Operation::UserByEmail, move |shop| async move {
            let Some(user) = shop.one(&shop.users, doc! {EMAIL_KEY: email}, None).await? else {
                return Ok(None);
            };
            let id = user.get_i64("_id").ok().and_then(|id| u32::try_from(id).ok());
            let known = id.zip(user.get_str("passwordHash").ok());
            Ok(known.map(|(id, hash)| Credentials { id, password_hash: hash.to_owned() }))
        })
    }

    fn user(&self, id: u32) -> Answer<Option<Document>> {
        self.operate(Operation::UserById, move |shop| async move {
            Ok(shop.one(&shop.users, by_id(id), Some("passwordHash")).await?.as_ref().map(json))
        })
    }

    fn add_lead(&self, lead: NewLead) -> Answer<Document> {
        self.operate(Operation::LeadInsert, move |shop| async move {
            let record = doc! {
                "email": lead.email, "name": lead.name, "message": lead.message, "status": "new",
                "createdAt": time(lead.created_at_ms),
            };
            shop.add(&shop.leads, record).await
        })
    }

    fn leads(&self, status: String) -> Answer<Vec<Document>> {
        self.operate(Operation::LeadsList, move |shop| async move {
            shop.page(&shop.leads, doc! {"status": status}, doc! {"createdAt": -1}, 0).await
        })
    }

    fn add_order(&self, order: NewOrder) -> Answer<Document> {
        self.operate(Operation::OrderInsert, move |shop| async move {
            let product = shop.one(&shop.products, by_id(order.product_id), None).await?;
            let price = product.and_then(|product| product.get_f64("price").ok());
            let Some(price) = price else {
                return Err(StoreError::Missing { what: "product", id: order.product_id });
            };
            let record = doc! {
                "product_id": i64::from(order.product_id), "quantity": i64::from(order.quantity),
                "total": order.total(price), "status": "placed", "createdAt": time(order.created_at_ms),
            };
            shop.add(&shop.orders, record).await
        })
    }

    fn order(&self, id: u32) -> Answer<Option<Document>> {
        self.operate(Operation::OrderById, move |shop| async move {
            Ok(shop.one(&shop.orders, by_id(id), None).await?.as_ref().map(json))
        })
    }

    fn orders_by_ids(&self, ids: Vec<u32>) -> Answer<Vec<Document>> {
        self.operate(Operation::OrdersByIds, move |shop| async move {
            shop.found(&shop.orders, by_ids(&ids)).await
        })
    }

    fn pools(&self) -> Vec<Pooled> {
        vec![Pooled { name: NAME.to_owned(), snapshot: self.shop.pool.snapshot(clock::now()) }]
    }

    /// The driver closes idle connections by itself.
    fn keep(&self) {}
}

enum Inserted {
    Yes,
    EmailTaken,
}

/// A user whose email is taken is an answer of the server, and no error of its.
async fn try_insert(into: &Collection<Record>, record: &Record) -> mongodb::error::Result<Inserted> {
    match into.insert_one(record).await {
        Ok(_) => Ok(Inserted::Yes),
        Err(e) => match e.kind.as_ref() {
            ErrorKind::Write(WriteFailure::WriteError(error))
                if error.code == DUPLICATE_KEY && error.message.contains(&format!("{{ {EMAIL_KEY}:")) =>
            {
                Ok(Inserted::EmailTaken)
            }
            _ => Err(e),
        },
    }
}

fn by_id(id: u32) -> Record {
    doc! {"_id": i64::from(id)}
}

fn by_ids(ids: &[u32]) -> Record {
    doc! {"_id": {"$in": ids.iter().map(|id| i64::from(*id)).collect::<Vec<_>>()}}
}

fn time(unix_ms: u64) -> DateTime {
    DateTime::from_millis(i64::try_from(unix_ms).unwrap_or(i64::MAX))
}

/// A pattern that matches this text and nothing else.
fn literal(text: &str) -> String {
    let escape = |letter: char| {
        let special = letter.is_ascii_punctuation();
        special.then_some('\\').into_iter().chain([letter])
    };
    text.chars().flat_map(escape).collect()
}
