//! Which store a process serves from: the embedded one, or a MongoDB named by its URI.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

#[cfg(feature = "mongodb")]
use super::Topology;
use super::{Embedded, Figures, Files, Home, Store, StoreError};
use crate::faults::{Faults, Telling};
use crate::fleet::Membership;
use crate::profile::Dials;
#[cfg(feature = "mongodb")]
use crate::profile::Indexes;

/// The environment variable that a URI can come in: arguments can be read by everybody on the machine, and it may have a password.
pub const MONGODB_URI: &str = "TARGET_MONGODB_URI";

/// The store that a process serves from.
#[derive(Clone, Debug)]
pub enum Backend {
    /// SQLite in these files, with the dialled service times.
    Embedded(Files),
    #[cfg(feature = "mongodb")]
    Mongodb(Uri),
}

/// Why a URI names no store.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error("this build has no MongoDB driver: cargo build --features mongodb")]
    NoDriver,
    #[error(
        "{0} is not the URI of a MongoDB: it begins with mongodb:// or mongodb+srv://, for example mongodb://127.0.0.1:27017/eco_bottle"
    )]
    NotMongodb(Uri),
}

impl Default for Backend {
    fn default() -> Self {
        Self::Embedded(Files::default())
    }
}

impl Backend {
    /// The MongoDB with this URI, where this build can speak to one.
    pub fn at(uri: &Uri) -> Result<Self, BackendError> {
        if !SCHEMES.iter().any(|scheme| uri.0.starts_with(scheme)) {
            return Err(BackendError::NotMongodb(uri.clone()));
        }
        #[cfg(feature = "mongodb")]
        return Ok(Self::Mongodb(uri.clone()));
        #[cfg(not(feature = "mongodb"))]
        return Err(BackendError::NoDriver);
    }

    /// What of it can be told to go wrong; of a fleet what it has prepared is kept in mind.
    pub(crate) fn telling(&self, dials: &Dials, prepared: Option<&Home>) -> Telling {
        match self {
            Self::Embedded(_) => Telling::Embedded {
                shards: dials.mongodb.shards,
                kept_in: prepared.map(|home| home.file().to_owned()),
            },
            #[cfg(feature = "mongodb")]
            Self::Mongodb(_) => Telling::Nothing,
        }
    }

    /// What a replica has to find in its environment to serve from the same store.
    pub(crate) fn environment(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Embedded(_) => None,
            #[cfg(feature = "mongodb")]
            Self::Mongodb(uri) => Some((MONGODB_URI, uri.secret())),
        }
    }

    /// Whether it can be as dialled: what is a model of the embedded one's is not for dials to say of a database elsewhere.
    #[cfg_attr(not(feature = "mongodb"), expect(unused_variables, reason = "there is no other store"))]
    fn fits(&self, dials: &Dials) -> Result<(), StoreError> {
        match self {
            Self::Embedded(_) => Ok(()),
            #[cfg(feature = "mongodb")]
            Self::Mongodb(_) => mongodb_fits(dials).map_err(|unfit| StoreError::Backend(unfit.to_owned())),
        }
    }

    /// Makes what several replicas share, so that they find it filled; what is returned is held while they serve. `shared` is the directory of
    /// their fleet.
    pub(crate) async fn prepare(&self, shared: &Path, dials: &Dials) -> Result<Option<Home>, StoreError> {
        self.fits(dials)?;
        match self {
            Self::Embedded(files) => files.prepare(Some(shared), dials).map(Some),
            #[cfg(feature = "mongodb")]
            Self::Mongodb(uri) => super::mongo::prepare(uri, dials).await.map(|_| None),
        }
    }

    /// The store of this process, filled. Needs a runtime.
    pub(crate) async fn open(
        &self,
        fleet: Option<&Membership>,
        dials: &Dials,
        figures: Figures,
        faults: Arc<Faults>,
    ) -> Result<Arc<dyn Store>, StoreError> {
        self.fits(dials)?;
        Ok(match (self, fleet) {
            (Self::Embedded(files), Some(fleet)) => {
                Arc::new(Embedded::open(&files.of_fleet(fleet.directory()), dials, &figures, faults)?)
            }
            (Self::Embedded(files), None) => Arc::new(Embedded::new(files, dials, figures, faults)?),
            #[cfg(feature = "mongodb")]
            (Self::Mongodb(uri), _) => Arc::new(super::mongo::Mongo::open(uri, dials, figures).await?),
        })
    }
}

/// Why a MongoDB cannot be as dialled, if it cannot.
#[cfg(feature = "mongodb")]
fn mongodb_fits(dials: &Dials) -> Result<(), &'static str> {
    if dials.mongodb.indexes == Indexes::Off {
        Err("only the embedded store can be without indexes: set mongodb.indexes=on")
    } else if Topology::of(&dials.mongodb).servers() > 1 {
        Err(
            "a real MongoDB has the members and shards that it has: set mongodb.replica_set.members=1 and mongodb.shards=1",
        )
    } else if dials.queue.concurrency > 0 {
        Err("jobs are kept in the embedded store only: set queue.concurrency=0")
    } else {
        Ok(())
    }
}

const SCHEMES: [&str; 2] = ["mongodb://", "mongodb+srv://"];

/// The connection string of a MongoDB. It may have a password, so it is shown without credentials and options.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri(String);

impl Uri {
    #[cfg(feature = "mongodb")]
    pub(super) fn secret(&self) -> &str {
        &self.0
    }

    /// A message about it, without what it must not show.
    #[cfg(feature = "mongodb")]
    pub(super) fn hidden_in(&self, message: &str) -> String {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let credentials = rest.rsplit_once('@').map_or("", |(credentials, _)| credentials);
        let parts = [rest, credentials, credentials.split_once(':').map_or("", |(_, password)| password)];
        let shown = parts.iter().any(|part| !part.is_empty() && message.contains(part));
        if shown { "it cannot be read".to_owned() } else { message.to_owned() }
    }
}

/// Every text is taken: a message about one that is refused would show it whole.
impl FromStr for Uri {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.trim().to_owned()))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        // What stands before the last @ are credentials, well-formed or not. If an option has one, nothing is sure.
        let (credentials, rest) =
            rest.rsplit_once('@').map_or((None, rest), |(before, rest)| (Some(before), rest));
        let place = rest.split('?').next().unwrap_or_default();
        match credentials {
            _ if scheme.is_empty() => f.write_str("***"),
            None => write!(f, "{scheme}://{place}"),
            Some(before) if before.contains('?') => write!(f, "{scheme}://***"),
            Some(_) => write!(f, "{scheme}://***@{place}"),
        }
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{Backend, Uri};

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn a_uri_is_shown_without_its_secrets() {
        for (text, shown) in [
            ("mongodb://127.0.0.1:27017/eco_bottle", "mongodb://127.0.0.1:27017/eco_bottle"),
            ("mongodb://a:1,b:2/?replicaSet=rs0", "mongodb://a:1,b:2/"),
            ("mongodb+srv://ada:geheim@cluster.example/shop?w=1", "mongodb+srv://***@cluster.example/shop"),
            ("mongodb://ada:ge@heim/x@host", "mongodb://***@host"),
            ("mongodb://host/?appName=me@geheim", "mongodb://***"),
            ("ada:geheim@host", "***"),
        ] {
            assert_eq!(
                (uri(text).to_string(), format!("{:?}", uri(text))),
                (shown.to_owned(), shown.to_owned())
            );
        }
    }

    proptest! {
        #[test]
        fn no_password_is_ever_shown(password in "[ -~]{0,8}geheim[ -~]{0,8}", well_formed in any::<bool>()) {
            let place = if well_formed { "host:1/db?w=1" } else { "" };
            let text = format!("mongodb://ada:{password}@{place}");
            assert!(!uri(&text).to_string().contains("geheim"), "{text}");
        }

        #[test]
        fn what_is_no_uri_of_a_mongodb_is_refused_without_showing_it(text in prop::sample::select(
            vec!["", "mongo://ada:geheim@host", "http://geheim@host", "geheim", "ada:geheim@host"]))
        {
            let refusal = Backend::at(&uri(text)).unwrap_err().to_string();
            assert!(refusal.contains("is not the URI of a MongoDB") && !refusal.contains("geheim"), "{refusal}");
        }
    }

    #[test]
    #[cfg(feature = "mongodb")]
    fn what_only_the_embedded_store_can_be_is_refused_of_another() {
        let refused = |dial: &str| {
            let profile = crate::profile::Profile::named("baseline").unwrap().with_dial(dial).unwrap();
            super::mongodb_fits(profile.dials())
        };
        assert_eq!(refused("mongodb.max_pool_size=20"), Ok(()));
        for dial in [
            "mongodb.shards=2",
            "mongodb.replica_set.members=3",
            "mongodb.indexes=off",
            "queue.concurrency=1",
        ] {
            let (name, _) = dial.split_once('=').unwrap();
            assert!(refused(dial).unwrap_err().contains(&format!(" {name}=")), "{dial}");
        }
    }

    #[test]
    #[cfg(not(feature = "mongodb"))]
    fn a_build_without_the_driver_says_so() {
        let refusal = Backend::at(&uri("mongodb://127.0.0.1")).unwrap_err().to_string();
        assert_eq!(refusal, "this build has no MongoDB driver: cargo build --features mongodb");
    }
}
