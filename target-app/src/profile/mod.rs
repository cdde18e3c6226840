//! Profiles: named settings of every dial, compiled in from `profiles/*.toml`, and their overrides from the command line.

mod base;
mod dial;
mod dials;
mod mongodb;

pub use dial::{DialError, Kind, dial_names};
pub use dials::{
    App, AuditLog, Autoscaler, Breaker, Cache, Cors, CpuUsPerRequest, Dials, Gateway, Graphql, Heap, Http,
    LimiterBackend, Queue, RateLimiter, Redis, RequestSigning, Security, Session, Store, Switch, Tls,
    TlsVersion, Websocket,
};
pub use mongodb::{
    Distribution, Indexes, Mongodb, ReadPreference, ReplicaSet, ServiceTimeFactor, WriteConcern,
};

use crate::fleet::REPLICAS_MAX;

/// Every profile that ships, as (name, file text).
const SHIPPED: &[(&str, &str)] = &[
    ("baseline", include_str!("../../profiles/baseline.toml")),
    ("pool-100", include_str!("../../profiles/pool-100.toml")),
    ("cached", include_str!("../../profiles/cached.toml")),
    ("unindexed", include_str!("../../profiles/unindexed.toml")),
    ("replica-set", include_str!("../../profiles/replica-set.toml")),
    ("read-replicas", include_str!("../../profiles/read-replicas.toml")),
    ("sharded", include_str!("../../profiles/sharded.toml")),
    ("queued", include_str!("../../profiles/queued.toml")),
    ("breaker", include_str!("../../profiles/breaker.toml")),
    ("limited", include_str!("../../profiles/limited.toml")),
    ("autoscaled", include_str!("../../profiles/autoscaled.toml")),
    ("hardened", include_str!("../../profiles/hardened.toml")),
    ("redis-single", include_str!("../../profiles/redis-single.toml")),
    ("redis-cluster", include_str!("../../profiles/redis-cluster.toml")),
    ("l1-cache", include_str!("../../profiles/l1-cache.toml")),
    ("websocket-heap", include_str!("../../profiles/websocket-heap.toml")),
    ("lean-sockets", include_str!("../../profiles/lean-sockets.toml")),
    ("replicas-4", include_str!("../../profiles/replicas-4.toml")),
    ("gateway-single", include_str!("../../profiles/gateway-single.toml")),
    ("gateway-wide", include_str!("../../profiles/gateway-wide.toml")),
    ("static-from-app", include_str!("../../profiles/static-from-app.toml")),
    ("edge-cache", include_str!("../../profiles/edge-cache.toml")),
    ("eco-100k", include_str!("../../profiles/eco-100k.toml")),
];

/// A named setting of every dial, with what it stands for.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    /// The profile it takes over what its own file does not say.
    pub base: Option<String>,
    /// One paragraph: what system this is and what gives way first.
    pub description: String,
    /// Processes that serve it unless told otherwise.
    pub replicas: u32,
    /// Whether a single process that dies is started again; several always are.
    pub supervised: bool,
    /// The mechanisms at work in this profile, and those that are not.
    pub on: Vec<String>,
    pub off: Vec<String>,
    /// The dials as the files and the overrides gave them; `dials` is the same, typed.
    table: toml::Table,
    dials: Dials,
}

/// Why a profile could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("unknown profile {name:?}{}; there is: {}", dial::did_you_mean(.suggestion.as_deref()), .known.join(", "))]
    Unknown { name: String, suggestion: Option<String>, known: Vec<&'static str> },
    #[error("profile {name:?} does not parse: {reason}")]
    Syntax { name: String, reason: String },
}

impl Profile {
    /// The names of the profiles that ship.
    pub fn names() -> Vec<&'static str> {
        SHIPPED.iter().map(|(name, _)| *name).collect()
    }

    /// The shipped profile of that name.
    pub fn named(name: &str) -> Result<Self, ProfileError> {
        let Some((_, text)) = SHIPPED.iter().find(|(known, _)| *known == name) else {
            let known = Self::names();
            let suggestion = dial::nearest(name, known.iter().copied()).map(str::to_owned);
            return Err(ProfileError::Unknown { name: name.to_owned(), suggestion, known });
        };
        Self::parse(name, text)
    }

    /// A profile from the text of its file, which may stand on a shipped one.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        let syntax = |reason: String| ProfileError::Syntax { name: name.to_owned(), reason };
        let file = base::resolve(name, text, SHIPPED)?;
        let dials = dials_of(&file.dials).map_err(|e| syntax(e.to_string()))?;
        dial::check_all(&file.dials).map_err(|e| syntax(e.to_string()))?;
        if !(1..=REPLICAS_MAX).contains(&file.replicas) {
            return Err(syntax(format!("replicas is from 1 to {REPLICAS_MAX}, not {}", file.replicas)));
        }
        Ok(Self {
            name: name.to_owned(),
            base: file.base,
            replicas: file.replicas,
            supervised: file.supervised,
            description: file.description,
            on: file.on,
            off: file.off,
            table: file.dials,
            dials,
        })
    }

    /// Whether one process has to be kept alive by another: because the profile says so, or since a gateway is a process too.
    pub fn needs_supervisor(&self) -> bool {
        self.supervised || self.has_gateway() || self.dials.autoscaler.max_replicas > 0
    }

    /// The most processes that serve it, unless told otherwise.
    pub fn replicas_max(&self) -> u32 {
        self.replicas.max(self.dials.autoscaler.max_replicas)
    }

    /// Whether a gateway stands in front of the replicas.
    pub fn has_gateway(&self) -> bool {
        self.dials.gateway.worker_connections > 0
    }

    /// The typed value of every dial.
    pub fn dials(&self) -> &Dials {
        &self.dials
    }

    /// The same profile with one dial set from `NAME=VALUE`, for example `mongodb.max_pool_size=20`.
    pub fn with_dial(mut self, assignment: &str) -> Result<Self, DialError> {
        dial::assign(&mut self.table, assignment)?;
        self.dials = dials_of(&self.table)
            .map_err(|e| DialError::Conflict { assignment: assignment.to_owned(), reason: e.to_string() })?;
        Ok(self)
    }

    /// The same profile with several dials set, in order; later ones win. Limits between dials are judged on the
    /// result, so the order of two dials that belong together does not matter.
    pub fn with_dials<I: AsRef<str>>(mut self, assignments: &[I]) -> Result<Self, DialError> {
        for assignment in assignments {
            dial::assign(&mut self.table, assignment.as_ref())?;
        }
        let text = || assignments.iter().map(|a| a.as_ref()).collect::<Vec<_>>().join(" ");
        self.dials = dials_of(&self.table)
            .map_err(|e| DialError::Conflict { assignment: text(), reason: e.to_string() })?;
        Ok(self)
    }
}

fn dials_of(table: &toml::Table) -> Result<Dials, dials::Unfit> {
    let dials: Dials = table.clone().try_into().map_err(|e: toml::de::Error| dials::Unfit(e.to_string()))?;
    dials.fit()?;
    Ok(dials)
}

#[cfg(test)]
mod tests {
    use super::Profile;

    fn baseline() -> Profile {
        Profile::named("baseline").unwrap()
    }

    #[test]
    fn every_shipped_profile_parses_and_says_what_it_is() {
        for name in Profile::names() {
            let profile = Profile::named(name).unwrap();
            assert!(profile.description.len() > 80, "{name} should say what it is");
            assert!(
                !profile.on.is_empty() && !profile.off.is_empty(),
                "{name} should say what is on and off"
            );
        }
    }

    #[test]
    fn a_cure_differs_from_baseline_in_its_dials_and_nothing_else() {
        let cures = [
            ("pool-100", "mongodb.max_pool_size=100"),
            ("cached", "cache.l1_ttl_ms=10000"),
            ("breaker", "breaker.timeout_ms=3000"),
            ("unindexed", "mongodb.indexes=off"),
            ("limited", "rate_limiter.points=100"),
        ];
        let queued = ["queue.concurrency=50", "queue.job_ms=100"];
        assert_eq!(
            Profile::named("queued").unwrap().dials(),
            baseline().with_dials(&queued).unwrap().dials()
        );
        for (name, dial) in cures {
            let profile = Profile::named(name).unwrap();
            assert_eq!(profile.base.as_deref(), Some("baseline"));
            assert_eq!(profile.dials(), baseline().with_dial(dial).unwrap().dials(), "{name}");
            assert_eq!(profile.replicas, 1);
        }
    }

    #[test]
    fn a_cure_of_the_heap_differs_from_it_in_one_thing() {
        let profile = |name: &str| Profile::named(name).unwrap();
        let sick = profile("websocket-heap");
        assert!(sick.supervised && !baseline().supervised && sick.replicas == 1);
        let lean = profile("lean-sockets");
        assert_eq!(
            lean.dials(),
            profile("websocket-heap").with_dial("heap.bytes_per_socket=16384").unwrap().dials()
        );
        assert!(lean.supervised && lean.replicas == 1);
        let wide = profile("replicas-4");
        assert_eq!((wide.dials(), wide.replicas, wide.supervised), (sick.dials(), 4, true));
    }

    #[test]
    fn a_cure_of_the_gateway_or_of_static_files_differs_in_one_dial() {
        for (sick, cure, dial) in [
            ("gateway-single", "gateway-wide", "gateway.worker_connections=16384"),
            ("static-from-app", "edge-cache", "gateway.edge_max_bytes=67108864"),
        ] {
            let [sick, cure] = [sick, cure].map(|name| Profile::named(name).unwrap());
            assert_eq!(cure.dials(), sick.clone().with_dial(dial).unwrap().dials(), "{}", cure.name);
            for profile in [sick, cure] {
                assert!(profile.has_gateway() && profile.needs_supervisor() && profile.replicas == 1);
            }
        }
        assert!(!baseline().has_gateway() && !baseline().needs_supervisor());
    }

    #[test]
    fn a_profile_may_stand_on_a_shipped_one_and_take_overrides() {
        let text =
            "base = 'pool-100'\ndescription = ''\non = []\noff = []\n[dials.mongodb]\nmin_pool_size = 50";
        let profile = Profile::parse("mine", text).unwrap().with_dial("mongodb.min_pool_size=60").unwrap();
        let mongodb = &profile.dials().mongodb;
        assert_eq!((mongodb.max_pool_size, mongodb.min_pool_size), (100, 60));
        let wrong = [
            "[dials.mongodb]\nmax_pool_size = 5000000",
            "[dials.mongodb]\npool = 1",
            "[dials.mongodb]\nmin_pool_size = 200",
        ];
        let words = wrong.map(|dials| {
            let text = format!("base = 'pool-100'\ndescription = ''\non = []\noff = []\n{dials}");
            Profile::parse("mine", &text).unwrap_err().to_string()
        });
        insta::assert_snapshot!(words.join("\n"), @r#"
        profile "mine" does not parse: dial mongodb.max_pool_size cannot be "5000000": expected a whole number from 1 to 10000 connections
        profile "mine" does not parse: unknown field `pool`, expected one of `max_pool_size`, `min_pool_size`, `max_idle_time_ms`, `wait_queue_timeout_ms`, `server_selection_timeout_ms`, `shards`, `replica_set`, `service_time_ms`, `service_time_distribution`, `service_time_cv_ratio`, `service_time_factor`, `indexes`, `scan_us_per_document`
        in `mongodb`

        profile "mine" does not parse: mongodb.min_pool_size 200 is above mongodb.max_pool_size 100
        "#);
    }

    #[test]
    fn a_dial_is_set_by_its_dotted_name() {
        let profile = baseline().with_dial("mongodb.max_pool_size=20").unwrap();
        assert_eq!(profile.dials().mongodb.max_pool_size, 20);
        let profile = profile.with_dial("app.cpu_us_per_request.read=12.5").unwrap();
        assert_eq!(profile.dials().app.cpu_us_per_request.read, 12.5);
        let profile = profile.with_dial("mongodb.service_time_ms=7").unwrap();
        assert_eq!(profile.dials().mongodb.service_time_ms, 7.0);
    }

    #[test]
    fn limits_between_dials_do_not_depend_on_their_order() {
        let one = baseline().with_dials(&["mongodb.min_pool_size=20", "mongodb.max_pool_size=20"]);
        assert_eq!(one.unwrap().dials().mongodb.min_pool_size, 20);
        insta::assert_snapshot!(
            baseline().with_dial("mongodb.min_pool_size=20").unwrap_err(),
            @"mongodb.min_pool_size=20 does not fit the other dials: mongodb.min_pool_size 20 is above mongodb.max_pool_size 10"
        );
    }

    #[test]
    fn dial_errors_say_what_to_write() {
        let error = |text: &str| baseline().with_dial(text).unwrap_err().to_string();
        let wrong = [
            "mongodb.pool_size=20",
            "mongodb.max_pool_size=0",
            "mongodb.max_pool_size=ten",
            "mongodb.service_time_ms=20s",
            "mongodb.service_time_distribution=gamma",
            "app.cores=nan",
            "mongodb.max_pool_size",
        ];
        assert!(
            error("websockets.tick=1")
                .contains("(did you mean websocket.tick_interval_ms?); there is: app.cores")
        );
        insta::assert_snapshot!(wrong.map(error).join("\n"), @r#"
        unknown dial "mongodb.pool_size" (did you mean mongodb.max_pool_size?); there is: mongodb.max_pool_size, mongodb.min_pool_size, mongodb.max_idle_time_ms, mongodb.wait_queue_timeout_ms, mongodb.server_selection_timeout_ms, mongodb.shards, mongodb.replica_set.members, mongodb.replica_set.arbiters, mongodb.replica_set.election_ms, mongodb.replica_set.lag_ms, mongodb.replica_set.write_concern, mongodb.replica_set.write_timeout_ms, mongodb.replica_set.read_preference, mongodb.service_time_ms, mongodb.service_time_distribution, mongodb.service_time_cv_ratio, mongodb.service_time_factor.products_list, mongodb.service_time_factor.product_by_id, mongodb.service_time_factor.products_by_ids, mongodb.service_time_factor.products_search, mongodb.service_time_factor.user_insert, mongodb.service_time_factor.user_by_email, mongodb.service_time_factor.user_by_id, mongodb.service_time_factor.lead_insert, mongodb.service_time_factor.leads_list, mongodb.service_time_factor.order_insert, mongodb.service_time_factor.order_by_id, mongodb.service_time_factor.orders_by_ids, mongodb.indexes, mongodb.scan_us_per_document
        dial mongodb.max_pool_size cannot be "0": expected a whole number from 1 to 10000 connections
        dial mongodb.max_pool_size cannot be "ten": expected a whole number from 1 to 10000 connections
        dial mongodb.service_time_ms cannot be "20s": expected a number from 0 to 60000 ms
        dial mongodb.service_time_distribution cannot be "gamma": expected one of constant, exponential, lognormal
        dial app.cores cannot be "nan": expected a number from 0.05 to 64 cores
        dial "mongodb.max_pool_size" is not of the form NAME=VALUE, for example mongodb.max_pool_size=20
        "#);
        insta::assert_snapshot!(Profile::named("basline").unwrap_err(), @r#"unknown profile "basline" (did you mean baseline?); there is: baseline, pool-100, cached, unindexed, replica-set, read-replicas, sharded, queued, breaker, limited, autoscaled, hardened, redis-single, redis-cluster, l1-cache, websocket-heap, lean-sockets, replicas-4, gateway-single, gateway-wide, static-from-app, edge-cache, eco-100k"#);
    }
}
