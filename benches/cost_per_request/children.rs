//! The processes of the bench: started pinned, killed when dropped, their CPU time read from the kernel's account.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const GENERATOR_CORE: &str = "0";
const SERVER_CORE: &str = "1";
/// The exit code of taskset where there is no such program.
const NOT_FOUND: i32 = 127;

/// A server that ends with this value.
pub(crate) struct Server {
    pub(crate) addr: String,
    child: Child,
    /// Configuration and logs of a server that wants them.
    _folder: Option<tempfile::TempDir>,
}

impl Server {
    /// This program as `mode`, which prints its address first.
    pub(crate) fn own(mode: &str) -> Outcome<Self> {
        let mut child = pinned(SERVER_CORE, &std::env::current_exe()?.to_string_lossy())
            .arg(mode)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut addr = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut addr)?;
        Ok(Self { addr: addr.trim().to_owned(), child, _folder: None })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pinned(core: &str, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core, program]);
    command
}

/// Output of this program as one of its generators.
pub(crate) fn run_pinned(args: &[&str]) -> Outcome<String> {
    let output = pinned(GENERATOR_CORE, &std::env::current_exe()?.to_string_lossy())
        .args(args)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{args:?} ended with {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Requests that wrk made.
pub(crate) fn wrk(addr: &str, connections: usize, duration: Duration) -> Outcome<f64> {
    let output = pinned(GENERATOR_CORE, "wrk")
        .args(["-t1", &format!("-c{connections}"), &format!("-d{}s", duration.as_secs())])
        .arg(format!("http://{addr}/"))
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .ok_or("wrk did not run (apt-get install wrk)")?;
    Ok(requests.0.parse()?)
}

/// What the kernel was asked for while this program was the generator, per request, as strace counts it.
pub(crate) fn system_calls(addr: &str) -> Outcome<String> {
    let counts = tempfile::NamedTempFile::new()?;
    let output = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(counts.path())
        .arg(std::env::current_exe()?)
        .args(["ours", addr])
        .output()
        .map_err(|_| "strace is not there (apt-get install strace)")?;
    let requests: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    let table = std::fs::read_to_string(counts.path())?;
    // Columns: % time, seconds, usecs/call, calls, errors if any, name.
    let calls = |name: &str| -> f64 {
        let row = table.lines().find(|line| line.trim_end().ends_with(&format!(" {name}")));
        row.and_then(|row| row.split_whitespace().nth(3)?.parse().ok()).unwrap_or(0.0)
    };
    let each = |name: &str| format!("{:.3} {name}", calls(name) / requests);
    Ok(format!(
        "{} a request",
        ["sendto", "recvfrom", "recvmsg", "setsockopt", "epoll_wait", "epoll_ctl"].map(each).join(", ")
    ))
}

/// What callgrind counted while this program was a generator.
pub(crate) struct Counted {
    pub(crate) instructions: f64,
    pub(crate) requests: f64,
}

/// `None` where there is no valgrind.
pub(crate) fn instructions(args: &[&str]) -> Outcome<Option<Counted>> {
    let counts = tempfile::NamedTempFile::new()?;
    let output = pinned(GENERATOR_CORE, "valgrind")
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", counts.path().display()))
        .arg(std::env::current_exe()?)
        .args(args)
        .stderr(Stdio::inherit())
        .output()?;
    if output.status.code() == Some(NOT_FOUND) {
        return Ok(None);
    }
    if !output.status.success() {
        return Err(format!("{args:?} under valgrind ended with {}", output.status).into());
    }
    let requests: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    let text = std::fs::read_to_string(counts.path())?;
    let totals =
        text.lines().find_map(|line| line.strip_prefix("totals: ")).ok_or("callgrind counted nothing")?;
    Ok(Some(Counted { instructions: totals.trim().parse()?, requests }))
}

/// User and system time of all children that have ended, in ticks of 1/100 s: fields 16 and 17 of /proc/self/stat (proc(5)).
pub(crate) fn cpu_of_children_ticks() -> Outcome<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').ok_or("unexpected /proc/self/stat")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).ok_or("short /proc/self/stat");
    Ok(field(16)?.parse::<u64>()? + field(17)?.parse::<u64>()?)
}

/// nginx answering two bytes, in the foreground, one worker, its files in a folder of its own.
pub(crate) fn nginx() -> Outcome<Server> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let folder = tempfile::tempdir()?;
    let at = folder.path().display();
    let config = format!(
        "daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {at}/a; proxy_temp_path {at}/b;\n\
           fastcgi_temp_path {at}/c; uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;\n\
           server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }} }}\n"
    );
    let path = folder.path().join("nginx.conf");
    std::fs::write(&path, config)?;
    let child = pinned(SERVER_CORE, "nginx")
        .args(["-e", "stderr", "-p"])
        .arg(folder.path())
        .arg("-c")
        .arg(&path)
        .stderr(Stdio::null())
        .spawn()?;
    let addr = format!("127.0.0.1:{port}");
    let server = Server { addr: addr.clone(), child, _folder: Some(folder) };
    for _ in 0..100 {
        if std::net::TcpStream::connect(&addr).is_ok() {
            return Ok(server);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("nginx did not start (apt-get install nginx-light)".into())
}
