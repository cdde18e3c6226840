//! The commands over the library: `serve` and `list`, which `plimsoll target` offers too, and `explain` for the stand-alone
//! binary. Only here is anything printed.

mod announcement;
mod backup;

pub use self::backup::Backup;

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;

use clap::{Args, Subcommand, value_parser};
use rustix::process::getppid;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use self::announcement::{announced, scheme};
use crate::explain::{UnknownRoute, Visits, explain, notes};
use crate::fleet::{
    FleetError, GATEWAY_UPSTREAM, Launch, Membership, Order, Place, REDIS_URLS, REPLICAS_MAX, Role, supervise,
};
use crate::gateway::{Fronting, front};
use crate::profile::{DialError, Profile, ProfileError};
use crate::protections::{Idle, Protections};
use crate::redis::{self, RedisError, node};
use crate::server::{ServeError, Serving, serve};
use crate::store::{Backend, BackendError, Files, FilesError, MONGODB_URI, Uri};
use crate::{descriptors, priority};

/// The process a command runs in.
pub struct Surroundings<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// This very program, and the words that come before the arguments of `serve`: how replicas are started.
    pub executable: PathBuf,
    pub serve_words: &'a [&'a str],
}

/// What the stand-alone binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a profile until interrupted
    Serve(Box<Serve>),
    /// List the profiles and what each stands for
    List(List),
    /// Compute the ceiling of each resource from the dials alone
    Explain(Explain),
    /// Write the store of a directory into one file, while it is served
    Backup(Backup),
}

/// Serve a profile until interrupted.
///
/// Prints `listening http://ADDR:PORT` (under TLS `https`) once it does, and nothing else on standard output but a line `metrics http://ADDR:PORT` where a gateway is in between, and
/// `faults http://ADDR:PORT` where that is asked for. With replicas, a supervisor starts
/// that many processes on the one address, starts another for each that ends, and `/metrics` shows the sum of all, or
/// those of one with `?replica=0`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  serve baseline\n  serve baseline --listen 127.0.0.1:0 --dial mongodb.max_pool_size=20\n  serve baseline --replicas 4"
)]
pub struct Serve {
    /// Name of the profile (see `list`)
    #[arg(value_name = "PROFILE")]
    pub profile: String,
    /// Address to listen on; port 0 finds a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Override a dial of the profile, for example mongodb.max_pool_size=20
    #[arg(long = "dial", value_name = "NAME=VALUE")]
    pub dials: Vec<String>,
    /// Processes that serve the address, under a supervisor [default: what the profile says; one is then supervised only if that says so]
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..=i64::from(REPLICAS_MAX)))]
    pub replicas: Option<u32>,
    /// Stop when standard input ends, so that the app does not outlive the process that started it
    #[arg(long)]
    pub exit_with_stdin: bool,
    /// Raise the niceness to this, so that a load generator on the same machine comes first (0 to 19)
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(i32).range(0..=19))]
    pub nice: Option<i32>,
    /// Have the store in this MongoDB, for example mongodb://127.0.0.1:27017/eco_bottle, which is filled if it is empty. A password is better put into the variable: everybody on the machine can read arguments
    #[arg(long, value_name = "URI", env = MONGODB_URI, hide_env_values = true)]
    pub mongodb: Option<Uri>,
    /// Keep the store in this directory, which stays when the app ends; what is in it already is served as it is
    #[arg(long, value_name = "DIR", conflicts_with = "mongodb")]
    pub store: Option<PathBuf>,
    /// Start from this backup (see `backup`)
    #[arg(long, value_name = "FILE", conflicts_with = "mongodb")]
    pub restore: Option<PathBuf>,
    /// Take orders for faults (POST /admin/faults) on this address of the loopback interface; port 0 finds a free one, printed as a second line
    #[arg(long, value_name = "ADDR")]
    pub faults: Option<SocketAddr>,
    /// Ask this Redis, or with several addresses this cluster, in place of the embedded one: redis://HOST:PORT[,redis://HOST:PORT...]
    #[arg(long, value_name = "URLS", value_delimiter = ',', env = REDIS_URLS, hide_env_values = true)]
    pub redis: Vec<String>,
    #[command(flatten)]
    pub protections: Protections,
    /// Which process of a fleet this is, as its supervisor says
    #[arg(long, hide = true, requires = "fleet", value_name = "ROLE-NUMBER/OF")]
    place: Option<Place>,
    /// The directory of its fleet, likewise
    #[arg(long, hide = true, requires = "place", value_name = "DIR")]
    fleet: Option<PathBuf>,
    /// Where the replicas listen that a gateway stands in front of, likewise
    #[arg(long, hide = true, value_name = "ADDR", env = GATEWAY_UPSTREAM, hide_env_values = true)]
    upstream: Option<SocketAddr>,
}

/// List the profiles and what each stands for.
#[derive(Args, Debug)]
pub struct List {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Compute the ceiling of each resource from the dials alone.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  explain baseline --think-s 1 --visit 'GET /api/products/{id}=1'")]
pub struct Explain {
    /// Name of the profile (see `list`)
    #[arg(value_name = "PROFILE")]
    pub profile: String,
    /// Override a dial of the profile
    #[arg(long = "dial", value_name = "NAME=VALUE")]
    pub dials: Vec<String>,
    /// Processes that serve it [default: what the profile says]
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..=i64::from(REPLICAS_MAX)))]
    pub replicas: Option<u32>,
    /// Mean think time of one iteration, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub think_s: f64,
    /// Expected visits of one iteration to a route
    #[arg(long = "visit", value_name = "ROUTE=TIMES", required = true)]
    pub visits: Vec<String>,
    /// WebSockets one user holds open
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0)]
    pub sockets_per_user: f64,
    /// The store is a real MongoDB, of whose pool no dial tells the ceiling
    #[arg(long)]
    pub mongodb: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Idle(#[from] Idle),
    #[error(transparent)]
    Route(#[from] UnknownRoute),
    #[error(transparent)]
    Store(#[from] BackendError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(
        "a MongoDB is backed up by its own tools: mongodump --uri=URI --gzip --archive=FILE, and mongorestore brings it back"
    )]
    BackupOfMongodb,
    #[error("visit {0:?} is not of the form ROUTE=TIMES, for example 'GET /api/products/{{id}}=1'")]
    Visit(String),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(
        "profile {profile} asks no Redis for anything, so --redis would change nothing; those that do are {}",
        asking_redis()
    )]
    NoUseForRedis { profile: String },
    #[error(
        "--faults {0} is no loopback address: who can reach it can break the app; for example 127.0.0.1:0"
    )]
    FaultsInPublic(SocketAddr),
    #[error("cannot listen for faults on {listen}: {source}")]
    Faults { listen: SocketAddr, source: io::Error },
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
    #[error("cannot start a runtime: {0}")]
    Runtime(#[source] io::Error),
}

impl CliError {
    /// The process exit code: 2 for wrong usage, 9 when the machine refused something, 134 for an exhausted heap, as a
    /// Node process dies.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Profile(_)
            | Self::Dial(_)
            | Self::Idle(_)
            | Self::Route(_)
            | Self::Visit(_)
            | Self::FaultsInPublic(_) => 2,
            Self::Redis(_) | Self::NoUseForRedis { .. } | Self::Store(_) | Self::BackupOfMongodb => 2,
            Self::Serve(ServeError::HeapExhausted(_)) => 134,
            Self::Serve(_)
            | Self::Fleet(_)
            | Self::Files(_)
            | Self::Faults { .. }
            | Self::Output(_)
            | Self::Runtime(_) => 9,
        }
    }
}

impl Command {
    /// Runs the command to its end.
    pub fn run(self, around: Surroundings<'_>) -> Result<(), CliError> {
        match self {
            Self::Serve(serve) => serve.run(around),
            Self::List(list) => list.run(around.out),
            Self::Explain(explain) => explain.run(around.out),
            Self::Backup(backup) => backup.run(around.out),
        }
    }
}

impl Serve {
    /// Serves until SIGINT, SIGTERM or, if asked for, the end of standard input. Makes its own runtime.
    pub fn run(self, around: Surroundings<'_>) -> Result<(), CliError> {
        let profile = Profile::named(&self.profile)?.with_dials(&self.dials)?;
        self.protections.fit(profile.dials())?;
        let store = match &self.mongodb {
            Some(uri) => Backend::at(uri)?,
            None => Backend::Embedded(Files {
                directory: self.store.clone(),
                restored_from: self.restore.clone(),
            }),
        };
        descriptors::raise_limit();
        if let Some(niceness) = self.nice {
            priority::step_back(niceness);
        }
        redis::check(&self.redis)?;
        if !self.redis.is_empty() && !profile.dials().use_redis() {
            return Err(CliError::NoUseForRedis { profile: self.profile });
        }
        // The embedded nodes are processes of a fleet, as a gateway is.
        let alone = !profile.needs_supervisor() && (!profile.dials().use_redis() || !self.redis.is_empty());
        match (self.replicas, profile.replicas) {
            _ if self.place.is_some_and(|place| place.role == Role::Redis) => {
                self.run_redis(&profile, around.out)
            }
            _ if self.place.is_some_and(|place| place.role == Role::Gateway) => {
                self.run_gateway(&profile, around.out)
            }
            _ if self.place.is_some() => self.run_process(&profile, store, around.out),
            (None, 1) if alone => self.run_process(&profile, store, around.out),
            (wanted, usual) => self.run_fleet(&profile, store, wanted.unwrap_or(usual), around),
        }
    }

    /// This process alone, or as the replica it was started for. It has a thread a core of the profile.
    fn run_process(self, profile: &Profile, store: Backend, out: &mut dyn Write) -> Result<(), CliError> {
        let membership =
            self.place.zip(self.fleet).map(|(place, directory)| Membership::new(place, directory));
        let supervisor = getppid();
        let runtime = runtime(profile.dials().app.cores).map_err(CliError::Runtime)?;
        let (faults, told) = listen_for_faults(self.faults)?;
        let mut printed = Ok(());
        let scheme = scheme(profile);
        let announce = |address| printed = announced(out, scheme, address, None, told);
        let end = runtime.block_on(async {
            let interrupted = interrupted(self.exit_with_stdin).map_err(CliError::Runtime)?;
            let serving = Serving {
                profile,
                listen: self.listen,
                membership: membership.clone(),
                store,
                faults,
                redis: self.redis,
                protections: self.protections,
            };
            serve(serving, announce, interrupted).await?;
            Ok::<_, CliError>(())
        });
        if let Some(fleet) = membership
            && getppid() != supervisor
        {
            fleet.clear_up();
        }
        end?;
        Ok(printed?)
    }

    /// This process as a node of the embedded Redis.
    fn run_redis(self, profile: &Profile, out: &mut dyn Write) -> Result<(), CliError> {
        let Some((place, directory)) = self.place.zip(self.fleet) else { return Ok(()) };
        let membership = Membership::new(place, directory);
        let serving =
            node::Serving { place, listen: self.listen, urls: &self.redis, dials: &profile.dials().redis };
        let mut printed = Ok(());
        let announce = |address| printed = announced(out, "redis", address, None, None);
        runtime(1.0).map_err(CliError::Runtime)?.block_on(async {
            let interrupted = interrupted(self.exit_with_stdin).map_err(CliError::Runtime)?;
            node::serve(serving, &membership, announce, interrupted).await?;
            Ok::<_, CliError>(())
        })?;
        Ok(printed?)
    }

    /// This process as the gateway, with one thread as a worker of nginx has.
    fn run_gateway(self, profile: &Profile, out: &mut dyn Write) -> Result<(), CliError> {
        let Some((place, directory)) = self.place.zip(self.fleet) else { return Ok(()) };
        let Some(upstream) = self.upstream else { return Ok(()) };
        let membership = Membership::new(place, directory);
        let mut printed = Ok(());
        let announce = |address| printed = announced(out, "http", address, None, None);
        runtime(1.0).map_err(CliError::Runtime)?.block_on(async {
            let interrupted = interrupted(self.exit_with_stdin).map_err(CliError::Runtime)?;
            let (dials, listen) = (profile.dials(), self.listen);
            let fronting = Fronting { dials, listen, shared: true, upstream, fleet: Some(membership) };
            front(fronting, announce, interrupted).await?;
            Ok::<_, CliError>(())
        })?;
        Ok(printed?)
    }

    /// The supervisor of a fleet.
    fn run_fleet(
        self,
        profile: &Profile,
        store: Backend,
        replicas: u32,
        around: Surroundings<'_>,
    ) -> Result<(), CliError> {
        let Surroundings { out, err, executable, serve_words } = around;
        let mut arguments: Vec<OsString> = serve_words.iter().map(OsString::from).collect();
        arguments.push(self.profile.into());
        for dial in self.dials {
            arguments.extend(["--dial".into(), dial.into()]);
        }
        // They share what the supervisor has restored.
        if let Some(directory) = self.store {
            arguments.extend(["--store".into(), directory.into()]);
        }
        arguments.extend(self.protections.for_replicas());
        let launch = Launch { executable, arguments };
        let (listen, redis, protections) = (self.listen, self.redis, self.protections);
        let order = Order { replicas, listen, store, launch, redis, protections };
        let (faults, told) = listen_for_faults(self.faults)?;
        let mut printed = Ok(());
        let scheme = scheme(profile);
        let announce = |address, inner| printed = announced(out, scheme, address, inner, told);
        // There is nowhere left to say that standard error cannot be written to.
        let note = |text: &str| drop(writeln!(err, "{text}"));
        runtime(1.0).map_err(CliError::Runtime)?.block_on(async {
            let interrupted = interrupted(self.exit_with_stdin).map_err(CliError::Runtime)?;
            supervise(profile, &order, faults, announce, note, interrupted).await?;
            Ok::<_, CliError>(())
        })?;
        Ok(printed?)
    }
}

impl List {
    pub fn run(self, out: &mut dyn Write) -> Result<(), CliError> {
        let profiles = Profile::names().into_iter().map(Profile::named).collect::<Result<Vec<_>, _>>()?;
        if self.json {
            let document: Vec<_> = profiles
                .iter()
                .map(|p| {
                    serde_json::json!({"name": p.name, "base": p.base, "description": p.description, "replicas": p.replicas, "supervised": p.supervised,
                        "on": p.on, "off": p.off, "dials": p.dials()})
                })
                .collect();
            writeln!(out, "{}", serde_json::Value::from(document))?;
            return Ok(());
        }
        for profile in profiles {
            writeln!(out, "{}\n  {}", profile.name, profile.description.replace('\n', "\n  "))?;
            writeln!(out, "  on:  {}\n  off: {}", profile.on.join(", "), profile.off.join(", "))?;
        }
        Ok(())
    }
}

impl Explain {
    pub fn run(self, out: &mut dyn Write) -> Result<(), CliError> {
        let profile = Profile::named(&self.profile)?.with_dials(&self.dials)?;
        let mut visits = Visits::thinking(self.think_s);
        visits.sockets_per_user = self.sockets_per_user;
        visits.real_mongodb = self.mongodb;
        for text in &self.visits {
            let (route, times) = text.rsplit_once('=').ok_or_else(|| CliError::Visit(text.clone()))?;
            let times = times.parse().map_err(|_| CliError::Visit(text.clone()))?;
            visits.add(route, times)?;
        }
        let replicas = self.replicas.unwrap_or(profile.replicas_max());
        let ceilings = explain(&profile, replicas, &visits);
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&ceilings).map_err(io::Error::from)?)?;
            return Ok(());
        }
        writeln!(out, "{:<20} {:>12} {:>10}", "resource", "requests/s", "users")?;
        for ceiling in ceilings {
            writeln!(out, "{:<20} {:>12.1} {:>10.0}", ceiling.resource, ceiling.rate_per_s, ceiling.users)?;
        }
        for note in notes(&profile, replicas, &visits) {
            writeln!(out, "{note}")?;
        }
        Ok(())
    }
}

/// The listener for faults and its address, if one is wanted.
fn listen_for_faults(
    wanted: Option<SocketAddr>,
) -> Result<(Option<TcpListener>, Option<SocketAddr>), CliError> {
    let Some(listen) = wanted else { return Ok((None, None)) };
    if !listen.ip().is_loopback() {
        return Err(CliError::FaultsInPublic(listen));
    }
    let failed = |source| CliError::Faults { listen, source };
    let listener = TcpListener::bind(listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((Some(listener), Some(address)))
}

/// The profiles for which there is a use for Redis.
fn asking_redis() -> String {
    let names = Profile::names().into_iter();
    let asking = names.filter(|name| Profile::named(name).is_ok_and(|profile| profile.dials().use_redis()));
    asking.collect::<Vec<_>>().join(", ")
}

/// One thread for up to one core: nothing is gained by moving tasks between threads that share a quota of one.
fn runtime(cores: f64) -> io::Result<Runtime> {
    if cores <= 1.0 {
        return Builder::new_current_thread().enable_all().build();
    }
    Builder::new_multi_thread().worker_threads(cores.ceil() as usize).enable_all().build()
}

/// Ends when the process is told to stop. The signals are caught from this call on.
fn interrupted(with_stdin: bool) -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stdin_end = with_stdin.then(end_of_stdin).transpose()?;
    Ok(async move {
        let stdin_end = async {
            match stdin_end {
                // The sender is dropped when the end is reached, so an error is the end as well.
                Some(end) => drop(end.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = stdin_end => {}
        }
    })
}

/// Resolves when standard input ends. A thread of its own reads it, since a runtime waits for its blocked reads when it
/// shuts down; this one just ends with the process.
fn end_of_stdin() -> io::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut bytes = [0; 256];
        while io::stdin().read(&mut bytes).is_ok_and(|count| count > 0) {}
        // Fails when the app has stopped already.
        let _ = ended.send(());
    })?;
    Ok(end)
}
