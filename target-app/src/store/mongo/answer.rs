//! What comes back from the driver, in the app's own terms: documents as JSON, and errors by what they mean for a request.

use mongodb::bson::{Bson, Document as Record};
use mongodb::error::{Error, ErrorKind};
use serde_json::{Map, Value, json};

use crate::store::{Document, StoreError};

/// A server that is no primary, shuts down or has lost its majority. The driver has tried again by then.
/// <https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md>
const SERVER_LEAVES: [i32; 10] = [6, 7, 89, 91, 189, 9001, 10107, 11600, 11602, 13435];

/// The document as the routes give it: `_id` is the id, and a time is milliseconds.
pub(super) fn json(record: &Record) -> Document {
    let members = record.iter().map(|(key, value)| {
        let key = match key.as_str() {
            "_id" => "id",
            "createdAt" => "created_at_ms",
            key => key,
        };
        let value = match value {
            Bson::Int32(number) => json!(number),
            Bson::Int64(number) => json!(number),
            Bson::Double(number) => json!(number),
            Bson::Boolean(is) => json!(is),
            Bson::DateTime(time) => json!(time.timestamp_millis()),
            Bson::String(text) => json!(text),
            Bson::Null => Value::Null,
            // None that the app has written.
            other => json!(other.to_string()),
        };
        (key.to_owned(), value)
    });
    Document(Value::Object(members.collect::<Map<_, _>>()).to_string())
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error.kind.as_ref() {
            ErrorKind::ServerSelection { .. }
            | ErrorKind::Io(_)
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::Authentication { .. } => Self::Unavailable(text),
            ErrorKind::Command(command) if SERVER_LEAVES.contains(&command.code) => Self::Unavailable(text),
            _ => Self::Backend(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{DateTime, doc};

    use super::json;

    #[test]
    fn a_record_is_what_the_embedded_store_gives() {
        let record = doc! {
            "_id": 7_i64, "total": 16.5, "quantity": 3, "status": "placed", "createdAt": DateTime::from_millis(5),
        };
        insta::assert_snapshot!(json(&record).0, @r#"{"created_at_ms":5,"id":7,"quantity":3,"status":"placed","total":16.5}"#);
    }
}
