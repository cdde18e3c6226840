//! What can be written on the command line.

use crate::limits::AGENTS_MAX;
use crate::scenario::effort::Effort;
use crate::scenario::plan::Agents;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Finds the load line of a system: the most load it carries within its SLO, what gives way first, and what comes next.
#[derive(Debug, Parser)]
#[command(
    name = "plimsoll",
    version,
    after_help = "`plimsoll help scenario` prints the reference of the scenario language.\n\nStart here:\n  plimsoll find scenarios/mongo-ceiling.yaml"
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the `load` of a scenario and judge its thresholds
    #[command(
        after_help = "Examples:\n  plimsoll run scenarios/smoke.yaml\n  plimsoll run scenarios/shop.yaml --seed 7 --out reports/shop\n  plimsoll run scenarios/steady-open.yaml --json | jq .verdict"
    )]
    Run(RunArgs),
    /// Search the load line: the most load within the SLO, what gives way first, what comes next
    #[command(
        after_help = "Examples:\n  plimsoll find scenarios/mongo-ceiling.yaml\n  plimsoll find scenarios/mongo-ceiling.yaml --dial mongodb.max_pool_size=20\n  plimsoll find scenarios/mongo-ceiling.yaml --effort full --guarantee\n  plimsoll find scenarios/mongo-ceiling.yaml --what-if mongodb.pool=20 --confirm\n\ndocs/what-if.md has the method of --what-if and what it cannot do."
    )]
    Find(FindArgs),
    /// Check a scenario and show every problem in it
    #[command(
        after_help = "Examples:\n  plimsoll check scenarios/shop.yaml\n  plimsoll check my.yaml --json"
    )]
    Check(InspectArgs),
    /// Show what a scenario will do, before it does: load curve, expected counts, and whether this machine carries it
    #[command(
        after_help = "Examples:\n  plimsoll explain scenarios/shop.yaml\n  plimsoll explain scenarios/mongo-ceiling.yaml --json | jq .fit.limits[0]\n  plimsoll explain scenarios/shop.yaml --agents 1\n\nEnds with exit code 2 where a run would be refused for not fitting into this machine."
    )]
    Explain(PreviewArgs),
    /// Follow one user through one iteration: every byte in and out, times, checks, captured variables
    #[command(
        after_help = "Examples:\n  plimsoll trace scenarios/smoke.yaml\n  plimsoll trace scenarios/shop.yaml --journey buy --user 3\n  plimsoll trace my.yaml --json | jq '.events[] | select(.event == \"failed\")'\n\nSecrets are shown as ***. Ends with exit code 1 where the iteration failed, 8 where the target cannot be reached."
    )]
    Trace(TraceArgs),
    /// Show what this machine can carry, the first wall, and what raises it
    #[command(
        after_help = "Examples:\n  plimsoll doctor\n  plimsoll doctor --users 100k\n  plimsoll doctor --json | jq .kinds\n\nEnds with exit code 1 where `--users` do not fit."
    )]
    Doctor(DoctorArgs),
    /// Predict the load line of a changed system from the record of a search
    #[command(
        after_help = "Examples:\n  plimsoll predict reports/shop --what-if mongodb.pool=100\n  plimsoll predict reports/shop --what-if app.cpu=2x --what-if mongodb.pool.demand=0.5x --json\n\ndocs/what-if.md has the method and what it cannot do. Ends with exit code 2 where nothing can be told."
    )]
    Predict(PredictArgs),
    /// Render the reports of a run again from its record
    #[command(
        after_help = "Examples:\n  plimsoll report reports/shop\n  plimsoll report reports/shop --format md"
    )]
    Report(ReportArgs),
    /// Solve a queueing model: stations, pools, think time, users or a rate
    #[command(
        after_help = "Examples:\n  plimsoll solve model.json\n  plimsoll solve model.json --json | jq .throughput_per_s\n  plimsoll solve - --simulate < model.json\n\ndocs/solve.md has the format and the methods."
    )]
    Solve(SolveArgs),
    /// Fit a law to measurements: how throughput scales, or what a request takes of each resource
    #[command(
        subcommand,
        after_help = "Examples:\n  plimsoll fit usl loads.csv\n  plimsoll fit demand reports/shop --json | jq .resources"
    )]
    Fit(FitCommand),
    /// Print the JSON Schema of the scenario language, for editors
    #[command(after_help = "Example:\n  plimsoll schema > scenario.schema.json")]
    Schema,
    /// One agent of a run, over its standard input; `run` and `find` start it
    #[command(hide = true)]
    Agent,
    /// The bundled target-app: a system whose limits are dials
    #[command(
        subcommand,
        after_help = "Examples:\n  plimsoll target list\n  plimsoll target serve baseline --listen 127.0.0.1:8080"
    )]
    Target(TargetCommand),
}

/// Which scenario, and what to change in it.
#[derive(Args, Clone, Debug)]
pub(super) struct ScenarioArgs {
    /// The scenario file
    #[arg(value_name = "SCENARIO")]
    pub(super) scenario: PathBuf,
    /// Use the load of this profile of the scenario
    #[arg(long, value_name = "NAME")]
    pub(super) profile: Option<String>,
    /// Seed of every random choice
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Override a key of the scenario
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = assignment)]
    pub(super) sets: Vec<(String, String)>,
    /// Override a dial of the bundled target, for example mongodb.max_pool_size=20
    #[arg(long = "dial", value_name = "NAME=VALUE", value_parser = assignment)]
    pub(super) dials: Vec<(String, String)>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) scenario: ScenarioArgs,
    /// Folder for the record and the reports [default: reports/SCENARIO-TIME]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Processes that carry users: a number, or `auto` for as many as they need [default: the scenario's, or auto]
    #[arg(long, value_name = "N|auto", value_parser = agents)]
    pub(super) agents: Option<Agents>,
    /// Threads of each agent that carry users [default: as many as the load is worth, at most one a core over all agents]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) shards: Option<u32>,
    /// Begin even if the load does not fit into this machine; the record says so
    #[arg(long)]
    pub(super) force: bool,
    /// Print the summary as one JSON document on standard output
    #[arg(long)]
    pub(super) json: bool,
    /// No progress
    #[arg(long, short)]
    pub(super) quiet: bool,
}

#[derive(Args, Debug)]
pub(super) struct FindArgs {
    #[command(flatten)]
    pub(super) run: RunArgs,
    /// Windows and precision of the search: ci (5 s, 5 %, within 4 minutes) or full (10 s, 2 %, within 10) [default: the scenario's own]
    #[arg(long, value_name = "ci|full", value_parser = effort)]
    pub(super) effort: Option<Effort>,
    /// Soak the load line afterwards, and lower where it does not last: the guaranteed line
    #[arg(long)]
    pub(super) guarantee: bool,
    /// Predict the load line after a change, for example mongodb.pool=100, app.cpu=2x, mongodb.pool.demand=0.5x or replicas=2x
    #[arg(long = "what-if", value_name = "RESOURCE=VALUE")]
    pub(super) what_if: Vec<String>,
    /// Make the change and search again, in a folder beside the first, to hold the prediction against what is observed
    #[arg(long, requires = "what_if")]
    pub(super) confirm: bool,
    /// Command for a shell that makes the change, for a target that is not the bundled one; PLIMSOLL_WHAT_IF holds the changes
    #[arg(long, value_name = "CMD", requires = "confirm")]
    pub(super) apply: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct PredictArgs {
    /// The folder of a search
    #[arg(value_name = "RUN")]
    pub(super) run: PathBuf,
    /// What is changed, for example mongodb.pool=100, app.cpu=2x, mongodb.pool.demand=0.5x or replicas=2x
    #[arg(long = "what-if", value_name = "RESOURCE=VALUE", required = true)]
    pub(super) what_if: Vec<String>,
    /// Print the prediction as one JSON document, as in `what_if` of summary.json
    #[arg(long)]
    pub(super) json: bool,
}

/// A scenario that is looked at without a run, and in which form.
#[derive(Args, Debug)]
pub(super) struct InspectArgs {
    #[command(flatten)]
    pub(super) scenario: ScenarioArgs,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// A scenario that is held against this machine without a run.
#[derive(Args, Debug)]
pub(super) struct PreviewArgs {
    #[command(flatten)]
    pub(super) inspect: InspectArgs,
    /// Processes that would carry users, as `run` takes it [default: the scenario's, or auto]
    #[arg(long, value_name = "N|auto", value_parser = agents)]
    pub(super) agents: Option<Agents>,
    /// Threads of each that would carry users, as `run` takes it [default: as many as the load is worth]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) shards: Option<u32>,
}

#[derive(Args, Debug)]
pub(super) struct TraceArgs {
    #[command(flatten)]
    pub(super) inspect: InspectArgs,
    /// The journey to follow [default: the one that the mix of the first load part gives this user]
    #[arg(long, value_name = "NAME")]
    pub(super) journey: Option<String>,
    /// Number of the user; it makes the random choices that it makes in a run
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) user: u64,
    /// Wait for think times instead of passing over them
    #[arg(long)]
    pub(super) with_thinks: bool,
}

#[derive(Args, Debug)]
pub(super) struct DoctorArgs {
    /// Say whether so many HTTP users fit
    #[arg(long, value_name = "N", value_parser = count)]
    pub(super) users: Option<u64>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// The folder of a run
    #[arg(value_name = "RUN")]
    pub(super) run: PathBuf,
    /// Formats to write into the folder; `text` is printed
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', default_values = ["html", "json", "junit", "md", "text"])]
    pub(super) format: Vec<String>,
    /// Print the summary as one JSON document on standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct SolveArgs {
    /// The model, a JSON file; - for standard input
    #[arg(value_name = "MODEL.json")]
    pub(super) model: PathBuf,
    /// Simulate this many requests instead of solving: percentiles, and answers where no formula holds [default: 1M]
    #[arg(long, value_name = "REQUESTS", value_parser = simulated, num_args = 0..=1, default_missing_value = "1M")]
    pub(super) simulate: Option<u64>,
    /// Seed of the simulation
    #[arg(long, value_name = "N", default_value_t = 1, requires = "simulate")]
    pub(super) seed: u64,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum FitCommand {
    /// The Universal Scalability Law of a table of loads and throughputs, with intervals and a verdict on its peak
    #[command(
        after_help = "Examples:\n  plimsoll fit usl loads.csv\n  plimsoll fit usl loads.csv --json | jq '{verdict, peak_n}'\n  plimsoll fit usl loads.csv --throughput 1500\n  jq -r '.levels[] | [.level, .throughput_per_s] | @csv' summary.json | (echo n,x; cat) | plimsoll fit usl -\n\nThe table is CSV with the header n,x: a load (users, processes, replicas) and its throughput a line. docs/fit.md has the methods."
    )]
    Usl(UslArgs),
    /// The service demands of a run: what one request takes of each resource
    #[command(
        after_help = "Examples:\n  plimsoll fit demand reports/shop\n  plimsoll fit demand reports/shop --json | jq '.resources[] | {resource, demands}'\n\nOnly windows count in which no resource was at 90 % of its limit. docs/fit.md has the methods."
    )]
    Demand(DemandArgs),
}

#[derive(Args, Debug)]
pub(super) struct UslArgs {
    /// The table: CSV with the header n,x; - for standard input
    #[arg(value_name = "DATA.csv")]
    pub(super) data: PathBuf,
    /// Names of the columns of load and throughput [default: n,x]
    #[arg(long, value_name = "N,X", value_parser = columns)]
    pub(super) columns: Option<(String, String)>,
    /// Say the least load that yields this throughput, too
    #[arg(long, value_name = "X", value_parser = throughput)]
    pub(super) throughput: Option<f64>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct DemandArgs {
    /// The folder of a run
    #[arg(value_name = "RUN")]
    pub(super) run: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum TargetCommand {
    /// Serve a profile until interrupted
    #[command(
        after_help = "Examples:\n  plimsoll target serve baseline\n  plimsoll target serve baseline --listen 127.0.0.1:0 --dial mongodb.max_pool_size=20"
    )]
    Serve(Box<target_app::cli::Serve>),
    /// List the profiles and what each stands for
    #[command(after_help = "Examples:\n  plimsoll target list\n  plimsoll target list --json")]
    List(target_app::cli::List),
    /// Compute the ceiling of each resource from the dials alone
    #[command(
        after_help = "Example:\n  plimsoll target explain baseline --scenario scenarios/mongo-ceiling.yaml --json"
    )]
    Explain(ExplainArgs),
    /// Write the store of a directory into one file, while it is served
    #[command(
        after_help = "Example:\n  plimsoll target serve baseline --store shop\n  plimsoll target backup --from shop --to shop.gz\n  plimsoll target serve baseline --store again --restore shop.gz"
    )]
    Backup(target_app::cli::Backup),
}

#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// Name of the profile (see `target list`)
    #[arg(value_name = "PROFILE")]
    pub(super) name: String,
    /// The scenario whose visits and think time count
    #[arg(long, value_name = "FILE")]
    pub(super) scenario: PathBuf,
    /// Override a dial of the profile
    #[arg(long = "dial", value_name = "NAME=VALUE")]
    pub(super) dials: Vec<String>,
    /// Processes that serve it [default: what the scenario or else the profile says]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(target_app::fleet::REPLICAS_MAX)))]
    pub(super) replicas: Option<u32>,
    /// The store is a real MongoDB, of whose pool no dial tells the ceiling
    #[arg(long)]
    pub(super) mongodb: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

impl ScenarioArgs {
    /// These arguments as they can be typed again, behind another command.
    pub(super) fn typed(&self) -> String {
        let mut typed = in_shell(&self.scenario.display().to_string());
        let profile = self.profile.iter().map(|name| ("--profile", name.clone()));
        let seed = self.seed.iter().map(|seed| ("--seed", seed.to_string()));
        let assigned = |(name, value): &(String, String)| format!("{name}={value}");
        let sets = self.sets.iter().map(|set| ("--set", assigned(set)));
        let dials = self.dials.iter().map(|dial| ("--dial", assigned(dial)));
        for (option, value) in profile.chain(seed).chain(sets).chain(dials) {
            typed.push_str(&format!(" {option} {}", in_shell(&value)));
        }
        typed
    }
}

/// One word for a shell, quoted where it holds what a shell would read.
fn in_shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,%+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// `500`, `100k`, `1M`.
fn count(text: &str) -> Result<u64, String> {
    crate::units::count(text).map_err(|error| error.to_string())
}

/// Enough for intervals, and not more than a few hundred megabytes of response times.
fn simulated(text: &str) -> Result<u64, String> {
    const REQUESTS: std::ops::RangeInclusive<u64> = 1000..=20_000_000;
    let requests = count(text)?;
    let refused = || format!("expected {} to {} requests", REQUESTS.start(), REQUESTS.end());
    REQUESTS.contains(&requests).then_some(requests).ok_or_else(refused)
}

fn columns(text: &str) -> Result<(String, String), String> {
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    match names[..] {
        [n, x] if !n.is_empty() && !x.is_empty() && n != x => Ok((n.to_owned(), x.to_owned())),
        _ => {
            Err("expected two different names with a comma between them, as users,requests_per_s".to_owned())
        }
    }
}

fn throughput(text: &str) -> Result<f64, String> {
    let value: Option<f64> = text.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0);
    value.ok_or_else(|| "expected a number above 0".to_owned())
}

fn agents(text: &str) -> Result<Agents, String> {
    match text.parse() {
        _ if text == "auto" => Ok(Agents::Auto),
        Ok(count) if (1..=AGENTS_MAX).contains(&count) => Ok(Agents::Fixed(count)),
        _ => Err(format!("expected auto, or a number from 1 to {AGENTS_MAX}")),
    }
}

fn effort(text: &str) -> Result<Effort, String> {
    let known = [Effort::Ci, Effort::Full].into_iter().find(|effort| effort.name() == text);
    known.ok_or_else(|| "expected ci or full".to_owned())
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_can_be_typed_again() {
        let said =
            ["--profile", "ci", "--set", "load.0.stages=[{to: 5, over: 1s}]", "--dial", "app.note=it's"];
        let cli = Cli::try_parse_from(["plimsoll", "run", "my shop.yaml"].iter().chain(&said));
        let Ok(Cli { command: Command::Run(args) }) = cli else { panic!("a run") };
        assert_eq!(
            args.scenario.typed(),
            r"'my shop.yaml' --profile ci --set 'load.0.stages=[{to: 5, over: 1s}]' --dial 'app.note=it'\''s'"
        );
    }
}
