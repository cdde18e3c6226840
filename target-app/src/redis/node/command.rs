//! The commands a node understands, read from a request (an array of strings), and its answers (RESP2). They are those that the shop needs
//! and those by which people look at a server with `redis-cli`.

use std::time::Duration;

use redis::Value;

use super::keyspace::Condition;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Ping,
    Get {
        key: Vec<u8>,
    },
    Set {
        key: Vec<u8>,
        value: Vec<u8>,
        lasts: Option<Duration>,
        condition: Condition,
    },
    Del {
        keys: Vec<Vec<u8>>,
    },
    IncrBy {
        key: Vec<u8>,
        by: i64,
    },
    Pttl {
        key: Vec<u8>,
    },
    Pexpire {
        key: Vec<u8>,
        lasts: Duration,
    },
    DbSize,
    FlushAll,
    Info,
    ClusterSlots,
    /// What a client says of itself, and is told is fine.
    Client,
}

/// A request that is no command of ours, and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) String);

impl Command {
    /// Reads the request of a client.
    pub(super) fn read(request: Value) -> Result<Self, Refused> {
        let words = words(request)?;
        let mut words = words.into_iter();
        let name = words.next().map(|word| text(&word).to_ascii_lowercase()).unwrap_or_default();
        let rest: Vec<Vec<u8>> = words.collect();
        let wrong = || Refused(format!("ERR wrong number of arguments for '{name}' command"));
        let one = |mut rest: Vec<Vec<u8>>| match (rest.pop(), rest.is_empty()) {
            (Some(word), true) => Ok(word),
            _ => Err(wrong()),
        };
        let two = |rest: Vec<Vec<u8>>| <[Vec<u8>; 2]>::try_from(rest).map_err(|_| wrong());
        match name.as_str() {
            "ping" => Ok(Self::Ping),
            "get" => Ok(Self::Get { key: one(rest)? }),
            "set" => set(rest, wrong),
            "del" if !rest.is_empty() => Ok(Self::Del { keys: rest }),
            "del" => Err(wrong()),
            "incr" => Ok(Self::IncrBy { key: one(rest)?, by: 1 }),
            "incrby" => {
                let [key, by] = two(rest)?;
                Ok(Self::IncrBy { key, by: number(&by)? })
            }
            "pttl" => Ok(Self::Pttl { key: one(rest)? }),
            "pexpire" => {
                let [key, ms] = two(rest)?;
                Ok(Self::Pexpire { key, lasts: lasting(number(&ms)?, 1)? })
            }
            "dbsize" => Ok(Self::DbSize),
            "flushall" => Ok(Self::FlushAll),
            "info" => Ok(Self::Info),
            "client" => Ok(Self::Client),
            "cluster" if rest.first().is_some_and(|word| word.eq_ignore_ascii_case(b"slots")) => {
                Ok(Self::ClusterSlots)
            }
            _ => Err(Refused(format!("ERR unknown command '{name}'"))),
        }
    }

    /// As the metrics have it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Get { .. } => "get",
            Self::Set { .. } => "set",
            Self::Del { .. } => "del",
            Self::IncrBy { .. } => "incrby",
            Self::Pttl { .. } => "pttl",
            Self::Pexpire { .. } => "pexpire",
            Self::DbSize => "dbsize",
            Self::FlushAll => "flushall",
            Self::Info => "info",
            Self::ClusterSlots => "cluster",
            Self::Client => "client",
        }
    }

    /// The keys it is about: all of them must be of one node.
    pub(super) fn keys(&self) -> &[Vec<u8>] {
        match self {
            Self::Get { key }
            | Self::Set { key, .. }
            | Self::IncrBy { key, .. }
            | Self::Pttl { key }
            | Self::Pexpire { key, .. } => std::slice::from_ref(key),
            Self::Del { keys } => keys,
            _ => &[],
        }
    }
}

fn words(request: Value) -> Result<Vec<Vec<u8>>, Refused> {
    let broken = || Refused("ERR Protocol error: expected an array of bulk strings".to_owned());
    let Value::Array(words) = request else { return Err(broken()) };
    let word = |value| if let Value::BulkString(word) = value { Ok(word) } else { Err(broken()) };
    words.into_iter().map(word).collect()
}

fn set(rest: Vec<Vec<u8>>, wrong: impl Fn() -> Refused) -> Result<Command, Refused> {
    let mut rest = rest.into_iter();
    let (Some(key), Some(value)) = (rest.next(), rest.next()) else { return Err(wrong()) };
    let (mut lasts, mut condition) = (None, Condition::Always);
    let syntax = || Refused("ERR syntax error".to_owned());
    while let Some(word) = rest.next() {
        match text(&word).to_ascii_lowercase().as_str() {
            "nx" => condition = Condition::IfMissing,
            "xx" => condition = Condition::IfThere,
            "px" => lasts = Some(lasting(number(&rest.next().ok_or_else(syntax)?)?, 1)?),
            "ex" => lasts = Some(lasting(number(&rest.next().ok_or_else(syntax)?)?, 1_000)?),
            _ => return Err(syntax()),
        }
    }
    Ok(Command::Set { key, value, lasts, condition })
}

fn number(word: &[u8]) -> Result<i64, Refused> {
    let refused = || Refused("ERR value is not an integer or out of range".to_owned());
    text(word).parse().map_err(|_| refused())
}

/// So many units of so many milliseconds.
fn lasting(units: i64, unit_ms: u64) -> Result<Duration, Refused> {
    let refused = || Refused("ERR invalid expire time".to_owned());
    let units = u64::try_from(units).ok().filter(|units| *units > 0).ok_or_else(refused)?;
    // A century is for ever, and no clock comes near its end.
    const MAX_MS: u64 = 100 * 365 * 86_400 * 1_000;
    Ok(Duration::from_millis(units.checked_mul(unit_ms).filter(|ms| *ms <= MAX_MS).ok_or_else(refused)?))
}

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Word(&'static str),
    Error(String),
    Number(i64),
    Text(Vec<u8>),
    Nothing,
    List(Vec<Self>),
}

impl Reply {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Word(word) => out.extend_from_slice(format!("+{word}\r\n").as_bytes()),
            // One line, whatever the client had in its request.
            Self::Error(text) => {
                out.extend_from_slice(format!("-{}\r\n", text.replace(['\r', '\n'], " ")).as_bytes());
            }
            Self::Number(number) => out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
            Self::Text(text) => {
                out.extend_from_slice(format!("${}\r\n", text.len()).as_bytes());
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            Self::Nothing => out.extend_from_slice(b"$-1\r\n"),
            Self::List(items) => {
                out.extend_from_slice(format!("*{}\r\n", items.len()).as_bytes());
                items.iter().for_each(|item| item.write(out));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis::{Value, parse_redis_value};

    use super::{Command, Condition, Refused, Reply};

    fn read(words: &str) -> Result<Command, Refused> {
        let words = words.split(' ').map(|word| Value::BulkString(word.as_bytes().to_vec()));
        Command::read(Value::Array(words.collect()))
    }

    #[test]
    fn commands_are_read_whatever_their_case() {
        assert_eq!(read("get a"), Ok(Command::Get { key: b"a".to_vec() }));
        let set = read("SET a 1 px 250 NX");
        let lasts = Some(Duration::from_millis(250));
        let wanted =
            Command::Set { key: b"a".to_vec(), value: b"1".to_vec(), lasts, condition: Condition::IfMissing };
        assert_eq!(set, Ok(wanted));
        assert_eq!(read("Incr n"), Ok(Command::IncrBy { key: b"n".to_vec(), by: 1 }));
        assert_eq!(read("CLUSTER SLOTS"), Ok(Command::ClusterSlots));
        assert_eq!(read("DEL a b").unwrap().keys().len(), 2);
    }

    #[test]
    fn what_is_no_command_is_refused_as_redis_does() {
        let refused = [
            "get",
            "get a b",
            "set a",
            "set a 1 ex",
            "set a 1 ex 0",
            "set a 1 px 99999999999999999",
            "set a 1 maybe",
            "incrby n many",
            "del",
            "eval return 0",
            "",
        ];
        insta::assert_snapshot!(refused.map(|words| read(words).unwrap_err().0).join("\n"), @r"
        ERR wrong number of arguments for 'get' command
        ERR wrong number of arguments for 'get' command
        ERR wrong number of arguments for 'set' command
        ERR syntax error
        ERR invalid expire time
        ERR invalid expire time
        ERR syntax error
        ERR value is not an integer or out of range
        ERR wrong number of arguments for 'del' command
        ERR unknown command 'eval'
        ERR unknown command ''
        ");
        assert!(Command::read(Value::Int(1)).is_err());
        assert!(Command::read(Value::Array(vec![Value::Int(1)])).is_err());
    }

    #[test]
    fn answers_are_what_a_client_reads() {
        let list = Reply::List(vec![Reply::Number(-7), Reply::Text(b"a\r\nb".to_vec()), Reply::Nothing]);
        let read = parse_redis_value(&list.bytes()).unwrap();
        assert_eq!(
            read,
            Value::Array(vec![Value::Int(-7), Value::BulkString(b"a\r\nb".to_vec()), Value::Nil])
        );
        assert_eq!(parse_redis_value(&Reply::Word("OK").bytes()).unwrap(), Value::Okay);
        let error = Reply::Error("ERR no\r\n:1".to_owned()).bytes();
        assert_eq!(error.iter().filter(|byte| **byte == b'\n').count(), 1, "it stays one line");
    }
}
