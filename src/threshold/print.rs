//! Thresholds as text, in a form that reads back to the same threshold.

use super::{Lasting, Op, Selector, Stat, Threshold, Which};
use crate::endpoint::Protocol;
use crate::units;
use std::fmt;

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} {} {}", self.stat, self.selector, self.op, self.show_value(self.value))?;
        match self.lasting {
            Some(Lasting::For(span)) => write!(f, " for {}", units::show_duration(span))?,
            Some(Lasting::ShareOfWindows { share, window }) => {
                write!(f, " for {} of {} windows", units::show_percent(share), units::show_duration(window))?;
            }
            None => {}
        }
        if let Some(phase) = &self.phase {
            write!(f, " in {phase}")?;
        }
        Ok(())
    }
}

impl Threshold {
    /// A value of this threshold's stat with its unit; the base units are those of [`Threshold::value`].
    pub fn show_value(&self, value: f64) -> String {
        match self.stat {
            Stat::Percentile(_) | Stat::Max | Stat::Mean if value >= 1e9 => {
                format!("{}s", units::shifted(value, 9))
            }
            Stat::Percentile(_) | Stat::Max | Stat::Mean => format!("{}ms", units::shifted(value, 6)),
            Stat::ErrorRate
            | Stat::Dropped { ratio: true }
            | Stat::Used { ratio: true }
            | Stat::Value { ratio: true } => units::show_percent(value),
            Stat::Rate => units::show_rate(value),
            Stat::Dropped { ratio: false }
            | Stat::Count
            | Stat::Used { ratio: false }
            | Stat::Waiting
            | Stat::Value { ratio: false } => units::show_magnitude(value),
        }
    }
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percentile(q) => write!(f, "p{}", units::shifted(*q, -2)),
            Self::Max => f.write_str("max"),
            Self::Mean => f.write_str("mean"),
            Self::ErrorRate => f.write_str("error_rate"),
            Self::Rate => f.write_str("rate"),
            Self::Dropped { .. } => f.write_str("dropped"),
            Self::Count => f.write_str("count"),
            Self::Used { .. } => f.write_str("used"),
            Self::Waiting => f.write_str("waiting"),
            Self::Value { .. } => f.write_str("value"),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Resource(name) => write!(f, "({name})"),
            Self::Requests { clock, protocol, name } => {
                let clock = if *clock == Which::Service { "service:" } else { "" };
                let protocol = match protocol {
                    Protocol::Http => "http",
                    Protocol::Ws => "ws",
                    Protocol::WsLag => "ws.lag",
                    Protocol::Sse => "sse",
                    Protocol::SseLag => "sse.lag",
                };
                write!(f, "({clock}{protocol}")?;
                if let Some(name) = name {
                    let quote = if name.contains(['}', '"']) || name.trim() != name { "'" } else { "" };
                    write!(f, "{{name={quote}{name}{quote}}}")?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        })
    }
}
